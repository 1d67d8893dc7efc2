//! What is done to a trail while its bridge is stopped, or dead: a start finds it out, says what and where, and changes
//! nothing; the operator may have it go on, and then a record says so.

use crate::exchanges::{
    append, clock, closed, copy_all, flow, id, open_lagging, options, record, verify, wait,
};
use ironbridge_audit::{AuditError, Fault, FaultKind, Log, Options, StoreSeen, Trail, TrailKey};
use ironbridge_core::StoreMark;
use ironbridge_core::action::name;
use std::fs;
use std::path::{Path, PathBuf};

/// 600 records in the log and 20 in the journal, in four frames: as a bridge leaves it that is killed.
pub fn killed() -> tempfile::TempDir {
    loop {
        let dir = try_killed();
        // On a busy machine what is recorded together may not be written together.
        if frames(&fs::read(dir.path().join(SEGMENT)).unwrap()).len() == 5 {
            return dir;
        }
    }
}

fn try_killed() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), 600);
    let trail = open_lagging(dir.path());
    for frame in 0..4 {
        record(&trail, 600 + frame * 5..605 + frame * 5);
    }
    let copy = tempfile::tempdir().unwrap();
    copy_all(dir.path(), copy.path());
    drop(trail);
    copy
}

/// The trail that a bridge has begun, whatever is left of it.
pub fn begun(dir: &Path) -> Options {
    let mut options = options(dir);
    options.anchor.begun = true;
    options
}

pub fn refused(dir: &Path) -> Fault {
    match Trail::open(begun(dir), clock()) {
        Err(AuditError::NotAsLeft(fault)) => fault,
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it opened"),
    }
}

pub const SEGMENT: &str = "journal/0000000000000600.wal";

