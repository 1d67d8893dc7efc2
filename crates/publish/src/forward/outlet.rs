//! What a sink is to whoever sends to it.

use crate::trouble::Trouble;
use ironbridge_audit::Stored;
use ironbridge_core::BoxFuture;

/// A record and its form for the sink.
pub(super) struct Outgoing {
    pub stored: Stored,
    pub text: Vec<u8>,
}

/// A sink that is being sent to.
pub(super) trait Outlet: Send + Sync {
    /// Returns once the sink has the records, and how many it rejected for good.
    fn send<'a>(&'a mut self, records: &'a [Outgoing]) -> BoxFuture<'a, Result<Rejected, Trouble>>;
}

/// How many records a sink will never take, and why.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Rejected {
    pub count: u64,
    pub reason: String,
}
