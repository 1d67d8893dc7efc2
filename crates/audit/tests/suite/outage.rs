//! Disks that refuse: the trail says so, and goes on by itself once they work again.

use crate::exchanges::{
    append, clock, closed, eventually, flow, id, memory_log, open_memory, options, record, verify, wait,
};
use crate::memory_disk::{MemoryDisk, Unsynced};
use ironbridge_audit::{AuditError, Trail};
use ironbridge_core::{Recorder, code};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

#[test]
fn a_full_disk_refuses_exchanges_and_resumes_by_itself() {
    let disk = MemoryDisk::new();
    let trail = open_memory(&disk).unwrap();
    record(&trail, 0..10);
    disk.set_full(true);
    let flow = flow("orders");
    let position = append(&trail, 10, &flow).unwrap();
    let denial = wait(&trail, position).unwrap_err();
    assert_eq!(denial.code, &code::AUDIT_UNAVAILABLE);
    assert!(denial.internal.unwrap().contains("the journal cannot be written"));
    assert_eq!(trail.ready().unwrap_err().code, &code::AUDIT_UNAVAILABLE);
    assert!(trail.status().unavailable.unwrap().reason.contains("the journal"));
    // What was under way is refused, but kept.
    assert_eq!(append(&trail, 11, &flow).unwrap_err().code, &code::AUDIT_UNAVAILABLE);

    disk.set_full(false);
    eventually(|| trail.ready().is_ok());
    record(&trail, 12..20);
    trail.close().unwrap();
    let log = memory_log(&disk.after_power_cut(Unsynced::Lost));
    let ids: Vec<String> = log.follow(0).map(|stored| stored.unwrap().entry.id).collect();
    assert_eq!(ids, (0..20).map(id).collect::<Vec<_>>());
    assert_eq!(verify(&log).size, 20);
}

/// After a failed sync nothing written before it counts, even if the next sync succeeds.
#[test]
fn what_a_failed_sync_left_is_written_again() {
    for failures in 1..6 {
        let disk = MemoryDisk::new();
        let trail = open_memory(&disk).unwrap();
        record(&trail, 0..3);
        disk.fail_syncs(failures);
        let flow = flow("orders");
        let position = append(&trail, 3, &flow).unwrap();
        let _ = wait(&trail, position);
        eventually(|| trail.ready().is_ok() && trail.status().durable == 4);
        record(&trail, 4..8);
        // No orderly end: what is durable now must be there after a power cut.
        for unsynced in [Unsynced::Lost, Unsynced::Kept] {
            let after = disk.after_power_cut(unsynced);
            open_memory(&after).unwrap().close().unwrap();
            assert_eq!(verify(&memory_log(&after)).size, 8, "{failures} failures, {unsynced:?}");
        }
    }
}

/// Refused exchanges are recorded too, so records keep coming: recovery must not wait until there are none. Syncs take
/// their time, so that there always are new ones when a round of the integrator ends.
#[test]
fn an_outage_ends_under_load() {
    for failures in [3, 40] {
        let disk = MemoryDisk::new();
        let trail = open_memory(&disk).unwrap();
        disk.set_sync_takes(Duration::from_millis(8));
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let flow = flow("orders");
                for number in 0.. {
                    let _ = append(&trail, number, &flow);
                    std::thread::sleep(Duration::from_micros(200));
                    if over.load(SeqCst) {
                        return;
                    }
                }
            });
            eventually(|| trail.status().integrated > 0);
            disk.fail_syncs(failures);
            eventually(|| trail.ready().is_err());
            eventually(|| !disk.failing());
            let began = Instant::now();
            while trail.ready().is_err() && began.elapsed() < Duration::from_secs(60) {
                std::thread::sleep(Duration::from_millis(1));
            }
            let recovered = trail.ready().is_ok();
            over.store(true, SeqCst);
            assert!(recovered, "{failures} failures");
        });
        trail.close().unwrap();
        let status = trail.status();
        assert_eq!(verify(&memory_log(&disk)).size, status.size);
    }
}

/// One that neither writes nor fails, as a network's may: what does not wait for its record must not go on for as long.
#[test]
fn a_disk_that_hangs_refuses_exchanges_and_resumes_by_itself() {
    let disk = MemoryDisk::new();
    let shared: std::sync::Arc<dyn ironbridge_audit::disk::Disk> = disk.clone();
    let hasty =
        ironbridge_audit::Options { patience: Duration::from_secs(2), ..options(crate::exchanges::MEMORY) };
    let trail = Trail::open_on(shared, hasty, clock()).unwrap();
    record(&trail, 0..3);
    disk.set_hanging(true);
    let flow = flow("orders");
    let position = append(&trail, 3, &flow).unwrap();
    let denial = wait(&trail, position).unwrap_err();
    assert_eq!(denial.code, &code::AUDIT_UNAVAILABLE);
    assert!(denial.internal.unwrap().contains("did not answer"));
    assert_eq!(trail.ready().unwrap_err().code, &code::AUDIT_UNAVAILABLE);

    disk.set_hanging(false);
    eventually(|| trail.ready().is_ok());
    record(&trail, 4..6);
    disk.set_hanging(true);
    append(&trail, 6, &flow).unwrap();
    append(&trail, 7, &flow).unwrap();
    let began = Instant::now();
    assert!(matches!(trail.close(), Err(AuditError::Unwritten(1..=2))));
    assert!(began.elapsed() < Duration::from_secs(60));
    disk.set_hanging(false);
}

#[test]
fn closing_on_a_full_disk_says_what_is_lost() {
    let disk = MemoryDisk::new();
    let trail = open_memory(&disk).unwrap();
    record(&trail, 0..2);
    disk.set_full(true);
    append(&trail, 2, &flow("orders")).unwrap();
    assert!(matches!(trail.close(), Err(AuditError::Unwritten(1))));
    assert!(trail.ready().is_err());
    assert!(append(&trail, 3, &flow("orders")).is_err());
}

#[test]
fn a_queue_at_its_bound_lets_nobody_new_in() {
    let disk = MemoryDisk::new();
    let disk_for_trail: std::sync::Arc<dyn ironbridge_audit::disk::Disk> = disk.clone();
    let bounded = ironbridge_audit::Options { queue_records: 4, ..options(crate::exchanges::MEMORY) };
    let trail = Trail::open_on(disk_for_trail, bounded, clock()).unwrap();
    disk.set_full(true);
    let flow = flow("orders");
    let position = append(&trail, 0, &flow).unwrap();
    wait(&trail, position).unwrap_err();
    for number in 1..9 {
        let refused = append(&trail, number, &flow).unwrap_err();
        assert!(refused.internal.unwrap().contains("journal"), "kept, though refused");
    }
    let refused = append(&trail, 10, &flow).unwrap_err();
    assert!(refused.internal.unwrap().contains("no room"));
    disk.set_full(false);
    eventually(|| trail.ready().is_ok() && trail.status().durable == 9);
    trail.close().unwrap();
    assert_eq!(verify(&memory_log(&disk)).size, 9);
}

#[test]
fn two_writers_are_one_too_many() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), 1);
    let first = crate::exchanges::open(dir.path());
    assert!(matches!(Trail::open(options(dir.path()), clock()), Err(AuditError::Locked(_))));
    drop(first);
    crate::exchanges::open(dir.path()).close().unwrap();
}
