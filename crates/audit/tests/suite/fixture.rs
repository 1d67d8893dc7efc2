//! Trails that earlier versions wrote must open, verify and go on, for ever.

use crate::exchanges::{
    anchor, callers, clock, copy_all, fixture as write, id, open, options, record, verify,
};
use ironbridge_audit::detail::DetailKind;
use ironbridge_audit::{Anchor, Log, Options, Stored, Trail};
use ironbridge_seal::hash::hex;
use std::path::{Path, PathBuf};

fn v1() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1")
}

fn v2() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v2")
}

fn v3() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v3")
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

    go_on(dir.path());
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
    go_on(dir.path());
    for stored in log.follow(0).map(|stored| stored.unwrap()).filter(|stored| stored.entry.action.is_empty())
    {
        assert_eq!(address(&stored), Some("0.0.0.0".into()));
    }
}

/// Without what was remembered, the log itself still tells which detail an older version wrote.
#[test]
fn an_upgraded_trail_stays_readable_when_its_head_is_lost_and_that_accepted() {
    let dir = tempfile::tempdir().unwrap();
    copy_all(&v2(), dir.path());
    go_on(dir.path());
    let begun = || {
        let anchor = Anchor { begun: true, ..anchor(dir.path()) };
        Options { anchor, ..options(dir.path()) }
    };
    std::fs::remove_file(anchor(dir.path()).head).unwrap();
    assert!(Trail::open(begun(), clock()).is_err());
    let accepting = Options { accept_loss: true, ..begun() };
    Trail::open(accepting, clock()).unwrap().close().unwrap();
    Trail::open(begun(), clock()).unwrap().close().unwrap();
    let log = Log::open(dir.path()).unwrap().authenticated(&begun().anchor).unwrap();
    verify(&log);
    let first = log.follow(0).next().unwrap().unwrap();
    assert_eq!(address(&first), Some("0.0.0.0".into()));
}

fn address(stored: &Stored) -> Option<String> {
    let key = callers();
    let opened = stored.open_details(|tag| (*tag == key.tag).then_some(&*key));
    opened.into_iter().flatten().find(|detail| detail.kind == DetailKind::Address).map(|detail| detail.value)
}

/// Nothing authenticated what is there: it is taken as it is, once, and a record says so before anything else is
/// recorded.
fn go_on(dir: &Path) {
    for round in 0..2 {
        let trail = open(dir);
        record(&trail, 303 + round * 7..310 + round * 7);
        trail.close().unwrap();
    }
    let log = Log::open(dir).unwrap();
    assert_eq!(verify(&log).size, 318);
    let entries: Vec<_> = log.follow(0).map(|stored| stored.unwrap().entry).collect();
    let (exchanges, actions): (Vec<_>, Vec<_>) = entries.iter().partition(|entry| entry.action.is_empty());
    let ids: Vec<String> = exchanges.iter().map(|entry| entry.id.clone()).collect();
    assert_eq!(ids, (0..317).map(id).collect::<Vec<_>>());
    assert_eq!((actions.len(), &*actions[0].action), (1, "audit.authenticate"));
    assert_eq!(entries[303].action, "audit.authenticate");
    assert_eq!((&*actions[0].facts["from"], &*actions[0].facts["pending"]), ("303", "3"));
}

/// As version 2, and journal and detail are authenticated; with what is remembered of the trail.
#[test]
fn version_3_opens_verifies_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    copy_all(&v3(), dir.path());
    let anchor = Anchor { begun: true, ..anchor(dir.path()) };
    let log = Log::open(dir.path()).unwrap().authenticated(&anchor).unwrap();
    let verified = verify(&log);
    assert_eq!((verified.size, verified.pending), (300, 3));
    let trail = Trail::open(Options { anchor, ..options(dir.path()) }, clock()).unwrap();
    record(&trail, 303..310);
    trail.close().unwrap();
    assert_eq!(verify(&log).size, 310);
    for stored in log.follow(0) {
        assert_eq!(address(&stored.unwrap()), Some("0.0.0.0".into()));
    }
}

/// What is written today is what version 3 wrote. Should this fail, the format changed: keep version 3 as it is,
/// give the new one a number, and write its fixture with `cargo run -p ironbridge-audit --example fixture`.
#[test]
fn the_current_format_is_version_3() {
    // On a busy machine what is recorded together may not be written together, and then the frames are others.
    const TRIES: u32 = 200;
    let mut found = differing();
    for _ in 1..TRIES {
        if found.is_empty() {
            break;
        }
        found = differing();
    }
    assert_eq!(found, Vec::<PathBuf>::new());
}

/// The files that differ from those of version 3.
fn differing() -> Vec<PathBuf> {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path());
    let log = Log::open(dir.path()).unwrap();
    assert_eq!(hex(&verify(&log).root), include_str!("../fixtures/v3.root").trim());
    // The head tells the time.
    let files = files(&v3()).into_iter().filter(|file| !file.ends_with("head"));
    let names = files.map(|file| file.strip_prefix(v3()).unwrap().to_owned());
    let same =
        |name: &PathBuf| std::fs::read(dir.path().join(name)).ok() == std::fs::read(v3().join(name)).ok();
    names.filter(|name| !same(name)).collect()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
