//! What a listener serves beside the integrations: small services of the bridge itself, each under a path of its own.

use bytes::Bytes;
use ironbridge_core::BoxFuture;
use std::sync::Arc;

/// A service and the path below which it answers.
#[derive(Clone)]
pub struct Mount {
    /// Without a slash at its end: `/log`.
    pub path: Box<str>,
    pub service: Arc<dyn Mounted>,
}

/// A service of the bridge itself. Everyone who reaches the listener may ask it; the listener's address list and its
/// limit per address apply.
pub trait Mounted: Send + Sync {
    /// The method it answers; others are refused with 405.
    fn method(&self) -> &'static str;

    /// The longest request body that it reads, in bytes; 0 reads none.
    fn max_body(&self) -> u64;

    /// `path` is what follows the mount's own, without the slash between.
    fn answer(&self, path: &str, body: Bytes) -> BoxFuture<'_, MountedReply>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountedReply {
    pub status: u16,
    pub content_type: &'static str,
    /// The Cache-Control field.
    pub cache: &'static str,
    pub body: Bytes,
}

impl Mount {
    /// The rest of a path that is below this mount.
    pub(crate) fn rest<'p>(&self, path: &'p str) -> Option<&'p str> {
        path.strip_prefix(&*self.path)?.strip_prefix('/')
    }
}
