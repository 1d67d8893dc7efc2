//! Trails that earlier versions wrote must open, verify and go on, for ever.

use crate::exchanges::{id, open, record, verify};
use ironbridge_audit::Log;
use ironbridge_seal::hash::hex;
use std::path::{Path, PathBuf};

fn v1() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1")
}

/// 300 records in the log, three in the journal of a bridge that was killed.
#[test]
fn version_1_opens_verifies_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    crate::tamper::copy_all(&v1(), dir.path());
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

/// Writes the fixture. Run by hand, once per format: `cargo test -p ironbridge-audit write_fixture -- --ignored`.
#[test]
#[ignore = "writes the fixture of the current format"]
fn write_fixture() {
    let dir = tempfile::tempdir().unwrap();
    crate::exchanges::closed(dir.path(), 300);
    let trail = crate::exchanges::open_lagging(dir.path());
    record(&trail, 300..303);
    let _ = std::fs::remove_dir_all(v1());
    std::fs::create_dir_all(v1()).unwrap();
    crate::tamper::copy_all(dir.path(), &v1());
    std::fs::remove_file(v1().join("lock")).unwrap();
    std::fs::remove_dir(v1().join("tmp")).unwrap();
    let log = Log::open(v1()).unwrap();
    std::fs::write(v1().with_extension("root"), hex(&verify(&log).root) + "\n").unwrap();
    let first = log.follow(0).next().unwrap().unwrap().json + "\n";
    std::fs::write(v1().with_extension("first.json"), first).unwrap();
    drop(trail);
}
