//! What CONTRIBUTING.md says an addition touches: held against one that is there, because one that needed more places would
//! be found in them.

use crate::sources::{files, root, shown};
use std::collections::BTreeSet;
use std::fs;

/// An addition, and by which words the files know it that were touched for it.
const EXAMPLES: &[(&str, &[&str], &[&str])] = &[
    ("A refusal", &["ADDRESS_UNKNOWN", "address-unknown"], &[]),
    (
        "A control",
        &["pub mod authorise;", "authorise::Authorise", "order::AUTHORISE", "AUTHORISE: \""],
        &["cases/authorise.yaml"],
    ),
];

#[test]
fn an_addition_touches_the_files_that_are_counted() {
    let page = fs::read_to_string(root().join("CONTRIBUTING.md")).unwrap();
    for (what, words, names) in EXAMPLES {
        let row = page.lines().find(|line| line.starts_with(&format!("| {what} |")));
        let row = row.unwrap_or_else(|| panic!("CONTRIBUTING.md has no row for {what}"));
        // Every second part stands between two backticks.
        let counted: BTreeSet<String> =
            row.split('`').skip(1).step_by(2).filter(|part| part.contains('/')).map(str::to_owned).collect();
        assert_eq!(counted, found(words, names), "{what}");
    }
}

fn found(words: &[&str], names: &[&str]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for path in ["rs", "yaml", "toml"].iter().flat_map(|extension| files(&["crates"], extension)) {
        let text = fs::read_to_string(&path).unwrap();
        let name = shown(&path);
        if words.iter().any(|word| text.contains(word)) || names.iter().any(|end| name.ends_with(end)) {
            found.insert(name);
        }
    }
    found
}
