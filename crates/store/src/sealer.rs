//! Encryption, as far as the store needs it.

use zeroize::Zeroizing;

/// Encrypts what the store itself must not keep in the clear; passed in, so that this crate needs no
/// cryptography.
pub trait Sealer: Send + Sync {
    /// Authenticated encryption; what is sealed opens only with the same context.
    ///
    /// # Errors
    /// When the key cannot be used.
    fn seal(&self, plain: &[u8], context: &[u8]) -> Result<Vec<u8>, SealerError>;

    /// What was sealed.
    ///
    /// # Errors
    /// When it was sealed under another key or context, or changed since.
    fn open(&self, sealed: &[u8], context: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealerError>;

    /// HMAC-SHA256 (RFC 2104).
    fn mac(&self, key: &[u8; 32], text: &[u8]) -> [u8; 32];
}

/// Why sealing or opening failed; for the operator, without key material.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SealerError(pub String);
