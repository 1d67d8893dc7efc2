//! Receipts prove one record offline, and nothing else passes for one.

use crate::exchanges::{ORIGIN, callers, closed, open, record, signer};
use ironbridge_audit::receipt::{Disclosed, Receipt, ReceiptFault};
use ironbridge_audit::{FaultKind, Log};
use ironbridge_seal::hash::{base64, unbase64};
use ironbridge_seal::note::{self, NoteError, NoteSigner, NoteVerifier, SignatureKind};
use proptest::prelude::*;
use std::path::Path;
use std::sync::LazyLock;

const NOW: u64 = 1_767_225_600;

fn log_keys() -> Vec<NoteVerifier> {
    vec![signer().verifier().unwrap()]
}

pub fn witness(name: &str) -> NoteSigner {
    NoteSigner::from_seed_kind(SignatureKind::MlDsa44Cosignature, name, &[name.len() as u8; 32]).unwrap()
}

/// The receipt of a record with its caller's address disclosed.
pub fn receipt(dir: &Path, index: u64) -> String {
    let log = Log::open(dir).unwrap();
    let stored = log.follow(index).next().unwrap().unwrap();
    let key = callers();
    let opened = stored.open_details(|tag| (*tag == key.tag).then_some(&*key));
    let opened =
        opened.into_iter().enumerate().filter_map(|(place, detail)| Some((place, detail?))).collect();
    let commitments = stored.details.iter().map(|detail| detail.commitment).collect();
    Receipt::make(&log, index, &log_keys(), Disclosed { commitments, opened }).unwrap().to_string()
}

fn check(text: &str) -> Result<ironbridge_audit::receipt::Checked, ReceiptFault> {
    Receipt::parse(text)?.check(&log_keys(), &[], 0)
}

#[test]
fn every_record_has_a_receipt() {
    let dir = tempfile::tempdir().unwrap();
    for size in [1, 2, 7, 300] {
        closed(dir.path(), size - Log::open(dir.path()).map_or(0, |log| log.checkpoint(None).unwrap().size));
        for index in (0..size).step_by(41).chain([size - 1]) {
            let text = receipt(dir.path(), index);
            let checked = check(&text).unwrap();
            assert_eq!((checked.index, checked.size), (index, size));
            assert_eq!(checked.origin, ORIGIN);
            assert_eq!(Receipt::parse(&text).unwrap().to_string(), text);
        }
    }
    let log = Log::open(dir.path()).unwrap();
    let beyond = Receipt::make(&log, 300, &[], Disclosed::default()).unwrap_err();
    assert_eq!(beyond.kind, FaultKind::Missing);
}

#[test]
fn the_file_has_the_specifications_form() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), 5);
    let text = receipt(dir.path(), 4);
    let lines: Vec<&str> = text.split('\n').collect();
    assert_eq!(lines[0], "c2sp.org/tlog-proof@v1");
    assert!(lines[1].starts_with("extra "));
    assert_eq!(lines[2], "index 4");
    // The fifth of five records hangs at the root.
    assert_eq!(lines[4], "");
    let checkpoint = std::fs::read_to_string(dir.path().join("log/checkpoint")).unwrap();
    assert!(text.ends_with(&format!("\n\n{checkpoint}")));
}

