//! A key set that is read holds public keys for asymmetric algorithms alone.
#![no_main]

use ironbridge_seal::jose::{Algorithm, JwkSet, MAX_KEYS};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(set) = JwkSet::parse(bytes) else { return };
    assert!(set.keys().len() + set.skipped().len() <= MAX_KEYS);
    for jwk in set.keys() {
        assert!(!jwk.key.allows(Algorithm::HS256));
        let alg = Algorithm::ASYMMETRIC.into_iter().find(|alg| jwk.key.allows(*alg)).expect("an algorithm");
        assert!(set.find(jwk.kid.as_deref(), alg).next().is_some());
        assert!(jwk.key.verify(alg, b"message", &[0; 64]).is_err());
    }
});
