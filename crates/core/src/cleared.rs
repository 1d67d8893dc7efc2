//! What a delivery is given: proof that every control let an exchange pass.

use crate::{Code, Exchange};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// An exchange that every request control let pass. Delivery takes nothing else, and only
/// [`Pipeline`](crate::Pipeline) makes one: its fields are private, and nobody outside this room can call its
/// constructor.
pub struct Cleared<'x> {
    exchange: &'x mut Exchange,
    max_request: u64,
    max_reply: u64,
}

impl<'x> Cleared<'x> {
    pub(crate) fn of(exchange: &'x mut Exchange, max_request: u64, max_reply: u64) -> Cleared<'x> {
        Cleared { exchange, max_request, max_reply }
    }

    /// What was cleared.
    pub fn exchange(&self) -> &Exchange {
        self.exchange
    }

    /// The most bytes of a request body that may go to the target.
    pub fn max_request(&self) -> u64 {
        self.max_request
    }

    /// The most bytes of a reply that may come back.
    pub fn max_reply(&self) -> u64 {
        self.max_reply
    }

    /// Why it ends, where it ends without an answer and not because its caller went away.
    pub fn break_off(&mut self, code: &'static Code) {
        self.exchange.broken_off = Some(code);
    }

    /// Counts request bytes that go to the target.
    pub fn count_in(&mut self, bytes: u64) {
        self.exchange.bytes_in = self.exchange.bytes_in.saturating_add(bytes);
    }

    /// Nothing of what was counted went to the target.
    pub fn count_none(&mut self) {
        (self.exchange.bytes_in, self.exchange.streamed_in) = (0, None);
    }

    /// A counter for a body that streams to the target with unknown length.
    pub fn counter_in(&mut self) -> Arc<AtomicU64> {
        Arc::clone(self.exchange.streamed_in.get_or_insert_default())
    }
}
