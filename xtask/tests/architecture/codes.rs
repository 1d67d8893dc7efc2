//! Refusals are known by their code and their kind, never by how a code is spelt or by a transport's number.

use crate::sources::{code_of, files, is_test, shown, without_words};
use std::fs;

/// Rooms that every transport shares. Identity speaks to issuers, audit to witnesses and the store of what was HTTP's alone
/// once, so that those three may know a status; what they judge by has none.
const SHARED: &[&str] = &["crates/core/src", "crates/controls/src"];

#[test]
fn no_shared_room_knows_a_status() {
    let mut faults = Vec::new();
    for path in files(SHARED, "rs").into_iter().filter(|path| !is_test(path)) {
        let text = fs::read_to_string(&path).unwrap();
        let code = without_words(code_of(&text));
        for (line, text) in code.lines().enumerate() {
            let is_status = |word: &&str| {
                word.len() == 3 && word.parse().is_ok_and(|number: u16| (400..600).contains(&number))
            };
            let mut words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            if text.contains("StatusCode") || words.any(|word| is_status(&word)) {
                faults.push(format!("{}:{}: {}", shown(&path), line + 1, text.trim()));
            }
        }
    }
    assert!(faults.is_empty(), "a status belongs to the transport:\n{}", faults.join("\n"));
}

/// Looking at the text of a code, in the ways that were met before.
const SPELLING: &[&str] = &[
    ".id.starts_with(",
    ".id.ends_with(",
    ".id.contains(",
    ".id.strip_",
    ".id.replace(",
    "code.id == ",
    "code.id != ",
    "refusal.id == ",
    "refusal.id != ",
];

#[test]
fn codes_are_compared_as_codes() {
    let mut faults = Vec::new();
    for path in files(&["crates"], "rs").into_iter().filter(|path| !is_test(path)) {
        let text = fs::read_to_string(&path).unwrap();
        let code = without_words(code_of(&text));
        for (line, text) in code.lines().enumerate() {
            // Two ids side by side, of which one is a constant's.
            let of_constant = text.split("code::").skip(1).any(|rest| {
                rest.trim_start_matches(|c: char| c.is_ascii_uppercase() || c == '_').starts_with(".id")
            });
            let compares = text.contains("==") || text.contains("!=");
            if SPELLING.iter().any(|way| text.contains(way)) || (of_constant && compares) {
                faults.push(format!("{}:{}: {}", shown(&path), line + 1, text.trim()));
            }
        }
    }
    // Whoever looks a code up by what somebody wrote asks the catalogue.
    faults.retain(|fault| !fault.starts_with("crates/core/src/codes.rs"));
    assert!(faults.is_empty(), "compare codes by `==`, or ask for their kind:\n{}", faults.join("\n"));
}
