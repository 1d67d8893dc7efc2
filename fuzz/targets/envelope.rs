//! Nothing opens that the keys did not seal.
#![no_main]

use ironbridge_seal::envelope::Keys;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static SEALED: LazyLock<(Keys, Vec<u8>)> = LazyLock::new(|| {
    let keys = Keys::ephemeral().expect("a key");
    let sealed = keys.seal(b"object", b"place").expect("sealed");
    (keys, sealed)
});

fuzz_target!(|bytes: &[u8]| {
    let (keys, sealed) = &*SEALED;
    assert!(keys.open(bytes, b"place").is_err());
    // With the real header in front, the reader gets as far as the keys.
    let framed = [sealed.get(..12).unwrap_or_default(), bytes].concat();
    assert!(keys.open(&framed, b"place").is_err());
    assert!(bytes == b"place" || keys.open(sealed, bytes).is_err());
});
