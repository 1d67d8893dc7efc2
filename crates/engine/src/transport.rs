//! What the bridge asks of a transport: the caller's side, the target's side, and how both change under traffic.
//!
//! A reload prepares everything over all transports, and only then puts it into force: first the target's sides of the
//! next snapshot are built, then every caller's side prepares, and when nothing failed, all of them are applied, which
//! cannot fail. What was prepared and is not applied is dropped, and leaves no trace.

use crate::http::Http;
use crate::preparing::{Basis, BuildError, Preparing};
use ironbridge_core::{Action, BoxFuture, Timestamp};
use std::any::Any;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The transports of the product. One line here is all that the rest of the bridge knows of one.
pub fn all() -> Vec<Arc<dyn Transport>> {
    vec![Arc::new(Http)]
}

/// The code that speaks one protocol family. Both of its sides begin empty, and get what the manifest declares with the
/// first load.
pub trait Transport: Send + Sync {
    /// As sections of integrations and systems are called, and as records name it: `http`.
    fn name(&self) -> &'static str;

    /// The caller's side of one bridge.
    fn ingress(&self) -> Box<dyn Ingress>;

    /// The target's side of one bridge, leading nowhere yet.
    fn egress(&self) -> Arc<dyn Egress>;
}

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

/// The target's side of a transport, as one load of the manifest declares it. Whoever holds a delivery of it can go on
/// using that when the next is in force.
pub trait Egress: Any + Send + Sync {
    /// The one of the next load. Connections and tokens are carried over where nothing about them changed; this one goes
    /// on as it is.
    ///
    /// # Errors
    /// A system cannot be reached as it is declared. Then nothing changes in the whole bridge.
    fn next<'a>(&'a self, from: Basis<'a>) -> BoxFuture<'a, Result<Arc<dyn Egress>, BuildError>>;

    /// What is to be recorded once it is in force: new certificates of the bridge's own.
    fn renewed(&self) -> &[Action] {
        &[]
    }

    /// Whether a certificate that the bridge shows to a target is due for renewal.
    fn renewal_due(&self, _now: Timestamp) -> bool {
        false
    }
}

/// The target's sides of one snapshot, by transport.
#[derive(Default, Clone)]
pub struct Egresses(BTreeMap<&'static str, Arc<dyn Egress>>);

impl Egresses {
    pub fn begin(transports: &[Arc<dyn Transport>]) -> Egresses {
        Egresses(transports.iter().map(|transport| (transport.name(), transport.egress())).collect())
    }

    pub async fn next(&self, from: Basis<'_>) -> Result<Egresses, BuildError> {
        let mut next = Egresses::default();
        for (name, egress) in &self.0 {
            next.0.insert(name, egress.next(from).await?);
        }
        Ok(next)
    }

    pub fn of(&self, transport: &str) -> Option<&dyn Egress> {
        self.0.get(transport).map(|egress| &**egress)
    }

    pub fn iter(&self) -> impl Iterator<Item = &dyn Egress> {
        self.0.values().map(|egress| &**egress)
    }
}
