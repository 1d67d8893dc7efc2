//! The invariants of ARCHITECTURE.md that the compiler does not hold by itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod changes;
mod circles;
mod codes;
mod shape;
mod sources;

use ironbridge_core::all_codes;
use serde_json::Value;
use sources::{code_of, files, root, tests_of};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

/// Which rooms a room builds on: no other, and each of these. What only its tests need is apart.
const ROOMS: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("manifest", &["core"]),
    ("seal", &["core"]),
    ("store", &["core"]),
    ("audit", &["core", "seal"]),
    ("privacy", &["core", "seal", "store"]),
    ("secrets", &["core", "seal", "store"]),
    ("identity", &["core", "seal", "store", "secrets"]),
    ("controls", &["core", "seal", "store", "identity"]),
    ("net", &["core"]),
    ("publish", &["core", "seal", "audit", "net"]),
    // Of seal, the base64 of Basic credentials toward a target.
    ("http", &["core", "seal", "secrets", "identity", "net"]),
    (
        "engine",
        &[
            "core", "manifest", "seal", "store", "audit", "privacy", "publish", "secrets", "identity",
            "controls", "net", "http",
        ],
    ),
    // Not the product's: a transport that shows what one needs.
    ("line", &["core", "manifest", "engine", "net"]),
    ("testkit", &[]),
];

/// Outside crates that only these rooms name, and the binary.
const RESERVED: &[(&str, &[&str])] = &[
    // Cryptography is named in one place; sessions (net) and certificates (identity) excepted.
    ("aws-lc-rs", &["seal"]),
    ("rustls", &["net", "testkit"]),
    ("tokio-rustls", &["net", "testkit"]),
    // Anchors a caller's chain in its own account's CA (A6).
    ("rustls-webpki", &["identity"]),
    ("rustls-native-certs", &["net"]),
    ("rcgen", &["identity", "testkit"]),
    ("x509-parser", &["identity"]),
    // The store's files are the store's.
    ("rusqlite", &["store"]),
    // HTTP is one transport among several; engine names methods and field names in the sites it compiles for it.
    ("hyper", &["net", "http", "testkit"]),
    ("hyper-util", &["net", "http", "testkit"]),
    ("http", &["net", "http", "engine"]),
    ("httparse", &[]),
    ("matchit", &["http"]),
    // YAML ends in the manifest.
    ("granit-parser", &["manifest"]),
    ("serde-saphyr", &[]),
    // Nothing that judges may wait for a socket.
    (
        "tokio",
        &["store", "publish", "identity", "secrets", "net", "http", "engine", "testkit", "xtask", "line"],
    ),
    // Only the binary speaks to people.
    ("clap", &["xtask"]),
    ("comfy-table", &[]),
    ("indicatif", &[]),
    ("rpassword", &[]),
];

/// The binary stands above the rooms and may name what it must start with.
const BINARY: &str = "ironbridge";