pub fn change(dir: &Path, file: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let path = dir.join(file);
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// Where the frames of the segment begin, and where the last ends.
pub fn frames(bytes: &[u8]) -> Vec<usize> {
    let mut starts = vec![88];
    while let Some(length) = bytes.get(starts[starts.len() - 1]..).and_then(|rest| rest.first_chunk::<4>()) {
        starts.push(starts[starts.len() - 1] + 56 + u32::from_be_bytes(*length) as usize);
    }
    starts
}

pub fn entries(dir: &Path) -> Vec<ironbridge_audit::Entry> {
    Log::open(dir).unwrap().follow(0).map(|stored| stored.unwrap().entry).collect()
}

/// What is done, from which record on it is missed, and how many acknowledged ones are lost.
type Harm = (&'static str, fn(&Path), u64, u64);

const HARMS: &[Harm] = &[
    (
        "the third frame loses a sector",
        |dir| {
            change(dir, SEGMENT, |bytes| {
                let third = frames(bytes)[2];
                let sector = third.div_ceil(512) * 512;
                bytes[sector..sector + 512].fill(0);
            })
        },
        610,
        10,
    ),
    (
        "the third frame loses its header",
        |dir| {
            change(dir, SEGMENT, |bytes| {
                let third = frames(bytes)[2];
                bytes[third..third + 512].fill(0);
            })
        },
        610,
        10,
    ),
    (
        "the last frame is cut off",
        |dir| change(dir, SEGMENT, |bytes| bytes.truncate(frames(bytes)[3])),
        615,
        5,
    ),
    (
        "the last frame is zeroed",
        |dir| {
            change(dir, SEGMENT, |bytes| {
                let last = frames(bytes)[3];
                bytes[last..].fill(0);
            })
        },
        615,
        5,
    ),
    (
        "the segment is cut by half",
        |dir| change(dir, SEGMENT, |bytes| bytes.truncate(bytes.len() / 2)),
        605,
        15,
    ),
    ("the segment has its header only", |dir| change(dir, SEGMENT, |bytes| bytes.truncate(88)), 600, 20),
    ("the segment is empty", |dir| change(dir, SEGMENT, Vec::clear), 600, 20),
    ("the segment is deleted", |dir| fs::remove_file(dir.join(SEGMENT)).unwrap(), 600, 20),
    ("the journal is deleted", |dir| fs::remove_dir_all(dir.join("journal")).unwrap(), 600, 20),
    (
        "the second frame is taken out",
        |dir| {
            change(dir, SEGMENT, |bytes| {
                let starts = frames(bytes);
                bytes.drain(starts[1]..starts[2]);
            })
        },
        605,
        15,
    ),
    (
        "two frames change places",
        |dir| {
            change(dir, SEGMENT, |bytes| {
                let starts = frames(bytes);
                bytes[starts[1]..starts[3]].rotate_left(starts[2] - starts[1]);
            })
        },
        605,
        15,
    ),
    (
        "a bit is flipped, and the checksums made to fit",
        |dir| {
            change(dir, SEGMENT, |bytes| {
                let starts = frames(bytes);
                bytes[starts[1] + 80] ^= 1;
                let frame = &mut bytes[starts[1]..starts[2]];
                reseal(frame);
            })
        },
        605,
        15,
    ),
    ("the frames move into a segment of version 2", |dir| change(dir, SEGMENT, downgrade), 600, 20),
    (
        "another bridge's journal is put in place",
        |dir| {
            let other = tempfile::tempdir().unwrap();
            let mut foreign = options(other.path());
            foreign.anchor.key = TrailKey::new(&[4; 32]);
            foreign.max_lag = std::time::Duration::from_secs(3600);
            let trail = Trail::open(foreign, clock()).unwrap();
            record(&trail, 0..620);
            fs::copy(other.path().join("journal/0000000000000000.wal"), dir.join(SEGMENT)).unwrap();
        },
        600,
        20,
    ),
    (
        "the detail's segment passes for the journal's",
        |dir| {
            let detail = fs::read(dir.join("detail/0000000000000000.wal")).unwrap();
            change(dir, SEGMENT, |bytes| *bytes = [&bytes[..88], &detail[88..]].concat());
        },
        600,
        20,
    ),
    (
        "a foreign frame is appended",
        |dir| {
            change(dir, SEGMENT, |bytes| {
                let starts = frames(bytes);
                let mut forged = bytes[starts[3]..].to_vec();
                forged[8..16].copy_from_slice(&620u64.to_be_bytes());
                reseal(&mut forged);
                bytes.extend_from_slice(&forged);
            })
        },
        620,
        0,
    ),
    (
        "a foreign segment is appended",
        |dir| {
            let mut forged = fs::read(dir.join(SEGMENT)).unwrap();
            downgrade(&mut forged);
            forged[12..20].copy_from_slice(&620u64.to_be_bytes());
            let checksum = crc(&forged[..20]);
            forged[20..24].copy_from_slice(&checksum);
            fs::write(dir.join("journal/0000000000000620.wal"), forged).unwrap();
        },
        620,
        0,
    ),
    ("what is remembered is deleted", |dir| fs::remove_file(dir.join("head")).unwrap(), 620, 0),
    (
        "what is remembered is altered",
        |dir| {
            change(dir, "head", |bytes| {
                bytes[30] ^= 1;
                bytes[4096 + 30] ^= 1;
            })
        },
        620,
        0,
    ),
];

fn crc(bytes: &[u8]) -> [u8; 4] {
    crc32fast::hash(bytes).to_be_bytes()
}

/// Makes a frame's checksums fit again.
fn reseal(frame: &mut [u8]) {
    let checksum = crc(&frame[56..]);
    frame[16..20].copy_from_slice(&checksum);
    let checksum = crc(&frame[..20]);
    frame[20..24].copy_from_slice(&checksum);
}

/// The same records as version 2 would hold them.
pub fn downgrade(bytes: &mut Vec<u8>) {
    let starts = frames(bytes);
    let mut old = [&bytes[..8], &2u32.to_be_bytes(), &bytes[12..20]].concat();
    old.extend_from_slice(&crc(&old));
    for pair in starts.windows(2).filter(|pair| pair[1] <= bytes.len()) {
        let frame = &bytes[pair[0]..pair[1]];
        old.extend_from_slice(&frame[..24]);
        old.extend_from_slice(&frame[56..]);
    }
    *bytes = old;
}

#[test]
fn what_is_done_to_a_stopped_trail_is_found_and_nothing_is_signed() {
    for (what, harm, first, _) in HARMS {
        let dir = killed();
        harm(dir.path());
        let before = files(dir.path());
        let fault = refused(dir.path());
        let about_head = fault.file == Path::new("head");
        assert!(fault.entry == Some(*first) || about_head, "{what}: {fault}");
        assert!(about_head || fault.file.starts_with("journal"), "{what}: {fault}");
        assert_eq!(refused(dir.path()), fault, "{what}: again");
        let after: Vec<_> =
            files(dir.path()).into_iter().filter(|(path, _)| !path.ends_with("journal")).collect();
        assert_eq!(after, before, "{what}: nothing was changed");
        assert_eq!(Log::open(dir.path()).unwrap().checkpoint(None).unwrap().size, 600, "{what}");
    }
}

#[test]
fn an_accepted_loss_is_recorded_with_its_range_and_the_evidence_is_kept() {
    for (what, harm, first, lost) in HARMS {
        let dir = killed();
        harm(dir.path());
        let accepting = Options { accept_loss: true, actor: "command:root(0)".into(), ..begun(dir.path()) };
        Trail::open(accepting, clock()).unwrap().close().unwrap();
        let entries = entries(dir.path());
        let recorded = entries.last().unwrap();
        assert_eq!((entries.len() as u64, &*recorded.action), (first + 1, name::LOSS), "{what}");
        for (number, entry) in entries.iter().take(*first as usize).enumerate() {
            assert_eq!(entry.id, id(number as u64), "{what}");
        }
        let facts = &recorded.facts;
        let range = facts.get("lost_from").zip(facts.get("lost_below"));
        let range = range.map(|(from, below)| (from.parse().unwrap(), below.parse().unwrap()));
        assert_eq!(range, (*lost > 0).then_some((*first, first + lost)), "{what}");
        assert!(!facts["found"].is_empty());
        assert!(dir.path().join("set-aside").exists(), "{what}");
        // From here on all is as ever.
        let trail = Trail::open(begun(dir.path()), clock()).unwrap();
        record(&trail, 700..710);
        trail.close().unwrap();
        assert_eq!(verify(&Log::open(dir.path()).unwrap()).size, first + 11, "{what}");
    }
}

/// What is done to a directory, with an older copy at hand, and how it is told.
type SetBack = (&'static str, fn(&Path, &Path), FaultKind);

/// A log that is gone, or older than it was, does not begin anew in silence.
#[test]
fn a_log_that_was_set_back_is_not_gone_on_with() {
    let set_back: [SetBack; 5] = [
        ("all is deleted", |dir, _| clear(dir, &["head"]), FaultKind::RolledBack),
        ("all and what is remembered is deleted", |dir, _| clear(dir, &[]), FaultKind::Missing),
        (
            "log, journal and detail are deleted",
            |dir, _| {
                for part in ["log", "journal", "detail"] {
                    fs::remove_dir_all(dir.join(part)).unwrap();
                }
            },
            FaultKind::RolledBack,
        ),
        ("the log is deleted", |dir, _| fs::remove_dir_all(dir.join("log")).unwrap(), FaultKind::Missing),
        (
            "an older copy is put in place",
            |dir, older| {
                clear(dir, &["head"]);
                copy_all(older, dir);
            },
            FaultKind::RolledBack,
        ),
    ];
    for (what, harm, kind) in set_back {
        let (dir, older) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        closed(dir.path(), 300);
        copy_all(dir.path(), older.path());
        fs::remove_file(older.path().join("head")).unwrap();
        let trail = open_lagging(dir.path());
        record(&trail, 300..700);
        drop(trail);
        harm(dir.path(), older.path());
        let fault = refused(dir.path());
        assert_eq!(fault.kind, kind, "{what}: {fault}");

        let accepting = Options { accept_loss: true, ..begun(dir.path()) };
        let trail = Trail::open(accepting, clock()).unwrap();
        record(&trail, 800..810);
        drop(trail);
        let entries = entries(dir.path());
        let kept = entries.len() - 11;
        assert_eq!(kept, if what.starts_with("an older") { 300 } else { 0 }, "{what}");
        assert_eq!(entries[kept].action, name::LOSS, "{what}");
        Trail::open(begun(dir.path()), clock()).unwrap().close().unwrap();
        verify(&Log::open(dir.path()).unwrap());
    }
}

fn clear(dir: &Path, except: &[&str]) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if except.iter().any(|name| path.ends_with(name)) {
            continue;
        }
        if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
    }
}

/// Another log that the same key signed.
#[test]
fn another_history_of_the_same_length_is_not_gone_on_with() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    closed(dir.path(), 300);
    let trail = open_lagging(other.path());
    record(&trail, 1000..1300);
    trail.close().unwrap();
    let head = fs::read(dir.path().join("head")).unwrap();
    clear(dir.path(), &[]);
    copy_all(other.path(), dir.path());
    fs::write(dir.path().join("head"), head).unwrap();
    assert_eq!(refused(dir.path()).kind, FaultKind::Forked);
}

