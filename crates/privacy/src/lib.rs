//! Whose data it is: the keys under which the audit trail seals what it knows of people, and their erasure.
//!
//! Every data subject and every account has a key of its own; unknown callers share one. Destroying a subject's key
//! erases all detail that was sealed under it, in every copy of the trail (F5, GDPR Art. 17), while records and
//! proofs stay as they are.

#![warn(missing_docs)]

mod cache;
mod owners;

pub use owners::Owners;
