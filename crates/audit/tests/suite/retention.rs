//! What retention drops, and that nothing else suffers.

use crate::exchanges::{
    MEMORY, START, clock, closed, eventually, exchange, flow, id, memory_log, options, record, verify,
};
use crate::left::begun;
use crate::memory_disk::{MemoryDisk, Unsynced};
use ironbridge_audit::disk::Disk;
use ironbridge_audit::{AuditError, FaultKind, Limits, Options, Retained, Trail};
use ironbridge_core::action::{Action, name};
use ironbridge_core::{Answered, Clock, Ending, ExchangeId, Record, Recorder, Said, SystemClock, Timestamp};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Detail segments of about fifty records each.
fn open(disk: &Arc<MemoryDisk>) -> Result<Trail, ironbridge_audit::AuditError> {
    let small = Options { segment_bytes: 5_000, ..options(MEMORY) };
    Trail::open_on(Arc::clone(disk) as Arc<dyn Disk>, small, clock())
}

fn action() -> Action {
    Action::done(ExchangeId::from_u128(1), Timestamp::from_seconds(START + 5_000), name::RETENTION, "")
}

/// Exchange `n` begins `n` seconds after the start.
fn before(records: u64, detail: u64) -> Limits {
    let at = |seconds| Some(Timestamp::from_seconds(START + seconds));
    Limits { detail: at(detail), records: at(records) }
}