/// What was written but not acknowledged may be there or not: both are a crash, not a loss.
#[test]
fn a_frame_that_a_crash_cut_off_is_no_loss() {
    let dir = killed();
    change(dir.path(), SEGMENT, |bytes| {
        let last = frames(bytes)[3];
        let again = bytes[last..].to_vec();
        bytes.extend_from_slice(&again[..again.len() / 2]);
    });
    let trail = Trail::open(begun(dir.path()), clock()).unwrap();
    assert_eq!(trail.status().size, 620);
}

/// What is put in a file's place, and how.
type Put = (&'static str, fn(&Path));

/// What is no file, and what is longer than any, is refused by name and not read through.
#[test]
fn a_pipe_or_no_end_of_zeros_in_a_files_place_is_refused() {
    let put: [Put; 3] = [
        ("a pipe", |path| {
            assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success())
        }),
        ("a terabyte that is not there", |path| fs::File::create(path).unwrap().set_len(1 << 40).unwrap()),
        ("a directory", |path| fs::create_dir(path).unwrap()),
    ];
    for file in ["log/checkpoint", SEGMENT, "log/tile/0/002.p/88", "log/tile/0/001"] {
        for (what, put) in put {
            let dir = killed();
            let path = dir.path().join(file);
            fs::remove_file(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
            put(&path);
            match Trail::open(begun(dir.path()), clock()) {
                Err(AuditError::NotAsLeft(fault) | AuditError::Damaged(fault)) => {
                    assert_eq!(fault.file, Path::new(file), "{what}: {fault}");
                }
                Err(error) => panic!("{file}, {what}: {error}"),
                // Nothing of it is needed for going on.
                Ok(trail) => {
                    assert!(file.ends_with("001") && trail.close().is_ok(), "{file}, {what}: it opened")
                }
            }
        }
    }
    // After the frames that are there, and in a frame's header.
    for (what, zeros) in [("zeros follow", 0), ("a frame of 4 GiB follows", u32::MAX)] {
        let dir = killed();
        change(dir.path(), SEGMENT, |bytes| {
            let mut frame = [&zeros.to_be_bytes()[..], &[0; 52]].concat();
            frame[8..16].copy_from_slice(&620u64.to_be_bytes());
            let checksum = crc(&frame[..20]);
            frame[20..24].copy_from_slice(&checksum);
            bytes.extend_from_slice(&frame[..if zeros == 0 { 0 } else { 56 }]);
        });
        fs::File::options().write(true).open(dir.path().join(SEGMENT)).unwrap().set_len(1 << 40).unwrap();
        let fault = refused(dir.path());
        assert_eq!((fault.entry, fault.kind), (Some(620), FaultKind::Malformed), "{what}: {fault}");
    }
}

/// The keys beside the log prove nothing, and are put in order: with a record, as whoever verifies by them was misled.
#[test]
fn foreign_keys_beside_the_log_are_written_anew_and_recorded() {
    let other = ironbridge_seal::note::NoteSigner::from_seed(crate::exchanges::ORIGIN, &[8; 32]).unwrap();
    let other = other.verifier().unwrap().verifier_key().to_owned();
    for key in [None, Some(""), Some("garbage\n"), Some("\u{0}\u{1}"), Some(&*other)] {
        let dir = killed();
        let path = dir.path().join("log/key");
        let ours = fs::read(&path).unwrap();
        match key {
            None => fs::remove_file(&path).unwrap(),
            Some(text) => fs::write(&path, text).unwrap(),
        }
        Trail::open(begun(dir.path()), clock()).unwrap().close().unwrap();
        assert_eq!(fs::read(&path).unwrap(), ours, "{key:?}");
        let entries = entries(dir.path());
        assert_eq!((entries.len(), &*entries[620].action), (621, name::MEND), "{key:?}");
        assert!(entries[620].facts["found"].starts_with("log/key"), "{key:?}: {:?}", entries[620].facts);
        Trail::open(begun(dir.path()), clock()).unwrap().close().unwrap();
        assert_eq!(verify(&Log::open(dir.path()).unwrap()).size, 621, "{key:?}: once");
    }
}

/// Retention cannot be made believe that records were dropped.
#[test]
fn a_forged_retention_does_not_enter() {
    let dir = killed();
    change(dir.path(), SEGMENT, |bytes| {
        let time = "2026-01-01T00:00:00.000000Z";
        let leaf = format!(
            "{{\"v\":2,\"id\":\"{}\",\"time\":\"{time}\",\"action\":\"{}\",\"facts\":{{\"records_below\":\"512\",\
             \"detail_below\":\"512\"}},\"generation\":0,\"outcome\":\"success\",\"code\":\"done\"}}",
            id(9),
            name::RETENTION
        );
        let mut frame = vec![0; 56];
        frame.extend_from_slice(&u16::try_from(leaf.len()).unwrap().to_be_bytes());
        frame.extend_from_slice(leaf.as_bytes());
        frame.extend_from_slice(&[0; 4]);
        let length = u32::try_from(frame.len() - 56).unwrap();
        frame[..4].copy_from_slice(&length.to_be_bytes());
        frame[4..8].copy_from_slice(&1u32.to_be_bytes());
        frame[8..16].copy_from_slice(&620u64.to_be_bytes());
        reseal(&mut frame);
        bytes.extend_from_slice(&frame);
    });
    let fault = refused(dir.path());
    assert_eq!((fault.kind, fault.entry), (FaultKind::Altered, Some(620)), "{fault}");
    // Readers with the key do not believe it either; without, they cannot tell.
    let log = Log::open(dir.path()).unwrap();
    assert_eq!(log.tail(1).unwrap()[0].entry.action, name::RETENTION);
    let log = log.authenticated(&begun(dir.path()).anchor).unwrap();
    assert_eq!(log.tail(1).unwrap()[0].entry.id, id(619), "the others stay readable");
    assert_eq!(log.damage()[0].kind, FaultKind::Altered);
    assert_eq!(log.verify(None, &mut |_, _| {}).unwrap_err().kind, FaultKind::Altered);
}

/// A segment that is put in place while the bridge runs is not integrated.
#[test]
fn what_is_altered_while_the_bridge_runs_is_not_signed() {
    let dir = tempfile::tempdir().unwrap();
    let trail = open_lagging(dir.path());
    record(&trail, 0..5);
    change(dir.path(), "journal/0000000000000000.wal", |bytes| {
        let at = bytes.len() - 40;
        bytes[at] ^= 1;
        let length = bytes.len();
        reseal(&mut bytes[88..length]);
    });
    append(&trail, 5, &flow("orders")).map(|position| wait(&trail, position)).unwrap().unwrap();
    assert!(matches!(trail.close(), Err(AuditError::NotIntegrated(_))));
    assert_eq!(Log::open(dir.path()).unwrap().checkpoint(None).unwrap().size, 0);
}

fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with("tmp") || path.ends_with("lock") {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path))
        } else {
            found.push((path.clone(), fs::read(path).unwrap()))
        }
    }
    found.sort();
    found
}

