//! The committer: one thread that writes whatever gathered during the last sync as one frame, syncs it, and only
//! then says that it is durable.

use crate::queue::Work;
use crate::segment::{Frame, Link, Part, Segment};
use crate::shared::Shared;
use std::io;
use std::sync::Arc;
use std::time::Duration;

pub(crate) struct Committer {
    shared: Arc<Shared>,
    /// `None` after a failure: the next frame starts a fresh segment.
    segment: Option<Segment>,
    /// Of the last frame that was acknowledged.
    link: Link,
    /// When it was begun, as the clock's monotonic time.
    began: Duration,
}

impl Committer {
    pub fn new(shared: Arc<Shared>, segment: Segment) -> Committer {
        let began = shared.clock.monotonic();
        let link = segment.link;
        Committer { shared, segment: Some(segment), link, began }
    }

    /// Runs until the queue is closed and empty. How many records could not be written.
    pub fn run(mut self) -> u64 {
        let mut spent = None;
        let mut quiet = true;
        loop {
            match self.shared.queue.take(spent.take(), &mut quiet) {
                Work::Closed => return 0,
                Work::Quiet => self.shared.progress.sweep(),
                Work::Commit(mut pending) => {
                    if !self.commit(&mut pending) {
                        return self.shared.queue.next().saturating_sub(pending.first);
                    }
                    spent = Some(pending);
                }
            }
        }
    }

    /// Writes the records, however long the disk refuses them; gives up only when the trail closes.
    fn commit(&mut self, pending: &mut Frame) -> bool {
        let mut last_try = false;
        loop {
            self.shared.under_way.begins(self.shared.clock.monotonic());
            let written = self.write(pending);
            self.shared.under_way.ended(|| {
                if written.is_ok() && self.shared.journal.is_out() {
                    tracing::info!("the audit journal is written again");
                    self.shared.journal.recover();
                }
            });
            let Err(error) = written else { break };
            self.segment = None;
            if !self.shared.journal.is_out() {
                tracing::error!(%error, "the audit journal cannot be written; exchanges are refused until it can");
            }
            self.shared.journal.fail(format_args!("the journal cannot be written: {error}"));
            self.shared.progress.stop();
            if last_try {
                return false;
            }
            last_try = self.shared.queue.wait_to_retry(self.shared.retry);
        }
        self.shared.progress.advance(pending.end());
        true
    }

    /// One write, one sync; then what is remembered of it, which is not synced.
    fn write(&mut self, pending: &mut Frame) -> io::Result<()> {
        let (shared, now) = (&self.shared, self.shared.clock.monotonic());
        let young = now.saturating_sub(self.began) < shared.segment_age;
        let good = young && !shared.live.lock().is_spoiled();
        let segment = match self.segment.take().filter(|segment| good && segment.bytes < shared.segment_bytes)
        {
            Some(segment) => segment,
            None => {
                self.began = now;
                // Held meanwhile: once it is there, the one before may be removed, and must not be missed.
                let mut live = shared.live.lock();
                let segment = shared.new_segment(Part::Journal, pending.first, self.link)?;
                live.written(segment.written());
                segment
            }
        };
        let segment = self.segment.insert(segment);
        segment.append(pending)?;
        shared.live.lock().written(segment.written());
        shared.acknowledge(pending.end(), segment.link)?;
        self.link = segment.link;
        Ok(())
    }
}
