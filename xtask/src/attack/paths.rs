//! Every way that we know of to spell the path of an operation that the account may not use, beside one that it may.
//! However a target reads what arrives, it must not read that path.

use super::outcome::Outcome;
use super::stage::{PATIENCE, Stage};
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

const FORBIDDEN: &str = "/items/export";

pub async fn attack(stage: &Stage, short: bool) -> Result<Outcome> {
    let spellings: Vec<String> = spellings().into_iter().step_by(if short { 3 } else { 1 }).collect();
    let (mut statuses, mut broken) = (BTreeMap::<u16, usize>::new(), Vec::new());
    let mut sent = 0;
    for place in ["items", "moved"] {
        for spelling in &spellings {
            stage.target.forget();
            let mut wire = stage.dialer("http/1.1")?.dial().await?;
            wire.send(&stage.request("GET", &format!("/{place}/{spelling}"), b"")).await;
            let status = wire.status(PATIENCE).await;
            sent += 1;
            *statuses.entry(status.unwrap_or(0)).or_default() += 1;
            for seen in stage.target.seen() {
                if readings(&seen.path).contains(FORBIDDEN) {
                    broken.push(format!("/{place}/{spelling:?} reached the target as {:?}", seen.path));
                }
            }
        }
    }
    let seen = statuses.iter().map(|(status, count)| format!("{count} × {status}")).collect::<Vec<_>>();
    Ok(Outcome { sent: format!("{sent} spellings of a path"), seen: seen.join(", "), broken })
}

/// All that some server somewhere may take this path for: decoded up to five times, path parameters cut off, dot
/// segments and repeated slashes resolved, backslashes as slashes, control characters dropped.
fn readings(target: &str) -> BTreeSet<String> {
    let mut known = BTreeSet::new();
    let mut open = vec![target.split(['?', '#']).next().unwrap_or_default().to_owned()];
    while let Some(path) = open.pop() {
        if known.len() > 500 || !known.insert(path.clone()) {
            continue;
        }
        open.push(decoded(&path));
        open.push(path.replace('\\', "/"));
        open.push(
            path.split('/')
                .map(|segment| segment.split(';').next().unwrap_or_default())
                .collect::<Vec<_>>()
                .join("/"),
        );
        open.push(path.split('\0').next().unwrap_or_default().to_owned());
        open.push(resolved(&path));
        open.push(path.trim_end_matches('/').to_owned());
        open.push(path.chars().filter(|c| !c.is_control()).collect());
    }
    known
}

fn resolved(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            name => segments.push(name),
        }
    }
    format!("/{}", segments.join("/"))
}

/// Broken escapes stay as they are, two-byte forms of ASCII letters count as those.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match hex.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    let mut plain = Vec::with_capacity(bytes.len());
    let mut bytes = bytes.into_iter().peekable();
    while let Some(byte) = bytes.next() {
        match (byte, bytes.peek()) {
            (0xc0 | 0xc1, Some(next @ 0x80..=0xbf)) => {
                plain.push((byte & 1) << 6 | (next & 0x3f));
                bytes.next();
            }
            _ => plain.push(byte),
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

fn spellings() -> BTreeSet<String> {
    let name = "export";
    let mut spellings = BTreeSet::from([name.to_owned()]);
    let escape = |byte: u8, upper: bool| if upper { format!("%{byte:02X}") } else { format!("%{byte:02x}") };
    // Each letter alone, and all of them, escaped once to five times.
    for times in 1..=5 {
        for upper in [false, true] {
            let deep = |byte: u8| (1..times).fold(escape(byte, upper), |text, _| text.replace('%', "%25"));
            for at in 0..name.len() {
                let mut text = String::new();
                for (index, byte) in name.bytes().enumerate() {
                    match index == at {
                        true => text.push_str(&deep(byte)),
                        false => text.push(char::from(byte)),
                    }
                }
                spellings.insert(text);
            }
            spellings.insert(name.bytes().map(deep).collect());
            // Half of the escape escaped.
            spellings.insert(name.replacen(
                'e',
                &format!("%{}{}", escape(b'6', upper), escape(b'5', upper)),
                1,
            ));
        }
    }
    for end in [
        ";",
        ";x",
        ";x=1",
        ";/",
        "%3b",
        "%3B",
        "%3bx",
        "%253b",
        "%253Bx=1",
        "/",
        "/.",
        "/./",
        "%2f",
        "%2F",
        "%252f",
        "%5c",
        "\\",
        "%255c",
        "%00",
        "%2500",
        "%00x",
        "%20",
        "%09",
        "%0a",
        "%0d%0a",
        "%250d%250a",
        ".",
        "%2e",
        "%252e",
        "..",
        "?",
        "?x",
        "#",
        "#x",
        "%23",
        "%3f",
        "%3fx",
        "/..;/export",
        "/x/..",
        "/x/%2e%2e",
        "/..",
        "//",
        "%7f",
        "%ff",
        "%c0%80",
        "+",
        "&",
        "%26",
        ":",
        "%u0000",
        "*",
        "~",
        "'",
        "%27",
        "\"",
        "%22",
        "|",
        "^",
        "`",
        "{",
        "}",
        "<",
        ">",
    ] {
        spellings.insert(format!("{name}{end}"));
    }
    for begin in [
        "/",
        "./",
        ".//",
        ".;/",
        "x/../",
        "x/..;/",
        "x/%2e%2e/",
        "x/%2e%2e;/",
        "x/%252e%252e/",
        "x/%252e%252e;x/",
        "x/.%2e/",
        "..;/items/",
        "../items/",
        "%2e%2e/items/",
        "%2e/",
        "%2e;/",
        "%252e/",
        "%2f",
        "%5c",
        "\\",
        "%00",
        "%20",
        "%09",
        "%0a",
        "..%2fitems/",
        "..%5citems/",
        "..\\items\\",
        "%2e%2e%2fitems%2f",
        "%25ff%252e%252e/items/",
        "x%2f..%2f",
        "x%252f..%252f",
        "%c0%ae%c0%ae/items/",
        "%c0%ae/",
        "%e0%80%ae/",
        "%c1%9c",
        "%c0%af",
        "%u002e/",
        "%ef%bc%8f",
        "%ef%bc%8e/",
        ";/",
        ";x/",
        "?/../items/",
        "#/../items/",
    ] {
        spellings.insert(format!("{begin}{name}"));
        let mut once = begin.to_owned();
        let _ = write!(once, "%65xport");
        spellings.insert(once);
    }
    // Overlong forms, and letters that some systems fold onto ours.
    for odd in [
        "%c1%a5xport",
        "%e0%81%a5xport",
        "%f0%80%81%a5xport",
        "%u0065xport",
        "%EF%BD%85xport",
        "e%cc%80xport",
        "%uff45xport",
        "&#101;xport",
    ] {
        spellings.insert(odd.to_owned());
    }
    spellings
}