/// What was revoked or erased would be there again, without a word.
#[test]
fn a_store_that_was_set_back_is_not_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    // Of a version that knew no steps.
    let mark = |life: u8, changes| StoreMark { life: [life; 16], changes, step: [0; 32] };
    let at = |life: u8, changes| Options {
        store: StoreSeen { mark: mark(life, changes), ..StoreSeen::default() },
        ..begun(dir.path())
    };
    // A trail of a version that did not know.
    closed(dir.path(), 3);
    let trail = Trail::open(at(1, 7), clock()).unwrap();
    trail.store_is_at(mark(1, 9)).unwrap();
    assert!(trail.store_is_at(mark(1, 8)).is_err());
    trail.close().unwrap();
    drop(trail);
    for other in [
        at(1, 8),
        at(1, 0),
        at(2, 9),
        at(2, 99),
        Options { store: StoreSeen::default(), ..begun(dir.path()) },
    ] {
        match Trail::open(other, clock()) {
            Err(AuditError::NotAsLeft(fault)) => {
                assert_eq!((fault.kind, &*fault.file), (FaultKind::RolledBack, Path::new("store.sqlite")));
            }
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("it opened"),
        }
    }
    Trail::open(at(1, 9), clock()).unwrap().close().unwrap();
    Trail::open(at(1, 12), clock()).unwrap().close().unwrap();
    Trail::open(Options { accept_loss: true, ..at(1, 8) }, clock()).unwrap().close().unwrap();
    let told = entries(dir.path()).pop().unwrap();
    assert_eq!(told.action, name::LOSS);
    assert!(told.facts["found"].contains("the store was set back"), "{:?}", told.facts);
    Trail::open(at(1, 8), clock()).unwrap().close().unwrap();
}

