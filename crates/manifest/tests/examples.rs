//! Every example directory is a manifest that loads, without a warning, and satisfies its own JSON Schema.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use ironbridge_manifest::*;
use std::path::Path;

const TODAY: Date = Date { days: 20_778 };

#[test]
fn examples_load_without_a_warning() {
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/examples")).unwrap() {
        let path = entry.unwrap().path();
        let loaded = load(&path, TODAY).unwrap_or_else(|wrong| panic!("{}\n{wrong}", path.display()));
        assert!(loaded.findings.is_empty(), "{}\n{}", path.display(), loaded.findings);
        assert!(loaded.manifest.files.len() > loaded.manifest.sources.len());
        for (file, text) in loaded.manifest.sources.iter() {
            satisfies_schema(file, text);
        }
    }
}

fn satisfies_schema(file: &Path, text: &str) {
    let instance: serde_json::Value = serde_saphyr::from_str(text).unwrap();
    let validator = jsonschema::draft202012::new(&json_schema()).unwrap();
    let errors: Vec<String> =
        validator.iter_errors(&instance).map(|error| format!("{} {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{}: {errors:#?}", file.display());
}

#[test]
fn a_new_directory_loads_without_a_finding() {
    let directory = tempfile::tempdir().unwrap();
    for (path, text) in init_files("my-bridge") {
        let path = directory.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &text).unwrap();
        if path.extension().is_some_and(|ending| ending == "yaml") {
            satisfies_schema(&path, &text);
        }
    }
    let loaded = load(directory.path(), TODAY).unwrap_or_else(|wrong| panic!("{wrong}"));
    assert!(loaded.findings.is_empty(), "{}", loaded.findings);
    assert_eq!(&*loaded.manifest.bridge.name, "my-bridge");
}

#[test]
fn the_schema_refuses_what_the_reader_refuses() {
    let validator = jsonschema::draft202012::new(&json_schema()).unwrap();
    let standard = include_str!("../cases/standard.txt");
    assert!(validator.is_valid(&serde_saphyr::from_str(standard).unwrap()));
    for (from, to) in [
        ("lifetime: 90d", "lifetime: 90"),
        ("legal_basis: contract", "legal_basis: contracts"),
        ("max_body: 256KiB", "max_body: 256kb"),
        ("per_account: 1000/min", "per_account: 1000"),
        ("password: secret://sealed/erp", "password: hunter2"),
        ("permission: orders.read", "permision: orders.read"),
        ("match: GET /orders", "match: get /orders"),
        ("purpose: fulfilment of orders", "purposes: []"),
        ("keep: [/id]", "keep: [id]"),
        ("subject_id: /customer/id", "subject_id: customer"),
        ("subject_id: /customer/id", "subject_id: '{customer id}'"),
        ("name: acme-bridge", "name: acme-bridge\n  audit: { serve: { entries: maybe } }"),
        ("name: acme-bridge", "name: acme-bridge\n  audit: { mirrors: { a: { directory: /a, s3: {} } } }"),
        ("name: acme-bridge", "name: acme-bridge\n  audit: { witness: { logs: { a+b: x } } }"),
    ] {
        let text = standard.replace(from, to);
        assert_ne!(text, standard, "{from}");
        assert!(!validator.is_valid(&serde_saphyr::from_str(&text).unwrap()), "{to}");
    }
}

/// Every default is read by the same reader as a written value, so reading the smallest manifest proves them.
#[test]
fn defaults_are_what_the_documentation_says() {
    let Loaded { manifest, .. } = load_text("bridge: { name: b }");
    let bridge = &manifest.bridge;
    assert_eq!(bridge.origin(), "https://localhost:8443");
    assert!(bridge.data_dir.ends_with("data"));
    assert_eq!(bridge.limits.per_address.to_string(), "6000/min");
    assert_eq!(bridge.timeouts.drain, Duration::from_secs(30));
    assert_eq!(bridge.audit.retention, AuditRetention { detail: None, records: None });
    assert!(bridge.audit.serve.is_none() && bridge.audit.witness.is_none());
    let Loaded { manifest, .. } = load_text("bridge: { name: b, audit: { serve: {} } }");
    let serve = manifest.bridge.audit.serve.unwrap();
    assert_eq!((&*serve.path.0, serve.entries, serve.listener), ("/log", true, None));
    let Loaded { manifest, .. } = load_text(include_str!("../cases/standard.txt"));
    let integration = &manifest.integrations["orders"];
    assert!(integration.is_durable());
    let data = integration.data.as_ref().unwrap();
    assert_eq!(data.disclosure, Disclosure::Accountable);
    assert_eq!(data.subject_id.as_ref().unwrap()[0].to_string(), "/customer/id");
    assert_eq!(manifest.accepted(integration), [CredentialKind::ApiKey]);
    assert_eq!(integration.http().unwrap().timeout, Duration::from_secs(30));
    assert_eq!(manifest.bridge.listener_of(integration.http().unwrap()).unwrap().0.to_string(), "api");
    assert_eq!(manifest.bridge.issuers["corp-idp"].algorithms.len(), 7);
    assert_eq!(manifest.systems["erp"].http().unwrap().max_connections.value(), 512);
}

#[test]
fn what_does_not_compile_is_shown_where_it_stands() {
    let loaded = load_text(include_str!("../cases/standard.txt"));
    let path =
        ["integrations", "orders", "http", "operations", "list", "response", "keep", "0"].map(String::from);
    let found = loaded.positions.show([
        Observed { at: path.to_vec(), ..Observed::new(&finding::NOT_COMPILED, &[], "no list") },
        Observed::new(&finding::NOT_COMPILED, &["roles"], "whole"),
    ]);
    let places: Vec<(usize, usize)> = found.iter().map(|one| (one.place.line, one.place.column)).collect();
    assert_eq!(places, [(0, 0), (42, 30)]);
    assert!(found.iter().all(|one| one.id() == "IB126"));
}

#[test]
fn the_reference_names_every_section_once() {
    let page = reference_markdown();
    let schema = json_schema();
    for name in schema["$defs"].as_object().unwrap().keys() {
        assert_eq!(page.matches(&format!("\n## {name}\n")).count(), 1, "{name}");
    }
    assert!(page.contains("| `per_address` |") && !page.contains("||"));
}

fn load_text(text: &str) -> Loaded {
    struct Any;
    impl Files for Any {
        fn exists(&self, _: &Path) -> bool {
            true
        }
    }
    load_sources(vec![("manifest.yaml".into(), text.to_owned())], &Any, TODAY).unwrap()
}
