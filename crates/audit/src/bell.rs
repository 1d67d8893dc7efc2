//! What ends the threads of a trail that work at intervals: they wait on it instead of sleeping.

use parking_lot::{Condvar, Mutex};
use std::time::Duration;

/// Tells the threads that wait on it that the trail is closing.
#[derive(Default)]
pub(crate) struct Bell {
    closing: Mutex<bool>,
    rung: Condvar,
}

impl Bell {
    pub fn close(&self) {
        *self.closing.lock() = true;
        self.rung.notify_all();
    }

    /// Whether the trail is closing; waits that long to see.
    pub fn wait(&self, time: Duration) -> bool {
        let mut closing = self.closing.lock();
        if !*closing {
            self.rung.wait_for(&mut closing, time);
        }
        *closing
    }
}