/// A count grows again after a store was set back: it must be the one that it was, or have grown from it.
#[test]
fn a_store_that_only_counts_as_far_is_not_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let mark = |changes, step: u8| StoreMark { life: [1; 16], changes, step: [step; 32] };
    let at = |mark, grew_from| Options {
        store: StoreSeen { mark, grew_from, outran: false },
        ..begun(dir.path())
    };
    closed(dir.path(), 3);
    let trail = Trail::open(at(mark(9, 1), None), clock()).unwrap();
    trail.store_is_at(mark(10, 2)).unwrap();
    assert!(trail.store_is_at(mark(10, 3)).is_err() && trail.store_is_at(mark(9, 1)).is_err());
    trail.close().unwrap();
    drop(trail);
    for (other, grew_from) in [
        (mark(9, 1), None),
        (mark(10, 3), None),
        (mark(10, 0), None),
        (mark(11, 2), None),
        (mark(12, 4), None),
        (mark(12, 4), Some(mark(9, 1))),
        (mark(12, 4), Some(mark(10, 3))),
        (mark(9, 1), Some(mark(10, 2))),
    ] {
        match Trail::open(at(other, grew_from), clock()) {
            Err(AuditError::NotAsLeft(fault)) => assert_eq!(fault.kind, FaultKind::RolledBack),
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("it opened at {other:?}"),
        }
    }
    // Where nobody can tell, nobody is accused, and it is not gone on with either. One that is behind is told as ever.
    for (store, cannot_tell) in
        [(mark(12, 4), true), (mark(9, 1), false), (StoreMark { life: [2; 16], ..mark(12, 4) }, false)]
    {
        let seen = StoreSeen { mark: store, grew_from: None, outran: true };
        let outran = Options { store: seen, ..begun(dir.path()) };
        let Err(AuditError::NotAsLeft(fault)) = Trail::open(outran, clock()) else { panic!() };
        assert_eq!(fault.detail.contains("nobody can tell"), cannot_tell, "{fault}");
        assert_eq!(fault.detail.contains("take another"), cannot_tell, "{fault}");
    }
    Trail::open(at(mark(10, 2), None), clock()).unwrap().close().unwrap();
    Trail::open(at(mark(12, 4), Some(mark(10, 2))), clock()).unwrap().close().unwrap();
    Trail::open(Options { accept_loss: true, ..at(mark(13, 7), None) }, clock()).unwrap().close().unwrap();
    let told = entries(dir.path()).pop().unwrap();
    assert!(told.facts["found"].contains("set back, and changed since"), "{:?}", told.facts);
    Trail::open(at(mark(13, 7), None), clock()).unwrap().close().unwrap();
}

/// A journal of this bridge, but of another history: what came before an accepted loss.
#[test]
fn a_journal_of_before_an_accepted_loss_is_not_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), 10);
    let trail = open_lagging(dir.path());
    record(&trail, 10..15);
    record(&trail, 15..20);
    let killed = tempfile::tempdir().unwrap();
    copy_all(dir.path(), killed.path());
    drop(trail);
    let dir = killed;
    const BEFORE: &str = "journal/0000000000000010.wal";
    let before = fs::read(dir.path().join(BEFORE)).unwrap();
    change(dir.path(), BEFORE, |bytes| bytes.truncate(frames(bytes)[1]));
    let accepting = Options { accept_loss: true, ..begun(dir.path()) };
    let trail = Trail::open(accepting, clock()).unwrap();
    let next = trail.status().size;
    record(&trail, next..20);
    trail.close().unwrap();
    drop(trail);
    Trail::open(begun(dir.path()), clock()).unwrap().close().unwrap();
    fs::remove_dir_all(dir.path().join("journal")).unwrap();
    fs::create_dir(dir.path().join("journal")).unwrap();
    fs::write(dir.path().join(BEFORE), before).unwrap();
    assert_eq!((refused(dir.path()).kind, next), (FaultKind::Altered, 16));
}
