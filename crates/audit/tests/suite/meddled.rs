//! What is done beside the log while the bridge runs: it is found, put in order where nothing is lost by it, and recorded.

use crate::exchanges::{
    MEMORY, append, clock, copy_all, eventually, flow, open, options, record, verify, wait,
};
use crate::head::Harm;
use crate::left::{begun, entries};
use crate::memory_disk::{MemoryDisk, Unsynced};
use ironbridge_audit::disk::Disk;
use ironbridge_audit::{AuditError, Log, Options, Trail};
use ironbridge_core::Recorder;
use ironbridge_core::action::name;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn segment(dir: &Path) -> PathBuf {
    let mut segments: Vec<_> =
        fs::read_dir(dir.join("journal")).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.sort();
    segments.pop().unwrap()
}

fn cut(path: &Path, length: u64) {
    File::options().write(true).open(path).unwrap().set_len(length).unwrap();
}

const MEDDLING: &[Harm] = &[
    Harm("the head is removed", |dir| fs::remove_file(dir.join("head")).unwrap()),
    Harm("the head is emptied", |dir| cut(&dir.join("head"), 0)),
    Harm("the head is cut", |dir| cut(&dir.join("head"), 4096)),
    Harm("the head is altered", |dir| fs::write(dir.join("head"), [1; 5000]).unwrap()),
    Harm("an older head takes its place", |dir| fs::rename(dir.join("older"), dir.join("head")).unwrap()),
    Harm("the segment is removed", |dir| fs::remove_file(segment(dir)).unwrap()),
    Harm("the segment is emptied", |dir| cut(&segment(dir), 0)),
    Harm("the segment is cut", |dir| cut(&segment(dir), fs::metadata(segment(dir)).unwrap().len() / 2)),
    Harm("the journal is removed", |dir| {
        fs::remove_dir_all(dir.join("journal")).unwrap();
        fs::create_dir(dir.join("journal")).unwrap();
    }),
    Harm("both", |dir| {
        fs::remove_file(segment(dir)).unwrap();
        fs::remove_file(dir.join("head")).unwrap();
    }),
];

/// A trail of ten records, all signed.
fn running(dir: &Path) -> Trail {
    let trail = open(dir);
    fs::copy(dir.join("head"), dir.join("older")).unwrap();
    record(&trail, 0..10);
    eventually(|| trail.status().integrated == 10);
    trail
}

#[test]
fn what_is_done_beside_the_log_of_a_running_bridge_is_put_in_order_and_recorded() {
    for Harm(what, meddle) in MEDDLING {
        let dir = tempfile::tempdir().unwrap();
        let trail = running(dir.path());
        meddle(dir.path());
        eventually(|| trail.status().integrated > 10);
        record(&trail, 10..20);
        trail.close().unwrap_or_else(|error| panic!("{what}: {error}"));
        drop(trail);
        let actions: Vec<_> =
            entries(dir.path()).into_iter().filter(|entry| !entry.action.is_empty()).collect();
        assert!(actions.iter().all(|entry| entry.action == name::MEND), "{what}");
        assert!(!actions.is_empty() && !actions[0].facts["found"].is_empty(), "{what}");
        let reopened = Trail::open(begun(dir.path()), clock());
        reopened.unwrap_or_else(|error| panic!("{what}: {error}")).close().unwrap();
        assert_eq!(verify(&Log::open(dir.path()).unwrap()).size, 20 + actions.len() as u64, "{what}");
    }
}

/// What is done in the last moment is put in order by the stop, and recorded by the next start.
#[test]
fn what_is_done_while_the_bridge_stops_is_recorded_by_the_next_start() {
    for Harm(what, meddle) in MEDDLING {
        let dir = tempfile::tempdir().unwrap();
        let lagging = Options { max_lag: std::time::Duration::from_secs(3600), ..options(dir.path()) };
        let trail = Trail::open(lagging, clock()).unwrap();
        fs::copy(dir.path().join("head"), dir.path().join("older")).unwrap();
        drop(trail);
        let lagging = Options { max_lag: std::time::Duration::from_secs(3600), ..begun(dir.path()) };
        let trail = Trail::open(lagging, clock()).unwrap();
        meddle(dir.path());
        trail.close().unwrap_or_else(|error| panic!("{what}: {error}"));
        drop(trail);
        for _ in 0..2 {
            let reopened = Trail::open(begun(dir.path()), clock());
            reopened.unwrap_or_else(|error| panic!("{what}: {error}")).close().unwrap();
        }
        let actions: Vec<_> = entries(dir.path()).into_iter().map(|entry| entry.action).collect();
        let deeds = 1 + usize::from(what.contains("both"));
        assert_eq!(actions, vec![name::MEND; deeds], "{what}");
    }
}

