use crate::{Changes, StoreFuture};
use ironbridge_core::Timestamp;

/// Named blobs that are sealed before they come here: secrets, CA and signing keys, the log key.
///
/// Changes leave an action in the outbox: `secret.set` and `secret.remove`, except for the keys that have an action
/// of their own. Its object is the name of a secret, else namespace and name.
///
/// Whoever seals binds namespace and name into the seal, so that a blob moved to another row does not open.
pub trait SealedItems: Changes {
    /// Adds a version and returns its number, from 1. Older versions are kept until the item is removed.
    fn put(&self, namespace: &str, name: &str, sealed: Vec<u8>, at: Timestamp) -> StoreFuture<'_, u64>;

    /// As `put`, and destroys all older versions: they may hold private keys that must not come back.
    fn replace(&self, namespace: &str, name: &str, sealed: Vec<u8>, at: Timestamp) -> StoreFuture<'_, u64>;

    /// Adds the first version where there is none, and returns the newest: for keys that are made at first use,
    /// by whichever process comes first.
    fn put_first(
        &self,
        namespace: &str,
        name: &str,
        sealed: Vec<u8>,
        at: Timestamp,
    ) -> StoreFuture<'_, SealedItem>;

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
