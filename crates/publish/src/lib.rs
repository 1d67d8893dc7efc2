//! The audit trail beyond this machine: copies of the log, records sent on to other systems, and cosignatures of
//! witnesses.
//!
//! Everything here follows the signed checkpoint of a [`ironbridge_audit::Log`] and never holds up who writes it.
//! Whatever fails is tried again for as long as it takes, and shows as [`Lag`]. `docs/audit-publish.md` says what
//! each destination gets and can rely on. [`RemoteLog`] is the other end: another machine's log, read from here.

#![warn(missing_docs)]

mod backoff;
mod cosign;
mod files;
mod forward;
mod head;
mod mirror;
mod moment;
mod publisher;
mod remote_log;
mod status;
mod surroundings;
mod trouble;

pub use cosign::Cosigner;
pub use forward::{Format, Forward, Framing, Sink, adopt_cursors};
pub use mirror::{Bucket, Mirror, Target};
pub use publisher::{Publisher, Settings};
pub use remote_log::RemoteLog;
pub use status::{Kind, Lag, Snapshot};
