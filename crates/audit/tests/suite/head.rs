//! What is done to what is remembered of a trail, while its bridge is stopped or killed.

use crate::exchanges::{START, clock, copy_all, open_lagging, options, record, verify, wait};
use crate::left::{SEGMENT, begun, change, entries, frames, killed, refused};
use ironbridge_audit::{AuditError, FaultKind, Log, Mark, Options, Trail, TrailKey};
use ironbridge_core::action::name;
use ironbridge_core::{Action, ExchangeId, Recorder, Timestamp};
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

const SECOND: usize = 4096;
const PLACE: usize = 220;

/// Where the place with the greater sequence begins, and where the other does.
fn places(bytes: &[u8]) -> (usize, usize) {
    let sequence = |at: usize| u64::from_be_bytes(bytes[at + 12..at + 20].try_into().unwrap());
    if sequence(0) > sequence(SECOND) { (0, SECOND) } else { (SECOND, 0) }
}

fn alter(dir: &Path, alter: impl FnOnce(&mut Vec<u8>, usize, usize)) {
    change(dir, "head", |bytes| {
        let (newer, older) = places(bytes);
        alter(bytes, newer, older);
    });
}

fn foreign_head(dir: &Path) {
    let other = tempfile::tempdir().unwrap();
    let mut foreign = options(other.path());
    foreign.anchor.key = TrailKey::new(&[4; 32]);
    Trail::open(foreign, clock()).unwrap().close().unwrap();
    fs::copy(other.path().join("head"), dir.join("head")).unwrap();
}

fn instead(dir: &Path, put: impl FnOnce(&Path)) {
    fs::remove_file(dir.join("head")).unwrap();
    put(&dir.join("head"));
}

