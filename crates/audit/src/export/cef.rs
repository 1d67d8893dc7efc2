//! Lines of ArcSight's Common Event Format: seven header fields between bars, then `key=value` pairs.

use super::words::{address, operation, sentence, values, visible};
use crate::detail::{Detail, DetailKind};
use crate::entry::Entry;
use crate::reader::Stored;
use ironbridge_core::action::name;
use std::net::IpAddr;

pub(super) fn write(record: &Stored, opened: &[Detail], out: &mut Vec<u8>) {
    let entry = &record.entry;
    out.extend_from_slice(b"CEF:0|Ironbridge|Ironbridge|");
    out.extend_from_slice(env!("CARGO_PKG_VERSION").as_bytes());
    let (class, title) = class(entry);
    for field in [&*class, title, severity(entry)] {
        out.push(b'|');
        push_header(out, field);
    }
    out.push(b'|');
    let mut extension = Extension { out, first: true };
    extension.number("rt", entry.time.micros() / 1000);
    extension.text("externalId", &entry.id);
    extension.number("flexNumber1", record.index);
    extension.text("flexNumber1Label", "index");
    extension.text("outcome", &entry.outcome);
    extension.text("reason", &entry.code);
    extension.text("msg", &sentence(entry));
    push_origin(&mut extension, entry, opened);
    if entry.action.is_empty() {
        push_exchange(&mut extension, entry, opened);
    } else {
        push_action(&mut extension, entry);
    }
}

/// What a rule would match: for an exchange its code, for an action its name.
fn class(entry: &Entry) -> (String, &'static str) {
    if !entry.action.is_empty() {
        let known = name::ALL.iter().find(|(name, _)| *name == entry.action);
        return (entry.action.clone(), known.map_or("an action", |(_, meaning)| meaning));
    }
    let title = match entry.outcome.as_str() {
        "success" => "Exchange delivered",
        "accepted" => "Exchange accepted",
        "partial" => "Exchange broken off",
        "denied" => "Exchange refused",
        _ => "Exchange failed",
    };
    (format!("exchange.{}", entry.code), title)
}

/// 0 to 3 is low, 4 to 6 medium, 7 and 8 high, 9 and 10 very high.
fn severity(entry: &Entry) -> &'static str {
    match entry.outcome.as_str() {
        "success" | "accepted" => "1",
        "partial" => "3",
        "denied" => "5",
        _ => "6",
    }
}

fn push_origin(extension: &mut Extension<'_>, entry: &Entry, opened: &[Detail]) {
    // An action's account is whom it was done for; only for a token it is who asked, too.
    let acts = entry.action.is_empty() || entry.action == name::TOKEN_ISSUE;
    let actor = values(opened, DetailKind::Actor).next();
    extension.text("suser", actor.unwrap_or(if acts { &entry.account } else { "" }));
    // `src` takes IPv4 alone.
    match address(entry, opened).map(|address| (address, address.parse::<IpAddr>())) {
        Some((address, Ok(IpAddr::V6(_)))) => {
            extension.text("c6a2", address);
            extension.text("c6a2Label", "Source IPv6 Address");
        }
        Some((address, Ok(IpAddr::V4(_)))) => extension.text("src", address),
        _ => {}
    }
}

fn push_exchange(extension: &mut Extension<'_>, entry: &Entry, opened: &[Detail]) {
    extension.text("cat", "exchange");
    extension.text("act", if entry.outcome == "denied" { "refused" } else { "let through" });
    extension.text("suid", &entry.credential_id);
    extension.text("sourceServiceName", &entry.source);
    extension.text("destinationServiceName", &entry.target);
    extension.text("app", &entry.transport);
    extension.text("requestMethod", &entry.method);
    if let Some(last) = entry.last {
        extension.number("cnt", entry.count);
        extension.number("start", entry.time.micros() / 1000);
        extension.number("end", last.micros() / 1000);
    }
    extension.number("in", entry.bytes_in);
    extension.number("out", entry.bytes_out);
    let subjects = values(opened, DetailKind::Subject).collect::<Vec<_>>().join(";");
    for (key, label, value) in [
        ("cs1", "operation", &*operation(entry)),
        ("cs2", "purpose", &entry.purpose),
        ("cs3", "legal basis", &entry.legal_basis),
        ("cs4", "data categories", &entry.categories.join(";")),
        ("cs5", "permission", &entry.permission),
        ("cs6", "data subjects", &subjects),
    ] {
        extension.labelled(key, label, value);
    }
    let marks = values(opened, DetailKind::Mark).collect::<Vec<_>>().join(";");
    extension.labelled("flexString1", "marks", &marks);
    let status = entry.status.map(u64::from);
    for (key, label, value) in [
        ("cn1", "records", entry.records),
        ("cn2", "status", status),
        ("cn3", "duration in us", Some(entry.duration_us)),
    ] {
        extension.labelled(key, label, &value.map(|value| value.to_string()).unwrap_or_default());
    }
}

fn push_action(extension: &mut Extension<'_>, entry: &Entry) {
    extension.text("cat", "action");
    extension.text("act", &entry.action);
    extension.text("duser", &entry.account);
    extension.labelled("cs1", "object", &entry.object);
    let facts = entry.facts.iter().map(|(name, value)| format!("{name}={value}"));
    extension.labelled("cs2", "facts", &facts.collect::<Vec<_>>().join(";"));
}

