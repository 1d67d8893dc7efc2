//! Keys under which an operation acts at most once, with the answers that are given again.

use crate::StoreFuture;
use ironbridge_core::{OwnerTag, StoredAnswer, Timestamp};

/// Keys under which an operation acts at most once (control E6; Idempotency-Key draft-06).
pub trait Idempotency: Send + Sync {
    /// Takes the key if it is free. A key that was taken is durable before this returns, and one that the caller
    /// did not live to hear of is released by itself.
    ///
    /// `scope` is account and operation. From `expires` on, the key is free again.
    fn reserve(
        &self,
        scope: &str,
        key: &str,
        request: Fingerprints,
        now: Timestamp,
        expires: Timestamp,
    ) -> StoreFuture<'_, Reservation>;

    /// Says whose data its answer carries, besides the request, before it is settled. Once one of their keys is
    /// destroyed, nothing of request and answer is left but the key, whose outcome is unknown then. Does not wait.
    fn concerns(&self, ticket: Ticket, owners: Vec<OwnerTag>);

    /// Says how it ended. Does not wait; every later [`Idempotency::reserve`] sees it. A settlement that cannot
    /// be written is tried again until it can; if the process ends before that, the outcome is unknown.
    fn settle(&self, ticket: Ticket, settlement: Settlement);

    /// How many bytes all keys and answers may take. Where an account's take more than is left beside them, no further
    /// key is taken for it; the answers of those that are taken are kept all the same.
    fn keep_at_most(&self, bytes: u64);

    /// Counts anew how much is kept of requests that may be sent again, and whose, beside whatever else goes on: in no
    /// ledger stands how much that is, so another hand could have every new key refused, or none.
    ///
    /// # Errors
    /// When the store cannot be read or written, or holds requests of more accounts than there can be.
    fn count_anew(&self) -> StoreFuture<'_, ()>;

    /// Puts keyed hashes in the place of those that older versions stored, which had no key.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    fn key_fingerprints(&self, keyed: Rekey) -> StoreFuture<'_, ()>;
}

/// Makes the keyed hash of a hash that had no key.
pub type Rekey = Box<dyn Fn(&[u8; 32]) -> [u8; 32] + Send>;

/// What must be the same in a repetition, as keyed hashes: an unkeyed one tells whoever has the store whether a request
/// that he guesses was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprints {
    /// Over everything that tells requests apart.
    pub whole: [u8; 32],
    /// Without header fields, which requests that older versions stored were told apart without.
    pub without_fields: [u8; 32],
    /// Whose data the request carries, as far as that is known.
    pub owners: Vec<OwnerTag>,
}

impl From<[u8; 32]> for Fingerprints {
    fn from(whole: [u8; 32]) -> Fingerprints {
        Fingerprints { whole, without_fields: whole, owners: Vec::new() }
    }
}

/// What [`Idempotency::reserve`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Reservation {
    /// The key is yours: deliver, then settle.
    Taken(Ticket),
    /// Another exchange holds it and has not ended.
    InProgress,
    /// The key was used for something else.
    Mismatch,
    /// The exchange that held it ended with this answer.
    Finished(StoredAnswer),
    /// It may have reached the target, but nobody knows how it ended: the connection broke, or the process that
    /// held the key stopped.
    OutcomeUnknown,
    /// So much is kept, of this account's or of all, that no further key is taken.
    Full,
}

/// How a reservation ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// Every repetition gets this answer.
    Finished(StoredAnswer),
    /// Nothing reached the target: the key is free.
    Release,
    /// It may have reached the target: the key stays taken until it expires.
    Unknown,
}

/// The right to settle one reservation, once. Only implementations make one.
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Account and operation.
    pub scope: String,
    /// As the caller chose it.
    pub key: String,
    /// Tells this holder from every other that ever held the key: the run of the process and a number in it.
    pub holder: (i64, i64),
}
