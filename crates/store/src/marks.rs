//! How far something is that lies elsewhere.

use crate::StoreFuture;

/// How far something is that lies elsewhere, so that whoever sets that back must set this back, too. A mark is put over
/// the one before again and again: it is no secret, so that leaves no action, and nobody is told.
///
/// Whoever seals binds the name into the seal.
pub trait Marks: Send + Sync {
    /// Puts a mark in the place of the one of this name.
    fn keep_mark(&self, name: &str, sealed: Vec<u8>) -> StoreFuture<'_, ()>;

    /// The mark of this name.
    fn kept_mark(&self, name: &str) -> StoreFuture<'_, Option<Vec<u8>>>;
}
