//! When another token may be fetched because the target refused the one at hand (401).
//!
//! A target may refuse every token for one path; then a fetch for each request would help nobody and use up the token
//! endpoint. So an operation gets one fetch; while fresh tokens do not help it, the next one after a pause.

use ironbridge_core::Flow;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// After a fetch that an operation asked for; after each further one that did not help it, twice as long. Ours.
const PAUSE: Duration = Duration::from_secs(15);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Between two fetches for whatever operations while no operation took the token. Ours.
const ANY_PAUSE: Duration = Duration::from_secs(1);

/// Operations remembered; beyond, the oldest are forgotten once their pause is over.
const OPERATIONS: usize = 1024;

type Operation = (Arc<str>, Option<Arc<str>>);

#[derive(Default)]
pub(super) struct Refusals(Mutex<HashMap<Operation, Pause>>);

#[derive(Clone, Copy)]
struct Pause {
    length: Duration,
    /// Monotonic.
    until: Duration,
}

impl Refusals {
    /// Whether a fetch may help the operation, which then is under way: the next one has to wait.
    pub fn may_renew(&self, flow: &Flow, now: Duration) -> bool {
        let mut of = self.0.lock();
        if of.len() >= OPERATIONS {
            of.retain(|_, pause| now < pause.until);
        }
        let operation = operation(flow);
        let known = of.get(&operation).copied();
        let last = of.values().map(|pause| pause.until.saturating_sub(pause.length)).max();
        // Where several operations are refused, they do not take turns in asking.
        let others = of.len() > 1 && last.is_some_and(|last| now.saturating_sub(last) < ANY_PAUSE);
        if known.is_some_and(|pause| now < pause.until) || others || of.len() >= OPERATIONS {
            return false;
        }
        let length = known.map_or(PAUSE, |pause| pause.length.saturating_mul(2).min(LONGEST_PAUSE));
        of.insert(operation, Pause { length, until: now.saturating_add(length) });
        true
    }

    /// The fetch helped the operation.
    pub fn forget(&self, flow: &Flow) {
        self.0.lock().remove(&operation(flow));
    }
}

fn operation(flow: &Flow) -> Operation {
    let name = flow.operation.as_ref().map(|operation| Arc::clone(&operation.name));
    (Arc::clone(&flow.integration.name), name)
}
