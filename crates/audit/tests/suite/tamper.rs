//! Whoever changes, shortens, removes, repeats or exchanges anything that is stored is found out, and where.

use crate::exchanges::{clock, closed, copy_all, open_lagging, options, record};
use ironbridge_audit::{AuditError, Fault, FaultKind, Log, Options, Query, Trail};
use ironbridge_seal::note::{NoteSigner, NoteVerifier};
use std::fs;
use std::path::{Path, PathBuf};

/// 600 records in the log and 20 more in the journal.
fn stored() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), 600);
    let trail = open_lagging(dir.path());
    record(&trail, 600..610);
    record(&trail, 610..620);
    // Copied while the bridge runs, as a crash would leave it.
    let copy = tempfile::tempdir().unwrap();
    copy_all(dir.path(), copy.path());
    drop(trail);
    copy
}

fn verify(dir: &Path) -> Result<(), Fault> {
    Log::open(dir)?.verify(None, &mut |_, _| {}).map(|_| ())
}

fn fault_after(tamper: impl FnOnce(&Path)) -> Fault {
    let dir = stored();
    verify(dir.path()).unwrap();
    tamper(dir.path());
    verify(dir.path()).unwrap_err()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// Everything that is evidence: the lock is not, and what is remembered of the trail lies elsewhere.
fn evidence(dir: &Path) -> Vec<PathBuf> {
    let below = |path: PathBuf| path.strip_prefix(dir).unwrap().to_path_buf();
    files(dir)
        .into_iter()
        .map(below)
        .filter(|path| path != Path::new("lock") && path != Path::new("head"))
        .collect()
}

#[test]
fn every_flipped_bit_is_found() {
    let dir = stored();
    for file in evidence(dir.path()) {
        let path = dir.path().join(&file);
        let original = fs::read(&path).unwrap();
        let stride = (original.len() / 40).max(1);
        for at in (0..original.len()).step_by(stride).chain([original.len() - 1]) {
            for bit in [0, 5] {
                let mut altered = original.clone();
                altered[at] ^= 1 << bit;
                fs::write(&path, &altered).unwrap();
                let fault = verify(dir.path());
                let harmless = file == Path::new("log/key") && at == original.len() - 1;
                assert!(fault.is_err() || harmless, "{}: bit {bit} of byte {at}", file.display());
                if let Err(fault) = fault {
                    located(&fault, &file);
                }
            }
        }
        fs::write(&path, &original).unwrap();
    }
    verify(dir.path()).unwrap();
}

/// A wrong key shows as a signature that does not verify; all else is found in its own file.
fn located(fault: &Fault, file: &Path) {
    let key = file == Path::new("log/key") && fault.file == Path::new("log/checkpoint");
    assert!(fault.file == file || key, "{} was altered: {fault}", file.display());
}

#[test]
fn every_shortened_file_is_found() {
    let dir = stored();
    for file in evidence(dir.path()) {
        let path = dir.path().join(&file);
        let original = fs::read(&path).unwrap();
        for length in [0, 1, original.len() / 2, original.len() - 1] {
            fs::write(&path, &original[..length]).unwrap();
            let outcome = verify(dir.path());
            // A journal that ends within a frame ends before it: without what is remembered of the trail, nothing tells a
            // cut tail from a power cut.
            let unfinished = file.starts_with("journal") && length > 88;
            let newline = file == Path::new("log/key") && length == original.len() - 1;
            match outcome {
                Err(fault) => located(&fault, &file),
                Ok(()) => assert!(unfinished || newline, "{} cut to {length}", file.display()),
            }
        }
        fs::write(&path, &original).unwrap();
    }
}

#[test]
fn every_missing_file_is_found() {
    let dir = stored();
    for file in evidence(dir.path()) {
        let path = dir.path().join(&file);
        let original = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let fault = verify(dir.path()).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Missing, "{fault}");
        assert!(file.starts_with(&fault.file), "{} is gone: {fault}", file.display());
        fs::write(&path, &original).unwrap();
    }
}

#[test]
fn every_exchange_of_two_files_is_found() {
    let dir = stored();
    let files = evidence(dir.path());
    for one in &files {
        for other in files.iter().filter(|other| *other > one) {
            let (a, b) = (fs::read(dir.path().join(one)).unwrap(), fs::read(dir.path().join(other)).unwrap());
            fs::write(dir.path().join(one), &b).unwrap();
            fs::write(dir.path().join(other), &a).unwrap();
            let outcome = verify(dir.path());
            assert!(outcome.is_err(), "{} and {} exchanged", one.display(), other.display());
            fs::write(dir.path().join(one), &a).unwrap();
            fs::write(dir.path().join(other), &b).unwrap();
        }
    }
    verify(dir.path()).unwrap();
}

