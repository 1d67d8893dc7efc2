//! Envelopes for what lies at rest: every object has a data key of its own, wrapped by the key-encryption key
//! (NIST SP 800-57 part 1 §5.3.4; AES-256-GCM, SP 800-38D).
//!
//! Data keys are used once. The key-encryption key wraps under random 96-bit nonces, which SP 800-38D §8.3
//! bounds at 2^32 objects; put a new key first in use long before (half of that is our limit for planning).
//!
//! A sealed object, lengths in bytes:
//!
//! | magic `IBS` | version 1 | key id | nonce | wrapped data key | nonce | ciphertext | tag |
//! |---|---|---|---|---|---|---|---|
//! | 3 | 1 | 8 | 12 | 32 + 16 | 12 | as the plaintext | 16 |
//!
//! Both seals authenticate the first 12 bytes and the caller's context, so that an object opens only in the
//! place it was sealed for.

mod key_file;

pub use key_file::{KeyFile, KeyFileError};

use crate::{hash, random};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, Tag, UnboundKey};
use std::fmt;
use zeroize::Zeroizing;

const MAGIC_AND_VERSION: [u8; 4] = *b"IBS\x01";
const KEY_LEN: usize = 32;
const TAG_LEN: usize = 16;

/// How much longer a sealed object is than its plaintext.
pub const OVERHEAD: usize = 100;

/// The key-encryption keys. Seals with the newest, opens with any.
pub struct Keys {
    newest: Kek,
    older: Vec<Kek>,
}

impl Keys {
    /// One fresh key that no file holds: what it seals is lost with the process.
    pub fn ephemeral() -> Result<Keys, SealError> {
        Ok(Keys { newest: Kek::new(&Zeroizing::new(random::bytes()))?, older: Vec::new() })
    }

    /// The id of the key that seals.
    pub fn newest(&self) -> KeyId {
        self.newest.id
    }

    /// Seals the plaintext for one context: a text that says what the object is and where it belongs, such as
    /// its table and name. The same context opens it again.
    pub fn seal(&self, plaintext: &[u8], context: &[u8]) -> Result<Vec<u8>, SealError> {
        let data_key = Zeroizing::new(random::bytes());
        self.newest.seal(&data_key, random::bytes(), random::bytes(), plaintext, context)
    }

    /// Opens what [`Keys::seal`] sealed in the same context.
    pub fn open(&self, sealed: &[u8], context: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (header, rest) = sealed.split_first_chunk::<12>().ok_or(SealError::Malformed)?;
        let id = header.strip_prefix(&MAGIC_AND_VERSION).ok_or(SealError::Malformed)?;
        let kek =
            self.all().find(|kek| kek.id.0 == id).ok_or_else(|| SealError::KeyUnknown(hash::hex(id)))?;
        kek.open(header, rest, context)
    }

    fn all(&self) -> impl Iterator<Item = &Kek> {
        std::iter::once(&self.newest).chain(&self.older)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all().map(|kek| kek.id)).finish()
    }
}

/// Which key sealed an object: the first 8 bytes of a labelled SHA-256 of the key. It tells nothing about the
/// key and shows a damaged one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId([u8; 8]);

impl KeyId {
    fn of(key: &[u8; KEY_LEN]) -> KeyId {
        let [a, b, c, d, e, f, g, h, ..] = hash::sha256_parts(&[b"ironbridge key id\n", key]);
        KeyId([a, b, c, d, e, f, g, h])
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hash::hex(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One key-encryption key; AWS-LC clears its memory when it is dropped.
struct Kek {
    id: KeyId,
    key: LessSafeKey,
}

impl Kek {
    fn new(key: &Zeroizing<[u8; KEY_LEN]>) -> Result<Kek, SealError> {
        Ok(Kek { id: KeyId::of(key), key: gcm(&key[..])? })
    }

    fn seal(
        &self,
        data_key: &Zeroizing<[u8; KEY_LEN]>,
        wrap_nonce: [u8; NONCE_LEN],
        data_nonce: [u8; NONCE_LEN],
        plaintext: &[u8],
        context: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        let header = [MAGIC_AND_VERSION.as_slice(), &self.id.0].concat();
        let authenticated = [&header, context].concat();
        let mut wrapped = **data_key;
        let wrap_tag = encrypt(&self.key, wrap_nonce, &authenticated, &mut wrapped)?;

        let mut sealed = Vec::with_capacity(plaintext.len().saturating_add(OVERHEAD));
        for part in [&header, wrap_nonce.as_slice(), &wrapped, wrap_tag.as_ref(), &data_nonce, plaintext] {
            sealed.extend_from_slice(part);
        }
        let (_, body) = sealed.split_at_mut_checked(OVERHEAD - TAG_LEN).ok_or(SealError::Failed)?;
        let data_tag = encrypt(&gcm(&data_key[..])?, data_nonce, &authenticated, body)?;
        sealed.extend_from_slice(data_tag.as_ref());
        Ok(sealed)
    }

    fn open(&self, header: &[u8; 12], rest: &[u8], context: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (wrap_nonce, rest) = rest.split_first_chunk::<NONCE_LEN>().ok_or(SealError::Malformed)?;
        let (wrapped, rest) =
            rest.split_first_chunk::<{ KEY_LEN + TAG_LEN }>().ok_or(SealError::Malformed)?;
        let (data_nonce, body) = rest.split_first_chunk::<NONCE_LEN>().ok_or(SealError::Malformed)?;
        if body.len() < TAG_LEN {
            return Err(SealError::Malformed);
        }
        let authenticated = [header.as_slice(), context].concat();
        let data_key = decrypt(&self.key, *wrap_nonce, &authenticated, wrapped)?;
        decrypt(&gcm(&data_key)?, *data_nonce, &authenticated, body)
    }
}

fn gcm(key: &[u8]) -> Result<LessSafeKey, SealError> {
    UnboundKey::new(&AES_256_GCM, key).map(LessSafeKey::new).map_err(|_| SealError::Failed)
}

fn encrypt(
    key: &LessSafeKey,
    nonce: [u8; NONCE_LEN],
    authenticated: &[u8],
    in_place: &mut [u8],
) -> Result<Tag, SealError> {
    key.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(authenticated), in_place)
        .map_err(|_| SealError::Failed)
}

fn decrypt(
    key: &LessSafeKey,
    nonce: [u8; NONCE_LEN],
    authenticated: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let mut buffer = Zeroizing::new(sealed.to_vec());
    let length = key
        .open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(authenticated), &mut buffer)
        .map_err(|_| SealError::Refused)?
        .len();
    buffer.truncate(length);
    Ok(buffer)
}

/// Why an object could not be sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Not a sealed object of a version this bridge knows.
    #[error("this is not a sealed object, or one of a newer version")]
    Malformed,
    /// Sealed under a key that the key file does not hold.
    #[error("sealed under key {0}, which the key file does not hold: put the line of that key back")]
    KeyUnknown(String),
    /// Changed, damaged, or sealed for another context.
    #[error("the sealed object was changed, damaged, or sealed for another place")]
    Refused,
    /// The cryptographic library could not do its work.
    #[error("the cryptographic library failed")]
    Failed,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Sealed in November 2026 as format version 1, and checked then against another AES-GCM implementation.
    /// What is on disk must open forever.
    const VERSION_1: &str = "494253011de60e36070456040101010101010101010101013581a7772ac72a24\
                             9616255a5a25109a892ccd99d3c1549eb19945aedf4bbc73e68efd777b3ef68d\
                             83a50a4814761055020202020202020202020202868d6322b39033a3c2c8f954\
                             a9927a2591984304aef66e6d7d3d62b68146";

