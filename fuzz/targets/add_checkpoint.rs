//! A witness cosigns nothing that the log's key did not sign, and its state stays empty.
#![no_main]

use ironbridge_audit::witness::{AddCheckpoint, Witness, WitnessState};
use ironbridge_core::Timestamp;
use ironbridge_seal::note::{NoteSigner, SignatureKind};
use libfuzzer_sys::fuzz_target;
use std::io;
use std::sync::LazyLock;

struct Untouched;

impl WitnessState for Untouched {
    fn latest(&self, _: &str) -> io::Result<Option<String>> {
        Ok(None)
    }

    fn advance(&self, origin: &str, _: Option<&str>, to: &str) -> io::Result<bool> {
        panic!("{origin} advanced to {to}")
    }
}

static WITNESS: LazyLock<Witness> = LazyLock::new(|| {
    let log = NoteSigner::generate("log").and_then(|signer| signer.verifier()).expect("a key");
    let cosigner = NoteSigner::generate_kind(SignatureKind::Ed25519Cosignature, "w").expect("a key");
    Witness::new([("log".to_owned(), vec![log])], vec![cosigner], Box::new(Untouched)).expect("a witness")
});

fuzz_target!(|body: &[u8]| {
    if let Some(request) = AddCheckpoint::parse(body) {
        assert_eq!(request.to_string().as_bytes(), body);
    }
    let answer = WITNESS.add_checkpoint(body, Timestamp::from_seconds(1));
    assert!([400, 403, 404].contains(&answer.status));
});
