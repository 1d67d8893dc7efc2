//! Trails that earlier versions wrote must open, verify and go on, for ever.

use crate::exchanges::{callers, copy_all, fixture as write, id, open, record, verify};
use ironbridge_audit::detail::DetailKind;
use ironbridge_audit::{Log, Stored};
use ironbridge_seal::hash::hex;
use std::path::{Path, PathBuf};

fn v1() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1")
}

fn v2() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v2")
}

/// 300 records in the log, three in the journal of a bridge that was killed.
#[test]
fn version_1_opens_verifies_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    copy_all(&v1(), dir.path());
    let log = Log::open(dir.path()).unwrap();
    let verified = verify(&log);
    assert_eq!((verified.size, verified.pending), (300, 3));
    assert_eq!(verified.origin, "example.com/bridge-1");
    assert_eq!(hex(&verified.root), include_str!("../fixtures/v1.root").trim());
    let first = log.follow(0).next().unwrap().unwrap();
    assert_eq!(first.json, include_str!("../fixtures/v1.first.json").trim_end());

    let trail = open(dir.path());
    assert_eq!(trail.status().size, 303);
    record(&trail, 303..310);
    trail.close().unwrap();
    assert_eq!(verify(&log).size, 310);
    let ids: Vec<String> = log.follow(0).map(|stored| stored.unwrap().entry.id).collect();
    assert_eq!(ids, (0..310).map(id).collect::<Vec<_>>());
}

/// As version 1, and every record with its detail beside it.
#[test]
fn version_2_opens_verifies_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    copy_all(&v2(), dir.path());
    let log = Log::open(dir.path()).unwrap();
    let verified = verify(&log);
    assert_eq!((verified.size, verified.pending), (300, 3));
    assert_eq!(hex(&verified.root), include_str!("../fixtures/v2.root").trim());
    let trail = open(dir.path());
    record(&trail, 303..310);
    trail.close().unwrap();
    assert_eq!(verify(&log).size, 310);
    for stored in log.follow(0) {
        assert_eq!(address(&stored.unwrap()), Some("0.0.0.0".into()));
    }
}

fn address(stored: &Stored) -> Option<String> {
    let key = callers();
    let opened = stored.open_details(|tag| (*tag == key.tag).then_some(&*key));
    opened.into_iter().flatten().find(|detail| detail.kind == DetailKind::Address).map(|detail| detail.value)
}

/// What is written today is what version 2 wrote. Should this fail, the format changed: keep version 2 as it is,
/// give the new one a number, and write its fixture with `cargo run -p ironbridge-audit --example fixture`.
#[test]
fn the_current_format_is_version_2() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path());
    let log = Log::open(dir.path()).unwrap();
    assert_eq!(hex(&verify(&log).root), include_str!("../fixtures/v2.root").trim());
    for file in files(&v2()) {
        let name = file.strip_prefix(v2()).unwrap();
        assert_eq!(
            std::fs::read(dir.path().join(name)).ok(),
            std::fs::read(&file).ok(),
            "{}",
            name.display()
        );
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
