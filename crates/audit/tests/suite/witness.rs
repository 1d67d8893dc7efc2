//! Two sides that keep each other honest: a log that asks, a witness that remembers.

use crate::exchanges::{ORIGIN, closed, memory_log, open, open_memory, record, signer};
use crate::memory_disk::{MemoryDisk, Unsynced};
use crate::receipt::witness as cosigner;
use ironbridge_audit::disk::{Disk, RealDisk};
use ironbridge_audit::merkle::Hash;
use ironbridge_audit::witness::{
    AddCheckpoint, Answer, CosignOutcome, FileState, FindingKind, MAX_BODY, Witness,
};
use ironbridge_audit::{Checkpoint, FaultKind, Log, Signers, SignersError};
use ironbridge_core::Timestamp;
use ironbridge_seal::hash::base64;
use ironbridge_seal::note::{self, NoteSigner, NoteVerifier, SignatureKind};
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;

const NOW: Timestamp = Timestamp::from_seconds(1_767_225_600);
const NAME: &str = "auditor.example/w";

fn ed25519() -> NoteSigner {
    NoteSigner::from_seed_kind(SignatureKind::Ed25519Cosignature, NAME, &[5; 32]).unwrap()
}

fn witness_on(disk: Arc<dyn Disk>, dir: &Path) -> Witness {
    let logs = [(ORIGIN.to_owned(), vec![signer().verifier().unwrap()])];
    let state = FileState::open(disk, dir).unwrap();
    Witness::new(logs, vec![ed25519(), cosigner(NAME)], Box::new(state)).unwrap()
}

fn witness(dir: &Path) -> Witness {
    witness_on(Arc::new(RealDisk), dir)
}

fn keys() -> Vec<NoteVerifier> {
    vec![ed25519().verifier().unwrap(), cosigner(NAME).verifier().unwrap()]
}

fn ask(log: &Log, witness: &Witness, old: u64) -> CosignOutcome {
    let request = log.cosign_request(&[], old).unwrap();
    let answer = witness.add_checkpoint(request.body().as_bytes(), NOW);
    request.judge(answer.status, answer.body.as_bytes(), &keys())
}

/// Asks until it is done, as a bridge does.
fn cosign(log: &Log, witness: &Witness) -> CosignOutcome {
    match ask(log, witness, 0) {
        CosignOutcome::At(size) => ask(log, witness, size),
        outcome => outcome,
    }
}

fn grow(dir: &Path, numbers: std::ops::Range<u64>) {
    let trail = open(dir);
    record(&trail, numbers);
    trail.close().unwrap();
}

