//! The caller's side of a transport.

use super::basis::BuildError;
use super::preparing::Preparing;
use ironbridge_core::{Action, BoxFuture, Timestamp};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The caller's side of a transport, at work in one bridge.
pub trait Ingress: Send + Sync {
    /// Builds what the next snapshot takes from callers, and binds what has to be bound. Nothing of what is in force
    /// changes; nobody else can change it before the result is applied or dropped.
    ///
    /// # Errors
    /// What is declared cannot be served. Then nothing changes in the whole bridge.
    fn prepare<'a>(
        &'a mut self,
        from: &'a Preparing<'a>,
    ) -> BoxFuture<'a, Result<Box<dyn Prepared + 'a>, BuildError>>;

    /// Takes nothing new; what is under way ends in its own time.
    fn drain(&self);

    /// As [`Ingress::drain`]; what is still open after this time is cut, and recorded so.
    fn leave(&self, time: Duration);

    /// Resolves when nothing is under way.
    fn idle(&self) -> BoxFuture<'_, ()>;

    /// What would be cut now: connections, or whatever the transport takes exchanges from.
    fn open(&self) -> usize;

    /// Where it listens, by the name of the listener.
    fn addresses(&self) -> Vec<(Arc<str>, SocketAddr)> {
        Vec::new()
    }

    /// The files that its certificates come from, by listener; none for those of the internal CA.
    fn chains(&self) -> BTreeMap<Arc<str>, PathBuf> {
        BTreeMap::new()
    }

    /// Whether a certificate that it shows to callers is due for renewal.
    fn renewal_due(&self, _now: Timestamp) -> bool {
        false
    }
}

/// What a caller's side is to become; nothing of it is in force yet.
pub trait Prepared: Send {
    /// Puts it into force: exchanges under way keep what they started with, and what is declared no more drains. Cannot
    /// fail. Returns what is to be recorded of it, which are new certificates.
    fn apply(self: Box<Self>) -> Vec<Action>;
}
