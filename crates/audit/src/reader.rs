//! Reading a trail: also while a bridge writes it, from another process, without a lock.
//!
//! [`Log`] is what all of it stands on. In layers, each of which knows only those before it: the tree under a checkpoint,
//! the log's files and its detail; records one after the other; what a query asks, and which records it has to read;
//! verification.

mod bundle;
mod details;
mod entries;
mod files;
mod find;
mod indexer;
mod log;
mod proof;
mod query;
mod retained;
mod search;
mod tree;
mod verify;
mod witnessed;

pub use entries::{Follow, Stored};
pub use files::LogFile;
pub use indexer::Indexer;
pub use log::Log;
pub(crate) use log::settled;
pub use query::{Order, Query};
pub use verify::{SavedPlace, Verification, Verified};
