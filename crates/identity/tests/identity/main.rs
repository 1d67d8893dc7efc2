//! Everything that arrives from outside and must be refused, with the exact code; and what must be accepted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod authority;
mod certificates;
mod issuer_keys;
mod keys;
mod stage;
mod target_tokens;
mod token_requests;
mod tokens;
