//! Publishing a log to peers that nobody here wrote, and to sinks that misbehave.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod collectors;
mod cosignatures;
mod forwards;
mod mirrors;
mod remote_log;
mod stage;
mod store;
