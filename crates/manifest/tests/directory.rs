//! What is read of a directory, and what is not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use ironbridge_manifest::{Date, Diagnostics, Loaded, load};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const TODAY: Date = Date { days: 20_778 };

#[test]
fn files_are_merged_and_others_left_alone() {
    let directory = with(&[
        ("bridge.yml", "bridge: { name: b, data_dir: ./state }"),
        ("deep/er/roles.yaml", "roles: { one: { permissions: [] } }"),
        ("notes.txt", "not: [read"),
        (".hidden.yaml", "not: [read"),
        (".git/config.yaml", "not: [read"),
        ("data/old.yaml", "roles: { two: { permissions: [] } }"),
        ("state/tile.yaml", "not: [read"),
    ]);
    let loaded = loaded(&directory);
    assert_eq!(loaded.manifest.sources.len(), 3);
    assert_eq!(loaded.manifest.roles.len(), 2);
}

#[test]
fn the_data_directory_is_left_alone_without_being_named() {
    let directory = with(&[("bridge.yaml", "bridge: { name: b }"), ("data/x.yaml", "not: [read")]);
    assert_eq!(loaded(&directory).manifest.sources.len(), 1);
    // Also where it is written as an absolute path.
    let absolute = with(&[("state/x.yaml", "not: [read")]);
    let bridge = format!("bridge: {{ name: b, data_dir: {} }}", absolute.path().join("state").display());
    fs::write(absolute.path().join("bridge.yaml"), bridge).unwrap();
    assert_eq!(loaded(&absolute).manifest.sources.len(), 1);
}

#[test]
fn a_directory_above_takes_no_manifest_of_a_folder_for_its_own() {
    let above = with(&[
        ("a/bridge.yaml", "bridge: { name: b }"),
        ("a/data/x.yaml", "not: [read"),
        ("roles.yaml", "roles: { one: { permissions: [] } }"),
    ]);
    let today = Date::of(2026, 11, 21).unwrap();
    let found = load(above.path(), today).unwrap_err();
    let found: Vec<_> = found.iter().collect();
    assert_eq!((found.len(), found[0].id(), found[0].place.line), (1, "IB116", 1), "{found:?}");
    assert_eq!(found[0].help, Some(format!("name its directory: -C {}", above.path().join("a").display())));
    assert!(load(&above.path().join("a"), today).is_ok());
    // However the directory is written.
    assert!(load(&above.path().join("./a/."), today).is_ok());
    assert!(load(&above.path().join("a/../a"), today).is_ok());
}

/// As Kubernetes mounts a ConfigMap with items in folders.
#[test]
fn links_below_the_directory_are_followed_and_nothing_is_read_twice() {
    let directory = with(&[
        ("..2026/bridge.yaml", "bridge: { name: b }"),
        ("..2026/roles/one.yaml", "roles: { one: { permissions: [] } }"),
        ("..2026/roles/deeper/two.YML", "roles: { two: { permissions: [] } }"),
        ("real/three.yaml", "roles: { three: { permissions: [] } }"),
    ]);
    let path = directory.path();
    let link = |to: &str, from: &str| std::os::unix::fs::symlink(to, path.join(from)).unwrap();
    link("..2026", "..data");
    link("..data/bridge.yaml", "bridge.yaml");
    link("..data/roles", "roles");
    // All of these lead to what is read already, or to no manifest.
    link("..data/roles", "again");
    link("real", "a-real");
    link("real/three.yaml", "a-three.yaml");
    link(".", "loop");
    link("../real", "real/loop");
    link("/", "real/everything.txt");
    link("/var/lib/nowhere", "data");
    let loaded = loaded(&directory);
    let names: Vec<String> = loaded
        .manifest
        .sources
        .iter()
        .map(|(file, _)| file.strip_prefix(path).unwrap().display().to_string())
        .collect();
    assert_eq!(names, ["again/deeper/two.YML", "again/one.yaml", "bridge.yaml", "real/three.yaml"]);
    assert_eq!(loaded.manifest.roles.len(), 3);
}

