//! Paths and queries: what is delivered reads as what was judged.
#![no_main]

use ironbridge_core::uri::{CanonicalPath, Query};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(path) = CanonicalPath::parse(text) {
        let again = CanonicalPath::parse(path.spelling()).expect("a canonical spelling");
        assert_eq!((again.decoded(), again.spelling()), (path.decoded(), path.spelling()));
        assert_eq!(path.decoded().matches('/').count(), text.matches('/').count());
    }
    if let Ok(query) = Query::parse(text) {
        let again = Query::parse(query.spelling()).expect("a canonical spelling");
        assert!(again.members().eq(query.members()));
        assert_eq!(again.spelling(), query.spelling());
    }
});
