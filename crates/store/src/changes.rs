use tokio::sync::watch;

/// Tells who keeps copies in memory that credentials or sealed items have changed.
pub trait Changes: Send + Sync {
    /// Holds the generation: a number that rises with every change of a credential or sealed item, made by this
    /// process or another. Last-used times and idempotency keys do not count.
    fn changes(&self) -> watch::Receiver<u64>;

    /// The generation now. Cheap enough to ask per exchange.
    fn generation(&self) -> u64 {
        *self.changes().borrow()
    }
}
