//! Where records wait for the next commit. One short lock; the committer takes everything at once by giving an
//! empty buffer for a full one.

use crate::segment::{Frame, Taken};
use parking_lot::{Condvar, Mutex};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

/// How long records that nobody waits for may gather before they are written. Bounds what a power cut can take
/// from exchanges that do not wait for their record, and keeps an idle bridge from syncing once per exchange.
const GATHER: Duration = Duration::from_millis(5);

/// What of a buffer is kept for the next records, in bytes: a burst must not hold its memory for ever.
const KEPT_BUFFER: usize = 1 << 20;

/// What may wait at once. From here on no new exchange is let in; those already under way may fill it to twice
/// as much, so that what crossed is recorded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub records: u32,
    pub bytes: usize,
}

pub(crate) struct Queue {
    bounds: Bounds,
    inner: Mutex<Inner>,
    work: Condvar,
    full: AtomicBool,
    /// Somebody waits for a record that is not yet taken.
    wanted: AtomicBool,
}

struct Inner {
    /// Records in the order of their index.
    pending: Frame,
    committer: Activity,
    closing: bool,
}

/// What the committer is doing.
#[derive(PartialEq, Eq)]
enum Activity {
    Working,
    /// Nothing to do: the next record wakes it.
    Asleep,
    /// Lets records gather: only somebody who waits wakes it.
    Gathering,
}

/// Twice the bounds wait already, or the trail is closing.
pub(crate) struct Refused;

/// How much may wait before a record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    Usual,
    /// Whatever waits: it is among the last, and these are bounded elsewhere.
    Last,
}

/// What the committer finds when it looks for work.
pub(crate) enum Work {
    Commit(Frame),
    /// Nothing came for a while after the last commit.
    Quiet,
    Closed,
}

impl Queue {
    pub fn new(next: u64, bounds: Bounds) -> Queue {
        let pending = Frame::starting_at(next, Vec::with_capacity(64 * 1024));
        Queue {
            bounds,
            inner: Mutex::new(Inner { pending, committer: Activity::Working, closing: false }),
            work: Condvar::new(),
            full: AtomicBool::new(false),
            wanted: AtomicBool::new(false),
        }
    }

    /// Whether a new exchange may count on its record being taken.
    pub fn is_open(&self) -> bool {
        !self.full.load(SeqCst)
    }

    /// Index of the next record.
    pub fn next(&self) -> u64 {
        self.inner.lock().pending.end()
    }

    /// Takes a record and gives it its index.
    pub fn push(&self, room: Room, record: Taken<'_>) -> Result<u64, Refused> {
        let mut inner = self.inner.lock();
        let closing = inner.closing;
        let pending = &mut inner.pending;
        let brim = self.bounds.records.saturating_mul(2);
        let full = pending.count >= brim || pending.len() >= self.bounds.bytes.saturating_mul(2);
        if closing || (full && room == Room::Usual) {
            return Err(Refused);
        }
        let index = pending.end();
        pending.push(record);
        if pending.count >= self.bounds.records || pending.len() >= self.bounds.bytes {
            self.full.store(true, SeqCst);
        }
        if inner.committer == Activity::Asleep {
            inner.committer = Activity::Working;
            drop(inner);
            self.work.notify_one();
        }
        Ok(index)
    }

    /// Asks for a commit now.
    pub fn want(&self) {
        if self.wanted.load(SeqCst) {
            return;
        }
        let mut inner = self.inner.lock();
        self.wanted.store(true, SeqCst);
        if inner.committer != Activity::Working {
            inner.committer = Activity::Working;
            drop(inner);
            self.work.notify_one();
        }
    }

    /// Waits for records and takes them all. `buffer` is that of the last commit, to be filled next.
    pub fn take(&self, buffer: Option<Frame>, quiet: &mut bool) -> Work {
        let mut inner = self.inner.lock();
        loop {
            let empty = inner.pending.count == 0;
            if empty && inner.closing {
                return Work::Closed;
            }
            if !empty && (inner.closing || self.wanted.load(SeqCst) || !self.is_open()) {
                break;
            }
            inner.committer = if empty { Activity::Asleep } else { Activity::Gathering };
            if empty && *quiet {
                self.work.wait(&mut inner);
            } else {
                let timed_out = self.work.wait_for(&mut inner, GATHER).timed_out();
                if timed_out && empty && inner.pending.count == 0 {
                    *quiet = true;
                    inner.committer = Activity::Working;
                    return Work::Quiet;
                }
                if timed_out && !empty {
                    break;
                }
            }
            inner.committer = Activity::Working;
        }
        inner.committer = Activity::Working;
        *quiet = false;
        self.wanted.store(false, SeqCst);
        self.full.store(inner.closing, SeqCst);
        let end = inner.pending.end();
        let mut spent = buffer.map(Frame::into_buffer).unwrap_or_default();
        spent.clear();
        spent.shrink_to(KEPT_BUFFER);
        let fresh = Frame::starting_at(end, spent);
        Work::Commit(std::mem::replace(&mut inner.pending, fresh))
    }

    /// Waits before trying again after a failure. Returns at once when closing: whether it is.
    pub fn wait_to_retry(&self, wait: Duration) -> bool {
        let mut inner = self.inner.lock();
        if !inner.closing {
            self.work.wait_for(&mut inner, wait);
        }
        inner.closing
    }

    pub fn close(&self) {
        self.inner.lock().closing = true;
        self.full.store(true, SeqCst);
        self.work.notify_one();
    }
}
