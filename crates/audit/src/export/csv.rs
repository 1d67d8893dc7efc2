//! Rows of comma-separated values (RFC 4180), for spreadsheets and for bulk loads.

use super::words::{address, values, visible};
use crate::detail::{Detail, DetailKind};
use crate::entry::Entry;
use crate::reader::Stored;
use crate::text::{push_number, push_time};

const COLUMNS: [&str; 41] = [
    "index",
    "id",
    "time",
    "outcome",
    "code",
    "status",
    "integration",
    "operation",
    "permission",
    "transport",
    "source",
    "source_country",
    "target",
    "target_country",
    "purpose",
    "legal_basis",
    "subjects",
    "categories",
    "disclosure",
    "account",
    "credential",
    "credential_id",
    "method",
    "direction",
    "records",
    "bytes_in",
    "bytes_out",
    "duration_us",
    "amends",
    "generation",
    "action",
    "object",
    "facts",
    "address",
    "subject_ids",
    "actor",
    "count",
    "last",
    "sources",
    "marks",
    "accepted_as",
];

pub(super) fn header() -> String {
    COLUMNS.join(",")
}

pub(super) fn write(record: &Stored, opened: &[Detail], out: &mut Vec<u8>) {
    let entry = &record.entry;
    let mut row = Row { out, first: true };
    row.number(Some(record.index));
    row.text(&entry.id);
    row.field(|out| push_time(out, entry.time));
    row.text(&entry.outcome);
    row.text(&entry.code);
    row.number(entry.status.map(u64::from));
    for text in declared(entry) {
        row.text(text);
    }
    row.text(&entry.subjects.join(";"));
    row.text(&entry.categories.join(";"));
    for text in [
        &entry.disclosure,
        &entry.account,
        &entry.credential,
        &entry.credential_id,
        &entry.method,
        &entry.direction,
    ] {
        row.text(text);
    }
    // The record of an action counts nothing.
    let is_exchange = entry.action.is_empty();
    row.number(entry.records.filter(|_| is_exchange));
    for count in [entry.bytes_in, entry.bytes_out, entry.duration_us] {
        row.number(is_exchange.then_some(count));
    }
    row.text(if entry.amends { "true" } else { "" });
    row.number(Some(entry.generation));
    row.text(&entry.action);
    row.text(&entry.object);
    let facts = entry.facts.iter().map(|(name, value)| format!("{name}={value}"));
    row.text(&facts.collect::<Vec<_>>().join(";"));
    row.text(address(entry, opened).unwrap_or_default());
    row.text(&values(opened, DetailKind::Subject).collect::<Vec<_>>().join(";"));
    row.text(values(opened, DetailKind::Actor).next().unwrap_or_default());
    row.number(Some(entry.count));
    row.field(|out| entry.last.iter().for_each(|last| push_time(out, *last)));
    row.number(entry.sources);
    row.text(&values(opened, DetailKind::Mark).collect::<Vec<_>>().join(";"));
    row.text(&entry.accepted_as);
}

fn declared(entry: &Entry) -> [&str; 10] {
    [
        &entry.integration,
        &entry.operation,
        &entry.permission,
        &entry.transport,
        &entry.source,
        &entry.source_country,
        &entry.target,
        &entry.target_country,
        &entry.purpose,
        &entry.legal_basis,
    ]
}

/// Appends a row of any texts, without its end: quoted where that is needed, and no formula for any spreadsheet.
pub fn push_row<'t>(out: &mut Vec<u8>, fields: impl IntoIterator<Item = &'t str>) {
    let mut row = Row { out, first: true };
    fields.into_iter().for_each(|field| row.text(field));
}

struct Row<'o> {
    out: &'o mut Vec<u8>,
    first: bool,
}

impl Row<'_> {
    fn text(&mut self, text: &str) {
        self.field(|out| push_text(out, text));
    }

    fn number(&mut self, number: Option<u64>) {
        self.field(|out| {
            if let Some(number) = number {
                push_number(out, number);
            }
        });
    }

    fn field(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if !std::mem::take(&mut self.first) {
            self.out.push(b',');
        }
        write(self.out);
    }
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    let text = visible(text);
    let formula = is_formula(&text);
    if !formula && !text.contains([',', '"', '\'']) && text.trim() == text {
        return out.extend_from_slice(text.as_bytes());
    }
    out.push(b'"');
    if formula {
        out.push(b'\'');
    }
    out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
    out.push(b'"');
}

/// What a spreadsheet would compute instead of show; an apostrophe before it keeps it a text. Some pass over what is not
/// seen before the sign, and take its other forms.
fn is_formula(text: &str) -> bool {
    let seen = text.trim_start_matches(|c| !is_seen(c) && !SIGNS.contains(&c));
    seen.starts_with(SIGNS) || text.starts_with(['\u{2409}', '\u{240d}'])
}