fn fill(disk: &Arc<MemoryDisk>) -> Trail {
    let trail = open(disk).unwrap();
    // In steps, so that detail lies in many segments.
    for step in 0..40 {
        record(&trail, step * 50..(step + 1) * 50);
        while trail.status().integrated < (step + 1) * 50 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    trail
}

#[test]
fn old_records_and_older_detail_go_and_the_rest_verifies() {
    let disk = MemoryDisk::new();
    let trail = fill(&disk);
    let log = memory_log(&disk);
    let path = log.prove_inclusion(3, 2000).unwrap();
    let kept = trail.retain(before(600, 1200), action()).unwrap().unwrap();
    assert_eq!(kept.records, 512, "whole bundles only");
    assert!(kept.detail > 1000 && kept.detail <= 1200, "{kept:?}");
    assert_eq!(trail.retain(before(600, 1200), action()).unwrap(), None);
    drop(trail);

    let verified = verify(&log);
    assert_eq!((verified.size, verified.kept, verified.details), (2001, kept, 2000 - kept.detail));
    let stored: Vec<_> = log.follow(0).map(|stored| stored.unwrap()).collect();
    assert_eq!(stored[0].index, 512);
    assert_eq!(stored[0].entry.id, id(512));
    for stored in &stored[..1488] {
        assert_eq!(stored.details.is_empty(), stored.index < kept.detail, "{}", stored.index);
    }
    let newest_first: Vec<u64> = log.tail(10_000).unwrap().iter().map(|stored| stored.index).collect();
    assert_eq!(newest_first, (512..2001).collect::<Vec<_>>());
    // The proof of a record that is gone is still good, and can still be made.
    assert_eq!(log.prove_inclusion(3, 2000).unwrap(), path);
    let range = log.verify_range(&[], 0..600, &mut |_, _| {}).unwrap_err();
    assert!(range.detail.contains("retention dropped"), "{range}");
    let range = log.verify_range(&[], 512..2000, &mut |_, _| {}).unwrap();
    assert_eq!(range.kept, Retained::default(), "a range does not show what retention may have dropped");
    // A bridge that starts again goes on.
    let trail = open(&disk).unwrap();
    record(&trail, 2000..2100);
    trail.close().unwrap();
    assert_eq!(verify(&log).size, 2101);
}

/// Records `numbers`, as from a clock that is a year behind.
fn record_late(trail: &Trail, numbers: std::ops::Range<u64>) {
    let flow = flow("orders");
    for number in numbers {
        let mut late = exchange(number, &flow);
        late.received = Timestamp::from_seconds(START - 365 * 24 * 3600);
        let ending = Ending::Delivered(Answered { mark: Some(200), said: Said::Done });
        let late = Record { exchange: &late, ending, duration: Duration::ZERO, amends: false };
        trail.append(late).unwrap();
    }
}

#[test]
fn a_clock_that_was_wrong_takes_no_young_records_along() {
    let disk = MemoryDisk::new();
    let trail = open(&disk).unwrap();
    record(&trail, 0..1024);
    record_late(&trail, 1024..2048);
    record(&trail, 2048..2560);
    eventually(|| trail.status().integrated == 2560);
    let kept = memory_log(&disk).kept_under(before(600, 0)).unwrap();
    assert_eq!(kept.records, 512);
}

#[test]
fn a_clock_that_was_wrong_takes_no_young_detail_along() {
    let disk = MemoryDisk::new();
    let trail = open(&disk).unwrap();
    record(&trail, 700..710);
    record_late(&trail, 710..720);
    drop(trail);
    let trail = open(&disk).unwrap();
    record(&trail, 720..730);
    drop(trail);
    assert_eq!(memory_log(&disk).kept_under(before(0, 600)).unwrap(), Retained::default());
}

/// A clock 60 days ahead drops nothing, however often the bridge starts, until somebody says that it is right.
#[test]
fn a_clock_that_leapt_drops_nothing_until_it_is_confirmed() {
    struct Ahead(SystemClock, Duration);
    impl Clock for Ahead {
        fn now(&self) -> Timestamp {
            self.0.now().plus(self.1)
        }
        fn monotonic(&self) -> Duration {
            self.0.monotonic()
        }
    }
    let disk = MemoryDisk::new();
    fill(&disk).close().unwrap();
    let start = |confirm_clock| {
        let ahead = Arc::new(Ahead(SystemClock::default(), Duration::from_secs(60 * 86_400)));
        let small = Options { segment_bytes: 5_000, confirm_clock, ..options(MEMORY) };
        Trail::open_on(Arc::clone(&disk) as Arc<dyn Disk>, small, ahead).unwrap()
    };
    for _ in 0..2 {
        let trail = start(false);
        record(&trail, 2000..2001);
        let held = trail.retain(before(600, 1200), action()).unwrap_err();
        assert!(matches!(held, AuditError::ClockInDoubt { .. }), "{held}");
        assert!(held.to_string().contains("until somebody confirms"), "{held}");
        trail.close().unwrap();
        assert_eq!(memory_log(&disk).kept().unwrap(), Retained::default());
    }
    assert_eq!(start(true).retain(before(600, 1200), action()).unwrap().unwrap().records, 512);
    assert_eq!(start(false).retain(before(900, 1200), action()).unwrap().unwrap().records, 768);
}

/// Where nobody remembers when the trail was last written, its own newest record does not tell: it may be of the clock that
/// is wrong. The doubt is there for `audit status`.
#[test]
fn a_loss_of_what_was_remembered_leaves_the_clock_in_doubt() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), 600);
    std::fs::remove_file(dir.path().join("head")).unwrap();
    let doubted = || begun(dir.path()).anchor.remembered().unwrap().unwrap().doubted;
    for accept_loss in [true, false] {
        let trail = Trail::open(Options { accept_loss, ..begun(dir.path()) }, clock()).unwrap();
        let held = trail.retain(before(300, 300), action()).unwrap_err();
        assert!(matches!(held, AuditError::ClockInDoubt { .. }), "{held}");
        trail.close().unwrap();
        assert!(doubted() > Timestamp::default());
    }
    let confirmed = Options { confirm_clock: true, ..begun(dir.path()) };
    let trail = Trail::open(confirmed, clock()).unwrap();
    assert_eq!(trail.retain(before(300, 300), action()).unwrap().unwrap().records, 256);
    trail.close().unwrap();
    assert_eq!(doubted(), Timestamp::default());
}

