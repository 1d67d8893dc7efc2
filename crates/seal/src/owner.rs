//! Sealing short pieces of personal detail under an owner's key, so that destroying the key erases them all.

use crate::envelope::SealError;
use crate::hash::hmac_sha256;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

/// Bytes that sealing adds to a value: the tag of AES-256-GCM.
pub const OVERHEAD: usize = 16;
/// Bytes of a commitment's salt.
pub const SALT_LEN: usize = 16;

/// What an owner's key gives for one context: the salt of a commitment, and the nonce of a seal. Both come from
/// HMAC-SHA256 under the key, so they need not be kept, and cannot be known again once the key is gone.
///
/// A context must be used for one value only: the nonce repeats with it.
pub struct Derived {
    /// Hides what is committed to, as long as the key is there.
    pub salt: [u8; SALT_LEN],
    nonce: [u8; NONCE_LEN],
}

/// Derives salt and nonce of one context, whose parts are taken one after another: the caller sees to it that no two
/// contexts join to the same bytes.
pub fn derive(key: &[u8; 32], context: &[&[u8]]) -> Derived {
    let output = hmac_sha256(key, context);
    let mut derived = Derived { salt: [0; SALT_LEN], nonce: [0; NONCE_LEN] };
    let (salt, rest) = output.split_at(SALT_LEN);
    derived.salt.copy_from_slice(salt);
    derived.nonce.iter_mut().zip(rest).for_each(|(slot, byte)| *slot = *byte);
    derived
}

impl Derived {
    /// Appends the sealed value to `out`.
    pub fn seal(self, key: &[u8; 32], value: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        let start = out.len();
        out.extend_from_slice(value);
        let nonce = Nonce::assume_unique_for_key(self.nonce);
        let tag = out
            .get_mut(start..)
            .and_then(|value| gcm(key).ok()?.seal_in_place_separate_tag(nonce, Aad::empty(), value).ok());
        out.extend_from_slice(tag.ok_or(SealError::Failed)?.as_ref());
        Ok(())
    }

    /// The value, if this key sealed it in this context.
    pub fn open(self, key: &[u8; 32], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut value = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(self.nonce);
        let length =
            gcm(key)?.open_in_place(nonce, Aad::empty(), &mut value).map_err(|_| SealError::Failed)?.len();
        value.truncate(length);
        Ok(value)
    }
}

fn gcm(key: &[u8; 32]) -> Result<LessSafeKey, SealError> {
    UnboundKey::new(&AES_256_GCM, key).map(LessSafeKey::new).map_err(|_| SealError::Failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_open_under_their_key_and_context_only(key: [u8; 32], other: [u8; 32], value: Vec<u8>) {
            let mut sealed = vec![1, 2];
            derive(&key, &[b"a"]).seal(&key, &value, &mut sealed).unwrap();
            let sealed = &sealed[2..];
            prop_assert_eq!(sealed.len(), value.len() + OVERHEAD);
            prop_assert_eq!(derive(&key, &[b"a"]).open(&key, sealed).unwrap(), value);
            prop_assert!(derive(&key, &[b"b"]).open(&key, sealed).is_err());
            if other != key {
                prop_assert!(derive(&other, &[b"a"]).open(&other, sealed).is_err());
            }
        }
    }
}
