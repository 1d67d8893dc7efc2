//! How files and functions look: their size, their names, where they lie.

use crate::sources::{code_of, files, is_test, lines_of_code, shown};
use std::fs;

#[test]
fn files_stay_readable_in_one_sitting() {
    const LINES: usize = 500;
    let mut faults = Vec::new();
    for path in files(&["crates", "xtask"], "rs") {
        if path.components().any(|part| part.as_os_str() == "tests") {
            continue;
        }
        let lines = lines_of_code(code_of(&fs::read_to_string(&path).unwrap()));
        if lines > LINES {
            faults.push(format!("{} has {lines} lines of code; it holds two things", shown(&path)));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Functions that are still too long. May only shrink.
const LONG: &[&str] = &[
    "xtask/src/attack/disk.rs: attack",
    "xtask/src/attack/framing.rs: payloads",
    "xtask/src/attack/http2.rs: malformed",
    "xtask/src/attack/paths.rs: spellings",
    "xtask/src/generate.rs: fields_page",
];

/// Of code, not of tests: those tell a story.
#[test]
fn functions_fit_on_a_page() {
    const LINES: usize = 60;
    let (mut faults, mut long) = (Vec::new(), Vec::new());
    for path in files(&["crates", "xtask"], "rs").into_iter().filter(|path| !is_test(path)) {
        let source = fs::read_to_string(&path).unwrap();
        for (name, lines) in functions(code_of(&source)) {
            let name = format!("{}: {name}", shown(&path));
            if lines > LINES {
                if !LONG.contains(&&*name) {
                    faults.push(format!("{name} has {lines} lines of code; it does two things"));
                }
                long.push(name);
            }
        }
    }
    let short = LONG.iter().filter(|name| !long.iter().any(|long| long == *name));
    faults.extend(short.map(|name| format!("{name} is short now; take it off the list")));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Every function with the lines of code from its name to its last brace. Goes by what rustfmt writes: a function ends with
/// the first line that closes a brace as far to the left as it began.
fn functions(source: &str) -> Vec<(&str, usize)> {
    let lines: Vec<&str> = source.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line.trim_start()) else { continue };
        let margin = &line[..line.len() - line.trim_start().len()];
        let is_last = |line: &&str| line.strip_prefix(margin).is_some_and(|rest| matches!(rest, "}" | "},"));
        // One that ends on its own line, or has no body.
        let head = lines[at..].iter().take_while(|line| !line.ends_with(['{', ';', '}'])).count();
        if !lines.get(at + head).is_some_and(|line| line.ends_with('{')) {
            continue;
        }
        let length = lines[at..].iter().position(is_last).map_or(0, |last| last + 1);
        found.push((name, lines_of_code(&lines[at..at + length].join("\n"))));
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    const BEFORE: [&str; 6] = ["pub ", "pub(crate) ", "pub(super) ", "const ", "async ", "unsafe "];
    let mut line = line;
    while let Some(rest) = BEFORE.iter().find_map(|word| line.strip_prefix(word)) {
        line = rest;
    }
    line.strip_prefix("fn ")?.split(['(', '<']).next()
}

#[test]
fn nothing_is_named_after_nothing() {
    let vague = ["utils", "util", "helpers", "helper", "common", "misc", "manager"];
    for path in files(&["crates", "xtask"], "rs") {
        let stem = path.file_stem().unwrap().to_string_lossy();
        assert!(!vague.contains(&stem.as_ref()), "{} says nothing about what it holds", path.display());
    }
}

/// A module's file stands beside its folder. Not in `tests/`, where Cargo takes a file for a test of its own.
#[test]
fn modules_have_files_of_their_own_name() {
    let mut found: Vec<String> = files(&["crates", "xtask"], "rs").iter().map(|path| shown(path)).collect();
    found.retain(|path| path.ends_with("/mod.rs") && !path.contains("/tests/"));
    assert!(found.is_empty(), "write name.rs beside name/, not name/mod.rs: {found:?}");
}
