//! A flood of refusals leaves few records, which count every one of them.

use crate::exchanges::{
    MEMORY, append, callers, clock, exchange, flow, memory_log, open, options, verify, wait,
};
use crate::memory_disk::MemoryDisk;
use ironbridge_audit::Options;
use ironbridge_audit::disk::Disk;
use ironbridge_audit::{Entry, Log, Query, Stored, Trail};
use ironbridge_core::action::name;
use ironbridge_core::{Action, Code, Ending, Exchange, Outcome, Peer, Record, Recorder, code};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A refused stranger's exchange; its number is also when it came, in milliseconds.
fn stranger(number: u64, from: &str) -> Exchange {
    let mut exchange = exchange(number, &flow("orders"));
    exchange.principal = None;
    exchange.started = Duration::from_millis(number);
    exchange.origin = Peer::at(from.parse().unwrap()).into();
    exchange
}

fn refuse(trail: &Trail, exchange: &Exchange, refusal: &'static Code) {
    let ending = Ending::Denied(refusal);
    let record = Record { exchange, ending, duration: Duration::ZERO, amends: false };
    wait(trail, trail.append(record).unwrap()).unwrap();
}

fn records(dir: &Path) -> Vec<Stored> {
    let log = Log::open(dir).unwrap();
    verify(&log);
    let query = Query { details: true, ..Query::default() };
    log.query(query).unwrap().map(Result::unwrap).collect()
}

fn size(dir: &Path) -> u64 {
    std::fs::read_dir(dir)
        .unwrap()
        .map(Result::unwrap)
        .map(
            |entry| if entry.path().is_dir() { size(&entry.path()) } else { entry.metadata().unwrap().len() },
        )
        .sum()
}

#[test]
fn forty_thousand_from_one_address_are_a_few_records_that_count_them() {
    let dir = tempfile::tempdir().unwrap();
    let trail = open(dir.path());
    let mut exchange = stranger(0, "203.0.113.9");
    for number in 0..40_000 {
        exchange.id = ironbridge_core::ExchangeId::from_u128(number);
        refuse(&trail, &exchange, &code::RATE_LIMITED);
    }
    trail.close().unwrap();
    let records = records(dir.path());
    assert_eq!(records.iter().map(|record| record.entry.count).sum::<u64>(), 40_000);
    assert!(records.len() <= 40, "{}", records.len());
    assert!(size(dir.path()) < 200_000, "{}", size(dir.path()));
    let last: &Entry = &records.last().unwrap().entry;
    assert_eq!((&*last.code, last.status, last.sources), ("rate-limited", Some(429), None));
    assert_eq!(last.last, Some(last.time));
    // Where they came from is sealed beside it, as with every record.
    let callers = callers();
    let opened = records.last().unwrap().open_details(|_| Some(&*callers));
    assert_eq!(opened[0].as_ref().unwrap().value, "203.0.113.9");
}

/// Nobody knows from where they call: they are one source, and no record of theirs invents an address.
#[test]
fn those_without_an_address_are_one_source() {
    let dir = tempfile::tempdir().unwrap();
    let trail = open(dir.path());
    let mut exchange = stranger(0, "203.0.113.9");
    exchange.origin = Peer::default().into();
    for number in 0..1000 {
        exchange.id = ironbridge_core::ExchangeId::from_u128(number);
        refuse(&trail, &exchange, &code::FORWARDED_UNREADABLE);
    }
    trail.close().unwrap();
    let records = records(dir.path());
    assert_eq!(records.iter().map(|record| record.entry.count).sum::<u64>(), 1000);
    assert_eq!(records.len(), 21);
    let callers = callers();
    assert!(records.iter().all(|record| record.open_details(|_| Some(&*callers)).is_empty()));
}

#[test]
fn sources_codes_and_accounts_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let trail = open(dir.path());
    for number in 0..60 {
        // One subscriber has all of a /64, and an IPv4 address may come mapped.
        refuse(&trail, &stranger(number * 100, &format!("2001:db8::{number}")), &code::CREDENTIALS_MISSING);
        let mapped = if number % 2 == 0 { "192.0.2.7" } else { "::ffff:192.0.2.7" };
        refuse(&trail, &stranger(number * 100, mapped), &code::CREDENTIALS_MISSING);
        refuse(&trail, &stranger(number * 100, "192.0.2.7"), &code::OPERATION_UNKNOWN);
        let mut limited = exchange(3 * number, &flow("orders"));
        limited.started = Duration::from_millis(number * 100);
        refuse(&trail, &limited, &code::RATE_LIMITED);
        // What an account's exchange breaks otherwise is no flood: each has a record.
        refuse(&trail, &limited, &code::SCHEMA_VIOLATED);
    }
    trail.close().unwrap();
    let records = records(dir.path());
    let counted = |code: &str, account: &str| {
        let of = records.iter().filter(|record| record.entry.code == code && record.entry.account == account);
        let counts: Vec<u64> = of.map(|record| record.entry.count).collect();
        (counts.len(), counts.iter().sum::<u64>())
    };
    // Twenty one by one, and one record for the forty that followed in the same window.
    assert_eq!(counted("credentials-missing", ""), (42, 120));
    assert_eq!(counted("operation-unknown", ""), (21, 60));
    assert_eq!(counted("rate-limited", "account-0"), (21, 60));
    assert_eq!(counted("schema-violated", "account-0"), (60, 60));
}

