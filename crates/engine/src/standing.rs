//! The audit trail, as exchanges meet it: closed while the store is not the one that this bridge opened.

use ironbridge_audit::Trail;
use ironbridge_core::{Action, BoxFuture, Denial, Position, Record, Recorder, code};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The trail, which takes no new exchange while the store is not as it was left.
pub struct Standing {
    pub trail: Arc<Trail>,
    pub store_fell: Arc<AtomicBool>,
}

impl Recorder for Standing {
    fn ready(&self) -> Result<(), Box<Denial>> {
        if self.store_fell.load(Ordering::Relaxed) {
            return Err(Box::new(
                Denial::new(&code::STORE_UNAVAILABLE)
                    .internal("the store is not the one that was left, or cannot be read"),
            ));
        }
        self.trail.ready()
    }

    fn append(&self, record: Record<'_>) -> Result<Position, Box<Denial>> {
        self.trail.append(record)
    }

    fn act(&self, action: &Action) -> Result<Position, Box<Denial>> {
        self.trail.act(action)
    }

    fn durable(&self, position: Position) -> BoxFuture<'_, Result<(), Box<Denial>>> {
        self.trail.durable(position)
    }
}