#[test]
fn a_growing_log_is_cosigned_again_and_again() {
    let (dir, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    closed(dir.path(), 0);
    let log = Log::open(dir.path()).unwrap();
    let mut size = 0;
    for step in [0, 1, 5, 0, 250, 44, 300] {
        if step > 0 {
            grow(dir.path(), size..size + step);
        }
        size += step;
        // A witness that is started again goes on.
        let outcome = cosign(&log, &witness(state.path()));
        let CosignOutcome::Cosigned { note, cosignatures } = outcome else { panic!("{outcome:?}") };
        assert_eq!(cosignatures.len(), 2);
        assert!(cosignatures.iter().all(|cosignature| cosignature.time == Some(NOW.seconds())));
        log.keep_witnessed(&note).unwrap();
        let kept = log.witnessed_checkpoint(&[]).unwrap().unwrap();
        assert_eq!(kept.checkpoint.size, size);
        assert_eq!(note::verify(&kept.note, &keys()).unwrap().1, cosignatures);
    }
}

#[test]
fn a_log_set_back_is_found_by_both_sides() {
    let (dir, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    closed(dir.path(), 10);
    let backup = tempfile::tempdir().unwrap();
    crate::exchanges::copy_all(dir.path(), backup.path());
    grow(dir.path(), 10..20);
    let witness = witness(state.path());
    let log = Log::open(dir.path()).unwrap();
    assert!(matches!(cosign(&log, &witness), CosignOutcome::Cosigned { .. }));
    let seen = log.signed_checkpoint(&[]).unwrap().note;

    let back = Log::open(backup.path()).unwrap();
    let CosignOutcome::Finding(finding) = cosign(&back, &witness) else { panic!() };
    assert_eq!(finding.kind, FindingKind::RolledBack);
    assert_eq!(
        finding.to_string(),
        "the log example.com/bridge-1 was rolled back: the witness cosigned 20 entries, this log has 10"
    );
    assert_eq!(back.check_against(&seen, &[]).unwrap_err().kind, FaultKind::RolledBack);
    assert_eq!(back.cosign_request(&[], 20).unwrap_err().kind, FaultKind::RolledBack);

    // Having grown again it is longer, but another: a fork.
    grow(backup.path(), 100..130);
    let CosignOutcome::Finding(finding) = cosign(&back, &witness) else { panic!() };
    assert_eq!(finding.kind, FindingKind::Forked);
    let fault = back.check_against(&seen, &[]).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Forked, "{fault}");
    let (old, now) = log.check_against(&seen, &[]).unwrap();
    assert_eq!((old.size, now.size), (20, 20));
}

/// Two logs under one origin and one key, of the same size.
#[test]
fn two_trees_of_one_size_are_proof_of_a_fork() {
    let (dir, other, state) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    closed(dir.path(), 10);
    grow(other.path(), 50..60);
    let witness = witness(state.path());
    assert!(matches!(cosign(&Log::open(dir.path()).unwrap(), &witness), CosignOutcome::Cosigned { .. }));
    let log = Log::open(other.path()).unwrap();
    let request = log.cosign_request(&[], 10).unwrap();
    let answer = witness.add_checkpoint(request.body().as_bytes(), NOW);
    assert_eq!((answer.status, answer.content_type), (422, "text/plain; charset=utf-8"));
    let finding = answer.finding.unwrap();
    assert_eq!(finding.kind, FindingKind::Forked);
    for evidence in &finding.evidence {
        assert!(note::verify(evidence, &[signer().verifier().unwrap()]).is_ok());
    }
    assert_ne!(finding.evidence[0], finding.evidence[1]);
    let CosignOutcome::Finding(finding) = request.judge(409, b"10\n", &keys()) else { panic!() };
    assert_eq!(finding.kind, FindingKind::Forked);
}

/// Whoever sends something else than the newest checkpoint with its proof gets the status that the protocol names.
#[test]
fn every_other_request_is_refused_as_the_protocol_says() {
    let (dir, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    closed(dir.path(), 5);
    let log = Log::open(dir.path()).unwrap();
    let five = log.cosign_request(&[], 0).unwrap().body();
    let witness = witness(state.path());
    let status = |body: &str| witness.add_checkpoint(body.as_bytes(), NOW).status;
    assert_eq!(status(&five), 200);
    grow(dir.path(), 5..12);
    let twelve = log.cosign_request(&[], 5).unwrap().body();
    let (proof, checkpoint) = twelve.split_once("\n\n").unwrap();

    let at_five = Answer { status: 409, content_type: "text/x.tlog.size", body: "5\n".into(), finding: None };
    assert_eq!(witness.add_checkpoint(five.as_bytes(), NOW), at_five, "replayed");
    assert_eq!(status(&five.replace("old 0", "old 6")), 400, "from above the checkpoint");
    assert_eq!(status(&twelve.replace("old 5", "old 4")), 409);
    assert_eq!(status(&twelve.replace("old 5", "old 6")), 409);
    assert_eq!(status(&format!("old 5\n\n{checkpoint}")), 422, "no proof");
    let zero = base64(&[0; 32]);
    assert_eq!(status(&format!("{proof}\n{zero}\n\n{checkpoint}")), 422, "too long a proof");
    let first = proof.lines().nth(1).unwrap();
    assert_eq!(status(&twelve.replace(first, &zero)), 422, "another proof");
    let eleven = log.prove_consistency(5, 11).unwrap();
    let request = AddCheckpoint { old: 5, proof: eleven, note: checkpoint.to_owned() };
    assert_eq!(status(&request.to_string()), 422, "a proof for another size");

    let head = log.checkpoint(None).unwrap();
    let stranger = Checkpoint { origin: "example.com/other".into(), ..head.clone() };
    let signed = |head: &Checkpoint, signer: &NoteSigner| {
        AddCheckpoint { old: 5, proof: Vec::new(), note: signer.sign(&head.text()).unwrap() }.to_string()
    };
    assert_eq!(status(&signed(&stranger, &signer())), 404, "an unknown log");
    let other = NoteSigner::from_seed(ORIGIN, &[8; 32]).unwrap();
    assert_eq!(status(&signed(&head, &other)), 403, "an unknown key");
    assert_eq!(status(&twelve.replace("\n12\n", "\n13\n")), 403, "another text");

    for body in [
        String::new(),
        "old 5\n".into(),
        twelve.replace("old 5", "old 05"),
        twelve.replace("old 5", "old -5"),
        twelve.replace("old 5", "OLD 5"),
        twelve.replace("old 5\n", "old 5\nAAAA\n"),
        twelve.replace("old 5\n", &format!("old 5\n{}", format!("{zero}\n").repeat(64))),
        twelve.replace('\n', "\r\n"),
        twelve.replace("\n12\n", "\n012\n"),
        format!("{twelve}{}", "\u{2014} a AAAAAAA=\n".repeat(64)),
        format!("{twelve}{}", " ".repeat(MAX_BODY)),
    ] {
        assert_eq!(status(&body), 400, "{body:.80}");
    }
    assert_eq!(witness.add_checkpoint(b"old 0\n\n\xff\n", NOW).status, 400);
    assert_eq!(status(&twelve), 200, "none of this changed what the witness knows");
}

#[test]
fn an_empty_log_has_the_empty_root() {
    let state = tempfile::tempdir().unwrap();
    let witness = witness(state.path());
    let body = |root: Hash| {
        let head = Checkpoint { origin: ORIGIN.into(), size: 0, root };
        AddCheckpoint { old: 0, proof: Vec::new(), note: signer().sign(&head.text()).unwrap() }.to_string()
    };
    assert_eq!(witness.add_checkpoint(body([1; 32]).as_bytes(), NOW).status, 422);
    let empty = Checkpoint::empty(ORIGIN).root;
    assert_eq!(witness.add_checkpoint(body(empty).as_bytes(), NOW).status, 200);
}

#[test]
fn answers_are_judged_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), 5);
    let log = Log::open(dir.path()).unwrap();
    let request = log.cosign_request(&[], 2).unwrap();
    let text = request.checkpoint().text();
    let good = ed25519().line(&text, 7).unwrap();
    let stranger = cosigner("someone.example").line(&text, 7).unwrap();
    let plain = NoteSigner::from_seed(NAME, &[5; 32]).unwrap();
    let other_text = ed25519().line(&Checkpoint::empty(ORIGIN).text(), 7).unwrap();
    let judge = |status, body: &str| request.judge(status, body.as_bytes(), &keys());

    let CosignOutcome::Cosigned { note, cosignatures } = judge(200, &format!("{stranger}{good}junk\n"))
    else {
        panic!()
    };
    assert_eq!(cosignatures.len(), 1);
    assert!(note.ends_with(&good) && !note.contains("someone.example"));
    let timeless = cosigner(NAME).line(&text, 0).unwrap();
    for body in ["", "\n", "junk", &stranger, &other_text, &timeless, &plain.line(&text, 0).unwrap()] {
        assert!(matches!(judge(200, body), CosignOutcome::Refused { status: 200, .. }), "{body}");
    }
    assert_eq!(judge(409, "4\n"), CosignOutcome::At(4));
    assert_eq!(judge(409, "0\n"), CosignOutcome::At(0));
    assert!(
        matches!(judge(409, "6\n"), CosignOutcome::Finding(finding) if finding.kind == FindingKind::RolledBack)
    );
    assert!(matches!(judge(422, ""), CosignOutcome::Finding(finding) if finding.kind == FindingKind::Forked));
    for body in ["2\n", "4", "04\n", "-1\n", "", "\u{1b}[2J"] {
        assert!(matches!(judge(409, body), CosignOutcome::Refused { status: 409, .. }), "{body}");
    }
    let CosignOutcome::Refused { status, reason } = judge(500, "\u{1b}[2Jbroken\n") else { panic!() };
    assert_eq!((status, &*reason), (500, "[2Jbroken"));
}

