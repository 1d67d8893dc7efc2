//! What a copy is kept on.

use crate::trouble::Trouble;
use ironbridge_core::BoxFuture;

/// Where a copy is kept. Paths are those of the audit directory, with `/`.
pub(super) trait Medium: Send + Sync {
    fn get(&self, path: String) -> BoxFuture<'_, Result<Option<Vec<u8>>, Trouble>>;

    /// Takes the place of whatever is there, whole.
    fn put(&self, path: String, bytes: Vec<u8>) -> BoxFuture<'_, Result<(), Trouble>>;

    /// Returns once everything put so far would survive a power cut.
    fn settle(&self) -> BoxFuture<'_, Result<(), Trouble>>;

    /// Also where there is no such file.
    fn remove(&self, path: String) -> BoxFuture<'_, Result<(), Trouble>>;
}