#[test]
fn many_sources_at_once_share_a_record_that_says_how_many_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let trail = open(dir.path());
    for number in 0..3_000u32 {
        let from = IpAddr::from((0x0a00_0000 + number % 1000).to_be_bytes());
        refuse(&trail, &stranger(0, &from.to_string()), &code::TOKEN_MALFORMED);
    }
    trail.close().unwrap();
    let records = records(dir.path());
    assert_eq!(records.iter().map(|record| record.entry.count).sum::<u64>(), 3_000);
    assert!(records.len() <= 201, "{}", records.len());
    let of_many: Vec<&Stored> = records.iter().filter(|record| record.entry.sources.is_some()).collect();
    assert_eq!(of_many.len(), 1);
    assert_eq!((of_many[0].entry.sources, of_many[0].entry.count), (Some(900), 2_700));
    assert_eq!((of_many[0].entry.details, &*of_many[0].entry.integration), (0, ""));
}

/// What the bridge itself is asked for in vain, such as a token, is gathered alike, and apart from exchanges.
#[test]
fn refused_actions_share_records_too() {
    let dir = tempfile::tempdir().unwrap();
    let trail = open(dir.path());
    let act = |number: u128, from: &str, object: &str, outcome| {
        let id = ironbridge_core::ExchangeId::from_u128(number);
        let action = Action {
            outcome,
            code: "invalid_client".into(),
            address: Some(from.parse().unwrap()),
            ..Action::done(id, ironbridge_core::Timestamp(1), name::TOKEN_ISSUE, object)
        };
        wait(&trail, trail.act(&action).unwrap()).unwrap();
    };
    for number in 0..50 {
        act(number, "192.0.2.7", "", Outcome::Denied);
        act(100 + number, "192.0.2.7", "shop", Outcome::Denied);
        act(200 + number, "192.0.2.7", "shop", Outcome::Success);
        refuse(&trail, &stranger(0, "192.0.2.7"), &code::CREDENTIALS_MISSING);
    }
    // More sources than may stand alone.
    for number in 0..300 {
        act(1000 + number, &format!("198.51.{}.{}", number / 200, number % 200), "", Outcome::Denied);
    }
    trail.close().unwrap();
    let records = records(dir.path());
    let of = |wanted: &dyn Fn(&Entry) -> bool| {
        let found = records.iter().map(|record| &record.entry).filter(|entry| wanted(entry));
        found.fold((0, 0), |(rows, sum), entry| (rows + 1, sum + entry.count))
    };
    let denied = |entry: &Entry| entry.action == name::TOKEN_ISSUE && entry.outcome == "denied";
    assert_eq!(of(&|entry| denied(entry) && entry.object == "shop"), (21, 50));
    assert_eq!(of(&|entry| entry.outcome == "success"), (50, 50), "what was given has a record each");
    assert_eq!(of(&|entry| entry.action.is_empty()), (21, 50));
    let (rows, sum) = of(&|entry| denied(entry) && entry.object.is_empty());
    assert!(sum == 350 && rows <= 120, "{rows} {sum}");
    let shared = records.iter().find(|record| record.entry.sources.is_some()).unwrap();
    assert!(denied(&shared.entry) && shared.details.is_empty() && shared.entry.object.is_empty());
}

/// What meets a full queue is not forgotten: every refusal is counted in the end.
#[test]
fn refusals_that_find_no_room_are_counted_once_there_is_some() {
    let disk = MemoryDisk::new();
    let bounded = Options { queue_records: 4, ..options(MEMORY) };
    let trail = Trail::open_on(Arc::clone(&disk) as Arc<dyn Disk>, bounded, clock()).unwrap();
    disk.set_full(true);
    for number in 0..20 {
        let _ = append(&trail, number, &flow("orders"));
    }
    for number in 0..130 {
        let exchange = stranger(number, "203.0.113.9");
        let ending = Ending::Denied(&code::CREDENTIALS_MISSING);
        let _ = trail.append(Record { exchange: &exchange, ending, duration: Duration::ZERO, amends: false });
    }
    disk.set_full(false);
    trail.close().unwrap();
    let log = memory_log(&disk);
    verify(&log);
    let records = log.query(Query::default()).unwrap().map(|stored| stored.unwrap().entry);
    let strangers = records.filter(|entry| entry.code == code::CREDENTIALS_MISSING.id);
    assert_eq!(strangers.map(|entry| entry.count).sum::<u64>(), 130);
}
