//! Verification in steps, from a saved place, and of a range.

use crate::exchanges::{closed, eventually, open, record, signer};
use ironbridge_audit::{FaultKind, Log, SavedPlace};
use ironbridge_seal::note::NoteVerifier;
use proptest::prelude::*;
use std::path::Path;

fn key() -> NoteVerifier {
    NoteVerifier::parse(&signer().verifier_key()).unwrap()
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_verification_goes_on_from_any_place_while_the_log_grows() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), 1000);
    let log = Log::open(dir.path()).unwrap();
    let mut verification = log.verification(&[key()]).unwrap();
    let mut places = vec![verification.place().unwrap()];
    while verification.advance().unwrap() {
        places.push(verification.place().unwrap());
    }
    assert_eq!(places.iter().map(SavedPlace::position).collect::<Vec<_>>(), [0, 256, 512, 768]);
    assert_eq!(verification.finish().unwrap().size, 1000);

    let trail = open(dir.path());
    record(&trail, 1000..66_000);
    trail.close().unwrap();
    let whole = log.verify(None, &mut |_, _| {}).unwrap();
    for place in &places {
        let place = SavedPlace::parse(&place.text()).unwrap();
        let verification = log.resume_verification(&[key()], &place).unwrap();
        assert_eq!(verification.position(), place.position());
        assert_eq!(verification.finish().unwrap(), whole);
    }
}

#[test]
fn a_place_of_another_or_a_longer_log_is_refused_and_a_forged_one_fails() {
    let (long, short) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    closed(long.path(), 600);
    closed(short.path(), 300);
    let mut verification = Log::open(long.path()).unwrap().verification(&[]).unwrap();
    while verification.advance().unwrap() {}
    let text = verification.place().unwrap().text();
    let short = Log::open(short.path()).unwrap();
    let refused =
        |text: &str| short.resume_verification(&[], &SavedPlace::parse(text).unwrap()).err().unwrap();
    let rolled_back = refused(&text);
    assert_eq!((rolled_back.kind, rolled_back.entry), (FaultKind::RolledBack, Some(300)));
    assert!(rolled_back.detail.contains("rolled back"), "{rolled_back}");
    assert_eq!(refused(&text.replace("example.com", "example.org")).kind, FaultKind::Signature);

    let mut verification = short.verification(&[]).unwrap();
    verification.advance().unwrap();
    let text = verification.place().unwrap().text();
    let hash = text.lines().last().unwrap().split_once(' ').unwrap().1;
    let forged = text.replace(hash, "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    let place = SavedPlace::parse(&forged).unwrap();
    let fault = short.resume_verification(&[], &place).unwrap().finish().unwrap_err();
    assert_eq!(fault.kind, FaultKind::Altered);
}

#[test]
fn a_range_is_checked_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), 1000);
    let log = Log::open(dir.path()).unwrap();
    let check = |range: std::ops::Range<u64>| log.verify_range(&[key()], range, &mut |_, _| {});
    for range in [0..1, 0..1000, 255..257, 300..301, 768..1000, 999..1000] {
        let mut last = (0, 0);
        let of = range.end - range.start;
        let verified = log.verify_range(&[], range, &mut |done, of| last = (done, of)).unwrap();
        assert_eq!((verified.size, last), (1000, (of, of)));
    }
    assert_eq!(check(0..1001).unwrap_err().kind, FaultKind::Missing);
    assert_eq!(check(5..5).unwrap_err().kind, FaultKind::Missing);

    // One bit of an entry in the second bundle, one of a leaf hash in the third, one of the last entry.
    let tiles = dir.path().join("log/tile");
    flip(&tiles.join("entries/001"), 100);
    flip(&tiles.join("0/002"), 40 * 32);
    flip(&tiles.join("entries/003.p/232"), 100);
    check(0..256).unwrap();
    let entry = check(300..301).unwrap_err();
    assert_eq!((entry.kind, entry.entry), (FaultKind::Altered, Some(256)));
    let hash = check(512..513).unwrap_err();
    assert_eq!((hash.kind, hash.entry), (FaultKind::Altered, Some(552)));
    assert_eq!(check(999..1000).unwrap_err().entry, Some(768));
}

/// The log grows under the reader's hands, and its edge gives way to a larger one.
#[test]
fn a_range_up_to_the_end_is_checked_while_the_log_grows() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), 2_000);
    let log = Log::open(dir.path()).unwrap();
    let mut grown = false;
    let verified = log.verify_range(&[], 0..2_000, &mut |_, _| {
        if !std::mem::replace(&mut grown, true) {
            let trail = open(dir.path());
            for size in [2_001, 2_048, 2_050] {
                record(&trail, trail.status().size..size);
                eventually(|| trail.status().integrated == size);
            }
            trail.close().unwrap();
        }
    });
    assert_eq!(verified.unwrap().size, 2_000);
    assert!(!dir.path().join("log/tile/entries/007.p/208").exists(), "the edge that was checked is gone");
}

#[test]
fn detail_is_missed_where_only_its_directory_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), 300);
    let log = Log::open(dir.path()).unwrap();
    std::fs::remove_dir_all(dir.path().join("detail")).unwrap();
    let fault = log.verify(None, &mut |_, _| {}).unwrap_err();
    assert_eq!((fault.kind, fault.entry), (FaultKind::Missing, Some(0)), "{fault}");
    // A copy of the log alone never had any.
    std::fs::remove_dir_all(dir.path().join("journal")).unwrap();
    assert_eq!(log.verify(None, &mut |_, _| {}).unwrap().details, 0);
}

/// Whoever alters an entry and its hash still meets the level above.
#[test]
fn a_range_is_checked_up_to_the_signed_root() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    closed(dir.path(), 600);
    let trail = open(other.path());
    record(&trail, 600..1200);
    trail.close().unwrap();
    for file in ["entries/000", "0/000"] {
        std::fs::copy(other.path().join("log/tile").join(file), dir.path().join("log/tile").join(file))
            .unwrap();
    }
    let log = Log::open(dir.path()).unwrap();
    let fault = log.verify_range(&[], 0..10, &mut |_, _| {}).unwrap_err();
    assert_eq!((fault.kind, fault.file.to_str()), (FaultKind::Altered, Some("log/tile/0/000")));
    log.verify_range(&[], 256..600, &mut |_, _| {}).unwrap();
}

proptest! {
    #[test]
    fn hostile_places_do_no_harm(text in "(ironbridge verification v1\n)?[a-z0-9 \n]{0,80}") {
        let _ = SavedPlace::parse(&text);
    }
}
