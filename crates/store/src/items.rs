use crate::{Changes, StoreFuture};
use ironbridge_core::Timestamp;

/// Named blobs that are sealed before they come here: secrets, CA and signing keys, the log key.
///
/// Whoever seals binds namespace and name into the seal, so that a blob moved to another row does not open.
pub trait SealedItems: Changes {
    /// Adds a version and returns its number, from 1. Older versions are kept until the item is removed.
    fn put(&self, namespace: &str, name: &str, sealed: Vec<u8>, at: Timestamp) -> StoreFuture<'_, u64>;

    /// The newest version.
    fn get(&self, namespace: &str, name: &str) -> StoreFuture<'_, Option<SealedItem>>;

    /// The newest version of every item, by name.
    fn list(&self, namespace: &str) -> StoreFuture<'_, Vec<ItemSummary>>;

    /// Removes every version; false when there was none.
    fn remove(&self, namespace: &str, name: &str) -> StoreFuture<'_, bool>;
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedItem {
    pub version: u64,
    pub sealed: Vec<u8>,
    /// When this version was put.
    pub created: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemSummary {
    pub name: String,
    pub version: u64,
    /// When this version was put.
    pub created: Timestamp,
}
