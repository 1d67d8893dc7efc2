//! What of a body may cross? (F2)
//!
//! A keep list is a set of patterns: JSON Pointers (RFC 6901) in which `*` stands for every element of an array
//! and for every member of an object. What they keep of a value:
//!
//! 1. Where a pattern ends, the whole value stays, byte for byte: numbers keep their digits, strings their
//!    escapes.
//! 2. An object on the way stays with those members that a pattern goes on to.
//! 3. An array on the way stays. Its elements are reached by `*` alone, a number names a member: elements are
//!    all alike. Objects and arrays among them stay, be it empty, so that positions and counts hold.
//! 4. Anything else on the way, such as a string where the pattern goes deeper, goes.
//! 5. Where nothing at all stays, because the body is a lone string or number, the body becomes `null`.
//!
//! Names are compared as they read, not as they are written: `"\u0069d"` is `id`.

mod pattern;
mod projection;

pub use pattern::{KeepList, PatternError};
pub(crate) use pattern::{Node, Step, parse};

use crate::order;
use ironbridge_core::json::JsonFault;
use ironbridge_core::{Control, Counted, Denial, Exchange, Reading, Reads, Row, Side};
use std::sync::Arc;

/// Holds back every field that the keep list does not name, before the body is delivered or passed on.
///
/// Counts records: the elements (or members) that the first `*` of the patterns matched. Where none did, an array is as
/// many as it has elements, and an object one if nothing of it could be a list: no array or object was kept whole.
///
/// An empty body passes. A request that is not strict JSON is refused as such, a reply with `reply-refused`.
#[derive(Debug, Clone)]
pub struct Keep {
    side: Side,
    list: Arc<KeepList>,
}

impl Keep {
    /// For the bodies of requests.
    pub fn request(list: Arc<KeepList>) -> Keep {
        Keep { side: Side::Request, list }
    }

    /// For the bodies of replies.
    pub fn reply(list: Arc<KeepList>) -> Keep {
        Keep { side: Side::Reply, list }
    }

    fn minimise(&self, exchange: &mut Exchange) -> Result<(), Denial> {
        if self.side == Side::Reply {
            crate::body::check_reply_charset(exchange)?;
        }
        let payload = match self.side {
            Side::Request => &mut exchange.request,
            Side::Reply => &mut exchange.reply,
        };
        let Some(document) = payload.document().filter(|document| !document.bytes().is_empty()) else {
            return Ok(());
        };
        let mut records = Counted::No;
        let replaced = document.replace(|bytes| {
            let kept = projection::project(self.list.root(), bytes)?;
            records = kept.records;
            Ok(kept.text)
        });
        replaced.map_err(|fault: JsonFault| match self.side {
            Side::Request => crate::body::refusal(fault),
            Side::Reply => crate::schema::reply_refusal(fault),
        })?;
        match self.side {
            Side::Request => exchange.request_records = records,
            Side::Reply => exchange.reply_records = records,
        }
        Ok(())
    }
}

impl Control for Keep {
    fn row(&self) -> &'static Row {
        match self.side {
            Side::Request => &order::REQUEST_KEEP_LIST,
            Side::Reply => &order::REPLY_KEEP_LIST,
        }
    }

    fn reads(&self) -> Reads {
        self.side.reads(Reading::Json)
    }

    fn inspect(&self, exchange: &mut Exchange) -> Result<(), Box<Denial>> {
        self.minimise(exchange).map_err(Box::new)
    }
}
