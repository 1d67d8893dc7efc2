//! Everything that needs a cryptographic library, and the only room that names one: random bytes, digests,
//! envelopes for what lies at rest, JOSE (RFC 7515–7519), and C2SP signed notes.
//!
//! Every function that reads bytes from outside is plain, bounded and never panics, so that each is also an
//! entry point for a fuzzer.

#![warn(missing_docs)]

pub mod apikey;
pub mod envelope;
pub mod hash;
pub mod jose;
pub mod note;
pub mod owner;
pub mod random;
