//! How many exchanges are open in the whole bridge. It must not know what they are, or over which transport they come.

use crate::{Denial, code};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// The exchanges that are open now, over all transports, listeners and cores. Without a limit until one is set.
#[derive(Debug)]
pub struct OpenExchanges {
    open: AtomicUsize,
    most: AtomicUsize,
}

/// How long whoever found no place is asked to wait.
const COME_BACK: Duration = Duration::from_secs(1);

impl Default for OpenExchanges {
    fn default() -> OpenExchanges {
        OpenExchanges { open: AtomicUsize::new(0), most: AtomicUsize::new(usize::MAX) }
    }
}

impl OpenExchanges {
    /// What holds from now on; those that are open stay.
    pub fn set_limit(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// Counts an exchange as open while what comes back lives.
    ///
    /// # Errors
    /// `bridge-busy`, where as many are open as may be.
    pub fn open(self: &Arc<Self>) -> Result<Open, Box<Denial>> {
        let open = Open(Arc::clone(self));
        // Counted before it is looked at, so that two cores never take the last place; dropped, it is given back.
        let before = self.open.fetch_add(1, Ordering::Relaxed);
        if before < self.most.load(Ordering::Relaxed) {
            return Ok(open);
        }
        Err(Box::new(Denial::new(&code::BRIDGE_BUSY).retry_after(COME_BACK)))
    }
}

/// The place of one open exchange. It is kept until its answer is gone.
#[derive(Debug)]
pub struct Open(Arc<OpenExchanges>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_given_back() {
        let exchanges = Arc::<OpenExchanges>::default();
        exchanges.set_limit(2);
        let (one, two) = (exchanges.open().unwrap(), exchanges.open().unwrap());
        let refused = exchanges.open().unwrap_err();
        assert_eq!((refused.code, refused.retry_after), (&code::BRIDGE_BUSY, Some(COME_BACK)));
        drop(one);
        let three = exchanges.open().unwrap();
        exchanges.set_limit(1);
        drop((two, three));
        let last = exchanges.open().unwrap();
        assert!(exchanges.open().is_err());
        drop(last);
    }
}