/// Records that were acknowledged and not yet signed cannot be put in order: nothing crosses any more, and the next
/// start says what is missing.
#[test]
fn a_journal_that_is_taken_away_before_it_is_signed_refuses_exchanges() {
    let dir = tempfile::tempdir().unwrap();
    let trail = Trail::open(
        Options { max_lag: std::time::Duration::from_millis(500), ..options(dir.path()) },
        clock(),
    )
    .unwrap();
    record(&trail, 0..10);
    fs::remove_file(segment(dir.path())).unwrap();
    eventually(|| trail.ready().is_err());
    assert!(trail.status().unavailable.unwrap().reason.contains("journal"));
    assert!(trail.close().is_err());
    drop(trail);
    assert!(Trail::open(begun(dir.path()), clock()).is_err());
}

/// A trail that runs, with a directory in the head's place; and the head's path.
fn with_a_head_that_cannot_be_written(dir: &Path) -> (Trail, PathBuf) {
    let (trail, head) = (running(dir), dir.join("head"));
    fs::remove_file(&head).unwrap();
    fs::create_dir(&head).unwrap();
    eventually(|| trail.ready().is_err());
    (trail, head)
}

/// What the records of a trail, once it is closed and opened again, say was found.
fn mends_of(trail: Trail, dir: &Path) -> Vec<String> {
    trail.close().unwrap();
    drop(trail);
    Trail::open(begun(dir), clock()).unwrap().close().unwrap();
    let mends = entries(dir).into_iter().filter(|entry| entry.action == name::MEND);
    mends.map(|entry| entry.facts["found"].to_string()).collect()
}

/// What cannot be put in order stops the exchanges, and says where.
#[test]
fn a_head_that_cannot_be_written_anew_refuses_exchanges_until_it_can() {
    let dir = tempfile::tempdir().unwrap();
    let (trail, head) = with_a_head_that_cannot_be_written(dir.path());
    assert!(trail.status().unavailable.unwrap().reason.contains("head"));
    // However often it is tried meanwhile, it is one deed.
    std::thread::sleep(std::time::Duration::from_millis(300));
    fs::remove_dir(&head).unwrap();
    eventually(|| trail.ready().is_ok());
    record(&trail, 10..12);
    assert_eq!(mends_of(trail, dir.path()).len(), 1);
}

/// What is done meanwhile is told and recorded as well, each deed by itself.
#[test]
fn what_is_done_while_the_head_cannot_be_put_in_order_is_recorded_too() {
    for closing in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let (trail, head) = with_a_head_that_cannot_be_written(dir.path());
        fs::remove_file(segment(dir.path())).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(300));
        fs::remove_dir(&head).unwrap();
        if !closing {
            eventually(|| trail.ready().is_ok());
            record(&trail, 10..12);
        }
        let found = mends_of(trail, dir.path());
        assert_eq!(found.len(), 2, "{closing}: {found:?}");
        assert!(found.iter().any(|found| found.starts_with("head")), "{found:?}");
        assert!(found.iter().any(|found| found.starts_with("journal")), "{found:?}");
    }
}

/// Whatever is done to the lock, or around it, nobody writes beside a running bridge unseen.
#[test]
fn a_lock_that_is_taken_away_keeps_others_out_all_the_same() {
    let takes: [Harm; 4] = [
        Harm("nothing", |_| {}),
        Harm("removed", |dir| fs::remove_file(dir.join("audit/lock")).unwrap()),
        Harm("another file", |dir| {
            fs::write(dir.join("audit/new"), "")
                .and_then(|()| fs::rename(dir.join("audit/new"), dir.join("audit/lock")))
                .unwrap()
        }),
        Harm("another name of the directory", |dir| {
            fs::rename(dir.join("audit"), dir.join("moved")).unwrap();
            std::os::unix::fs::symlink("moved", dir.join("audit")).unwrap();
        }),
    ];
    for Harm(what, take) in takes {
        let dir = tempfile::tempdir().unwrap();
        let audit = dir.path().join("audit");
        fs::create_dir(&audit).unwrap();
        let trail = running(&audit);
        take(dir.path());
        for accept_loss in [false, true] {
            let second = Trail::open(Options { accept_loss, ..begun(&audit) }, clock());
            assert!(matches!(second, Err(AuditError::Locked(_))), "{what}");
        }
        Trail::examine(&begun(&audit)).unwrap_or_else(|error| panic!("{what}: {error}"));
        record(&trail, 10..20);
        trail.close().unwrap_or_else(|error| panic!("{what}: {error}"));
        drop(trail);
        Trail::open(begun(&audit), clock()).unwrap().close().unwrap();
    }
}

