//! The invariants of ARCHITECTURE.md that the compiler does not hold by itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use ironbridge_core::all_codes;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which rooms a room may build on. What is not listed is not allowed.
const ROOMS: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("manifest", &["core"]),
    ("seal", &["core"]),
    ("store", &["core", "seal"]),
    ("audit", &["core", "seal", "store"]),
    ("privacy", &["core", "seal", "store"]),
    ("secrets", &["core", "seal", "store"]),
    ("identity", &["core", "seal", "store", "secrets"]),
    ("controls", &["core", "seal", "store", "identity"]),
    ("net", &["core"]),
    ("publish", &["core", "seal", "audit", "net"]),
    // Of seal, the base64 of Basic credentials toward a target.
    ("http", &["core", "seal", "secrets", "identity", "controls", "net"]),
    (
        "engine",
        &[
            "core", "manifest", "seal", "store", "audit", "privacy", "publish", "secrets", "identity",
            "controls", "net", "http",
        ],
    ),
    ("testkit", &[]),
];

/// Outside crates that only some rooms may name.
const RESERVED: &[(&str, &[&str])] = &[
    // Cryptography is named in one place; sessions (net) and certificates (identity) excepted.
    ("aws-lc-rs", &["seal"]),
    ("rustls", &["net", "testkit"]),
    ("tokio-rustls", &["net", "testkit"]),
    // net checks chains in handshakes; identity anchors a caller's chain in its own account's CA (A6).
    ("rustls-webpki", &["net", "identity"]),
    ("rustls-native-certs", &["net"]),
    ("rcgen", &["identity", "testkit"]),
    ("x509-parser", &["identity", "net"]),
    // The store's files are the store's.
    ("rusqlite", &["store"]),
    // HTTP is one transport among several; engine names methods and field names in the sites it compiles for it.
    ("hyper", &["net", "http", "testkit"]),
    ("hyper-util", &["net", "http", "testkit"]),
    ("http", &["net", "http", "engine"]),
    ("httparse", &["net", "http"]),
    ("matchit", &["http"]),
    // YAML ends in the manifest.
    ("serde-saphyr", &["manifest"]),
    ("schemars", &["manifest"]),
    // Nothing that judges may wait for a socket.
    (
        "tokio",
        &["store", "audit", "publish", "identity", "secrets", "net", "http", "engine", "testkit", "xtask"],
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
    for (name, dependencies) in dependencies("normal") {
        let room = name.strip_prefix("ironbridge-").unwrap_or(&name);
        for dependency in &dependencies {
            if let Some(known) = dependency.strip_prefix("ironbridge-") {
                let above = [BINARY, "xtask"].contains(&room);
                let allowed = ROOMS.iter().find(|(of, _)| *of == room).map(|(_, known)| *known);
                if known == "testkit" && room != "xtask" {
                    faults.push(format!("{room} builds on the testkit outside its tests"));
                } else if !above && !allowed.is_some_and(|allowed| allowed.contains(&known)) {
                    faults.push(format!("{room} may not know {known}"));
                }
            }
            if let Some((_, rooms)) = RESERVED.iter().find(|(of, _)| of == dependency)
                && room != BINARY
                && !rooms.contains(&room)
            {
                faults.push(format!("{room} may not name {dependency}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
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
fn files_stay_readable_in_one_sitting() {
    const LINES: usize = 500;
    let mut faults = Vec::new();
    for path in files(&["crates", "xtask"], "rs") {
        if path.components().any(|part| part.as_os_str() == "tests") {
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        let lines = code_of(&source)
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with("//"))
            .count();
        if lines > LINES {
            faults.push(format!("{} has {lines} lines of code; it holds two things", path.display()));
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

#[test]
fn nothing_is_named_after_nothing() {
    let vague = ["utils", "util", "helpers", "helper", "common", "misc", "manager"];
    for path in files(&["crates", "xtask"], "rs") {
        let stem = path.file_stem().unwrap().to_string_lossy();
        assert!(!vague.contains(&stem.as_ref()), "{} says nothing about what it holds", path.display());
    }
}

/// A source file before its unit tests.
fn code_of(source: &str) -> &str {
    source.split("#[cfg(test)]\nmod ").next().unwrap()
}

/// A source file's unit tests.
fn tests_of(source: &str) -> &str {
    source.split_once("#[cfg(test)]\nmod ").map_or("", |(_, tests)| tests)
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

fn files(folders: &[&str], extension: &str) -> Vec<PathBuf> {
    fn walk(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_symlink() || name == "target" || name == "node_modules" {
                continue;
            }
            if path.is_dir() {
                walk(&path, extension, found);
            } else if path.extension().is_some_and(|known| known == extension) {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    for folder in folders {
        walk(&root().join(folder), extension, &mut found);
    }
    found
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}
