//! Whether the trail's parts can be written at the moment.

use ironbridge_core::{Clock, Denial, Timestamp, code};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

/// Why the trail takes no records at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outage {
    /// For the operator.
    pub reason: String,
    /// When it began.
    pub since: Timestamp,
}

/// Whether one part of the trail, the journal or the log, can be written at the moment.
pub(crate) struct Health {
    clock: Arc<dyn Clock>,
    out: AtomicBool,
    outage: Mutex<Option<Outage>>,
}

impl Health {
    pub fn working(clock: &Arc<dyn Clock>) -> Health {
        Health { clock: Arc::clone(clock), out: AtomicBool::new(false), outage: Mutex::new(None) }
    }

    pub fn is_out(&self) -> bool {
        self.out.load(SeqCst)
    }

    pub fn fail(&self, reason: impl std::fmt::Display) {
        let mut outage = self.outage.lock();
        let since = outage.as_ref().map_or_else(|| self.clock.now(), |outage| outage.since);
        *outage = Some(Outage { reason: reason.to_string(), since });
        self.out.store(true, SeqCst);
    }

    pub fn recover(&self) {
        if self.is_out() {
            *self.outage.lock() = None;
            self.out.store(false, SeqCst);
        }
    }

    pub fn outage(&self) -> Option<Outage> {
        self.outage.lock().clone()
    }

    pub fn denial(&self) -> Box<Denial> {
        unavailable(self.outage().map_or_else(|| "recovering".to_owned(), |outage| outage.reason))
    }
}

pub(crate) fn unavailable(reason: impl std::fmt::Display) -> Box<Denial> {
    let denial = Denial::new(&code::AUDIT_UNAVAILABLE).internal(reason);
    Box::new(denial.retry_after(Duration::from_secs(1)))
}
