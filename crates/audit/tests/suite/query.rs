//! Queries, against what a reader of every record would find.

use crate::exchanges::{START, append, closed, flow, id, open, open_lagging, record, wait};
use ironbridge_audit::{Log, Order, Query, Stored};
use ironbridge_core::Timestamp;

fn indexes(log: &Log, query: Query) -> Vec<u64> {
    log.query(query).unwrap().map(|stored| stored.unwrap().index).collect()
}

#[test]
fn every_filter_and_both_orders() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), 600);
    let log = Log::open(dir.path()).unwrap();
    let text = |text: &str| Some(text.to_owned());
    let since = Some(Timestamp::from_seconds(START + 100));
    let until = Some(Timestamp::from_seconds(START + 104));
    let newest = Order::NewestFirst;

    assert_eq!(indexes(&log, Query::default()), (0..600).collect::<Vec<_>>());
    assert_eq!(
        indexes(&log, Query { order: newest, ..Query::default() }),
        (0..600).rev().collect::<Vec<_>>()
    );
    assert_eq!(indexes(&log, Query { since, until, ..Query::default() }), [100, 101, 102, 103]);
    assert_eq!(
        indexes(&log, Query { since, until, order: newest, limit: Some(2), ..Query::default() }),
        [103, 102]
    );
    assert_eq!(indexes(&log, Query { id: Some(id(321)), ..Query::default() }), [321]);
    let denied = Query { outcome: text("denied"), account: text("account-1"), ..Query::default() };
    let expected: Vec<u64> = (0..600).filter(|n| n % 5 == 4 && n % 3 == 1).collect();
    assert_eq!(indexes(&log, denied), expected);
    let code = Query { code: text("rate-limited"), limit: Some(1), order: newest, ..Query::default() };
    assert_eq!(indexes(&log, code), [599]);
    let all = Query { integration: text("orders"), operation: text("list"), ..Query::default() };
    assert_eq!(indexes(&log, Query { permission: text("orders.read"), ..all }).len(), 600);
    assert!(indexes(&log, Query { integration: text("other"), ..Query::default() }).is_empty());
}

#[test]
fn records_in_the_journal_are_found_too() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), 300);
    let trail = open_lagging(dir.path());
    record(&trail, 300..320);
    let log = Log::open(dir.path()).unwrap();
    let verified = crate::exchanges::verify(&log);
    assert_eq!((verified.size, verified.pending), (300, 20));
    assert_eq!(indexes(&log, Query::default()), (0..320).collect::<Vec<_>>());
    assert_eq!(
        indexes(&log, Query { order: Order::NewestFirst, ..Query::default() }),
        (0..320).rev().collect::<Vec<_>>()
    );
    let tail: Vec<u64> = log.tail(25).unwrap().iter().map(|stored| stored.index).collect();
    assert_eq!(tail, (295..320).collect::<Vec<_>>());
    trail.close().unwrap();
}

#[test]
fn following_goes_on_where_it_ended() {
    let dir = tempfile::tempdir().unwrap();
    let trail = open(dir.path());
    let log = Log::open(dir.path()).unwrap();
    let mut follow = log.follow(0);
    assert!(follow.next().is_none());
    let flow = flow("orders");
    for number in 0..700 {
        let position = append(&trail, number, &flow).unwrap();
        if number % 10 == 0 {
            wait(&trail, position).unwrap();
            let seen: Vec<Stored> = follow.by_ref().map(|stored| stored.unwrap()).collect();
            assert_eq!(seen.last().unwrap().index, number);
        }
    }
    trail.close().unwrap();
    let rest: Vec<Stored> = follow.by_ref().map(|stored| stored.unwrap()).collect();
    assert_eq!(rest.first().unwrap().index, 691);
    assert_eq!(follow.position(), 700);
    assert_eq!(rest.last().unwrap().entry.id, id(699));
}
