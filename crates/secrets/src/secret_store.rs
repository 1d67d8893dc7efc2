//! What a place must be able to do in which secrets are kept. It must not know who uses them.

use crate::{SecretError, SecretValue};
use ironbridge_core::BoxFuture;
use ironbridge_store::ItemSummary;

/// One place where secrets are kept. Reading may wait for a disk or for another machine.
///
/// Every implementation passes the exported suite (`secrets::suite`, behind the feature `suite`).
pub trait SecretStore: Send + Sync {
    /// The newest value, or one member of it.
    ///
    /// # Errors
    /// [`SecretError::Missing`] where there is none, [`SecretError::NoField`] where it has no such member, and others
    /// where it cannot be read.
    fn read<'a>(
        &'a self,
        name: &'a str,
        field: Option<&'a str>,
    ) -> BoxFuture<'a, Result<SecretValue, SecretError>>;

    /// A number that changes when any value may have changed, and within a second of it. Every exchange that shows a
    /// credential asks, so it is a load from memory. A store that cannot know of changes counts seconds here: then each
    /// value is read again once a second.
    fn generation(&self) -> u64;

    /// Where the bridge's own command sets and removes values; `None` for a store that others keep.
    fn keeper(&self) -> Option<&dyn SecretKeeper> {
        None
    }
}

/// A secret store whose values the bridge itself keeps.
pub trait SecretKeeper: Send + Sync {
    /// Sets a value of 1 to [`MAX_VALUE`](crate::MAX_VALUE) bytes and returns its version, from 1. Running bridges use
    /// it within a second.
    ///
    /// # Errors
    /// When name or value do not fit, or the value cannot be sealed or kept.
    fn set<'a>(&'a self, name: &'a str, value: &'a [u8]) -> BoxFuture<'a, Result<u64, SecretError>>;

    /// Names, newest versions and their times; never values.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn list(&self) -> BoxFuture<'_, Result<Vec<ItemSummary>, SecretError>>;

    /// Removes every version; false when there was none.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn remove<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<bool, SecretError>>;
}
