//! The trail as the bridge holds it: taking records, waiting for them to be durable, and closing.

use crate::believed::Doubt;
use crate::checkpoint::Signers;
use crate::fault::{AuditError, failed};
use crate::hang;
use crate::head::Head;
use crate::mark::Mark;
use crate::outage::{Outage, unavailable};
use crate::progress::Durable;
use crate::reader::Log;
use crate::refusals::{Refusal, Refusals};
use crate::shared::Shared;
use crate::text::time_text;
use ironbridge_core::{
    Action, BoxFuture, Denial, OwnerKey, Position, Record, Recorder, StoreMark, Timestamp,
};
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::thread::JoinHandle;
use std::time::Duration;

/// How long the end of the trail waits for its log; the next start integrates what is left.
const INTEGRATED_WITHIN: Duration = Duration::from_secs(30);

/// The audit trail of this bridge: takes records, makes them durable, and integrates them into the log.
pub struct Trail {
    pub(crate) shared: Arc<Shared>,
    pub(crate) callers: Arc<OwnerKey>,
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) threads: Mutex<Option<Threads>>,
}

pub(crate) struct Threads {
    pub committer: JoinHandle<u64>,
    pub refusals: JoinHandle<()>,
    pub integrator: JoinHandle<Result<(), String>>,
    pub watch: JoinHandle<()>,
}

/// How the trail stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Records taken.
    pub size: u64,
    /// Of these, how many would survive a power cut.
    pub durable: u64,
    /// Of these, how many the signed checkpoint covers.
    pub integrated: u64,
    /// Why no records are taken, if none are.
    pub unavailable: Option<Outage>,
}

impl Trail {
    /// Whether the clock can be believed: else retention drops nothing.
    pub(crate) fn check_clock(&self) -> Result<(), AuditError> {
        let checked = self.shared.believed.check();
        if let Some(head) = self.shared.head.get() {
            let told = head.doubts(checked.map_or_else(|doubt| doubt.clock, |()| Timestamp::default()));
            told.map_err(failed("writing", &self.shared.places.base))?;
        }
        checked.map_err(|Doubt { clock, believed }| AuditError::ClockInDoubt {
            clock: time_text(clock),
            believed: time_text(believed),
        })
    }

    /// A witness signed a checkpoint of this log at that time. Where the clock is in doubt, that may settle it.
    pub fn witnessed(&self, time: Timestamp) {
        self.shared.believed.witnessed(time);
    }

    /// Remembers how far the store came; one that comes back with less is refused at the next start.
    ///
    /// # Errors
    /// When what is remembered cannot be written, or the store is not as far as it was.
    pub fn store_is_at(&self, mark: StoreMark) -> io::Result<()> {
        self.shared.head.get().map_or(Ok(()), |head| head.store_is_at(mark))
    }

    /// Signs with these keys from now on; a checkpoint under them follows within [`crate::Options::max_lag`].
    pub fn set_signers(&self, signers: Signers) {
        *self.shared.signers.lock() = Arc::new(signers);
    }

    /// For reading what this trail writes.
    pub fn log(&self) -> Log {
        Log::at(Arc::clone(&self.shared.disk), self.shared.places.clone(), self.shared.trust.clone())
    }

    /// How far what is remembered of it is, to be kept elsewhere: [`crate::Anchor::mark`].
    pub fn mark(&self) -> Option<Mark> {
        self.shared.head.get().map(Head::mark)
    }

    /// How it stands now; each number is at most the one before.
    pub fn status(&self) -> Status {
        let shared = &self.shared;
        // In this order, so that a later stage never seems ahead of an earlier one.
        let integrated = shared.integrated.load(SeqCst);
        let durable = shared.progress.durable();
        let size = shared.queue.next();
        let unavailable = shared.journal.outage().or_else(|| shared.log.outage());
        Status { size, durable, integrated, unavailable }
    }

