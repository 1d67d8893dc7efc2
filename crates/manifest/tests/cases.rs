//! Wrong and hostile manifests with exactly what is said about each. `cases/README.md` describes the files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use ironbridge_manifest::{Date, Diagnostics, Files, findings, load_sources};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// One case of a case file.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// The standard manifest with pieces replaced: what stands before `=>` by what stands behind it.
    #[serde(default)]
    change: Vec<String>,
    /// A second file, `more.yaml`.
    add: Option<String>,
    /// Instead of the standard manifest.
    text: Option<String>,
    expect: Vec<String>,
    /// What each finding advises, in their order; nothing where it advises nothing.
    help: Option<Vec<String>>,
    /// Nothing of this may be shown.
    #[serde(default)]
    secret: Vec<String>,
}

#[test]
fn every_case_is_told_exactly() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for (file, case) in cases() {
        count += 1;
        let found = check(&case);
        let lines: Vec<String> = found.iter().map(line).collect();
        if lines != case.expect {
            wrong.push(format!(
                "{file}: {}\n{}",
                case.name,
                lines.iter().map(|line| format!("    - {line:?}\n")).collect::<String>()
            ));
        }
        let advice: Vec<String> = found.iter().map(|found| found.help.clone().unwrap_or_default()).collect();
        if case.help.as_ref().is_some_and(|help| *help != advice) {
            wrong.push(format!("{file}: {} advises {advice:#?}", case.name));
        }
        let shown = [found.render_text(true), found.to_json().to_string()].concat();
        for secret in &case.secret {
            assert!(!shown.contains(secret.as_str()), "{}: {secret} is shown\n{shown}", case.name);
        }
    }
    assert!(wrong.is_empty(), "{} of {count} cases differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count >= 70, "{count} cases");
}

/// A new finding needs a case, and one that nothing can provoke must go.
#[test]
fn every_finding_has_a_case() {
    let provoked: BTreeSet<String> =
        cases().iter().flat_map(|(_, case)| &case.expect).map(|line| line[..5].to_owned()).collect();
    // These come from the disk or from those who compile the manifest further; `directory.rs` has them, and the
    // engine's tests that of a trail that is behind and those of rules.
    // Those from 130 and 230 on are about files and secrets: `ironbridge/tests/material.rs`.
    let elsewhere = [
        "IB115", "IB126", "IB127", "IB130", "IB131", "IB132", "IB133", "IB217", "IB230", "IB231", "IB232",
        "IB233", "IB234", "IB235", "IB236", "IB237", "IB238", "IB239", "IB240", "IB241",
    ];
    let missing: Vec<&str> = findings()
        .iter()
        .map(|finding| finding.id)
        .filter(|id| !provoked.contains(*id) && !elsewhere.contains(id))
        .collect();
    assert!(missing.is_empty(), "without a case: {missing:?}");
}

#[test]
fn diagnostics_render_like_a_compilers() {
    let names = [
        "a password in clear",
        "a misspelt key",
        "a system declared in two files",
        "a tab for indentation",
        "five mistakes are five findings",
        "a danger in use",
        "no file says what the bridge is",
    ];
    let cases = cases();
    let rendered = names.map(|name| {
        let (_, case) = cases.iter().find(|(_, case)| case.name == name).unwrap();
        check(case).render_text(false)
    });
    insta::assert_snapshot!(rendered.concat());
}

fn check(case: &Case) -> Diagnostics {
    let mut text = case.text.clone().unwrap_or_else(|| include_str!("../cases/standard.txt").to_owned());
    for change in &case.change {
        let (from, to) = change.split_once("=>").unwrap();
        let (from, to) = (from.trim(), to.trim());
        assert_eq!(text.matches(from).count(), 1, "{}: {from}", case.name);
        text = text.replace(from, to);
    }
    let mut sources = vec![(PathBuf::from("manifest.yaml"), text)];
    sources.extend(case.add.clone().map(|text| (PathBuf::from("more.yaml"), text)));
    match load_sources(sources, &Known, Date::of(2026, 11, 21).unwrap()) {
        Ok(loaded) => loaded.findings,
        Err(findings) => findings,
    }
}

/// The files that the cases may name.
struct Known;

impl Files for Known {
    fn exists(&self, path: &Path) -> bool {
        ["ca/erp.pem", "schemas/shipment.json", "tls/key.pem"].iter().any(|known| Path::new(known) == path)
    }
}

fn line(found: &ironbridge_manifest::Diagnostic) -> String {
    let place = &found.place;
    let mut line =
        format!("{} {}:{}:{} {}", found.id(), place.file.display(), place.line, place.column, found.message);
    if !place.label.is_empty() {
        line.push_str(&format!(" | {}", place.label));
    }
    for also in &found.also {
        line.push_str(&format!(" | {}:{}:{} {}", also.file.display(), also.line, also.column, also.label));
    }
    line
}

fn cases() -> Vec<(String, Case)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "yaml"));
    files.sort();
    let mut cases = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let read: Vec<Case> = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        cases.extend(read.into_iter().map(|case| (name.clone(), case)));
    }
    cases
}
