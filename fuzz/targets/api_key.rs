//! A key that is read is plain ASCII with a right checksum: another last character makes it another key, or none.
#![no_main]

use ironbridge_identity::api_key::ApiKey;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some(key) = ApiKey::parse(bytes) else { return };
    assert!(bytes.is_ascii() && key.id().bytes().all(|byte| byte.is_ascii_alphanumeric()));
    for at in 0..bytes.len() {
        let mut mistyped = bytes.to_vec();
        mistyped[at] ^= 1;
        assert!(ApiKey::parse(&mistyped).is_none());
    }
});
