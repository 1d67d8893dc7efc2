//! Whether the store is still the one that the bridge left.

use crate::StoreFuture;
use ironbridge_core::StoreMark;

/// What tells that another hand was in the store: it was set back, replaced, or rows were written by somebody else.
///
/// A store cannot tell by itself that all of it was set back. [`Integrity::mark`] says how far it came; somebody
/// outside, which is the audit trail, remembers that and asks [`Integrity::grew_from`] at the next start.
pub trait Integrity: Send + Sync {
    /// How far the store came, for somebody outside to remember: a store that did not grow from it was set back.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn mark(&self) -> StoreFuture<'_, StoreMark>;

    /// The furthest that this process saw the store come, on disk, whatever lies there now.
    fn newest_mark(&self) -> StoreMark;

    /// Whether this store is what became of the one that had this mark.
    ///
    /// # Errors
    /// [`StoreError::Outran`](crate::StoreError::Outran) where it came too far since to tell; others when the store
    /// cannot be read.
    fn grew_from(&self, before: StoreMark) -> StoreFuture<'_, bool>;

    /// Whoever remembers how far the store came has taken note of this mark: what only tells of before is forgotten.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn noted(&self, mark: StoreMark) -> StoreFuture<'_, ()>;

    /// Looks whether the store is the one that was opened, as it was left by whoever may change it, on the disk.
    ///
    /// # Errors
    /// [`StoreError::Altered`](crate::StoreError::Altered) where another hand set it back, or put another in its place;
    /// others where it cannot be read.
    fn stands(&self) -> StoreFuture<'_, ()>;

    /// What another hand put into the store, changed there, put back as it was before, or took away:
    /// `credential/ID` and `item/NAMESPACE/NAME`. Such a credential opens nothing, such an item is not read.
    fn altered(&self) -> StoreFuture<'_, Vec<String>>;
}
