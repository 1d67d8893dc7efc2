//! How who keeps copies in memory learns that they are old.

use tokio::sync::watch;

/// Tells who keeps copies in memory that something has changed, and who records actions that one waits.
pub trait Changes: Send + Sync {
    /// Holds the generation: a number that rises with every change of a credential or sealed item, every destroyed
    /// owner's key and every action left in the outbox, by this process or another. Last-used times, idempotency
    /// keys, new owners' keys and recorded actions do not count.
    fn changes(&self) -> watch::Receiver<u64>;

    /// The generation now. Cheap enough to ask per exchange.
    fn generation(&self) -> u64 {
        *self.changes().borrow()
    }
}