/// Changes the entries of a bundle and writes it back in good form.
fn rewrite_bundle(dir: &Path, file: &str, change: impl FnOnce(&mut Vec<Vec<u8>>)) {
    let path = dir.join(file);
    let bytes = fs::read(&path).unwrap();
    let mut entries = Vec::new();
    let mut rest = &bytes[..];
    while let Some((length, tail)) = rest.split_first_chunk::<2>() {
        let (entry, tail) = tail.split_at(usize::from(u16::from_be_bytes(*length)));
        entries.push(entry.to_vec());
        rest = tail;
    }
    change(&mut entries);
    let written = entries
        .iter()
        .flat_map(|entry| [&u16::try_from(entry.len()).unwrap().to_be_bytes()[..], entry].concat())
        .collect::<Vec<u8>>();
    fs::write(path, written).unwrap();
}

#[test]
fn a_changed_entry_is_named() {
    for (file, first) in [("log/tile/entries/001", 256), ("log/tile/entries/002.p/88", 512)] {
        let fault = fault_after(|dir| {
            rewrite_bundle(dir, file, |entries| {
                let text = String::from_utf8(entries[5].clone()).unwrap();
                entries[5] = text.replace("\"success\"", "\"partial\"").into_bytes();
            });
        });
        assert_eq!((fault.file.as_path(), fault.entry), (Path::new(file), Some(first + 5)), "{fault}");
        assert_eq!(fault.kind, FaultKind::Altered);
    }
}

#[test]
fn removed_added_and_reordered_entries_are_named() {
    let bundle = "log/tile/entries/001";
    type Change = fn(&mut Vec<Vec<u8>>);
    let cases: [(&str, Change, u64); 4] = [
        ("removed", |entries| drop(entries.remove(9)), 511),
        ("removed, another added", |entries| entries[9..].rotate_left(1), 265),
        ("reordered", |entries| entries.swap(3, 4), 259),
        ("added", |entries| entries.push(b"{}".to_vec()), 512),
    ];
    for (what, change, entry) in cases {
        let fault = fault_after(|dir| rewrite_bundle(dir, bundle, change));
        assert_eq!((fault.file.as_path(), fault.entry), (Path::new(bundle), Some(entry)), "{what}: {fault}");
    }
}

/// A forger without the key who makes everything else fit.
#[test]
fn a_consistent_forgery_does_not_fit_the_signed_root() {
    let dir = stored();
    let forged = tempfile::tempdir().unwrap();
    closed(forged.path(), 599);
    let trail = Trail::open(options(forged.path()), clock()).unwrap();
    record(&trail, 5000..5001);
    trail.close().unwrap();
    let tiles = dir.path().join("log/tile");
    fs::remove_dir_all(&tiles).unwrap();
    fs::create_dir_all(&tiles).unwrap();
    copy_all(&forged.path().join("log/tile"), &tiles);
    let fault = verify(dir.path()).unwrap_err();
    assert_eq!(fault.file, Path::new("log/checkpoint"), "{fault}");
    assert_eq!(fault.kind, FaultKind::Altered);
}

#[test]
fn another_key_or_origin_is_refused() {
    let dir = stored();
    let log = Log::open(dir.path()).unwrap();
    let other = NoteSigner::from_seed("example.com/bridge-1", &[8; 32]).unwrap();
    let other_key = NoteVerifier::parse(&other.verifier_key()).unwrap();
    let fault = log.verify(Some(&other_key), &mut |_, _| {}).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Signature);
    let opened = Trail::open(Options { signers: other.try_into().unwrap(), ..options(dir.path()) }, clock());
    assert!(matches!(opened, Err(AuditError::Damaged(fault)) if fault.kind == FaultKind::Signature));
    let opened =
        Trail::open(Options { origin: "example.com/bridge-2".into(), ..options(dir.path()) }, clock());
    let Err(AuditError::OtherName { found, name }) = opened else { panic!() };
    assert_eq!((&*found, &*name), ("example.com/bridge-1", "example.com/bridge-2"));
}

/// The bridge does not start on a trail whose growing edge or journal is damaged.
#[test]
fn a_damaged_trail_is_not_written_to() {
    let edge = ["log/checkpoint", "log/tile/0/002.p/88", "log/tile/1/000.p/2", "log/tile/entries/002.p/88"];
    let journal = "journal/0000000000000600.wal";
    for file in edge.into_iter().chain([journal]) {
        for damage in ["flip", "cut", "remove"] {
            let dir = stored();
            let path = dir.path().join(file);
            let mut bytes = fs::read(&path).unwrap();
            match damage {
                "flip" => {
                    let at = bytes.len() / 4;
                    bytes[at] ^= 1;
                    fs::write(&path, &bytes).unwrap();
                }
                "cut" => fs::write(&path, &bytes[..20]).unwrap(),
                _ => fs::remove_file(&path).unwrap(),
            }
            let opened = Trail::open(options(dir.path()), clock());
            let fault = match opened {
                Err(AuditError::Damaged(fault) | AuditError::NotAsLeft(fault)) => fault,
                Err(error) => panic!("{file}: {damage}: {error}"),
                Ok(_) => panic!("{file}: {damage}"),
            };
            assert!(Path::new(file).starts_with(&fault.file), "{file}, {damage}: {fault}");
        }
    }
}

