//! A receipt that is read is written back the same, and nothing proves anything under a key that signed nothing.
#![no_main]

use ironbridge_audit::Receipt;
use ironbridge_seal::note::{NoteSigner, NoteVerifier};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static KEY: LazyLock<NoteVerifier> = LazyLock::new(|| {
    NoteSigner::generate("example.com/log").and_then(|signer| signer.verifier()).expect("a key")
});

fuzz_target!(|text: &str| {
    let Ok(receipt) = Receipt::parse(text) else { return };
    assert_eq!(Receipt::parse(&receipt.to_string()), Ok(receipt.clone()));
    assert!(receipt.check(std::slice::from_ref(&KEY), &[], 0).is_err());
});
