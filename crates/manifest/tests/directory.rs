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
    let below = with(&[("a/bridge.yaml", "bridge: { name: b }"), ("a/data/x.yaml", "not: [read")]);
    assert_eq!(loaded(&below).manifest.sources.len(), 1);
}

#[cfg(unix)]
#[test]
fn linked_files_are_read_and_linked_directories_are_not_entered() {
    let directory = with(&[("..data/bridge.yaml", "bridge: { name: b }")]);
    let path = directory.path();
    std::os::unix::fs::symlink("..data/bridge.yaml", path.join("bridge.yaml")).unwrap();
    std::os::unix::fs::symlink(path, path.join("loop")).unwrap();
    assert_eq!(loaded(&directory).manifest.sources.len(), 1);
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
    let deep = with(&[("bridge.yaml", "bridge: { name: b }"), ("1/2/3/4/5/6/7/8/x.yaml", "")]);
    assert!(messages(&load(deep.path(), TODAY).unwrap_err())[0].starts_with("IB114 8 "));
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