#[test]
fn a_journal_frame_that_is_damaged_is_located() {
    let fault = fault_after(|dir| {
        let path = dir.join("journal/0000000000000600.wal");
        let mut bytes = fs::read(&path).unwrap();
        bytes[88 + 56 + 40] ^= 1;
        fs::write(path, bytes).unwrap();
    });
    assert_eq!((fault.offset, fault.entry), (Some(88), Some(600)), "{fault}");
    // Frames exchanged: the first then starts with the wrong record.
    let fault = fault_after(|dir| {
        let path = dir.join("journal/0000000000000600.wal");
        let bytes = fs::read(&path).unwrap();
        let first = 56 + u32::from_be_bytes(bytes[88..92].try_into().unwrap()) as usize;
        let (one, other) = bytes[88..].split_at(first);
        fs::write(path, [&bytes[..88], other, one].concat()).unwrap();
    });
    assert_eq!((fault.offset, fault.entry), (Some(88), Some(600)), "{fault}");
}

/// One frame's detail with a change in it, and the checksums made to fit again.
fn rewrite_detail(dir: &Path, change: impl FnOnce(&mut [u8])) {
    let path = dir.join("detail/0000000000000000.wal");
    let mut bytes = fs::read(&path).unwrap();
    let end = 88 + 56 + u32::from_be_bytes(bytes[88..92].try_into().unwrap()) as usize;
    change(&mut bytes[88 + 56..end]);
    let checksum = crc32fast::hash(&bytes[88 + 56..end]).to_be_bytes();
    bytes[88 + 16..88 + 20].copy_from_slice(&checksum);
    let checksum = crc32fast::hash(&bytes[88..88 + 20]).to_be_bytes();
    bytes[88 + 20..88 + 24].copy_from_slice(&checksum);
    fs::write(path, bytes).unwrap();
}

/// The first piece of the frame: length of the record, which is none, and of its detail; kind, owner's tag, commitment,
/// length, value.
const PIECE: usize = 2 + 4;

/// What is done to a frame's records.
type Alteration = (&'static str, fn(&mut [u8]));

#[test]
fn detail_that_was_altered_is_never_taken_for_an_erasure() {
    let alterations: [Alteration; 5] = [
        ("the value is zeroed", |frame| frame[PIECE + 51..PIECE + 51 + 20].fill(0)),
        ("the owner's tag is zeroed", |frame| frame[PIECE + 1..PIECE + 17].fill(0)),
        ("the kind is another", |frame| frame[PIECE] = 2),
        ("the kind is unknown", |frame| frame[PIECE] = 9),
        ("the commitment is another", |frame| frame[PIECE + 20] ^= 1),
    ];
    for (what, alter) in alterations {
        let dir = stored();
        rewrite_detail(dir.path(), alter);
        let anchor = options(dir.path()).anchor;
        let log = Log::open(dir.path()).unwrap().authenticated(&anchor).unwrap();
        let fault = log.verify(None, &mut |_, _| {}).unwrap_err();
        let place = (fault.kind, fault.file.as_path(), fault.offset);
        assert_eq!(
            place,
            (FaultKind::Altered, Path::new("detail/0000000000000000.wal"), Some(88)),
            "{what}: {fault}"
        );
        for query in [
            Query { details: true, id: Some(crate::exchanges::id(0)), ..Query::default() },
            Query { subject: Some([5; 16]), ..Query::default() },
        ] {
            let log = Log::open(dir.path()).unwrap().authenticated(&anchor).unwrap();
            log.query(query).unwrap().for_each(|stored| drop(stored.unwrap()));
            assert_eq!(log.damage()[0].kind, FaultKind::Altered, "{what}");
        }
    }
}

/// No record is found by a person whose detail was taken away: that is said, not passed over.
#[test]
fn a_person_is_not_lost_with_the_detail() {
    let dir = stored();
    fs::remove_file(dir.path().join("detail/0000000000000000.wal")).unwrap();
    let log = Log::open(dir.path()).unwrap().authenticated(&options(dir.path()).anchor).unwrap();
    let by_person = Query { subject: Some([5; 16]), ..Query::default() };
    assert_eq!(log.query(by_person).unwrap().count(), 0);
    assert_eq!(log.damage()[0].kind, FaultKind::Missing);
}
