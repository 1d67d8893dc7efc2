//! What lies beside the records, and cannot be read.

use crate::head::Harm;
use crate::left::{SEGMENT, begun, change, downgrade, killed};
use ironbridge_audit::{Log, Order, Query};
use std::fs;

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
