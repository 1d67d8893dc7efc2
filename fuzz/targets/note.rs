//! A note that verifies is one that the key signed: here, none of any kind.
#![no_main]

use ironbridge_seal::note::{self, Checkpoint, NoteSigner, NoteVerifier, SignatureKind};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static KEYS: LazyLock<Vec<NoteVerifier>> = LazyLock::new(|| {
    let kinds =
        [SignatureKind::Ed25519, SignatureKind::Ed25519Cosignature, SignatureKind::MlDsa44Cosignature];
    let key = |kind| NoteSigner::generate_kind(kind, "example.com/log").and_then(|signer| signer.verifier());
    kinds.map(|kind| key(kind).expect("a key")).into()
});

fuzz_target!(|text: &str| {
    assert!(note::verify(text, &KEYS).is_err());
    if let Ok(key) = NoteVerifier::parse(text) {
        assert_eq!(key.verifier_key(), text);
        let _ = note::verify(text, &[key]);
    }
    if let Ok(added) = note::add(text, "") {
        assert_eq!(note::unverified_text(&added), note::unverified_text(text));
    }
    if let Some(checkpoint) = Checkpoint::parse(text) {
        assert!(text.starts_with(&checkpoint.text()));
    }
});