/// What a witness cosigned it remembers through a power cut at any moment.
#[test]
fn nothing_cosigned_is_forgotten() {
    let data = MemoryDisk::new();
    let trail = open_memory(&data).unwrap();
    record(&trail, 0..5);
    trail.close().unwrap();
    drop(trail);
    let first = memory_log(&data).cosign_request(&[], 0).unwrap();
    let trail = open_memory(&data).unwrap();
    record(&trail, 5..9);
    trail.close().unwrap();
    drop(trail);
    let second = memory_log(&data).cosign_request(&[], 5).unwrap();

    for dies_at in 0..20 {
        let disk = MemoryDisk::new();
        let mut cosigned = 0;
        disk.dies_at(Some(dies_at));
        if let Ok(state) = FileState::open(Arc::clone(&disk) as _, Path::new("/data/witness")) {
            let logs = [(ORIGIN.to_owned(), vec![signer().verifier().unwrap()])];
            let witness = Witness::new(logs, vec![ed25519()], Box::new(state)).unwrap();
            for request in [&first, &second] {
                let answer = witness.add_checkpoint(request.body().as_bytes(), NOW);
                if answer.status == 200 {
                    cosigned = request.checkpoint().size;
                } else {
                    assert!(answer.status == 500 || cosigned == 0, "{answer:?}");
                }
            }
        }
        for unsynced in [Unsynced::Lost, Unsynced::Kept, Unsynced::Half] {
            let witness = witness_on(disk.after_power_cut(unsynced), Path::new("/data/witness"));
            let answer = witness.add_checkpoint(first.body().replace("old 0", "old 1").as_bytes(), NOW);
            let known: u64 = answer.body.trim().parse().unwrap();
            assert!(answer.status == 409 && known >= cosigned, "dead at {dies_at}: {known} of {cosigned}");
        }
    }
}