    fn fixed_kek() -> Kek {
        Kek::new(&Zeroizing::new(std::array::from_fn(|i| i.try_into().unwrap()))).unwrap()
    }

    #[test]
    fn version_1_is_unchanged() {
        let data_key = Zeroizing::new([0x42; 32]);
        let sealed = fixed_kek().seal(&data_key, [1; 12], [2; 12], b"the old object", b"table/name").unwrap();
        assert_eq!(hash::hex(&sealed), VERSION_1);
        let keys = Keys { newest: fixed_kek(), older: Vec::new() };
        assert_eq!(**keys.open(&hash::unhex(VERSION_1).unwrap(), b"table/name").unwrap(), *b"the old object");
        assert_eq!(sealed.len(), b"the old object".len() + OVERHEAD);
    }

    #[test]
    fn older_keys_open_and_the_newest_seals() {
        let before = Keys { newest: fixed_kek(), older: Vec::new() };
        let after = Keys { newest: Keys::ephemeral().unwrap().newest, older: vec![fixed_kek()] };
        let old = before.seal(b"x", b"").unwrap();
        assert_eq!(**after.open(&old, b"").unwrap(), *b"x");
        let new = after.seal(b"x", b"").unwrap();
        assert_eq!(before.open(&new, b"").unwrap_err(), SealError::KeyUnknown(after.newest().to_string()));
    }

    #[test]
    fn what_is_no_envelope_is_told_apart() {
        let keys = Keys::ephemeral().unwrap();
        let sealed = keys.seal(b"", b"").unwrap();
        for length in 0..OVERHEAD {
            assert_eq!(keys.open(&sealed[..length], b"").unwrap_err(), SealError::Malformed, "{length}");
        }
        let mut newer = sealed.clone();
        newer[3] = 2;
        assert_eq!(keys.open(&newer, b"").unwrap_err(), SealError::Malformed);
    }

    #[test]
    fn no_key_shows_in_debug_output() {
        let keys = Keys { newest: fixed_kek(), older: Vec::new() };
        assert_eq!(format!("{keys:?}"), format!("[{}]", keys.newest()));
    }

    proptest! {
        #[test]
        fn opens_only_unchanged_and_in_its_context(
            plaintext: Vec<u8>, context: Vec<u8>, other: Vec<u8>, flip: prop::sample::Index, bit in 0_u8..8,
        ) {
            let keys = Keys::ephemeral().unwrap();
            let sealed = keys.seal(&plaintext, &context).unwrap();
            prop_assert_eq!(&**keys.open(&sealed, &context).unwrap(), &plaintext);
            prop_assert_eq!(keys.open(&sealed, &other).is_ok(), other == context);
            let mut flipped = sealed.clone();
            flipped[flip.index(sealed.len())] ^= 1_u8 << bit;
            prop_assert!(keys.open(&flipped, &context).is_err());
        }

        #[test]
        fn never_panics(bytes: Vec<u8>) {
            let keys = Keys { newest: fixed_kek(), older: Vec::new() };
            let framed = [MAGIC_AND_VERSION.as_slice(), &fixed_kek().id.0, &bytes].concat();
            prop_assert!(keys.open(&bytes, b"").is_err());
            prop_assert!(keys.open(&framed, b"").is_err());
        }
    }
}
