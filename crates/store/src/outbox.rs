//! Actions that wait for their record.

use crate::{Changes, StoreFuture};
use ironbridge_core::{Action, ExchangeId};
use std::sync::Arc;

/// Actions that wait for their record in the audit trail.
///
/// Every change of a credential, a sealed item or an owner's key leaves its action here in the same transaction,
/// so that none can happen without being recorded, whichever process makes it. A running bridge hears of it
/// through [`Changes`], records what is [`pending`](Outbox::pending) and then says [`done`](Outbox::done). Should
/// it stop in between, it records the action again: its id tells.
pub trait Outbox: Changes {
    /// Leaves an action that no change of the store stands for. It must have been done; id, time, name, object,
    /// account and facts are kept. Who did it is whom the store was opened for.
    fn note(&self, action: Action) -> StoreFuture<'_, ()>;

    /// The oldest, at most `limit`, in the order in which they were done. In the place of one that another hand put
    /// there, changed or took away, stands `store.refuse`: that somebody did.
    fn pending(&self, limit: u32) -> StoreFuture<'_, Vec<Action>>;

    /// They are recorded. Unknown ids are passed over.
    fn done(&self, ids: Vec<ExchangeId>) -> StoreFuture<'_, ()>;

    /// How many wait.
    fn count(&self) -> StoreFuture<'_, u64>;
}

/// Who a process acts for, as far as the machine knows: `bridge`, `cli:alice`. Personal detail, which lies in the
/// outbox in the clear until the action is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor(pub Arc<str>);

impl Actor {
    /// Who calls themselves so.
    pub fn new(name: impl Into<Arc<str>>) -> Actor {
        Actor(name.into())
    }
}
