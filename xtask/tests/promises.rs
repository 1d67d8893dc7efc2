//! What the documents promise, and whether a test of that name holds it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// An attack alone holds nothing: it is not among the tests.
#[test]
fn every_promise_of_security_names_a_test() {
    let (text, tests, attacks) = (read("SECURITY.md"), tests(), attacks());
    let promises: Vec<&str> = text.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(promises.len() >= 12, "only {} promises", promises.len());
    for promise in promises {
        let held_by = promise.trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        let named: Vec<&str> = quoted(held_by).collect();
        assert!(named.iter().any(|name| tests.contains(*name)), "no test holds: {promise}");
        for name in named {
            let is_known = tests.contains(name) || attacks.contains(name);
            assert!(is_known, "no test, attack or case file is called {name}: {promise}");
        }
    }
}

/// By their names, or by the files and folders that hold them.
#[test]
fn every_invariant_of_architecture_names_a_test() {
    let (text, tests) = (read("ARCHITECTURE.md"), tests());
    let invariants: Vec<&str> = text.split("**Invariant:**").skip(1).collect();
    assert!(invariants.len() >= 20, "only {} invariants", invariants.len());
    let other = ["cargo xtask bans", "store::suite", "secrets::suite"];
    for invariant in invariants {
        // The last one ends where the next chapter begins.
        let invariant = invariant.split("\n## ").next().unwrap_or_default();
        let held_by = invariant.split("*Test:*").nth(1).unwrap_or_default();
        assert!(!held_by.trim().is_empty(), "no test holds: {invariant}");
        for name in quoted(held_by) {
            let is_there = || alternatives(name).iter().all(|path| root().join(path).exists());
            let is_known = tests.contains(name) || other.contains(&name) || name.contains('/') && is_there();
            assert!(is_known, "no test, file or folder of tests is called {name}: {invariant}");
        }
    }
}

/// `a/{b,c}.rs` is two paths.
fn alternatives(path: &str) -> Vec<String> {
    let Some((before, rest)) = path.split_once('{') else { return vec![path.to_owned()] };
    let (middle, after) = rest.split_once('}').expect("a brace that closes");
    middle.split(',').map(|one| format!("{before}{one}{after}")).collect()
}

