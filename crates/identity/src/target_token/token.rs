//! A token of a target, and how long it serves.

use bytes::Bytes;
use ironbridge_secrets::SecretValue;
use std::fmt;
use std::time::Duration;

/// A token in the form in which it is sent.
pub struct TargetToken {
    pub(super) authorization: Bytes,
    /// The secret that it was bought with.
    pub(super) bought_with: SecretValue,
    /// Monotonic.
    pub(super) renew_from: Duration,
    pub(super) unusable_from: Duration,
}

impl TargetToken {
    /// The value of the Authorization field. It is shared by all who send it, and wiped with the last of them.
    pub fn authorization(&self) -> &Bytes {
        &self.authorization
    }
}

impl fmt::Debug for TargetToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[token]")
    }
}