/// A copy that takes the directory's place can be opened; the bridge that had it notices, and takes no more.
#[test]
fn a_directory_that_is_replaced_is_noticed_by_who_wrote_it() {
    let dir = tempfile::tempdir().unwrap();
    let audit = dir.path().join("audit");
    fs::create_dir(&audit).unwrap();
    let trail = running(&audit);
    fs::rename(&audit, dir.path().join("moved")).unwrap();
    fs::create_dir(&audit).unwrap();
    copy_all(&dir.path().join("moved"), &audit);
    eventually(|| trail.ready().is_err());
    assert!(trail.status().unavailable.unwrap().reason.contains("replaced"));
    assert!(trail.close().is_err());
}

/// What was acknowledged and not yet signed is not carried into the log of whoever took the place.
#[test]
fn nothing_is_written_into_a_directory_that_took_the_place() {
    let dir = tempfile::tempdir().unwrap();
    let (audit, copy) = (dir.path().join("audit"), dir.path().join("copy"));
    fs::create_dir(&audit).unwrap();
    let lagging = Options { max_lag: std::time::Duration::from_secs(3600), ..options(&audit) };
    let trail = Trail::open(lagging, clock()).unwrap();
    record(&trail, 0..300);
    fs::create_dir(&copy).unwrap();
    copy_all(&audit, &copy);
    fs::rename(&audit, dir.path().join("moved")).unwrap();
    fs::rename(&copy, &audit).unwrap();
    let before = contents(&audit);
    assert!(trail.close().is_err());
    drop(trail);
    assert_eq!(contents(&audit), before);
}

/// Every file below, with its bytes.
fn contents(dir: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for item in fs::read_dir(dir).unwrap() {
        let path = item.unwrap().path();
        match path.is_dir() {
            true => files.extend(contents(&path)),
            false => files.push((path.clone(), fs::read(&path).unwrap())),
        }
    }
    files.sort();
    files
}

/// Wherever an accepted loss is cut short, it is recorded once in the end.
#[test]
fn an_accepted_loss_that_was_killed_anywhere_is_recorded_once() {
    let lost = || {
        let disk = MemoryDisk::new();
        let lagging = Options { max_lag: std::time::Duration::from_secs(3600), ..options(MEMORY) };
        let trail = Trail::open_on(Arc::clone(&disk) as Arc<dyn Disk>, lagging, clock()).unwrap();
        record(&trail, 0..20);
        let crashed = disk.after_power_cut(Unsynced::Kept);
        drop(trail);
        let journal = Path::new(MEMORY).join("journal");
        for name in crashed.list(&journal).unwrap() {
            crashed.remove(&journal.join(name)).unwrap();
        }
        crashed.sync_dir(&journal).unwrap();
        crashed.after_power_cut(Unsynced::Kept)
    };
    let accept = |disk: &Arc<MemoryDisk>| {
        let accepting = Options { accept_loss: true, ..memory() };
        Trail::open_on(Arc::clone(disk) as Arc<dyn Disk>, accepting, clock()).and_then(|trail| trail.close())
    };
    let whole = lost();
    accept(&whole).unwrap();
    for at in 0..whole.operations() + 5 {
        for unsynced in [Unsynced::Kept, Unsynced::Lost, Unsynced::Half] {
            let disk = lost();
            disk.dies_at(Some(at));
            let _ = accept(&disk);
            let mut disk = disk.after_power_cut(unsynced);
            let context = format!("dead from operation {at}, unsynced bytes {unsynced:?}");
            if Trail::open_on(Arc::clone(&disk) as Arc<dyn Disk>, memory(), clock()).is_err() {
                disk = disk.after_power_cut(Unsynced::Kept);
                accept(&disk).unwrap_or_else(|error| panic!("{context}: {error}"));
            }
            let trail = Trail::open_on(Arc::clone(&disk) as Arc<dyn Disk>, memory(), clock()).unwrap();
            let flow = flow("orders");
            wait(&trail, append(&trail, 30, &flow).unwrap()).unwrap();
            trail.close().unwrap();
            let log = Log::open_on(Arc::clone(&disk) as Arc<dyn Disk>, MEMORY).unwrap();
            let entries: Vec<_> = log.follow(0).map(|stored| stored.unwrap().entry).collect();
            let losses = entries.iter().filter(|entry| entry.action == name::LOSS).count();
            assert_eq!((losses, entries.len()), (1, 2), "{context}");
            verify(&log);
        }
    }
}

fn memory() -> Options {
    let mut options = options(MEMORY);
    options.anchor.begun = true;
    options
}