    /// Takes no more records, writes and integrates those that are there, and signs a last checkpoint. Blocks
    /// meanwhile. A second call does nothing.
    ///
    /// # Errors
    /// [`AuditError::Unwritten`] and [`AuditError::NotIntegrated`], after all was tried that can be.
    pub fn close(&self) -> Result<(), AuditError> {
        let Some(threads) = self.threads.lock().take() else { return Ok(()) };
        self.refusals.close();
        let _ = threads.refusals.join();
        self.shared.queue.close();
        let unwritten = hang::join_committer(threads.committer, &self.shared);
        self.shared.journal.fail("the trail is closed");
        self.shared.progress.stop();
        self.shared.bell.close();
        let _ = threads.watch.join();
        // Where the journal cannot be written, the log beside it cannot either.
        let patience = if unwritten > 0 { Duration::from_secs(2) } else { INTEGRATED_WITHIN };
        let integrated = hang::join_within(threads.integrator, patience);
        match (unwritten, integrated) {
            (1.., _) => Err(AuditError::Unwritten(unwritten)),
            (0, Some(Ok(Ok(())))) => Ok(()),
            (0, Some(Ok(Err(reason)))) => Err(AuditError::NotIntegrated(reason)),
            (0, Some(Err(_))) => Err(AuditError::NotIntegrated("its thread ended early".into())),
            (0, None) => Err(AuditError::NotIntegrated("the disk is too slow".into())),
        }
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        let _ = self.close();
    }
}

impl Recorder for Trail {
    fn ready(&self) -> Result<(), Box<Denial>> {
        let shared = &*self.shared;
        if let Some(part) = [&shared.journal, &shared.log].into_iter().find(|part| part.is_out()) {
            return Err(part.denial());
        }
        match shared.queue.is_open() {
            true => Ok(()),
            false => Err(unavailable("the trail is closing, or more records wait for the disk than may")),
        }
    }

    /// Refuses while the journal cannot be written, but keeps the record as long as there is room: what crossed
    /// is written once the disk lets it.
    fn append(&self, record: Record<'_>) -> Result<Position, Box<Denial>> {
        if self.refusals.gather(Refusal::Exchange(&record), record.exchange.started) {
            // Nothing of its own to wait for.
            return self.taken(0);
        }
        let pushed = self.shared.push(|encoded| encoded.exchange(&record, &self.callers));
        if pushed.is_err() && self.refusals.keep(Refusal::Exchange(&record), record.exchange.started) {
            return self.taken(0);
        }
        // Where the answer is on its way already, nobody else can tell.
        let index = pushed.inspect_err(|denial| {
            tracing::error!(id = %record.exchange.id, code = record.ending.code(), %denial, "an exchange has no record");
        })?;
        self.taken(index)
    }

    fn act(&self, action: &Action) -> Result<Position, Box<Denial>> {
        if self.refusals.gather(Refusal::Action(action), self.shared.clock.monotonic()) {
            return self.taken(0);
        }
        let pushed = self.shared.push(|encoded| encoded.action(action, &self.callers));
        if pushed.is_err() && self.refusals.keep(Refusal::Action(action), self.shared.clock.monotonic()) {
            return self.taken(0);
        }
        let index = pushed.inspect_err(|denial| {
            tracing::error!(id = %action.id, action = %action.name, %denial, "an action has no record");
        })?;
        self.taken(index)
    }

    fn durable(&self, position: Position) -> BoxFuture<'_, Result<(), Box<Denial>>> {
        let shared = &self.shared;
        let waiting = Durable::new(&shared.progress, position.0);
        Box::pin(async move {
            if position.0 >= shared.progress.durable() {
                shared.queue.want();
            }
            if waiting.await { Ok(()) } else { Err(shared.journal.denial()) }
        })
    }
}

impl Trail {
    fn taken(&self, index: u64) -> Result<Position, Box<Denial>> {
        match self.shared.journal.is_out() {
            true => Err(self.shared.journal.denial()),
            false => Ok(Position(index)),
        }
    }
}
