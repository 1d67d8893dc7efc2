//! A secret's value in memory.

use ironbridge_core::Sensitive;
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Longest value, in bytes. A certificate chain with its key is far below.
pub const MAX_VALUE: usize = 64 * 1024;

/// A secret's bytes. Copies share them; they are wiped when the last copy is dropped.
#[derive(Clone)]
pub struct SecretValue(Arc<Sensitive>);

impl SecretValue {
    /// The bytes themselves. Do not print, log or keep them.
    pub fn expose(&self) -> &[u8] {
        self.0.expose()
    }

    /// Whether both share their bytes, which is quicker to tell than whether they are equal.
    pub fn is(&self, other: &SecretValue) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl From<Sensitive> for SecretValue {
    fn from(bytes: Sensitive) -> SecretValue {
        SecretValue(Arc::new(bytes))
    }
}

impl From<Zeroizing<Vec<u8>>> for SecretValue {
    fn from(mut bytes: Zeroizing<Vec<u8>>) -> SecretValue {
        SecretValue::from(std::mem::take(&mut *bytes))
    }
}

impl From<Vec<u8>> for SecretValue {
    fn from(bytes: Vec<u8>) -> SecretValue {
        Sensitive::new(bytes).into()
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}
