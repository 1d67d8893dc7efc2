//! Since when the committer has been writing, so that somebody else can see that the disk hangs.

use parking_lot::Mutex;
use std::time::Duration;

/// The write of the journal that is under way, since when by the clock's monotonic time.
#[derive(Default)]
pub(crate) struct UnderWay(Mutex<Option<Duration>>);

impl UnderWay {
    pub fn begins(&self, now: Duration) {
        *self.0.lock() = Some(now);
    }

    /// It has an end; nobody finds that it hangs while this is said.
    pub fn ended(&self, then: impl FnOnce()) {
        let mut since = self.0.lock();
        *since = None;
        then();
    }

    /// Whether it has taken that long by now; then that is said while it cannot end.
    pub fn hangs(&self, now: Duration, patience: Duration, then: impl FnOnce(Duration)) -> bool {
        let since = self.0.lock();
        let taken = since.map(|since| now.saturating_sub(since));
        let taken = taken.filter(|taken| *taken >= patience);
        if let Some(taken) = taken {
            then(taken);
        }
        taken.is_some()
    }
}