#[test]
fn a_link_that_leads_out_or_nowhere_is_told() {
    let elsewhere = with(&[("x.yaml", "roles: { far: { permissions: [] } }")]);
    let certificates = with(&[("erp.pem", "")]);
    let directory = with(&[("bridge.yaml", "bridge: { name: b }")]);
    let link = |to: &Path, from: &str| std::os::unix::fs::symlink(to, directory.path().join(from)).unwrap();
    link(certificates.path(), "ca");
    link(&elsewhere.path().join("x.yaml"), "far.yaml");
    let loaded = loaded(&directory);
    assert_eq!(
        (loaded.manifest.sources.len(), messages(&loaded.findings).len()),
        (2, 2),
        "{}",
        loaded.findings
    );
    link(elsewhere.path(), "integrations");
    let found = load(directory.path(), TODAY).unwrap().findings;
    let found = messages(&found);
    assert!(
        found.iter().any(|one| one.starts_with("IB234 integrations the manifest files in it are not read")),
        "{found:?}"
    );
    link(Path::new("..data/gone"), "more");
    link(Path::new("..data/gone.yaml"), "more.yaml");
    link(Path::new("..data/gone.pem"), "more.pem");
    let wrong = messages(&load(directory.path(), TODAY).unwrap_err());
    let nowhere = wrong.iter().filter(|one| one.starts_with("IB115 more")).count();
    assert_eq!(nowhere, 2, "{wrong:?}");
}

#[test]
fn a_manifest_without_integrations_is_a_warning() {
    let directory =
        with(&[("bridge.yaml", "bridge: { name: b }"), ("empty.yaml", ""), ("notes.yaml", "# none")]);
    assert_eq!(
        messages(&loaded(&directory).findings),
        ["IB233 bridge.yaml the manifest declares no integration, so every call is refused"]
    );
}

#[test]
fn hostile_files_are_refused_without_being_shown() {
    let directory = with(&[("bridge.yaml", "bridge: { name: b }")]);
    fs::write(directory.path().join("latin.yaml"), b"systems:\n  caf\xe9: {}\n").unwrap();
    fs::write(directory.path().join("huge.yaml"), vec![b'#'; 1024 * 1024 + 1]).unwrap();
    fs::create_dir(directory.path().join("a-directory.yaml")).unwrap();
    let wrong = load(directory.path(), TODAY).unwrap_err();
    assert_eq!(
        messages(&wrong),
        [
            "IB114 huge.yaml the file is larger than 1 MiB",
            "IB115 latin.yaml the file is not UTF-8 text: line 2 holds other bytes"
        ],
    );
}

#[test]
fn a_directory_without_a_manifest_or_without_an_end_is_told() {
    let empty = with(&[]);
    assert_eq!(messages(&load(empty.path(), TODAY).unwrap_err()).len(), 1);
    let missing = load(&empty.path().join("nowhere"), TODAY).unwrap_err();
    assert!(messages(&missing)[0].starts_with("IB115 nowhere the directory cannot be read"));
    assert!(messages(&missing)[0].contains("ironbridge init"));
    let deep = with(&[("bridge.yaml", "bridge: { name: b }"), ("1/2/3/4/5/6/7/8/x.yaml", "")]);
    assert!(messages(&load(deep.path(), TODAY).unwrap_err())[0].starts_with("IB114 8 "));
}

/// Opening a pipe waits for a writer, for ever where there is none.
#[test]
fn a_pipe_in_the_place_of_a_file_is_refused_and_named() {
    let directory = with(&[("bridge.yaml", "bridge: { name: b }")]);
    let pipe = directory.path().join("pipe.yaml");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let told = messages(&load(directory.path(), TODAY).unwrap_err());
    assert!(
        told.iter().any(|told| told.contains("pipe.yaml") && told.contains("no regular file")),
        "{told:?}"
    );
}

/// A misspelt name costs a comparison with every known one, so a thousand of them must not cost a million.
#[test]
fn many_mistakes_are_counted_and_the_first_are_kept() {
    let mut text = String::from("bridge: { name: b }\nroles:\n");
    for n in 0..2000 {
        text.push_str(&format!("  r{n}: {{ permisions: [], colour: red }}\n"));
    }
    let directory = with(&[("bridge.yaml", &text)]);
    let wrong = load(directory.path(), TODAY).unwrap_err();
    assert_eq!((wrong.iter().count(), wrong.omitted()), (500, 3500));
    assert!(wrong.render_text(false).ends_with("... and 3500 more\n"));
}

fn with(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    directory
}

fn loaded(directory: &TempDir) -> Loaded {
    load(directory.path(), TODAY).unwrap_or_else(|wrong| panic!("{wrong}"))
}

/// Id, the file's last name, message.
fn messages(found: &Diagnostics) -> Vec<String> {
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    found.iter().map(|one| format!("{} {} {}", one.id(), name(&one.place.file), one.message)).collect()
}