struct Extension<'o> {
    out: &'o mut Vec<u8>,
    first: bool,
}

impl Extension<'_> {
    /// Nothing where there is nothing to say.
    fn text(&mut self, key: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        if !std::mem::take(&mut self.first) {
            self.out.push(b' ');
        }
        self.out.extend_from_slice(key.as_bytes());
        self.out.push(b'=');
        push_value(self.out, value);
    }

    fn number(&mut self, key: &str, value: u64) {
        self.text(key, &value.to_string());
    }

    fn labelled(&mut self, key: &str, label: &str, value: &str) {
        if !value.is_empty() {
            self.text(key, value);
            self.text(&format!("{key}Label"), label);
        }
    }
}

/// In the header a bar ends a field.
fn push_header(out: &mut Vec<u8>, text: &str) {
    escape(out, text, '|');
}

/// In the extension an equals sign makes a key of the word before it.
fn push_value(out: &mut Vec<u8>, text: &str) {
    escape(out, text, '=');
}

fn escape(out: &mut Vec<u8>, text: &str, special: char) {
    for c in visible(text).chars() {
        if c == special || c == '\\' {
            out.push(b'\\');
        }
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{action, exchange, opened, written};
    use super::*;
    use crate::export::Format;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// A reader of the format's grammar alone: seven header fields and the pairs.
    fn read(line: &str) -> (Vec<String>, BTreeMap<String, String>) {
        let (mut header, mut field) = (Vec::new(), String::new());
        let mut chars = line.chars();
        while header.len() < 7 {
            match chars.next().unwrap() {
                '\\' => field.push(chars.next().unwrap()),
                '|' => header.push(std::mem::take(&mut field)),
                c => field.push(c),
            }
        }
        let (mut texts, mut text) = (Vec::new(), String::new());
        while let Some(c) = chars.next() {
            match c {
                '\\' => text.push(chars.next().unwrap()),
                '=' => texts.push(std::mem::take(&mut text)),
                c => text.push(c),
            }
        }
        texts.push(text);
        // Between two equals signs stand a value, a space and the next key.
        let mut pairs = BTreeMap::new();
        let mut key = texts[0].clone();
        for (n, text) in texts.iter().enumerate().skip(1) {
            let last = n == texts.len() - 1;
            let (value, next) = if last { (text.as_str(), "") } else { text.rsplit_once(' ').unwrap() };
            pairs.insert(std::mem::replace(&mut key, next.to_owned()), value.to_owned());
        }
        (header, pairs)
    }

    #[test]
    fn an_exchange() {
        let detail = [
            opened(DetailKind::Address, "192.0.2.7"),
            opened(DetailKind::Subject, "c-1"),
            opened(DetailKind::Mark, "file=orders.csv"),
        ];
        let (header, pairs) = read(&written(Format::Cef, &exchange("x"), &detail));
        let version = env!("CARGO_PKG_VERSION");
        let expected =
            ["CEF:0", "Ironbridge", "Ironbridge", version, "exchange.rate-limited", "Exchange refused", "5"];
        assert_eq!(header, expected);
        for (key, value) in [
            ("rt", "1780000000123"),
            ("src", "192.0.2.7"),
            ("suser", "x"),
            ("outcome", "denied"),
            ("act", "refused"),
            ("in", "300"),
            ("cs4", "contact;x"),
            ("cs4Label", "data categories"),
            ("cs6", "c-1"),
            ("flexString1", "file=orders.csv"),
            ("cn2", "429"),
            ("flexNumber1", "41"),
        ] {
            assert_eq!(pairs.get(key).map(String::as_str), Some(value), "{key}");
        }
        let six = [opened(DetailKind::Address, "2001:db8::1")];
        let (_, pairs) = read(&written(Format::Cef, &exchange("x"), &six));
        assert_eq!((pairs.get("src"), pairs["c6a2"].as_str()), (None, "2001:db8::1"));
    }

    #[test]
    fn an_action() {
        let actor = [opened(DetailKind::Actor, "cli:ada")];
        let (header, pairs) = read(&written(Format::Cef, &action("key.issue", "ib_1"), &actor));
        assert_eq!((&*header[4], &*header[5]), ("key.issue", "an API key or client secret was issued"));
        assert_eq!((&*pairs["suser"], &*pairs["duser"], &*pairs["cs1"]), ("cli:ada", "shop", "ib_1"));
        assert_eq!(pairs["cs2"], "hash=12ab");
        // Whom it was done for is not who did it, also where that is not told.
        let (_, pairs) = read(&written(Format::Cef, &action("key.issue", "ib_1"), &[]));
        assert_eq!((pairs.get("suser"), &*pairs["duser"]), (None, "shop"));
        let (_, pairs) = read(&written(Format::Cef, &action("token.issue", ""), &[]));
        assert_eq!(pairs["suser"], "shop");
    }

    proptest! {
        #[test]
        fn no_text_breaks_out_of_its_place(text in "([a-z|=\\\\ \r\n]|\\PC){0,20}") {
            let (header, pairs) = read(&written(Format::Cef, &exchange(&text), &[]));
            prop_assert_eq!(&*header[4], "exchange.rate-limited");
            prop_assert_eq!(pairs.get("cs2").map(String::as_str).unwrap_or(""), visible(&text));
            let name = format!("x{text}");
            let (header, _) = read(&written(Format::Cef, &action(&name, ""), &[]));
            prop_assert_eq!(&*header[4], visible(&name));
        }
    }
}
