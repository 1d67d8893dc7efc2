//! No token that was not signed with the key verifies, and the reader never panics.
#![no_main]

use ironbridge_seal::jose::{MAX_TOKEN_BYTES, SigningKey, Unverified, VerifyingKey};
use ironbridge_seal::random;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static KEYS: LazyLock<[VerifyingKey; 2]> = LazyLock::new(|| {
    let fresh = SigningKey::generate().expect("a key");
    let shared = VerifyingKey::hs256(&random::bytes::<32>()).expect("long enough");
    [fresh.verifying_key().expect("its public half"), shared]
});

fuzz_target!(|token: &[u8]| {
    let Ok(read) = Unverified::parse(token) else { return };
    assert!(token.len() <= MAX_TOKEN_BYTES);
    assert!(token.starts_with(read.signing_input()));
    let _ = read.unproven_claims();
    for key in &*KEYS {
        assert!(read.clone().verify(key).is_err());
    }
});