#[test]
fn what_goes_while_a_trail_is_verified_is_no_theft() {
    let disk = MemoryDisk::new();
    let trail = fill(&disk);
    let mut kept = None;
    let drop_old = &mut |done, _| {
        if done == 0 && kept.is_none() {
            kept = trail.retain(before(600, 1200), action()).unwrap();
        }
    };
    let verified = memory_log(&disk).verify(None, drop_old).unwrap();
    assert_eq!((verified.size, Some(verified.kept)), (2001, kept));
}

#[test]
fn nothing_goes_that_no_record_allows() {
    let disk = MemoryDisk::new();
    let trail = fill(&disk);
    let kept = trail.retain(before(600, 600), action()).unwrap().unwrap();
    trail.close().unwrap();
    let log = memory_log(&disk);
    let file = Path::new(MEMORY).join("log/kept");
    for forged in [Retained { records: 768, ..kept }, Retained { detail: kept.detail + 400, ..kept }] {
        let text = serde_json::json!({ "records": forged.records, "detail": forged.detail }).to_string();
        disk.create(&file).unwrap().write_all(text.as_bytes()).unwrap();
        let fault = log.verify(None, &mut |_, _| {}).unwrap_err();
        assert_eq!(
            (fault.kind, fault.file.as_path()),
            (FaultKind::Altered, Path::new("log/kept")),
            "{fault}"
        );
    }
    disk.remove(&file).unwrap();
    let fault = log.verify(None, &mut |_, _| {}).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Missing, "{fault}");
}

