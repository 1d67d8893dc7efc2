//! A note that verifies is one that the key signed: here, none.
#![no_main]

use ironbridge_seal::note::{self, NoteSigner, NoteVerifier};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static KEY: LazyLock<NoteVerifier> = LazyLock::new(|| {
    let signer = NoteSigner::generate("example.com/log").expect("a key");
    NoteVerifier::parse(&signer.verifier_key()).expect("its own form")
});

fuzz_target!(|text: &str| {
    assert!(note::verify(text, std::slice::from_ref(&KEY)).is_err());
    if let Ok(key) = NoteVerifier::parse(text) {
        assert!(text.starts_with(key.name()));
        let _ = note::verify(text, &[key]);
    }
});
