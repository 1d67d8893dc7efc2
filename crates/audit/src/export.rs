//! Records in the forms that other tools read. `docs/audit-export.md` says what goes where.
//!
//! A record holds texts that callers chose: a credential's id, a method. No form lets them do harm where it is read:
//! what would end a field or a line is escaped, and what a terminal would obey is shown instead.

mod cef;
mod csv;
mod ocsf;
mod words;

pub use csv::push_row;
pub use words::visible;

use crate::detail::Detail;
use crate::reader::Stored;

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
    /// All there are, in the order in which manuals list them.
    pub const ALL: [Format; 4] = [Format::Json, Format::Ocsf, Format::Cef, Format::Csv];

    /// As it is asked for: `json`, `ocsf`, `cef` or `csv`.
    pub const fn name(self) -> &'static str {
        match self {
            Format::Json => "json",
            Format::Ocsf => "ocsf",
            Format::Cef => "cef",
            Format::Csv => "csv",
        }
    }

    /// Of its exact name.
    pub fn parse(name: &str) -> Option<Format> {
        Format::ALL.into_iter().find(|format| format.name() == name)
    }

    /// The line before the first record, without its end.
    pub fn header(self) -> Option<String> {
        (self == Format::Csv).then(csv::header)
    }

    /// What ends each line, the header's too (RFC 4180 asks for CRLF).
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

#[cfg(test)]
mod tests {
    use super::words::is_obeyed;
    use super::*;
    use crate::detail::DetailKind;
    use crate::entry::Entry;
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