/// Of ASCII, full width, small, and the minus of mathematics.
const SIGNS: [char; 13] = [
    '=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}', '\u{fe66}', '\u{fe62}', '\u{fe63}',
    '\u{fe6b}', '\u{2212}',
];

/// Surely: letters but for the fillers of Hangul, digits, and the signs of ASCII. Of all others some are invisible, and an
/// apostrophe too many does no harm.
fn is_seen(c: char) -> bool {
    let filler = matches!(c, '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}');
    c.is_ascii_graphic() || (c.is_alphanumeric() && !filler)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{action, exchange, opened, written};
    use super::*;
    use crate::export::Format;
    use proptest::prelude::*;

    /// A reader of RFC 4180 rows, of its grammar alone.
    fn fields(row: &str) -> Vec<String> {
        let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
        let mut chars = row.chars().peekable();
        while let Some(c) = chars.next() {
            match (c, quoted) {
                ('"', true) if chars.next_if_eq(&'"').is_some() => field.push('"'),
                ('"', _) => quoted = !quoted,
                (',', false) => fields.push(std::mem::take(&mut field)),
                _ => field.push(c),
            }
        }
        assert!(!quoted, "{row}");
        fields.push(field);
        fields
    }

    fn column(row: &[String], name: &str) -> String {
        row[COLUMNS.iter().position(|column| *column == name).unwrap()].clone()
    }

    #[test]
    fn a_row_has_every_column() {
        let detail = [
            opened(DetailKind::Address, "192.0.2.7"),
            opened(DetailKind::Subject, "c-1"),
            opened(DetailKind::Subject, "c-2"),
            opened(DetailKind::Mark, "file=orders.csv"),
            opened(DetailKind::Mark, "message=7"),
        ];
        let row = fields(&written(Format::Csv, &exchange("a, \"b\""), &detail));
        assert_eq!(row.len(), COLUMNS.len());
        for (name, value) in [
            ("index", "41"),
            ("time", "2026-05-28T20:26:40.123456Z"),
            ("integration", "a, \"b\""),
            ("categories", "contact;a, \"b\""),
            ("status", "429"),
            ("bytes_in", "300"),
            ("address", "192.0.2.7"),
            ("subject_ids", "c-1;c-2"),
            ("marks", "file=orders.csv;message=7"),
            ("action", ""),
        ] {
            assert_eq!(column(&row, name), value, "{name}");
        }
        let row = fields(&written(
            Format::Csv,
            &action("key.issue", "ib_1"),
            &[opened(DetailKind::Actor, "cli:ada")],
        ));
        assert_eq!(row.len(), COLUMNS.len());
        for (name, value) in
            [("action", "key.issue"), ("facts", "hash=12ab"), ("actor", "cli:ada"), ("records", "")]
        {
            assert_eq!(column(&row, name), value, "{name}");
        }
    }

    #[test]
    fn formulas_stay_texts() {
        let plain = ["=1+1", "+1", "-1", "@SUM(A1)", "  =1", "\t=1", "\r=1", "＝1", "=cmd|' /C calc'!A0"];
        let forms = SIGNS.map(|sign| format!("{sign}1"));
        let unseen = [
            '\u{ad}',
            '\u{34f}',
            '\u{3164}',
            '\u{180e}',
            '\u{2007}',
            '\u{200b}',
            '\u{200d}',
            '\u{200e}',
            '\u{2060}',
            '\u{2800}',
            '\u{feff}',
            '\u{fe0f}',
            '\u{fff9}',
            '\u{e0020}',
            '\u{e000}',
            '\u{85}',
            '\0',
        ];
        let hidden = unseen.map(|c| format!("{c}{c} =1"));
        for text in plain.into_iter().chain(forms.iter().chain(&hidden).map(String::as_str)) {
            let row = fields(&written(Format::Csv, &exchange(text), &[]));
            assert!(column(&row, "account").starts_with('\''), "{text:?}");
        }
        for text in ["a=1", "é-1", "1+1", "c@example.com", "顧客=1", "/=", ""] {
            let row = fields(&written(Format::Csv, &exchange(text), &[]));
            assert_eq!(column(&row, "account"), text);
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_a_row(text: String) {
            let row = fields(&written(Format::Csv, &exchange(&text), &[]));
            prop_assert_eq!(row.len(), COLUMNS.len());
            let shown = visible(&text);
            let expected = if is_formula(&shown) { format!("'{shown}") } else { shown.into_owned() };
            prop_assert_eq!(column(&row, "credential_id"), expected);
        }
    }
}