#[test]
fn one_process_holds_the_state_and_damage_stops_it() {
    let (dir, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    closed(dir.path(), 5);
    let log = Log::open(dir.path()).unwrap();
    let witness = witness(state.path());
    assert!(FileState::open(Arc::new(RealDisk), state.path()).is_err());
    assert!(matches!(cosign(&log, &witness), CosignOutcome::Cosigned { .. }));
    for entry in std::fs::read_dir(state.path()).unwrap().map(Result::unwrap) {
        if entry.file_name() != "lock" {
            std::fs::write(entry.path(), "damaged").unwrap();
        }
    }
    assert!(matches!(cosign(&log, &witness), CosignOutcome::Refused { status: 500, .. }));
}

#[test]
fn a_witness_signs_with_cosignature_keys_only() {
    let state = tempfile::tempdir().unwrap();
    let state = FileState::open(Arc::new(RealDisk), state.path()).unwrap();
    assert!(Witness::new([], vec![signer()], Box::new(state)).is_err());
}

#[test]
fn log_keys_follow_each_other_with_overlap() {
    let post_quantum =
        || NoteSigner::from_seed_kind(SignatureKind::MlDsa44Cosignature, ORIGIN, &[6; 32]).unwrap();
    let next = || NoteSigner::from_seed(ORIGIN, &[8; 32]).unwrap();
    let head = Checkpoint::empty(ORIGIN);
    let overlap = Signers::new(ORIGIN, vec![next(), signer(), post_quantum()], Vec::new()).unwrap();
    let note = overlap.sign(&head, NOW.seconds()).unwrap();
    for key in [next(), signer(), post_quantum()] {
        assert!(note::verify(&note, &[key.verifier().unwrap()]).is_ok());
    }
    // Afterwards the earlier key signs no more, but what it signed is still believed.
    let after =
        Signers::new(ORIGIN, vec![next(), post_quantum()], vec![signer().verifier().unwrap()]).unwrap();
    let note = after.sign(&head, NOW.seconds()).unwrap();
    assert!(note::verify(&note, &[signer().verifier().unwrap()]).is_err());
    assert!(note::verify(&signer().sign(&head.text()).unwrap(), after.verifiers()).is_ok());
    assert_eq!(NoteVerifier::parse_lines(&after.key_file()).unwrap().len(), 3);

    let without = Signers::new(ORIGIN, vec![post_quantum()], Vec::new());
    assert_eq!(without.err(), Some(SignersError::NoEd25519));
    let elsewhere = Signers::new("example.com/other", vec![next()], Vec::new());
    assert_eq!(elsewhere.err(), Some(SignersError::Name(ORIGIN.into(), "example.com/other".into())));
}

/// The request that the specification shows.
#[test]
fn the_known_request_is_read_and_written() {
    let body = "old 20852014\n\
        PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n\
        jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n\
        5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n\
        /6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n\
        \n\
        example.com/behind-the-sofa\n\
        20852163\n\
        CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\
        \n\
        \u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";
    let request = AddCheckpoint::parse(body.as_bytes()).unwrap();
    assert_eq!((request.old, request.proof.len()), (20_852_014, 4));
    let head = Checkpoint::parse(note::unverified_text(&request.note).unwrap()).unwrap();
    assert_eq!((&*head.origin, head.size), ("example.com/behind-the-sofa", 20_852_163));
    assert_eq!(request.to_string(), body);
}

proptest! {
    #[test]
    fn requests_read_back(old: u64, proof: Vec<Hash>, note in "\\PC{0,20}\n") {
        let request = AddCheckpoint { old, proof, note };
        let read = AddCheckpoint::parse(request.to_string().as_bytes());
        prop_assert_eq!(read, (request.proof.len() <= 63).then_some(request));
    }

    #[test]
    fn hostile_requests_do_no_harm(body in "(old [0-9]{1,3}\n)?([A-Za-z0-9+/]{43}=\n){0,2}(\\PC|\n|\u{2014} ){0,64}") {
        let state = tempfile::tempdir().unwrap();
        let answer = witness(state.path()).add_checkpoint(body.as_bytes(), NOW);
        prop_assert!([400, 404].contains(&answer.status));
    }
}
