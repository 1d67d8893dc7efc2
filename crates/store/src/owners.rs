//! The keys of owners, which the store knows by keyed hashes only.

use crate::{Changes, StoreFuture};
use ironbridge_core::{OwnerKey, OwnerTag};

/// Keys of owners: data subjects, accounts and unknown callers, under which the audit trail seals detail.
///
/// The store knows an owner by a [`Lookup`] only, and keeps its key sealed, bound to its tag.
///
/// A destroyed key is overwritten in the file, and the write-ahead log, which may hold older pages, is emptied
/// right after. While another process reads that cannot be done; the store remembers it then, and whichever process
/// has it open, or opens it next, tries again once a second. What was copied before is out of reach: a backup still holds the sealed key until it is deleted, and so may blocks of a file system that copies on write,
/// or of a flash disk. All of them are of use only together with the key file.
pub trait OwnerKeys: Changes {
    /// The keys of these owners, in their order. An owner that has one keeps it; for another the offered one
    /// counts, and is durable before this returns. Does not raise the generation.
    fn obtain(&self, offered: Vec<NewOwner>) -> StoreFuture<'_, Vec<OwnerKey>>;

    /// The key of this owner, if it has one.
    fn owner_by_lookup(&self, lookup: Lookup) -> StoreFuture<'_, Option<OwnerKey>>;

    /// Those that there are, in no particular order.
    fn owners_by_tag(&self, tags: Vec<OwnerTag>) -> StoreFuture<'_, Vec<OwnerKey>>;

    /// Destroys the key for good, leaves the action `subject.erase` in the outbox, and returns the tag; `None`
    /// when there is no such owner. Raises the generation, so that copies in memory go too.
    fn destroy(&self, lookup: Lookup) -> StoreFuture<'_, Option<OwnerTag>>;

    /// Whether the owners are those that the bridge left in the store: none was taken away by another hand, put there
    /// or put back. Reads them all.
    fn owners_whole(&self) -> StoreFuture<'_, bool>;

    /// Whether something that was destroyed, by whichever process, may still be in the file, because another process
    /// reads an older state of it.
    fn erasure_pending(&self) -> StoreFuture<'_, bool>;
}

/// A keyed hash of an owner's kind and id: finds the owner, says nothing of it.
pub type Lookup = [u8; 32];

/// An owner that may not have a key yet, with the key it gets in that case.
pub struct NewOwner {
    /// Finds it.
    pub lookup: Lookup,
    /// Who it is.
    pub kind: OwnerKind,
    /// Key and tag; both random.
    pub key: OwnerKey,
}

/// Who an owner is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OwnerKind {
    /// A data subject.
    Subject,
    /// A service account, whose callers' addresses are sealed.
    Account,
    /// Whoever calls unauthenticated, all together.
    Callers,
}

impl OwnerKind {
    /// The stored name.
    pub const fn name(self) -> &'static str {
        match self {
            OwnerKind::Subject => "subject",
            OwnerKind::Account => "account",
            OwnerKind::Callers => "callers",
        }
    }
}
