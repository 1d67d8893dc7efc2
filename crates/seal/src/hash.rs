//! Digests, constant-time comparison, and the text forms of bytes.

use aws_lc_rs::{constant_time, digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

const HEX: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'];

/// SHA-256 (FIPS 180-4).
pub fn sha256(data: &[u8]) -> [u8; 32] {
    sha256_parts(&[data])
}

/// SHA-256 over the parts one after another, as if they were one text.
pub fn sha256_parts(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    fixed(context.finish().as_ref())
}

/// A key of HMAC-SHA-256 that is used often. AWS-LC clears its memory when it is dropped.
pub struct MacKey(hmac::Key);

impl MacKey {
    /// Of any length; 32 bytes are as good as more (RFC 2104 §3).
    pub fn new(key: &[u8]) -> MacKey {
        MacKey(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// HMAC-SHA-256 (RFC 2104) over the parts one after another, as if they were one text.
    pub fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(part);
        }
        fixed(context.sign().as_ref())
    }
}

/// HMAC-SHA-256 (RFC 2104) over the parts one after another, as if they were one text.
pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    MacKey::new(key).mac(parts)
}

/// Whether both are the same bytes. Time depends on the lengths, never on the contents.
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(a, b).is_ok()
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Hexadecimal in either case; `None` for an odd length or any other character.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect()
}

/// SHA-1, which RFC 6455 §4.2.2 asks for to show that a handshake was read. It protects nothing.
pub fn sha1_of_a_websocket_key(bytes: &[u8]) -> [u8; 20] {
    let digest = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes);
    let mut hash = [0; 20];
    hash.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    hash
}

/// Unpadded base64url (RFC 7515 §2).
pub fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads unpadded base64url, in its one canonical form: padding, white space, the other alphabet and stray
/// trailing bits give `None`.
pub fn unbase64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Padded base64 (RFC 4648 §4).
pub fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Reads padded base64, in its one canonical form.
pub fn unbase64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// SHA-256 gives 32 bytes, always; the copy only tells the compiler.
fn fixed(digest: &[u8]) -> [u8; 32] {
    let mut array = [0; 32];
    array.iter_mut().zip(digest).for_each(|(to, from)| *to = *from);
    array
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sha256_of_fips_180_4() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex(&sha256(b"abc")), abc);
        assert_eq!(hex(&sha256_parts(&[b"a", b"", b"bc"])), abc);
    }

    #[test]
    fn hmac_of_rfc_4231_case_2() {
        assert_eq!(
            hex(&hmac_sha256(b"Jefe", &[b"what do ya want ", b"for nothing?"])),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn only_canonical_text_is_read() {
        for text in ["Zg==", "Zh", "Z", "Zg\n", " Zg", "Z g", "+/", "Zg\0", "Zm9=", "Zé"] {
            assert_eq!(unbase64url(text), None, "{text:?}");
        }
        for text in ["Zg", "Zh==", "Zg=", "-_==", "Zg==\n", "Zg===", "Zg==Zg=="] {
            assert_eq!(unbase64(text), None, "{text:?}");
        }
        for text in ["a", "0g", "+1", " 1", "é", "0x11"] {
            assert_eq!(unhex(text), None, "{text:?}");
        }
        assert_eq!(unhex("aBFF"), Some(vec![0xab, 0xff]));
        assert_eq!(unbase64url("-_8"), Some(vec![0xfb, 0xff]));
    }

    proptest! {
        #[test]
        fn text_forms_are_undone_and_unique(bytes: Vec<u8>, text in "[A-Za-z0-9_+/=-]{0,12}") {
            prop_assert_eq!(unhex(&hex(&bytes)), Some(bytes.clone()));
            prop_assert_eq!(unbase64(&base64(&bytes)), Some(bytes.clone()));
            prop_assert_eq!(unbase64url(&base64url(&bytes)), Some(bytes.clone()));
            if let Some(read) = unbase64url(&text) {
                prop_assert_eq!(base64url(&read), text.clone());
            }
            if let Some(read) = unbase64(&text) {
                prop_assert_eq!(base64(&read), text);
            }
        }

        #[test]
        fn equal_agrees_with_comparison(a: Vec<u8>, b: Vec<u8>) {
            prop_assert!(equal(&a, &a.clone()));
            prop_assert_eq!(equal(&a, &b), a == b);
        }
    }
}
