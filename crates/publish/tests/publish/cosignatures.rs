//! Witnesses that are asked: an honest one, one that was lied to, and ones that do not work.

use crate::stage::{
    ORIGIN, caught_up, client, complains, contradicts, key, only, publish, record, recorded, runtime,
    settings, trail, until, verified,
};
use ironbridge_audit::disk::RealDisk;
use ironbridge_audit::witness::{FileState, Witness};
use ironbridge_audit::{Log, SignedCheckpoint};
use ironbridge_core::Timestamp;
use ironbridge_publish::{Cosigner, Kind, Mirror, Settings, Target};
use ironbridge_seal::note::{NoteSigner, NoteVerifier, SignatureKind};
use ironbridge_testkit::{Authority, FakeTarget, Reply};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const NAME: &str = "auditor.example/w";

fn signer() -> NoteSigner {
    NoteSigner::from_seed_kind(SignatureKind::Ed25519Cosignature, NAME, &[5; 32]).unwrap()
}

fn keys() -> Vec<NoteVerifier> {
    vec![signer().verifier().unwrap()]
}

/// The project's own witness, over TLS; it remembers in this directory.
fn serve(authority: &Authority, state: &Path) -> FakeTarget {
    let state = FileState::open(Arc::new(RealDisk), state).unwrap();
    let logs = [(ORIGIN.to_owned(), vec![key()])];
    let witness = Witness::new(logs, vec![signer()], Box::new(state)).unwrap();
    let target = FakeTarget::start(authority).unwrap();
    target.on(
        "POST /w/add-checkpoint",
        Reply::chosen(move |seen| {
            let answer = witness.add_checkpoint(&seen.body, Timestamp::from_seconds(1_767_225_600));
            Reply::Raw(
                answer.status,
                vec![("content-type", answer.content_type.to_owned())],
                answer.body.into(),
            )
        }),
    );
    target
}

fn ask(target: &FakeTarget, authority: &Authority) -> Settings {
    let (url, client) = (format!("{}/w/", target.url()), client(authority));
    let cosigner = Cosigner { name: "auditor".into(), url, keys: keys(), client };
    Settings { witnesses: vec![cosigner], cosign_interval: Duration::from_millis(10), ..settings() }
}

/// The cosigned head, verified with the witness's key.
fn cosigned(dir: &Path) -> Option<SignedCheckpoint> {
    let both = [vec![key()], keys()].concat();
    let head = Log::open(dir).unwrap().witnessed_checkpoint(&both).unwrap()?;
    assert!(head.signatures.iter().any(|signature| signature.name == NAME && signature.is_witness()));
    Some(head)
}

#[test]
fn a_witness_cosigns_every_head_it_is_asked_for_and_the_mirror_carries_it() {
    let (source, copy, state) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let authority = Authority::new("witnesses").unwrap();
    let target = serve(&authority, state.path());
    let trail = trail(source.path());
    record(&trail, "before", 300);
    let runtime = runtime();
    let _entered = runtime.enter();
    let publisher = publish(source.path(), ask(&target, &authority));
    caught_up(&publisher, 300);
    assert_eq!(only(&publisher).kind, Kind::Witness);
    assert_eq!(cosigned(source.path()).unwrap().checkpoint.size, 300);
    record(&trail, "after", 10);
    caught_up(&publisher, 310);
    runtime.block_on(publisher.stop());

    // A new publisher knows from the kept head how far the witness is: one question is enough.
    target.forget();
    record(&trail, "later", 1);
    let mirror = Mirror {
        name: "copy".into(),
        target: Target::Directory(copy.path().to_path_buf()),
        interval: Duration::from_millis(10),
    };
    let publisher = publish(source.path(), Settings { mirrors: vec![mirror], ..ask(&target, &authority) });
    until("both have everything", || publisher.status().iter().all(|lag| lag.position == 311));
    assert_eq!(target.seen().len(), 1);
    until("the cosigned head is copied", || copy.path().join("log/witnessed").exists());
    assert_eq!(cosigned(copy.path()).unwrap().checkpoint.size, 311);
    assert_eq!(verified(copy.path()).size, 311);
}

#[test]
fn a_witness_that_knows_more_than_we_think_is_asked_again() {
    let (source, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let authority = Authority::new("witnesses").unwrap();
    let target = serve(&authority, state.path());
    let trail = trail(source.path());
    record(&trail, "before", 20);
    let runtime = runtime();
    let _entered = runtime.enter();
    let publisher = publish(source.path(), ask(&target, &authority));
    caught_up(&publisher, 20);
    runtime.block_on(publisher.stop());
    std::fs::remove_file(source.path().join("log/witnessed")).unwrap();
    record(&trail, "after", 20);
    let publisher = publish(source.path(), ask(&target, &authority));
    caught_up(&publisher, 40);
    assert_eq!(cosigned(source.path()).unwrap().checkpoint.size, 40);
}

#[test]
fn a_witness_tells_of_rollbacks_and_forks() {
    let (source, other, state) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let authority = Authority::new("witnesses").unwrap();
    let target = serve(&authority, state.path());
    recorded(source.path(), 30);
    let runtime = runtime();
    let _entered = runtime.enter();
    let publisher = publish(source.path(), ask(&target, &authority));
    caught_up(&publisher, 30);
    runtime.block_on(publisher.stop());

    recorded(other.path(), 20);
    let publisher = publish(other.path(), ask(&target, &authority));
    contradicts(&publisher, "was rolled back: the witness cosigned 30 entries, this log has 20");
    record(&trail(other.path()), "another history", 20);
    contradicts(&publisher, "forked");
    assert_eq!(only(&publisher).position, 0);
    assert!(cosigned(other.path()).is_none());
}

#[test]
fn answers_that_no_witness_gives_change_nothing() {
    let source = tempfile::tempdir().unwrap();
    let authority = Authority::new("witnesses").unwrap();
    let target = FakeTarget::start(&authority).unwrap();
    recorded(source.path(), 3);
    let runtime = runtime();
    let _entered = runtime.enter();
    target.otherwise(Reply::Raw(200, Vec::new(), "\u{2014} auditor.example/w AAAAAAAA\n".into()));
    let publisher = publish(source.path(), ask(&target, &authority));
    complains(&publisher, "it cosigned with no key that it is known by");
    // A number that is another each time.
    let count = std::sync::atomic::AtomicU64::new(0);
    target.otherwise(Reply::chosen(move |_| {
        let next = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) % 2 + 1;
        Reply::Raw(409, Vec::new(), format!("{next}\n").into())
    }));
    complains(&publisher, "it names another size each time it is asked");
    target.otherwise(Reply::Raw(503, Vec::new(), "later".into()));
    complains(&publisher, "it answered 503: later");
    assert!(cosigned(source.path()).is_none());
}
