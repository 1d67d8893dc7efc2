//! A disk that neither writes nor fails. Whoever waits for it is told so after a while, and nobody new is let in, as with
//! one that fails: else exchanges that do not wait for their record would go on for as long as it hangs.

use crate::shared::Shared;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often somebody looks whether a write hangs.
const LOOK: Duration = Duration::from_millis(250);

/// Until the trail is closed.
pub(crate) fn watch(shared: &Shared) {
    while !shared.bell.wait(LOOK) {
        shared.under_way.hangs(shared.clock.monotonic(), shared.patience, |taken| {
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
        if shared.under_way.hangs(shared.clock.monotonic(), shared.patience * 2, |_| ()) {
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