#[test]
fn cosigned_checkpoints_are_preferred_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), 10);
    let log = Log::open(dir.path()).unwrap();
    let note = log.signed_checkpoint(&[]).unwrap().note;
    let text = note::unverified_text(&note).unwrap();
    let (one, other) = (witness("w.example/1"), witness("w.example/other"));
    log.keep_witnessed(&note::add(&note, &one.line(text, NOW).unwrap()).unwrap()).unwrap();
    log.keep_witnessed(&note::add(&note, &other.line(text, NOW + 5).unwrap()).unwrap()).unwrap();
    let trail = open(dir.path());
    record(&trail, 10..20);
    trail.close().unwrap();

    let keys = [one.verifier().unwrap(), other.verifier().unwrap()];
    let covered = Receipt::parse(&receipt(dir.path(), 3)).unwrap();
    let checked = covered.check(&log_keys(), &keys, 2).unwrap();
    assert_eq!(checked.size, 10);
    assert_eq!(
        checked.cosignatures.iter().map(|cosigned| cosigned.time).collect::<Vec<_>>(),
        [Some(NOW), Some(NOW + 5)]
    );
    assert_eq!(covered.check(&log_keys(), &keys, 3), Err(ReceiptFault::Quorum { found: 2, wanted: 3 }));
    assert_eq!(covered.check(&log_keys(), &keys[..1], 2), Err(ReceiptFault::Quorum { found: 1, wanted: 2 }));
    let newer = Receipt::parse(&receipt(dir.path(), 15)).unwrap();
    assert_eq!(newer.check(&log_keys(), &keys, 0).unwrap().size, 20);
    assert_eq!(newer.check(&log_keys(), &keys, 1), Err(ReceiptFault::Quorum { found: 0, wanted: 1 }));
    // A log does not witness itself, whatever its keys are.
    let own = NoteSigner::generate_kind(SignatureKind::MlDsa44Cosignature, ORIGIN).unwrap();
    log.keep_witnessed(&note::add(&note, &own.line(text, NOW).unwrap()).unwrap()).unwrap();
    let own = [own.verifier().unwrap()];
    let covered = Receipt::parse(&receipt(dir.path(), 3)).unwrap();
    assert_eq!(covered.check(&log_keys(), &own, 1), Err(ReceiptFault::Quorum { found: 0, wanted: 1 }));
    // An older checkpoint does not take the place of a newer one.
    let newest = log.signed_checkpoint(&[]).unwrap().note;
    log.keep_witnessed(&newest).unwrap();
    log.keep_witnessed(&note).unwrap();
    assert_eq!(log.witnessed_checkpoint(&[]).unwrap().unwrap().checkpoint.size, 20);
}

#[test]
fn the_fault_says_what_does_not_fit() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), 10);
    let text = receipt(dir.path(), 3);
    let stranger = NoteSigner::from_seed(ORIGIN, &[9; 32]).unwrap().verifier().unwrap();
    let refused = Receipt::parse(&text).unwrap().check(&[stranger], &[], 0);
    assert_eq!(refused, Err(ReceiptFault::Signature(NoteError::Unverified)));
    // A key of another log that is in the list as well does not speak for this one.
    let neighbour = NoteSigner::from_seed("example.com/bridge-2", &[9; 32]).unwrap();
    let (proof, note) = text.split_once("\n\n").unwrap();
    let forged = neighbour.sign(note::unverified_text(note).unwrap()).unwrap();
    let refused = Receipt::parse(&format!("{proof}\n\n{forged}"));
    let refused = refused.unwrap().check(&[neighbour.verifier().unwrap()], &[], 0);
    assert_eq!(refused, Err(ReceiptFault::Signature(NoteError::Unverified)));

    let at_four = text.replace("index 3\n", "index 4\n");
    assert_eq!(check(&at_four), Err(ReceiptFault::Inclusion { index: 4, size: 10 }));
    let resized = text.replace("\n10\n", "\n11\n");
    assert_eq!(check(&resized), Err(ReceiptFault::Signature(NoteError::SignatureInvalid(ORIGIN.into()))));
    let other_record = change_extra(&text, |json| json.replace("success", "partial"));
    assert_eq!(check(&other_record), Err(ReceiptFault::Inclusion { index: 3, size: 10 }));
    let other_version = change_extra(&text, |json| json.replacen("\"v\":1", "\"v\":2", 1));
    assert_eq!(check(&other_version), Err(ReceiptFault::Malformed("the record is unreadable")));
}

