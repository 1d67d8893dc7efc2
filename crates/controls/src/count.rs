//! How many records of data cross? (F1)

use crate::keep::{KeepList, Node};
use crate::order;
use ironbridge_core::json::{JsonFault, Read, Reader};
use ironbridge_core::{Control, Counted, Denial, Exchange, Reading, Reads, Row, Side};
use std::sync::Arc;

/// Counts the records in a body for the audit trail.
///
/// Where the operation names a place: the values there; an array that stands at its end, with no `*`, is as many as it
/// has elements. A list that is `null` has none; a place that the body does not have is not counted. Otherwise by shape:
/// an array is as many as it has elements, an object of plain values is one, anything else unknown.
///
/// A named place demands strict JSON. Nothing else is refused.
#[derive(Debug, Clone)]
pub struct Count {
    side: Side,
    at: Option<Arc<KeepList>>,
}

impl Count {
    /// Counts the records of requests.
    pub fn request(at: Option<Arc<KeepList>>) -> Count {
        Count { side: Side::Request, at }
    }

    /// Counts the records of replies.
    pub fn reply(at: Option<Arc<KeepList>>) -> Count {
        Count { side: Side::Reply, at }
    }

    fn count(&self, text: &[u8]) -> Result<Counted, Denial> {
        let Some(at) = &self.at else { return Ok(by_shape(text).unwrap_or_default()) };
        at_place(at.root(), text).map_err(|fault| match self.side {
            Side::Request => crate::body::refusal(fault),
            Side::Reply => crate::schema::reply_refusal(fault),
        })
    }
}

impl Control for Count {
    fn row(&self) -> &'static Row {
        match self.side {
            Side::Request => &order::REQUEST_RECORDS,
            Side::Reply => &order::REPLY_RECORDS,
        }
    }

    fn reads(&self) -> Reads {
        self.side.reads(if self.at.is_some() { Reading::Json } else { Reading::Bytes })
    }

    fn inspect(&self, exchange: &mut Exchange) -> Result<(), Box<Denial>> {
        if self.side == Side::Reply && self.at.is_some() {
            crate::body::check_reply_charset(exchange)?;
        }
        let (payload, counted) = match self.side {
            Side::Request => (&exchange.request, &mut exchange.request_records),
            Side::Reply => (&exchange.reply, &mut exchange.reply_records),
        };
        let Some(body) = payload.bytes().filter(|body| !body.is_empty()) else { return Ok(()) };
        *counted = self.count(body)?;
        Ok(())
    }
}

/// # Errors
/// When the text is not strict JSON.
pub(crate) fn by_shape(text: &[u8]) -> Result<Counted, JsonFault> {
    let (mut count, mut plain) = (0, true);
    let ((), is_array) = Reader::read_whole(text, None, |scan| {
        scan.out = scan.peek().map(|byte| (byte == b'[', byte == b'{'));
        match scan.out {
            Some((true, _)) => scan.elements(|scan| {
                count += 1;
                scan.skip()
            }),
            Some((_, true)) => scan.members(|scan, _, _| {
                count = 1;
                plain &= !matches!(scan.peek(), Some(b'[' | b'{'));
                scan.skip()
            }),
            _ => scan.skip(),
        }
    })?;
    Ok(match is_array {
        Some((true, _)) => Counted::Seen(count),
        Some((_, true)) if plain => Counted::Seen(count),
        _ => Counted::No,
    })
}

fn at_place(root: &Node, text: &[u8]) -> Result<Counted, JsonFault> {
    let (_, found) = Reader::read_whole(text, Found::default(), |scan| values(scan, root, false))?;
    Ok(if found.place { Counted::Named(found.count) } else { Counted::No })
}

#[derive(Default)]
struct Found {
    count: u64,
    /// Whether the body has a place that is named.
    place: bool,
}

/// Reads one value; `starred` says that a `*` led to it, so that it is one record whatever it is.
fn values(scan: &mut Reader<'_, Found>, node: &Node, starred: bool) -> Read {
    let rest = node.rest.as_deref();
    match scan.peek() {
        Some(b'n') if (node.whole || rest.is_some()) && !starred => {
            scan.out.place = true;
            scan.skip()
        }
        Some(b'[') if node.whole && !starred => {
            scan.out.place = true;
            scan.elements(|scan| {
                scan.out.count += 1;
                scan.skip()
            })
        }
        _ if node.whole => {
            scan.out.place = true;
            scan.out.count += 1;
            scan.skip()
        }
        Some(b'[') => {
            scan.out.place |= rest.is_some_and(|rest| rest.whole);
            scan.elements(|scan| match rest {
                Some(element) => values(scan, element, true),
                None => scan.skip(),
            })
        }
        Some(b'{') => {
            scan.out.place |= rest.is_some_and(|rest| rest.whole);
            scan.members(|scan, name, _| match node.member(name) {
                Some(member) => {
                    let starred = rest.is_some_and(|rest| std::ptr::eq(rest, member));
                    values(scan, member, starred)
                }
                None => scan.skip(),
            })
        }
        _ => scan.skip(),
    }
}