/// What is done, and how.
pub struct Harm(pub &'static str, pub fn(&Path));

/// Nothing that stops a bridge leaves any of it.
const ALTERATIONS: &[Harm] = &[
    Harm("a bit of the newer place", |dir| alter(dir, |bytes, newer, _| bytes[newer + 60] ^= 1)),
    Harm("a bit of the older place", |dir| alter(dir, |bytes, _, older| bytes[older + 60] ^= 1)),
    Harm("the newer place's MAC", |dir| alter(dir, |bytes, newer, _| bytes[newer + PLACE - 1] ^= 128)),
    Harm("the newer place's sequence", |dir| alter(dir, |bytes, newer, _| bytes[newer + 12] = 255)),
    Harm("the newer place is zeroed", |dir| {
        alter(dir, |bytes, newer, _| bytes[newer..newer + PLACE].fill(0))
    }),
    Harm("the older place is zeroed", |dir| {
        alter(dir, |bytes, _, older| bytes[older..older + PLACE].fill(0))
    }),
    Harm("half of the newer place is zeroed", |dir| {
        alter(dir, |bytes, newer, _| bytes[newer + 90..newer + PLACE].fill(0))
    }),
    Harm("the older place over the newer", |dir| {
        alter(dir, |bytes, newer, older| bytes.copy_within(older..older + PLACE, newer))
    }),
    Harm("the newer place over the older", |dir| {
        alter(dir, |bytes, newer, older| bytes.copy_within(newer..newer + PLACE, older))
    }),
    Harm("the places change places", |dir| {
        alter(dir, |bytes, _, _| {
            let first = bytes[..PLACE].to_vec();
            bytes.copy_within(SECOND..SECOND + PLACE, 0);
            bytes[SECOND..SECOND + PLACE].copy_from_slice(&first);
        })
    }),
    Harm("it is empty", |dir| change(dir, "head", Vec::clear)),
    Harm("it has its first place only", |dir| change(dir, "head", |bytes| bytes.truncate(PLACE))),
    Harm("it lacks a byte", |dir| change(dir, "head", |bytes| bytes.truncate(SECOND + PLACE - 1))),
    Harm("it begins a byte later", |dir| change(dir, "head", |bytes| bytes.insert(0, 0))),
    Harm("it is gone", |dir| instead(dir, |_| {})),
    Harm("another bridge's", foreign_head),
    Harm("text", |dir| fs::write(dir.join("head"), "nothing").unwrap()),
    Harm("a directory", |dir| instead(dir, |head| fs::create_dir(head).unwrap())),
    Harm("a directory with files", |dir| {
        instead(dir, |head| fs::create_dir(head).and_then(|()| fs::write(head.join("x"), "y")).unwrap())
    }),
    Harm("a link to nothing", |dir| instead(dir, |head| symlink("/nowhere", head).unwrap())),
    Harm("a link to no end of zeros", |dir| instead(dir, |head| symlink("/dev/zero", head).unwrap())),
    Harm("a gigabyte that is not there", |dir| {
        instead(dir, |head| File::create(head).unwrap().set_len(1 << 30).unwrap())
    }),
    Harm("a pipe", |dir| {
        instead(dir, |head| assert!(Command::new("mkfifo").arg(head).status().unwrap().success()))
    }),
];

/// Each is refused, and each refusal's way out works: no record that was acknowledged is lost on it.
#[test]
fn every_alteration_of_what_is_remembered_is_refused_and_can_be_accepted() {
    for Harm(what, alteration) in ALTERATIONS {
        let dir = killed();
        alteration(dir.path());
        let fault = refused(dir.path());
        assert_eq!(fault.file, Path::new("head"), "{what}: {fault}");
        assert_eq!(refused(dir.path()), fault, "{what}: again");
        let examined = Trail::examine(&begun(dir.path()));
        assert!(matches!(examined, Err(AuditError::NotAsLeft(again)) if again == fault), "{what}");

        let accepting = Options { accept_loss: true, ..begun(dir.path()) };
        let accepted = Trail::open(accepting, clock()).and_then(|trail| trail.close());
        accepted.unwrap_or_else(|error| panic!("{what}: {error}"));
        let entries = entries(dir.path());
        assert_eq!((entries.len(), &*entries[620].action), (621, name::LOSS), "{what}");
        Trail::open(begun(dir.path()), clock()).unwrap().close().unwrap();
        assert_eq!(verify(&Log::open(dir.path()).unwrap()).size, 621, "{what}");
    }
}

/// What lies behind both places means nothing, and another name or mode of the file changes nothing.
#[test]
fn what_is_not_the_head_does_not_stop_a_start() {
    let harmless: [Harm; 4] = [
        Harm("longer", |dir| change(dir, "head", |bytes| bytes.extend([7; 10_000]))),
        Harm("a second name", |dir| fs::hard_link(dir.join("head"), dir.join("head.copy")).unwrap()),
        Harm("moved, with a link to it", |dir| {
            fs::rename(dir.join("head"), dir.join("elsewhere")).unwrap();
            symlink("elsewhere", dir.join("head")).unwrap();
        }),
        Harm("read-only", |dir| {
            let mut mode = fs::metadata(dir.join("head")).unwrap().permissions();
            mode.set_readonly(true);
            fs::set_permissions(dir.join("head"), mode).unwrap();
        }),
    ];
    for Harm(what, harmless) in harmless {
        let dir = killed();
        harmless(dir.path());
        let opened = Trail::open(begun(dir.path()), clock());
        assert_eq!(opened.unwrap_or_else(|error| panic!("{what}: {error}")).status().size, 620, "{what}");
    }
}

/// 645 records, of which 642 are signed, as the mark knows; and a copy from when there were 630.
struct SetBack {
    dir: tempfile::TempDir,
    older: tempfile::TempDir,
    mark: Mark,
}

fn set_back() -> SetBack {
    let dir = killed();
    let older = tempfile::tempdir().unwrap();
    let trail = open_lagging(dir.path());
    record(&trail, 620..630);
    copy_all(dir.path(), older.path());
    record(&trail, 630..640);
    drop(trail);
    let trail = open_lagging(dir.path());
    record(&trail, 640..642);
    drop(trail);
    let trail = open_lagging(dir.path());
    let mark = trail.mark().unwrap();
    record(&trail, 642..645);
    let copy = tempfile::tempdir().unwrap();
    copy_all(dir.path(), copy.path());
    drop(trail);
    SetBack { dir: copy, older, mark }
}

fn marked(dir: &Path, mark: Mark) -> Options {
    let mut options = begun(dir);
    options.anchor.mark = Some(mark);
    options
}

/// What is put back, how, and which records are told to be lost.
type PutBack = (&'static str, fn(&Path, &Path), Option<&'static str>);

/// An older copy of what is remembered does not hide what is missing: the mark that is kept elsewhere tells.
#[test]
fn an_older_copy_of_what_is_remembered_is_refused_where_it_is_known_to_be_older() {
    let put_back: [PutBack; 2] = [
        (
            "head, journal and log",
            |dir, older| {
                fs::remove_dir_all(dir).unwrap();
                fs::create_dir(dir).unwrap();
                copy_all(older, dir);
            },
            Some("642"),
        ),
        (
            "head and journal",
            |dir, older| {
                fs::remove_dir_all(dir.join("journal")).unwrap();
                fs::create_dir(dir.join("journal")).unwrap();
                copy_all(&older.join("journal"), &dir.join("journal"));
                fs::copy(older.join("head"), dir.join("head")).unwrap();
            },
            None,
        ),
    ];
    for (what, put_back, lost_below) in put_back {
        let SetBack { dir, older, mark } = set_back();
        assert!(Trail::examine(&marked(dir.path(), mark)).is_ok(), "{what}: as it was left");
        put_back(dir.path(), older.path());
        let Err(AuditError::NotAsLeft(fault)) = Trail::open(marked(dir.path(), mark), clock()) else {
            panic!("{what}: it opened")
        };
        assert!([FaultKind::RolledBack, FaultKind::Missing].contains(&fault.kind), "{what}: {fault}");
        let accepting = Options { accept_loss: true, ..marked(dir.path(), mark) };
        let trail = Trail::open(accepting, clock()).unwrap();
        trail.close().unwrap();
        let after = trail.mark().unwrap();
        drop(trail);
        assert!(after.sequence > mark.sequence, "{what}");
        let entries = entries(dir.path());
        let loss = entries.last().unwrap();
        assert_eq!(&*loss.action, name::LOSS, "{what}");
        assert_eq!(loss.facts.get("lost_below").map(String::as_str), lost_below, "{what}: {:?}", loss.facts);
        Trail::open(marked(dir.path(), after), clock()).unwrap().close().unwrap();
    }
}

/// Whoever copies a running bridge takes the head first, then the store, then the log: what comes later may be newer.
#[test]
fn a_copy_of_a_running_bridge_opens() {
    let SetBack { dir, older, mark } = set_back();
    fs::copy(older.path().join("head"), dir.path().join("head")).unwrap();
    Trail::open(marked(dir.path(), mark), clock()).unwrap().close().unwrap();
    assert_eq!(verify(&Log::open(dir.path()).unwrap()).size, 645);
}

/// With the store of the same moment, an older copy of what is remembered is told by the log: it holds what was done to
/// the store since.
#[test]
fn what_is_remembered_is_not_put_back_with_the_store_behind_the_log() {
    let changed = [
        (name::KEY_REVOKE, true),
        (name::SUBJECT_ERASE, true),
        (name::SECRET_SET, true),
        (name::LOSS, true),
        ("something.later", true),
        (name::TOKEN_ISSUE, false),
        (name::BRIDGE_START, false),
    ];
    for (action, refused) in changed {
        for hidden in [false, true] {
            let dir = killed();
            Trail::open(begun(dir.path()), clock()).unwrap().close().unwrap();
            let older = tempfile::tempdir().unwrap();
            copy_all(dir.path(), older.path());
            let trail = open_lagging(dir.path());
            record(&trail, 620..630);
            let id = ExchangeId::from_u128(1 << 100);
            let action_taken = Action::done(id, Timestamp::from_seconds(START), action, "key-1");
            wait(&trail, trail.act(&action_taken).unwrap()).unwrap();
            record(&trail, 631..1200);
            trail.close().unwrap();
            drop(trail);
            fs::copy(older.path().join("head"), dir.path().join("head")).unwrap();
            if hidden {
                // Altered so that it does not tell.
                let bundle = dir.path().join("log/tile/entries/002");
                let text = fs::read(&bundle).unwrap();
                let at = text.windows(action.len()).rposition(|part| part == action.as_bytes()).unwrap();
                let mut text = text;
                text[at..at + action.len()].fill(b'x');
                fs::write(bundle, text).unwrap();
            }
            let context = format!("{action}, hidden: {hidden}");
            let examined = Trail::examine(&begun(dir.path()));
            let Err(AuditError::NotAsLeft(fault)) = examined else {
                assert!(examined.is_ok() && !refused && !hidden, "{context}: {examined:?}");
                Trail::open(begun(dir.path()), clock()).unwrap().close().unwrap();
                continue;
            };
            assert!(refused || hidden, "{context}: {fault}");
            if !hidden {
                assert_eq!(
                    (fault.kind, fault.entry, &*fault.file),
                    (FaultKind::RolledBack, Some(630), Path::new("head"))
                );
                assert!(fault.detail.contains(action), "{context}: {fault}");
                let accepting = Options { accept_loss: true, ..begun(dir.path()) };
                Trail::open(accepting, clock()).unwrap().close().unwrap();
                assert_eq!(entries(dir.path()).last().unwrap().action, name::LOSS, "{context}");
                Trail::open(begun(dir.path()), clock()).unwrap().close().unwrap();
            }
        }
    }
}

/// Start and verification agree: the journal must reach the log, although nothing is missing that the log does not hold.
#[test]
fn an_older_journal_is_refused_by_start_and_verification_alike() {
    let older: [Harm; 5] = [
        Harm("an older copy of it", |dir| {
            for segment in fs::read_dir(dir.join("journal")).unwrap() {
                fs::remove_file(segment.unwrap().path()).unwrap();
            }
            fs::copy(dir.join("older"), dir.join(SEGMENT)).unwrap();
        }),
        Harm("it is empty", |dir| {
            let segment = fs::read_dir(dir.join("journal")).unwrap().next().unwrap().unwrap().path();
            fs::remove_file(segment).unwrap();
        }),
        Harm("it is gone", |dir| fs::remove_dir_all(dir.join("journal")).unwrap()),
        Harm("cut within its header", |dir| {
            let segment = fs::read_dir(dir.join("journal")).unwrap().next().unwrap().unwrap().path();
            File::options().write(true).open(segment).unwrap().set_len(40).unwrap();
        }),
        Harm("its last frame is cut off", |dir| {
            let segment = fs::read_dir(dir.join("journal")).unwrap().next().unwrap().unwrap().path();
            let bytes = fs::read(&segment).unwrap();
            let starts = frames(&bytes);
            File::options()
                .write(true)
                .open(segment)
                .unwrap()
                .set_len(starts[starts.len() - 2] as u64)
                .unwrap();
        }),
    ];
    for Harm(what, harm) in older {
        let dir = killed();
        let cut = fs::read(dir.path().join(SEGMENT)).unwrap();
        fs::write(dir.path().join("older"), &cut[..frames(&cut)[2]]).unwrap();
        let trail = open_lagging(dir.path());
        record(&trail, 620..630);
        drop(trail);
        harm(dir.path());
        let fault = refused(dir.path());
        assert!(fault.file.starts_with("journal"), "{what}: {fault}");
        if what != "it is gone" {
            let log = Log::open(dir.path()).unwrap().authenticated(&begun(dir.path()).anchor).unwrap();
            log.verify(None, &mut |_, _| {}).expect_err(what);
        }
        let accepting = Options { accept_loss: true, ..begun(dir.path()) };
        Trail::open(accepting, clock()).unwrap().close().unwrap();
        let entries = entries(dir.path());
        assert_eq!((entries.len(), entries[630].facts.contains_key("lost_from")), (631, false), "{what}");
        Trail::open(begun(dir.path()), clock()).unwrap().close().unwrap();
        verify(&Log::open(dir.path()).unwrap());
    }
}
