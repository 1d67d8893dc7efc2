//! One pass over the text, in which what the patterns keep is copied without building a value. Numbers are copied as
//! they stand, so here they may also lie beyond what a double holds.

use super::pattern::Node;
use ironbridge_core::Counted;
use ironbridge_core::json::{JsonFault, Read, Reader};
use std::ops::Range;

#[derive(Default)]
pub(super) struct Projected {
    pub text: Vec<u8>,
    pub records: Counted,
    count: u64,
    /// Whether the first `*` of a pattern met an array or object.
    counted: bool,
    /// Whether an array or object was kept whole, which may be a list of records.
    whole: bool,
}

/// # Errors
/// When the text is not strict JSON.
pub(super) fn project(root: &Node, text: &[u8]) -> Result<Projected, JsonFault> {
    let kept = Projected { text: Vec::with_capacity(text.len()), ..Projected::default() };
    let (stays, mut kept) = Reader::read_whole(text, kept, |scan| keep(scan, root))?;
    if !stays {
        kept.text.extend_from_slice(b"null");
    }
    kept.records = match kept.text.as_slice() {
        _ if kept.counted => Counted::Named(kept.count),
        b"{}" | b"[]" | b"null" => Counted::Seen(0),
        [b'[' | b'{', ..] if root.whole => crate::count::by_shape(&kept.text)?,
        _ if kept.whole => Counted::No,
        _ => Counted::Seen(1),
    };
    Ok(kept)
}

type Scan<'t> = Reader<'t, Projected>;

/// Reads one value and writes what the node keeps of it; false when that is nothing.
fn keep(scan: &mut Scan<'_>, node: &Node) -> Read<bool> {
    if node.whole {
        let start = scan.at();
        scan.out.whole |= matches!(scan.peek(), Some(b'{' | b'['));
        scan.skip()?;
        copy(scan, start..scan.at());
        return Ok(true);
    }
    match scan.peek() {
        Some(b'{') => keep_members(scan, node)?,
        Some(b'[') => keep_elements(scan, node)?,
        _ => {
            scan.skip()?;
            return Ok(false);
        }
    }
    Ok(true)
}

fn keep_members(scan: &mut Scan<'_>, node: &Node) -> Read {
    scan.out.counted |= node.rest.as_deref().is_some_and(|rest| rest.counts);
    scan.out.text.push(b'{');
    let mut first = true;
    scan.members(|scan, name, written| {
        let Some(member) = node.member(name) else { return scan.skip() };
        let before = scan.out.text.len();
        if !first {
            scan.out.text.push(b',');
        }
        copy(scan, written);
        scan.out.text.push(b':');
        if keep(scan, member)? {
            first = false;
            scan.out.count += u64::from(member.counts);
        } else {
            scan.out.text.truncate(before);
        }
        Ok(())
    })?;
    scan.out.text.push(b'}');
    Ok(())
}

fn keep_elements(scan: &mut Scan<'_>, node: &Node) -> Read {
    let element = node.rest.as_deref();
    scan.out.counted |= element.is_some_and(|element| element.counts);
    scan.out.text.push(b'[');
    let mut first = true;
    scan.elements(|scan| {
        let Some(element) = element else { return scan.skip() };
        let before = scan.out.text.len();
        if !first {
            scan.out.text.push(b',');
        }
        if keep(scan, element)? {
            first = false;
            scan.out.count += u64::from(element.counts);
        } else {
            scan.out.text.truncate(before);
        }
        Ok(())
    })?;
    scan.out.text.push(b']');
    Ok(())
}

fn copy(scan: &mut Scan<'_>, range: Range<usize>) {
    scan.out.text.extend_from_slice(scan.text().get(range).unwrap_or_default());
}