#[test]
fn rooms_know_only_what_they_may() {
    let mut faults = Vec::new();
    let members = dependencies("normal");
    let mut unused: BTreeSet<(&str, &str)> = pairs(ROOMS).collect();
    for (name, dependencies) in &members {
        let room = name.strip_prefix("ironbridge-").unwrap_or(name);
        for known in dependencies.iter().filter_map(|dependency| dependency.strip_prefix("ironbridge-")) {
            if !names(room, known) {
                faults.push(format!("{room} lists {known} and does not name it"));
            }
            if known == "testkit" && room != "xtask" {
                faults.push(format!("{room} builds on the testkit outside its tests"));
            } else if ![BINARY, "xtask"].contains(&room) && !unused.remove(&(room, known)) {
                faults.push(format!("{room} may not know {known}"));
            }
        }
    }
    faults.extend(
        unused.iter().map(|(room, known)| format!("{room} may know {known} and does not: strike it out")),
    );
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// It has no TLS, and is spoken by its own tests alone.
#[test]
fn the_transport_of_lines_is_in_no_binary() {
    let members = dependencies("normal");
    assert!(!members.values().flatten().any(|dependency| dependency == "ironbridge-line"));
}

/// Whether a room's code names another one.
fn names(room: &str, known: &str) -> bool {
    let folder = if room == "xtask" { "xtask/src".to_owned() } else { format!("crates/{room}/src") };
    let known = format!("ironbridge_{known}");
    files(&[&folder], "rs").iter().any(|path| code_of(&fs::read_to_string(path).unwrap()).contains(&known))
}

#[test]
fn only_some_rooms_name_what_is_reserved() {
    let mut faults = Vec::new();
    let members = dependencies("normal");
    let mut unused: BTreeSet<(&str, &str)> = pairs(RESERVED).collect();
    for (name, dependencies) in &members {
        let room = name.strip_prefix("ironbridge-").unwrap_or(name);
        let reserved = dependencies.iter().filter(|name| RESERVED.iter().any(|(of, _)| of == name));
        for dependency in reserved.filter(|_| room != BINARY) {
            if !unused.remove(&(dependency.as_str(), room)) {
                faults.push(format!("{room} may not name {dependency}"));
            }
        }
    }
    faults.extend(
        unused.iter().map(|(what, room)| format!("{room} may name {what} and does not: strike it out")),
    );
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn pairs<'t>(table: &'t [(&'t str, &'t [&'t str])]) -> impl Iterator<Item = (&'t str, &'t str)> {
    table.iter().flat_map(|(one, others)| others.iter().map(move |other| (*one, *other)))
}

#[test]
fn every_room_forbids_unsafe_code_and_panics() {
    for manifest in files(&["crates", "xtask"], "toml") {
        if manifest.ends_with("Cargo.toml") {
            let text = fs::read_to_string(&manifest).unwrap();
            assert!(
                text.contains("[lints]\nworkspace = true"),
                "{} leaves the workspace's lints",
                manifest.display()
            );
        }
    }
}

#[test]
fn only_identity_makes_a_principal() {
    let call = concat!("Principal::", "verified(");
    for path in files(&["crates"], "rs") {
        let path_text = path.to_string_lossy();
        if path_text.contains("/tests/") || path_text.contains("crates/identity/") {
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        assert!(
            !code_of(&source).contains(call),
            "{path_text} makes a Principal; only identity's verifiers may"
        );
    }
}

#[test]
fn only_the_binary_reads_the_environment() {
    let call = concat!("env::", "var");
    for path in files(&["crates"], "rs") {
        let text = path.to_string_lossy();
        if ["/tests/", "/tests.rs", "crates/ironbridge/", "crates/testkit/"]
            .iter()
            .any(|part| text.contains(part))
        {
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        assert!(!code_of(&source).contains(call), "{text} reads the environment; only the binary may");
    }
}

/// Who keeps something is handed a store, or a secret store, and does not know which one.
#[test]
fn only_home_names_a_store() {
    for (name, room) in [("SqliteStore", "crates/store/"), ("SealedStore", "crates/secrets/")] {
        for path in files(&["crates"], "rs") {
            let text = path.to_string_lossy();
            let may = [room, "/tests/", "/tests.rs", "crates/engine/src/home.rs"];
            if may.iter().any(|part| text.contains(part)) {
                continue;
            }
            let source = fs::read_to_string(&path).unwrap();
            assert!(!code_of(&source).contains(name), "{text} names {name}; only engine's Home opens it");
        }
    }
}

#[test]
fn time_is_passed_in() {
    let call = concat!("SystemTime::", "now(");
    for path in files(&["crates"], "rs") {
        let text = path.to_string_lossy();
        if ["/tests/", "/tests.rs", "core/src/clock.rs", "crates/testkit/"]
            .iter()
            .any(|part| text.contains(part))
        {
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        assert!(!code_of(&source).contains(call), "{text} asks the machine for the time; take a Clock");
    }
}

#[test]
fn every_refusal_has_a_page_and_is_provoked() {
    let mut provocations = String::new();
    for extension in ["rs", "yaml", "yml", "json"] {
        for path in files(&["crates", "tests"], extension) {
            let text = fs::read_to_string(&path).unwrap();
            let path = path.to_string_lossy();
            let whole = path.contains("/tests/") || path.contains("/cases/") || path.ends_with("/tests.rs");
            provocations.push_str(if whole { &text } else { tests_of(&text) });
        }
    }
    let words: BTreeSet<&str> =
        provocations.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_').collect();
    let mut faults = Vec::new();
    for code in all_codes() {
        let page = format!("docs/reference/errors/{}.md", code.id);
        if !root().join(&page).is_file() {
            faults.push(format!("{} has no page; run cargo xtask generate", code.id));
        }
        let constant = code.id.to_ascii_uppercase().replace('-', "_");
        if !words.contains(code.id) && !words.contains(constant.as_str()) {
            faults.push(format!("no test or case provokes {}", code.id));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn no_test_is_switched_off() {
    let attribute = concat!("#[ign", "ore");
    for path in files(&["crates", "xtask", "tests"], "rs") {
        assert!(!fs::read_to_string(&path).unwrap().contains(attribute), "{} ignores a test", path.display());
    }
}

/// Direct dependencies of one kind, by member of the workspace.
fn dependencies(kind: &str) -> BTreeMap<String, Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut members = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let names = package["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|dependency| dependency["kind"].as_str().unwrap_or("normal") == kind)
            .map(|dependency| dependency["name"].as_str().unwrap().to_owned())
            .collect();
        members.insert(package["name"].as_str().unwrap().to_owned(), names);
    }
    members
}
