//! Power cuts at every single operation.

use crate::exchanges::{
    MEMORY, append, clock, flow, id, memory_log, open_memory, options, record, verify, wait,
};
use crate::memory_disk::{MemoryDisk, Unsynced};
use ironbridge_audit::disk::Disk;
use ironbridge_audit::{Options, Trail};
use ironbridge_core::{Position, Recorder};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Opens a trail and records until the disk dies. What was acknowledged: index and exchange.
fn run(disk: &Arc<MemoryDisk>, numbers: std::ops::Range<u64>) -> BTreeMap<u64, u64> {
    let mut acknowledged = BTreeMap::new();
    let flow = flow("orders");
    let Ok(trail) = open_memory(disk) else { return acknowledged };
    for number in numbers {
        let Ok(Position(index)) = append(&trail, number, &flow) else { break };
        // Every third gathers with those that follow it.
        if number % 3 == 0 {
            continue;
        }
        if wait(&trail, Position(index)).is_err() {
            break;
        }
        acknowledged.insert(index, number);
    }
    let _ = trail.close();
    acknowledged
}

fn check(disk: &Arc<MemoryDisk>, acknowledged: &BTreeMap<u64, u64>, context: &str) -> u64 {
    let trail = open_memory(disk).unwrap_or_else(|error| panic!("{context}: {error}"));
    assert!(trail.ready().is_ok(), "{context}");
    trail.close().unwrap();
    let log = memory_log(disk);
    let stored: BTreeMap<u64, String> =
        log.follow(0).map(|stored| stored.unwrap()).map(|stored| (stored.index, stored.entry.id)).collect();
    for (index, number) in acknowledged {
        assert_eq!(stored.get(index), Some(&id(*number)), "{context}: record {index}");
    }
    let verified = verify(&log);
    assert_eq!((verified.size, verified.pending), (stored.len() as u64, 0), "{context}");
    verified.size
}

#[test]
fn nothing_acknowledged_is_lost_wherever_the_power_fails() {
    let whole = MemoryDisk::new();
    assert_eq!(run(&whole, 0..40).len(), 26);
    let operations = whole.operations();
    assert!(operations > 50);
    // Threads interleave differently each time, so the count may end a little later.
    for at in 0..operations + 10 {
        let disk = MemoryDisk::new();
        disk.dies_at(Some(at));
        let acknowledged = run(&disk, 0..40);
        for unsynced in [Unsynced::Lost, Unsynced::Kept, Unsynced::Half, Unsynced::Holes] {
            let context = format!("dead from operation {at}, unsynced bytes {unsynced:?}");
            let after = disk.after_power_cut(unsynced);
            check(&after, &acknowledged, &context);
        }
    }
}

/// Recovery itself may be cut short, any number of times.
#[test]
fn nothing_is_lost_when_the_power_fails_during_recovery() {
    let disk = MemoryDisk::new();
    let mut acknowledged = run(&disk, 0..30);
    // A crash with records in the journal that the log does not hold.
    let lagging = Options { max_lag: Duration::from_secs(3600), ..options(MEMORY) };
    let trail = Trail::open_on(Arc::clone(&disk) as Arc<dyn Disk>, lagging, clock()).unwrap();
    record(&trail, 30..1500);
    acknowledged.extend((30..1500).map(|number| (number, number)));
    let crashed = disk.after_power_cut(Unsynced::Half);
    drop(trail);
    let whole = crashed.after_power_cut(Unsynced::Kept);
    drop(open_memory(&whole).unwrap());
    for at in 0..whole.operations() {
        let again = crashed.after_power_cut(Unsynced::Kept);
        again.dies_at(Some(at));
        drop(open_memory(&again));
        for unsynced in [Unsynced::Lost, Unsynced::Holes] {
            let after = again.after_power_cut(unsynced);
            check(&after, &acknowledged, &format!("recovery dead from operation {at}, {unsynced:?}"));
        }
    }
}

#[test]
fn the_log_goes_on_over_many_crashes() {
    let mut disk = MemoryDisk::new();
    let mut acknowledged = BTreeMap::new();
    for round in 0..30u64 {
        disk.dies_at(Some(disk.operations() + 20 + round * 7));
        let from = round * 100;
        acknowledged.extend(run(&disk, from..from + 100));
        let unsynced = [Unsynced::Lost, Unsynced::Kept, Unsynced::Half, Unsynced::Holes][round as usize % 4];
        disk = disk.after_power_cut(unsynced);
        check(&disk, &acknowledged, &format!("round {round}"));
    }
    assert!(acknowledged.len() > 100);
}