/// In every document that is written by hand: what looks like the name of a test is one.
#[test]
fn tests_that_documents_name_exist() {
    let tests = tests();
    let mut faults = Vec::new();
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for name in quoted(&text).filter(|name| looks_like_a_test(name)) {
            if !tests.contains(name) {
                faults.push(format!("{}: no test is called {name}", document.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Also in pages that are generated.
#[test]
fn links_of_documents_lead_somewhere() {
    let mut faults = Vec::new();
    for document in every_document() {
        let text = fs::read_to_string(&document).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") || link.contains(' ') {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target =
                if file.is_empty() { document.clone() } else { document.parent().unwrap().join(file) };
            let leads = match fs::read_to_string(&target) {
                _ if target.is_dir() => true,
                Ok(page) => anchor.is_empty() || anchors(&page).contains(anchor),
                Err(_) => false,
            };
            if !leads {
                faults.push(format!("{}: {link} leads nowhere", document.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Keys by any part of their path (`request.query`), findings, and what `ironbridge explain` is asked for.
#[test]
fn keys_findings_and_pages_that_documents_name_exist() {
    const SECTIONS: [&str; 9] =
        ["bridge", "request", "response", "data", "replay", "limits", "timeouts", "credentials", "audit"];
    let keys = ironbridge_manifest::key_pages();
    let findings: BTreeSet<&str> = ironbridge_manifest::findings().iter().map(|finding| finding.id).collect();
    let mut pages = findings.clone();
    pages.extend(ironbridge_core::all_codes().iter().map(|code| code.id));
    pages.extend(ironbridge_core::all_words().iter().map(|word| word.id));
    pages.extend(ironbridge_manifest::topics().iter().map(|topic| topic.id));
    let mut faults = Vec::new();
    for document in every_document() {
        let text = fs::read_to_string(&document).unwrap();
        let mut fault = |what: String| faults.push(format!("{}: {what}", document.display()));
        for quoted in quoted(&text) {
            let is_path = quoted.contains('.')
                && quoted.chars().all(|c| c.is_ascii_lowercase() || matches!(c, '.' | '_'));
            let section = quoted.split('.').next().unwrap_or_default();
            // Some are members of what a rule sees, actions, or files.
            let other = ironbridge_core::action::name::ALL.iter().any(|(name, _)| *name == quoted)
                || ["request.method", "request.path", "request.params"].contains(&quoted)
                || quoted.starts_with("request.params.")
                || quoted.starts_with("request.query.")
                || [".md", ".example"].iter().any(|end| quoted.ends_with(end));
            if is_path
                && SECTIONS.contains(&section)
                && !other
                && !keys.iter().any(|key| key.is_called(quoted))
            {
                fault(format!("the manifest has no key {quoted}"));
            }
            if let Some(asked) = quoted.strip_prefix("ironbridge explain ") {
                let any = asked.chars().all(|c| c.is_ascii_uppercase());
                if !any && !pages.contains(asked) && !keys.iter().any(|key| key.is_called(asked)) {
                    fault(format!("nothing explains {asked}"));
                }
            }
        }
        for id in text.split("IB").skip(1).filter_map(|rest| rest.get(..3)) {
            let id = format!("IB{id}");
            if id.bytes().skip(2).all(|digit| digit.is_ascii_digit()) && !findings.contains(id.as_str()) {
                fault(format!("there is no finding {id}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The anchors that renderers make of headings.
fn anchors(page: &str) -> BTreeSet<String> {
    let headings = page.lines().filter_map(|line| line.strip_prefix('#'));
    headings
        .map(|heading| {
            let text = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = text.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

/// Those that are generated too.
fn every_document() -> Vec<PathBuf> {
    let mut all = documents();
    all.extend(files(&["docs/reference"], "md"));
    all
}

/// `a_name_of_many_words`; options of the manifest have fewer.
fn looks_like_a_test(name: &str) -> bool {
    name.matches('_').count() >= 3
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn quoted(text: &str) -> impl Iterator<Item = &str> {
    // Between an odd and an even backtick.
    text.split('`').skip(1).step_by(2)
}

/// Names of test functions, of those that a suite exports, and case files.
fn tests() -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    for path in files(&["crates", "xtask"], "rs") {
        let source = fs::read_to_string(&path).unwrap();
        let mut is_test = false;
        for line in source.lines().map(str::trim_start) {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            let line = line.trim_start_matches("pub ").trim_start_matches("async ");
            if let Some(name) = line.strip_prefix("fn ").and_then(|rest| rest.split(['(', '<']).next()) {
                if is_test || path.ends_with("store/src/suite.rs") {
                    tests.insert(name.to_owned());
                }
                is_test = false;
            }
        }
    }
    for path in files(&["crates"], "yaml") {
        tests.insert(path.strip_prefix(root()).unwrap().to_string_lossy().into_owned());
    }
    tests
}

fn attacks() -> BTreeSet<String> {
    let files = fs::read_dir(root().join("xtask/src/attack")).unwrap();
    let attacks = files.map(|attack| {
        let name = attack.unwrap().file_name().to_string_lossy().trim_end_matches(".rs").to_owned();
        // The crowd's attack is called by what it takes.
        let name = if name == "crowd" { "connections".to_owned() } else { name };
        format!("cargo xtask attack --only {name}")
    });
    attacks.collect()
}

fn documents() -> Vec<PathBuf> {
    let top =
        ["README.md", "SECURITY.md", "ARCHITECTURE.md", "CONTRIBUTING.md"].map(|name| root().join(name));
    let pages = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    top.into_iter()
        .chain(pages.filter(|path| path.extension().is_some_and(|extension| extension == "md")))
        .collect()
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

fn files(folders: &[&str], extension: &str) -> Vec<PathBuf> {
    let mut open: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    let mut found = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                open.push(path);
            } else if path.extension().is_some_and(|known| known == extension) {
                found.push(path);
            }
        }
    }
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}
