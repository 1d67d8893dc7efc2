//! Records in the forms that other tools read. `docs/audit-export.md` says what goes where.
//!
//! A record holds texts that callers chose: a credential's id, a method. No form lets them do harm where it is read:
//! what would end a field or a line is escaped, and what a terminal would obey is shown instead.

mod cef;
mod csv;
mod ocsf;

pub use csv::push_row;

use crate::detail::{Detail, DetailKind};
use crate::{Entry, Stored};
use std::borrow::Cow;

/// A form in which records leave the trail, each on one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// The leaf, byte for byte: what its hash is over.
    Json,
    /// The Open Cybersecurity Schema Framework, version 1.8.0, as JSON.
    Ocsf,
    /// ArcSight's Common Event Format, version 0.
    Cef,
    /// Comma-separated values (RFC 4180) with one row of names first.
    Csv,
}

impl Format {
    pub const ALL: [Format; 4] = [Format::Json, Format::Ocsf, Format::Cef, Format::Csv];

    pub const fn name(self) -> &'static str {
        match self {
            Format::Json => "json",
            Format::Ocsf => "ocsf",
            Format::Cef => "cef",
            Format::Csv => "csv",
        }
    }

    pub fn parse(name: &str) -> Option<Format> {
        Format::ALL.into_iter().find(|format| format.name() == name)
    }

    /// The line before the first record, without its end.
    pub fn header(self) -> Option<String> {
        (self == Format::Csv).then(csv::header)
    }

    pub const fn line_end(self) -> &'static str {
        match self {
            Format::Csv => "\r\n",
            Format::Json | Format::Ocsf | Format::Cef => "\n",
        }
    }

    /// Appends the record, without a line's end. `opened` is what could be opened of its personal detail; as JSON
    /// a record is always the leaf alone.
    pub fn write(self, record: &Stored, opened: &[Detail], out: &mut Vec<u8>) {
        match self {
            Format::Json => out.extend_from_slice(record.json.as_bytes()),
            Format::Ocsf => ocsf::write(record, opened, out),
            Format::Cef => cef::write(record, opened, out),
            Format::Csv => csv::write(record, opened, out),
        }
    }
}

/// The text with everything that a terminal or a log viewer would obey made visible: control characters become
/// their pictures (U+2400 and on), those without one, line separators and marks that turn the direction of writing
/// become U+FFFD.
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_obeyed) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if is_obeyed(c) { picture(c) } else { c }).collect())
}

fn is_obeyed(c: char) -> bool {
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
fn address<'r>(entry: &'r Entry, opened: &'r [Detail]) -> Option<&'r str> {
    let of_detail = values(opened, DetailKind::Address).next();
    of_detail.or(Some(&*entry.address)).filter(|address| !address.is_empty())
}

fn values(opened: &[Detail], kind: DetailKind) -> impl Iterator<Item = &str> {
    opened.iter().filter(move |detail| detail.kind == kind).map(|detail| &*detail.value)
}

/// `integration.operation`, as far as they are known.
fn operation(entry: &Entry) -> Cow<'_, str> {
    match (entry.integration.as_str(), entry.operation.as_str()) {
        (integration, "") => Cow::Borrowed(integration),
        (integration, operation) => Cow::Owned(format!("{integration}.{operation}")),
    }
}

/// What happened, in a line for people.
fn sentence(entry: &Entry) -> String {
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
    use proptest::prelude::*;

    pub(super) fn stored(json: serde_json::Value) -> Stored {
        let json = json.to_string();
        Stored { index: 41, entry: Entry::parse(json.as_bytes()).unwrap(), json, details: Vec::new() }
    }

    /// A record of an exchange in which every text is this one.
    pub(super) fn exchange(text: &str) -> Stored {
        stored(serde_json::json!({
            "v": 2, "id": "019aa7c0-3f1e-7c52-9d51-2f0d8f9f6a11", "time": "2026-05-28T20:26:40.123456Z",
            "integration": text, "operation": text, "permission": text, "transport": "http", "source": text,
            "source_country": "DE", "target": text, "target_country": "FR", "purpose": text, "legal_basis": text,
            "subjects": [text], "categories": ["contact", text], "disclosure": "treatment", "generation": 3,
            "account": text, "credential": "api_key", "credential_id": text, "method": "POST",
            "direction": "to_target", "records": 2, "bytes_in": 300, "bytes_out": 20, "duration_us": 1500,
            "outcome": "denied", "code": "rate-limited", "status": 429,
        }))
    }

    pub(super) fn action(name: &str, object: &str) -> Stored {
        stored(serde_json::json!({
            "v": 2, "id": "019aa7c0-3f1e-7c52-9d51-2f0d8f9f6a12", "time": "2026-05-28T20:26:40.123456Z",
            "action": name, "object": object, "facts": { "hash": "12ab" }, "account": "shop", "generation": 1,
            "outcome": "success", "code": "done",
        }))
    }

    pub(super) fn opened(kind: DetailKind, value: &str) -> Detail {
        Detail { kind, salt: [0; ironbridge_seal::owner::SALT_LEN], value: value.into() }
    }

    pub(super) fn written(format: Format, record: &Stored, opened: &[Detail]) -> String {
        let mut out = Vec::new();
        format.write(record, opened, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_is_the_leaf() {
        let record = exchange("a\nb");
        assert_eq!(written(Format::Json, &record, &[]), record.json);
    }

    #[test]
    fn names_read_back() {
        for format in Format::ALL {
            assert_eq!(Format::parse(format.name()), Some(format));
        }
        assert_eq!(Format::parse("xml"), None);
    }

    #[test]
    fn what_would_be_obeyed_is_shown() {
        assert_eq!(visible("Zoë 東京"), "Zoë 東京");
        assert_eq!(
            visible("a\x1b[31m\r\n\0\x7f\u{9b}\u{202e}\u{2028}"),
            "a␛[31m␍␊␀␡\u{fffd}\u{fffd}\u{fffd}"
        );
    }

    proptest! {
        #[test]
        fn every_record_is_one_line_that_obeys_nobody(text: String, detail: String) {
            let detail = [opened(DetailKind::Address, &detail), opened(DetailKind::Subject, &detail),
                opened(DetailKind::Actor, &detail)];
            for record in [exchange(&text), action(&text, &text)] {
                for format in [Format::Ocsf, Format::Cef, Format::Csv] {
                    let line = written(format, &record, &detail);
                    prop_assert!(!line.chars().any(is_obeyed), "{line:?}");
                }
            }
        }
    }
}