/// A retention that is due must not announce what somebody took before it: then the bridge would sign the theft.
#[test]
fn no_retention_announces_what_was_stolen_before_it() {
    let disk = MemoryDisk::new();
    let trail = fill(&disk);
    let before_it = trail.status().size;
    let file = Path::new(MEMORY).join("log/kept");
    disk.create(&file).unwrap().write_all(br#"{"records":512,"detail":512}"#).unwrap();
    let refused = trail.retain(before(0, 600), action()).unwrap_err().to_string();
    assert!(refused.contains("log/kept") && refused.contains("below 512"), "{refused}");
    assert_eq!(trail.status().size, before_it, "nothing was announced");
    disk.remove(&file).unwrap();
    let kept = trail.retain(before(300, 300), action()).unwrap().unwrap();
    // Nor beyond what an earlier one announced.
    let raised = Retained { records: kept.records + 256, detail: kept.detail + 256 };
    let text = serde_json::json!({ "records": raised.records, "detail": raised.detail }).to_string();
    disk.create(&file).unwrap().write_all(text.as_bytes()).unwrap();
    assert!(trail.retain(before(600, 1200), action()).is_err());
    trail.close().unwrap();
}

/// What another hand makes of the file, a start puts right from the log's own records, says, and records once.
#[test]
fn what_retention_left_is_written_anew_where_another_hand_changed_it() {
    let file = Path::new(MEMORY).join("log/kept");
    for retained in [false, true] {
        let disk = MemoryDisk::new();
        let trail = fill(&disk);
        if retained {
            trail.retain(before(600, 1200), action()).unwrap().unwrap();
        }
        drop(trail);
        let announced = memory_log(&disk).kept().unwrap();
        let says = |records: u64, detail: u64| Some(format!(r#"{{"records":{records},"detail":{detail}}}"#));
        let (records, detail) = (announced.records, announced.detail);
        let mut changed = vec![
            Some(String::new()),
            Some("garbage".to_owned()),
            Some("{}".to_owned()),
            Some("\0\0\0\0".to_owned()),
            Some(r#"{"records":-1,"detail":0}"#.to_owned()),
            says(records + 256, detail),
            says(1536, 1536),
            says(u64::MAX, u64::MAX),
            says(records, detail + 1),
            says(0, u64::MAX),
        ];
        if retained {
            changed.extend([None, says(0, 0), says(records - 256, detail), says(records, 0)]);
        }
        let mut size = 2000 + u64::from(retained);
        for text in changed {
            match &text {
                Some(text) => disk.create(&file).unwrap().write_all(text.as_bytes()).unwrap(),
                None => disk.remove(&file).unwrap(),
            }
            let log = memory_log(&disk);
            let verified = log.verify(None, &mut |_, _| {});
            let fault = verified.expect_err(&format!("{retained} {text:?}")).to_string();
            assert!(
                !fault.starts_with("log/kept") || fault.contains("`ironbridge run`"),
                "{text:?}: {fault}"
            );
            size += 1;
            for _ in 0..2 {
                open(&disk).unwrap().close().unwrap();
                assert_eq!(
                    (verify(&log).size, log.kept().unwrap()),
                    (size, announced),
                    "{retained} {text:?}"
                );
            }
            let mended = log.tail(1).unwrap().remove(0).entry;
            assert_eq!(mended.action, name::MEND, "{text:?}");
            assert!(mended.facts["found"].starts_with("log/kept"), "{text:?}: {:?}", mended.facts);
        }
    }
}

/// What was taken behind a raised file does not become right with it.
#[test]
fn what_was_stolen_is_missing_once_the_file_is_right() {
    let disk = MemoryDisk::new();
    fill(&disk).close().unwrap();
    let at = |name: &str| Path::new(MEMORY).join(name);
    disk.create(&at("log/kept")).unwrap().write_all(br#"{"records":256,"detail":256}"#).unwrap();
    disk.remove(&at("log/tile/entries/000")).unwrap();
    open(&disk).unwrap().close().unwrap();
    let log = memory_log(&disk);
    assert_eq!(log.kept().unwrap(), Retained::default());
    let fault = log.verify(None, &mut |_, _| {}).unwrap_err();
    assert_eq!(
        (fault.kind, &*fault.file),
        (FaultKind::Missing, Path::new("log/tile/entries/000")),
        "{fault}"
    );
}

/// Who can write beside the log makes no record old.
#[test]
fn no_retention_believes_times_that_were_not_signed() {
    let disk = MemoryDisk::new();
    let trail = fill(&disk);
    let before_it = trail.status().size;
    let file = Path::new(MEMORY).join("log/tile/entries/000");
    let bytes = disk.read_at(&file, 0, usize::MAX).unwrap();
    let mut young = bytes.clone();
    for at in 0..young.len() - 12 {
        if &young[at..at + 12] == b"\"time\":\"2026" {
            young[at..at + 12].copy_from_slice(b"\"time\":\"2020");
        }
    }
    assert_ne!(young, bytes);
    disk.create(&file).unwrap().write_all(&young).unwrap();
    let refused = trail.retain(before(300, 300), action()).unwrap_err().to_string();
    assert!(refused.contains("not those that were signed"), "{refused}");
    assert_eq!(trail.status().size, before_it, "nothing was announced");
    disk.create(&file).unwrap().write_all(&bytes).unwrap();
    assert!(trail.retain(before(300, 300), action()).unwrap().is_some());
    trail.close().unwrap();
}

/// Wherever the power fails, what is kept verifies, and the next run finishes.
#[test]
fn a_retention_that_is_cut_short_is_finished_by_the_next() {
    let disk = MemoryDisk::new();
    fill(&disk).close().unwrap();
    let full = disk.after_power_cut(Unsynced::Kept);
    for at in (0..60).step_by(3) {
        let disk = full.after_power_cut(Unsynced::Kept);
        let trail = open(&disk).unwrap();
        disk.dies_at(Some(disk.operations() + at));
        let outcome = trail.retain(before(600, 1200), action());
        disk.dies_at(Some(0));
        drop(trail);
        let after = disk.after_power_cut(if at % 2 == 0 { Unsynced::Lost } else { Unsynced::Half });
        verify(&memory_log(&after));
        let trail = open(&after).unwrap();
        trail.retain(before(600, 1200), action()).unwrap();
        trail.close().unwrap();
        let log = memory_log(&after);
        let verified = verify(&log);
        assert_eq!(verified.kept.records, 512, "dead from operation {at}: {outcome:?}");
        let bundles = after.list(&Path::new(MEMORY).join("log/tile/entries")).unwrap();
        assert!(!bundles.contains(&"000".to_owned()) && !bundles.contains(&"001".to_owned()), "{bundles:?}");
    }
}
