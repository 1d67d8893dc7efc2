//! What must outlast the process: issued credentials, sealed items, owners' keys, idempotency keys, and actions
//! that wait for their record.
//!
//! [`Store`] says what the rest of the bridge may rely on, part by part; [`SqliteStore`] keeps it in one SQLite file
//! (WAL), and only whoever opens the store names it. Other databases come behind the same trait and must pass the same
//! exported suite (feature `suite`).
//!
//! # Why one writer thread
//! An idempotency key must be on disk *before* the request is delivered, so every such request pays for an
//! fsync. SQLite allows one writer at a time anyway; a pool of connections (sqlx) would queue for the lock and
//! fsync once per request. Here one thread owns the connection, drains its queue, runs every operation in a
//! savepoint of one transaction, commits once and then answers everybody: the fsync is shared by all that
//! waited for it, a failing operation undoes only itself, and no reader ever sees half an operation. Callers
//! await; no runtime thread blocks.
//!
//! # Several processes
//! The command line and a running bridge use the same file. Writers take the lock at once (`BEGIN IMMEDIATE`)
//! and wait for it up to five seconds. A [`Changes`] receiver tells a running bridge within 250 ms that
//! credentials, sealed items or the outbox were changed, by whichever process.
//!
//! # What is encrypted
//! Sealed items arrive sealed. Kept answers and owners' keys are sealed by the [`Sealer`] that the store is opened
//! with. A sealed ledger says which credentials, sealed items, waiting actions and owners' keys there are and what they
//! say, so that a row that another hand put in, changed, took away or put back is found. The rest (names, hashes, times,
//! idempotency keys, waiting actions) is plain: an idempotency key should mean
//! nothing to a reader. What tells requests of one such key apart comes as a keyed hash.

#![warn(missing_docs)]

mod changes;
mod credentials;
mod error;
mod idempotency;
mod integrity;
mod items;
mod marks;
mod outbox;
mod owners;
mod sealer;
mod sqlite;
#[cfg(any(test, feature = "suite"))]
pub mod suite;

/// An exchange waits no longer for the store, and a disk that has not answered by then hangs. Another process may hold its
/// lock for five seconds, more than once.
pub const HANGS: std::time::Duration = std::time::Duration::from_secs(15);

pub use changes::Changes;
pub use credentials::{Credentials, IssuedCredential, IssuedKind};
pub use error::{StoreError, StoreFuture};
pub use idempotency::{Fingerprints, Idempotency, Rekey, Reservation, Settlement, Ticket};
pub use integrity::Integrity;
pub use ironbridge_core::StoredAnswer;
pub use items::{ItemSummary, SealedItem, SealedItems};
pub use marks::Marks;
pub use outbox::{Actor, Outbox};
pub use owners::{Lookup, NewOwner, OwnerKeys, OwnerKind};
pub use sealer::{Sealer, SealerError};
pub use sqlite::SqliteStore;

/// All that a store keeps: what the bridge opens once, and hands on to each room as the part that the room needs.
pub trait Store: Credentials + SealedItems + Marks + OwnerKeys + Outbox + Idempotency + Integrity {}

impl<S: Credentials + SealedItems + Marks + OwnerKeys + Outbox + Idempotency + Integrity> Store for S {}
