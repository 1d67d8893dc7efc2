//! Whose personal detail is: the keys that it is sealed under. Where they are kept, and how they are destroyed, is for
//! `privacy` and the store to know.

use crate::{BoxFuture, Denial};
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroize;

/// The key under which the audit trail seals what it knows of one owner: a data subject, an account, or whoever
/// calls unauthenticated. Destroying every copy of it erases that detail and the salts of its commitments, which
/// are derived from it.
pub struct OwnerKey {
    /// Finds the owner's records without saying who it is. Random; it goes when the key goes.
    pub tag: OwnerTag,
    key: [u8; 32],
}

/// By which stored detail names its owner without saying who that is.
pub type OwnerTag = [u8; 16];

impl OwnerKey {
    /// A key as the store keeps it, opened.
    pub fn new(tag: OwnerTag, key: [u8; 32]) -> OwnerKey {
        OwnerKey { tag, key }
    }

    /// The key itself, for sealing and opening.
    pub fn expose(&self) -> &[u8; 32] {
        &self.key
    }
}

impl Drop for OwnerKey {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl fmt::Debug for OwnerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[owner key]")
    }
}

/// A person whose data crosses, as far as the bridge was told to recognise one (`data.subject_id`).
#[derive(Debug, Clone)]
pub struct Subject {
    /// As it stands in the data.
    pub id: Box<str>,
    /// Under whose key the trail seals the id.
    pub owner: Arc<OwnerKey>,
}

/// Where subjects' keys come from. Implemented by `privacy`.
pub trait SubjectKeys: Send + Sync {
    /// The key of every id, in their order; a new subject's key is durable before this resolves.
    fn keys<'a>(&'a self, ids: &'a [Box<str>]) -> BoxFuture<'a, Result<Vec<Arc<OwnerKey>>, Box<Denial>>>;
}
