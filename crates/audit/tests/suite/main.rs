//! The trail through its outer surface, on real files and on a disk in memory that can lose what was not synced.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::print_stdout
)]

mod beside;
mod concurrency;
mod crash;
mod exchanges;
mod fixture;
mod growing;
mod head;
mod index;
mod left;
mod meddled;
mod memory_disk;
mod notes;
mod openssl;
mod outage;
mod query;
mod receipt;
mod refusals;
mod retention;
mod tamper;
mod tree;
mod under_fire;
mod verify;
mod witness;
