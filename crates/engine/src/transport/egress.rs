//! The target's side of a transport.

use super::basis::{Basis, BuildError};
use crate::plan::Planned;
use ironbridge_core::{Action, BoxFuture, Delivery, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The target's side of a transport, as one load of the manifest declares it. Whoever holds a delivery of it can go on
/// using that when the next is in force.
pub trait Egress: Send + Sync {
    /// The one of the next load. Connections and tokens are carried over where nothing about them changed; this one goes
    /// on as it is.
    ///
    /// # Errors
    /// A system cannot be reached as it is declared. Then nothing changes in the whole bridge.
    fn next<'a>(&'a self, from: Basis<'a>) -> BoxFuture<'a, Result<Arc<dyn Egress>, BuildError>>;

    /// What takes exchanges of an integration to its target, which this transport reaches: one delivery for each operation,
    /// in the order of their names. `read` says of each whether a control reads its replies, which must come whole then.
    /// The integration may be a flow of another transport; then what its exchanges say in words of every transport is all
    /// that there is.
    ///
    /// # Errors
    /// The integration cannot lead there as it is declared. Then nothing changes in the whole bridge.
    fn deliveries(
        &self,
        from: Basis<'_>,
        planned: Planned<'_>,
        read: &[bool],
    ) -> Result<Vec<Arc<dyn Delivery>>, BuildError>;

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
pub(crate) struct Egresses(BTreeMap<&'static str, Arc<dyn Egress>>);

impl Egresses {
    pub fn new(begun: impl IntoIterator<Item = (&'static str, Arc<dyn Egress>)>) -> Egresses {
        Egresses(begun.into_iter().collect())
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