#[test]
fn disclosed_detail_is_what_the_record_commits_to() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), 3);
    let text = receipt(dir.path(), 1);
    let details = check(&text).unwrap().details;
    let [address] = &details[..] else { panic!("{details:?}") };
    assert_eq!((address.kind.name(), &*address.value), ("address", "0.0.0.0"));

    let other_value = change_extra(&text, |json| json.replace("\"0.0.0.0\"", "\"192.0.2.1\""));
    assert_eq!(check(&other_value), Err(ReceiptFault::Detail(0)));
    let other_kind = change_extra(&text, |json| json.replace("\"address\",\"salt\"", "\"actor\",\"salt\""));
    assert_eq!(check(&other_kind), Err(ReceiptFault::Detail(0)));
    let other_place = change_extra(&text, |json| json.replace("\"place\":0", "\"place\":1"));
    assert_eq!(check(&other_place), Err(ReceiptFault::Detail(1)));
    let more = change_extra(&text, |json| {
        json.replace("\"commitments\":[", &format!("\"commitments\":[\"{}\",", base64(&[0; 32])))
    });
    assert_eq!(check(&more), Err(ReceiptFault::Commitments));
    // Nothing need be disclosed.
    let log = Log::open(dir.path()).unwrap();
    let silent = Receipt::make(&log, 1, &[], Disclosed::default()).unwrap().to_string();
    assert_eq!(check(&silent).unwrap().details, []);
}

fn change_extra(text: &str, change: impl FnOnce(String) -> String) -> String {
    let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let json = unbase64(lines[1].strip_prefix("extra ").unwrap()).unwrap();
    lines[1] = format!("extra {}", base64(change(String::from_utf8(json).unwrap()).as_bytes()));
    lines.join("\n")
}

#[test]
fn only_the_strict_form_is_read() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), 10);
    let text = receipt(dir.path(), 3);
    let hash = format!("{}\n", base64(&[0; 32]));
    let long = text.replace("index 3\n", &format!("index 3\n{}", hash.repeat(60)));
    for (broken, why) in [
        (text.replace("@v1", "@v2"), "its first line is another"),
        (text.replace("\nextra ", "\nmore "), "the record is missing"),
        (text.replace("\nindex 3", "\nindex 03"), "the index is missing"),
        (text.replace("\nindex 3", "\nindex +3"), "the index is missing"),
        (text.replace("index 3\n", "index 3\nAAAA\n"), "a hash of the proof is not one"),
        (text.replace('\n', "\r\n"), "the checkpoint is missing"),
        (text.split("\n\n").next().unwrap().to_owned(), "the checkpoint is missing"),
        (long, "the proof has more than 63 hashes"),
        (" ".repeat(5 << 20), "it is larger than 4 MiB"),
        (String::new(), "the checkpoint is missing"),
    ] {
        assert_eq!(Receipt::parse(&broken), Err(ReceiptFault::Malformed(why)), "{why}");
    }
}

static TEXT: LazyLock<String> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), 10);
    receipt(dir.path(), 3)
});

proptest! {
    #[test]
    fn a_changed_receipt_proves_nothing_else(at in 0_usize..4000, bit in 0_u8..7) {
        let honest = check(&TEXT).unwrap();
        let mut bytes = TEXT.clone().into_bytes();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        if let Ok(text) = String::from_utf8(bytes)
            && let Ok(checked) = check(&text)
        {
            // Only the wrapping may differ, such as white space between the members of the extra line.
            prop_assert_eq!(checked.record, honest.record);
            prop_assert!(checked.details.iter().all(|detail| honest.details.contains(detail)));
            prop_assert_eq!(checked.index, honest.index);
        }
    }

    #[test]
    fn hostile_receipts_do_no_harm(text in "(c2sp.org/tlog-proof@v1\n)?(extra [A-Za-z0-9+/]{0,8}={0,2}\n)?(index [0-9]{0,3}\n)?(\\PC|\n|\u{2014} ){0,64}") {
        prop_assert!(check(&text).is_err());
    }
}
