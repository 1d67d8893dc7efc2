//! A disk that neither writes nor fails. Whoever waits for it is told so after a while, and nobody new is let in, as with
//! one that fails: else exchanges that do not wait for their record would go on for as long as it hangs.

use crate::shared::Shared;
use parking_lot::Mutex;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The write of the journal that is under way, since when by the clock's monotonic time.
#[derive(Default)]
pub(crate) struct UnderWay(Mutex<Option<Duration>>);

/// How often somebody looks whether a write hangs.
const LOOK: Duration = Duration::from_millis(250);

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

    fn hangs(&self, shared: &Shared, patience: Duration, then: impl FnOnce(Duration)) -> bool {
        let since = self.0.lock();
        let taken = since.map(|since| shared.clock.monotonic().saturating_sub(since));
        let taken = taken.filter(|taken| *taken >= patience);
        if let Some(taken) = taken {
            then(taken);
        }
        taken.is_some()
    }
}

/// Until the trail is closed.
pub(crate) fn watch(shared: &Shared) {
    while !shared.bell.wait(LOOK) {
        shared.under_way.hangs(shared, shared.patience, |taken| {
            if shared.journal.is_out() {
                return;
            }
            let seconds = taken.as_secs();
            tracing::error!(
                "the disk of the audit journal does not answer for {seconds} seconds; exchanges are refused until it does"
            );
            shared.journal.fail(format_args!("the disk did not answer for {seconds} seconds"));
            shared.progress.stop();
        });
    }
}

/// What the committer returns, unless it waits for a disk that hangs.
pub(crate) fn join_committer(committer: JoinHandle<u64>, shared: &Shared) -> u64 {
    while !committer.is_finished() {
        if shared.under_way.hangs(shared, shared.patience * 2, |_| ()) {
            return shared.queue.next().saturating_sub(shared.progress.durable());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    committer.join().unwrap_or_default()
}

/// What a thread returns, if it ends within that time.
pub(crate) fn join_within<T>(thread: JoinHandle<T>, time: Duration) -> Option<std::thread::Result<T>> {
    let begun = Instant::now();
    while !thread.is_finished() {
        if begun.elapsed() > time {
            return None;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Some(thread.join())
}
