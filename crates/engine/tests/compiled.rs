//! What `check` says of schemas, rules and pointers. A case holds the files and the findings; adding one needs no code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use ironbridge_core::SystemClock;
use ironbridge_engine::Plan;
use ironbridge_manifest::Severity;
use serde::Deserialize;
use std::collections::BTreeMap;

/// What each case declares its integrations beside; nothing here has a finding above a note.
const PARTIES: &str = "
bridge: { name: test-bridge }
systems:
  shop: { owner: shop@acme.example, country: DE }
  erp: { owner: erp@acme.example, country: DE, http: { url: \"https://erp.acme.example\" } }
roles: { all: { permissions: [all] } }
accounts:
  shop: { system: shop, owner: shop@acme.example, roles: [all], credentials: { api_key: {} } }
";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// JSON files by name.
    #[serde(default)]
    files: BTreeMap<String, String>,
    /// Keys of the integration beside `http`.
    #[serde(default)]
    integration: String,
    /// The operations, as they stand in the manifest.
    operations: String,
    /// `ID line:column message`, as far as it is written here, lines counted within `operations`; else those of the
    /// integration's keys are negative, from its end.
    #[serde(default)]
    expect: Vec<String>,
}

#[test]
fn what_is_compiled_is_doubted() {
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/compiled.yaml")).unwrap();
    let cases: Vec<Case> = serde_saphyr::from_str(&text).unwrap();
    let mut wrong = Vec::new();
    for case in &cases {
        let told = told(case);
        let fits = told.len() == case.expect.len()
            && told.iter().zip(&case.expect).all(|(told, expected)| told.starts_with(expected.as_str()));
        if !fits {
            wrong.push(format!("{}\n  expected {:#?}\n  told {told:#?}", case.name, case.expect));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

fn told(case: &Case) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("ironbridge.yaml", PARTIES);
    case.files.iter().for_each(|(name, text)| write(name, text));
    let indented =
        |text: &str, by: &str| text.lines().fold(String::new(), |all, line| all + by + line + "\n");
    let head = format!(
        "integrations:\n  flow:\n    source: shop\n    target: erp\n    purpose: test\n    legal_basis: contract\n{}    http:\n      path: /flow\n      operations:\n",
        indented(&case.integration, "    ")
    );
    let before = head.lines().count();
    write("flow.yaml", &(head + &indented(&case.operations, "        ")));
    let findings = match Plan::read(dir.path(), &SystemClock::default()) {
        Ok(plan) => plan.findings,
        Err(findings) => findings,
    };
    let said = findings.iter().filter(|finding| finding.severity() != Severity::Note);
    said.map(|finding| {
        let line = i64::try_from(finding.place.line).unwrap() - i64::try_from(before).unwrap();
        let help = finding.help.as_deref().map(|help| format!(" | {help}")).unwrap_or_default();
        let message = finding.message.replace(&format!("{}/", dir.path().display()), "");
        format!("{} {line}:{} {message}{help}", finding.id(), finding.place.column.saturating_sub(8))
    })
    .collect()
}
