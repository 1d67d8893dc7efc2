//! Named blobs that are sealed before they come here. What is in them, the store must not know.

use crate::{Changes, StoreFuture};
use ironbridge_core::Timestamp;

/// Named blobs that are sealed before they come here: secrets, CA and signing keys, the log key.
///
/// Changes leave an action in the outbox: `secret.set` and `secret.remove`, except for the keys that have an action
/// of their own. Its object is the name of a secret, else namespace and name.
///
/// Whoever seals binds namespace and name into the seal, so that a blob moved to another row does not open.
pub trait SealedItems: Changes {
    /// Puts a version in the place of the one before and returns its number, from 1. What was before is gone for good: a
    /// key that was retired must not lie on.
    fn put(&self, namespace: &str, name: &str, sealed: Vec<u8>, at: Timestamp) -> StoreFuture<'_, u64>;

    /// As `put`, but only over this version; `None`: somebody else has put another since, and nothing changed.
    fn put_over(
        &self,
        namespace: &str,
        name: &str,
        sealed: Vec<u8>,
        at: Timestamp,
        version: u64,
    ) -> StoreFuture<'_, Option<u64>>;

    /// Adds the first version where there is none, and returns the newest: for keys that are made at first use,
    /// by whichever process comes first.
    fn put_first(
        &self,
        namespace: &str,
        name: &str,
        sealed: Vec<u8>,
        at: Timestamp,
    ) -> StoreFuture<'_, SealedItem>;

    /// The version that is there.
    ///
    /// # Errors
    /// [`StoreError::Altered`](crate::StoreError::Altered) where another hand put it there, changed it, put an older
    /// one back, or took it away; so for `put_over` and `put_first`. `put` and `remove` mend that.
    fn get(&self, namespace: &str, name: &str) -> StoreFuture<'_, Option<SealedItem>>;

    /// Every item that is as this bridge left it, by name; the others [`Integrity::altered`](crate::Integrity::altered)
    /// tells.
    fn items(&self, namespace: &str) -> StoreFuture<'_, Vec<ItemSummary>>;

    /// Removes it; false when there was none.
    fn remove(&self, namespace: &str, name: &str) -> StoreFuture<'_, bool>;
}

/// One version of a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedItem {
    /// From 1.
    pub version: u64,
    /// As it was put.
    pub sealed: Vec<u8>,
    /// When this version was put.
    pub created: Timestamp,
}

/// What there is to tell of a blob without opening it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemSummary {
    /// In its namespace.
    pub name: String,
    /// From 1.
    pub version: u64,
    /// When this version was put.
    pub created: Timestamp,
}
