//! What every form says of a record in the same words, and what keeps a caller's text from being obeyed.

use crate::detail::{Detail, DetailKind};
use crate::entry::Entry;
use std::borrow::Cow;

/// The text with everything that a terminal or a log viewer would obey made visible: control characters become
/// their pictures (U+2400 and on), those without one, line separators and marks that turn the direction of writing
/// become U+FFFD.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_obeyed) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if is_obeyed(c) { picture(c) } else { c }).collect())
}

pub(super) fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn picture(c: char) -> char {
    match u32::from(c) {
        control @ 0..=0x1f => char::from_u32(0x2400 + control).unwrap_or(char::REPLACEMENT_CHARACTER),
        0x7f => '\u{2421}',
        _ => char::REPLACEMENT_CHARACTER,
    }
}

/// The caller's address: of version 1 from the record, since then from its detail.
pub(super) fn address<'r>(entry: &'r Entry, opened: &'r [Detail]) -> Option<&'r str> {
    let of_detail = values(opened, DetailKind::Address).next();
    of_detail.or(Some(&*entry.address)).filter(|address| !address.is_empty())
}

/// Of the detail that was opened, what is of this kind.
pub(super) fn values(opened: &[Detail], kind: DetailKind) -> impl Iterator<Item = &str> {
    opened.iter().filter(move |detail| detail.kind == kind).map(|detail| &*detail.value)
}

/// `integration.operation`, as far as they are known.
pub(super) fn operation(entry: &Entry) -> Cow<'_, str> {
    match (entry.integration.as_str(), entry.operation.as_str()) {
        (integration, "") => Cow::Borrowed(integration),
        (integration, operation) => Cow::Owned(format!("{integration}.{operation}")),
    }
}

/// What happened, in a line for people.
pub(super) fn sentence(entry: &Entry) -> String {
    let or_unknown = |text: &str| if text.is_empty() { "unknown".to_owned() } else { text.to_owned() };
    let text = if entry.action.is_empty() {
        let (source, target) = (or_unknown(&entry.source), or_unknown(&entry.target));
        let operation = or_unknown(&operation(entry));
        format!("{operation} from {source} to {target}: {} ({})", entry.outcome, entry.code)
    } else {
        format!("{} {}: {} ({})", entry.action, entry.object, entry.outcome, entry.code)
    };
    visible(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_obeyed_is_shown() {
        assert_eq!(visible("Zoë 東京"), "Zoë 東京");
        assert_eq!(
            visible("a\x1b[31m\r\n\0\x7f\u{9b}\u{202e}\u{2028}"),
            "a␛[31m␍␊␀␡\u{fffd}\u{fffd}\u{fffd}"
        );
    }
}
