//! What lies beside the records, and cannot be read.

use crate::exchanges::closed;
use crate::head::Harm;
use crate::left::{SEGMENT, begun, change, downgrade, killed};
use ironbridge_audit::{FaultKind, Log, Order, Query};
use std::fs;
use std::path::Path;

/// Whatever lies beside the records, they are given, and whoever reads them is told that something is missing.
#[test]
fn records_stay_readable_whatever_lies_beside_them() {
    const DETAIL: &str = "detail/0000000000000000.wal";
    let harms: [Harm; 5] = [
        Harm("a bit", |dir| change(dir, DETAIL, |bytes| bytes[5000] ^= 1)),
        Harm("another header", |dir| change(dir, DETAIL, |bytes| bytes[60] ^= 1)),
        Harm("an older version's", |dir| change(dir, DETAIL, downgrade)),
        Harm("the journal's", |dir| {
            let journal = fs::read(dir.join(SEGMENT)).unwrap();
            change(dir, DETAIL, |bytes| *bytes = [&bytes[..88], &journal[88..]].concat());
        }),
        Harm("text", |dir| fs::write(dir.join(DETAIL), "nothing").unwrap()),
    ];
    for Harm(what, harm) in harms {
        let dir = killed();
        harm(dir.path());
        let log = || Log::open(dir.path()).unwrap().authenticated(&begun(dir.path()).anchor).unwrap();
        let (oldest, newest, followed) = (log(), log(), log());
        let all = Query { details: true, ..Query::default() };
        let backwards = Query { order: Order::NewestFirst, ..all.clone() };
        let count = |log: &Log, query: Query| {
            let records: Result<Vec<_>, _> = log.query(query).unwrap().collect();
            records.unwrap_or_else(|fault| panic!("{what}: {fault}")).len()
        };
        assert_eq!(count(&oldest, all), 620, "{what}");
        assert_eq!(count(&newest, backwards), 620, "{what}");
        assert_eq!(followed.follow(0).filter(Result::is_ok).count(), 620, "{what}");
        for log in [oldest, newest, followed] {
            assert_eq!(log.damage().len(), 1, "{what}: {:?}", log.damage());
            assert!(log.damage()[0].file.starts_with("detail"), "{what}");
        }
    }
}

/// Records that were altered, or a retention that never was, are told by whoever reads, not only by verification.
#[test]
fn what_is_read_is_what_was_signed_or_that_is_told() {
    let altered = killed();
    change(altered.path(), "log/tile/entries/000", |bytes| {
        let at = bytes.windows(7).position(|word| word == b"success").unwrap();
        bytes[at..at + 7].copy_from_slice(b"denied ");
    });
    let log = Log::open(altered.path()).unwrap();
    for order in [Order::OldestFirst, Order::NewestFirst] {
        let fault = log.query(Query { order, ..Query::default() }).unwrap().last().unwrap().unwrap_err();
        assert_eq!((fault.kind, fault.entry), (FaultKind::Altered, Some(0)), "{fault}");
    }
    assert!(log.follow(0).next().unwrap().is_err());
    assert_eq!(log.tail(300).unwrap().len(), 300, "the others stay readable");

    let dropped = killed();
    fs::write(dropped.path().join("log/kept"), r#"{"records":256,"detail":512}"#).unwrap();
    let log = Log::open(dropped.path()).unwrap();
    log.check_kept().unwrap();
    assert_eq!(log.damage()[0].file, Path::new("log/kept"), "{:?}", log.damage());

    // A whole log of the same key, but another than the bridge remembers.
    let other = killed();
    fs::copy(killed().path().join("head"), other.path().join("head")).unwrap();
    assert!(Log::open(other.path()).unwrap().authenticated(&begun(other.path()).anchor).is_ok());
    let shorter = tempfile::tempdir().unwrap();
    closed(shorter.path(), 300);
    fs::copy(other.path().join("head"), shorter.path().join("head")).unwrap();
    let refused = Log::open(shorter.path()).unwrap().authenticated(&begun(shorter.path()).anchor);
    assert_eq!(refused.err().unwrap().kind, FaultKind::RolledBack);
}
