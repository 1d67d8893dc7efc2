//! The thread that owns the connection.

use super::file::File;
use super::keeper::Keeper;
use super::queue::{Effect, Job, Jobs};
use super::turn::Turn;
use super::{idempotency, schema};
use crate::StoreError;
use ironbridge_core::Clock;
use rusqlite::Connection;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

pub(super) struct Writer {
    file: File,
    /// None after a failure that a fresh connection may cure.
    db: Option<Connection>,
    jobs: Jobs,
    /// Jobs that must be tried again, before anything newer.
    again: Vec<Box<dyn Job>>,
    publish: Publish,
    /// Differs from the database's when another connection has committed since.
    data_version: Option<i64>,
    /// Of the schema that was compared with this program's, on this connection.
    schema: Option<i64>,
    keeper: Arc<Keeper>,
    clock: Arc<dyn Clock>,
    /// These by the monotonic clock: one that is set back must not keep what was erased.
    next_sweep: Duration,
    /// When to empty the write-ahead log, while it may still hold what was erased.
    empty_log_at: Option<Duration>,
    /// When this process last erased something, by the monotonic clock.
    erased: Option<Duration>,
}

/// How the rest of the process learns the generation.
pub(super) struct Publish {
    pub changed: watch::Sender<u64>,
    pub newest: Arc<AtomicU64>,
}

impl Publish {
    fn generation(&self, generation: u64) {
        // Who is woken reads what is newest.
        self.newest.store(generation, Ordering::Relaxed);
        self.changed.send_if_modified(|current| std::mem::replace(current, generation) != generation);
    }
}

impl Writer {
    pub(super) fn new(
        file: File,
        db: Connection,
        keeper: Arc<Keeper>,
        jobs: Jobs,
        publish: Publish,
        clock: Arc<dyn Clock>,
    ) -> Writer {
        let next_sweep = clock.monotonic().saturating_add(SWEEP_EVERY);
        Writer {
            file,
            db: Some(db),
            jobs,
            again: Vec::new(),
            publish,
            data_version: None,
            schema: None,
            keeper,
            clock,
            next_sweep,
            empty_log_at: None,
            erased: None,
        }
    }

    pub(super) fn run(mut self) {
        let mut stopping = false;
        loop {
            let patience = if stopping { Duration::ZERO } else { LOOK_EVERY };
            let batch = self.jobs.next(MAX_BATCH, patience);
            stopping |= batch.last;
            let idle = batch.jobs.is_empty();
            let again = std::mem::take(&mut self.again);
            self.commit(again);
            // Reading apart from writing lets it go on while another process holds the lock. After the writes, so
            // that whoever wrote reads it back.
            let (reads, writes) = batch.jobs.into_iter().partition(|job| job.effect() == Effect::Reads);
            self.commit(writes);
            self.commit(reads);
            if stopping && idle {
                // What others erased is not worth waiting for, and whoever erased may have waited already.
                let ends = self.erased.map(|at| at.saturating_add(self.file.patience()));
                let patience = ends.map(|ends| ends.saturating_sub(self.clock.monotonic()));
                self.empty_log(patience.unwrap_or_default());
                return;
            }
            self.sweep();
            if self.empty_log_at.is_some_and(|at| self.clock.monotonic() >= at) {
                self.empty_log(Duration::ZERO);
            }
            self.look();
        }
    }

    /// One transaction for all, then an answer for each.
    fn commit(&mut self, jobs: Vec<Box<dyn Job>>) {
        let Some(effect) = jobs.iter().map(|job| job.effect()).max() else { return };
        let mut ran = Vec::with_capacity(jobs.len());
        let committed = self.transact(effect, jobs, &mut ran);
        if committed.is_ok() && effect >= Effect::Changes {
            self.publish();
        }
        if committed.is_ok() && effect == Effect::Erases {
            self.erased = Some(self.clock.monotonic());
            self.empty_log(Duration::ZERO);
        }
        let outcomes = ran.iter().map(|(_, own)| own).chain([&committed]);
        if outcomes.filter_map(|outcome| outcome.as_ref().err()).any(is_of_the_connection) {
            self.db = None;
        }
        for (job, own) in ran {
            self.again.extend(job.finish(own.and_then(|()| committed.clone())));
        }
    }

    /// Moves every job to `ran`, whether or not it came to run.
    fn transact(
        &mut self,
        effect: Effect,
        jobs: Vec<Box<dyn Job>>,
        ran: &mut Vec<Ran>,
    ) -> Result<(), StoreError> {
        let mut jobs = jobs.into_iter();
        let keeper = Arc::clone(&self.keeper);
        let result = self.database().and_then(|(file, db, schema)| {
            let explain = |error| file.explain(error);
            // A writer takes the lock at once: upgrading a read lock fails when another process wrote meanwhile.
            let begin = if effect == Effect::Reads { "BEGIN" } else { "BEGIN IMMEDIATE" };
            execute(db, begin).map_err(explain)?;
            known_schema(file, db, schema)?;
            let mut turn = Turn::new(db, &keeper);
            for mut job in jobs.by_ref() {
                execute(db, "SAVEPOINT job").map_err(explain)?;
                turn.begin();
                let own = job.run(&mut turn).map_err(|failure| file.told(failure));
                let failed = own.clone().err();
                ran.push((job, own));
                if let Some(error) = failed {
                    if db.is_autocommit() {
                        // SQLite gave the whole transaction up, as it may on a full disk (lang_transaction §3.3).
                        return Err(error);
                    }
                    execute(db, "ROLLBACK TO job").map_err(explain)?;
                    turn.undo();
                }
                execute(db, "RELEASE job").map_err(explain)?;
            }
            let written = turn.write().map_err(|failure| file.told(failure))?;
            if effect >= Effect::Changes {
                execute(db, "UPDATE meta SET generation = generation + 1").map_err(explain)?;
            }
            if effect == Effect::Erases {
                execute(db, "UPDATE meta SET erased = erased + 1").map_err(explain)?;
            }
            execute(db, "COMMIT").map_err(explain)?;
            let Some(written) = written else { return Ok(()) };
            keeper.committed(written);
            // Nobody is told that it is done before it is read back.
            let view = db.unchecked_transaction().map_err(explain)?;
            known_schema(file, &view, schema)?;
            let mut turn = Turn::new(&view, &keeper);
            let again = if effect >= Effect::Changes { turn.ledger() } else { turn.head() };
            again.map(drop).map_err(|failure| file.told(failure))
        });
        ran.extend(jobs.map(|job| (job, Ok(()))));
        if result.is_err()
            && let Some(db) = &self.db
            && !db.is_autocommit()
        {
            // If this fails too, the connection is given up with the transaction.
            let _ = execute(db, "ROLLBACK");
        }
        result
    }

    /// Notices what other processes have changed.
    pub(super) fn look(&mut self) {
        let Ok((_, db, _)) = self.database() else { return };
        let seen = db
            .prepare_cached("PRAGMA data_version")
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .ok();
        if seen != self.data_version {
            self.data_version = seen;
            self.publish();
            // Whoever erased something may have ended before it could empty the log.
            self.empty_log(Duration::ZERO);
        }
    }

    fn publish(&self) {
        let Some(db) = &self.db else { return };
        let generation = db
            .prepare_cached("SELECT generation FROM meta")
            .and_then(|mut statement| statement.query_row([], |row| row.get::<_, i64>(0)));
        if let Ok(generation) = generation.map(i64::cast_unsigned) {
            self.publish.generation(generation);
        }
    }

    /// Forgets idempotency keys that have expired, a bounded number at a time.
    fn sweep(&mut self) {
        let (now, moment) = (self.clock.now(), self.clock.monotonic());
        if moment < self.next_sweep {
            return;
        }
        let Ok((_, db, _)) = self.database() else { return };
        let swept = idempotency::sweep(db, now, SWEEP_AT_ONCE);
        if !matches!(swept, Ok(SWEEP_AT_ONCE)) {
            self.next_sweep = moment.saturating_add(SWEEP_EVERY);
        }
    }

    /// Empties the write-ahead log, if it may hold what was erased. While another process reads an older state that
    /// cannot be done; it is tried again then.
    fn empty_log(&mut self, patience: Duration) {
        let Ok((file, db, _)) = self.database() else { return };
        let emptied = file.empty_log(db, patience).unwrap_or(false);
        self.empty_log_at = (!emptied).then(|| self.clock.monotonic().saturating_add(EMPTY_LOG_EVERY));
    }

    /// The connection, opened anew after a failure.
    fn database(&mut self) -> Result<(&File, &Connection, &mut Option<i64>), StoreError> {
        let db = match self.db.take() {
            Some(db) => db,
            None => {
                (self.data_version, self.schema) = (None, None);
                self.file.reopen()?
            }
        };
        Ok((&self.file, self.db.insert(db), &mut self.schema))
    }
}

/// Whether a fresh connection may cure it. What another hand did, it would only hide.
fn is_of_the_connection(error: &StoreError) -> bool {
    !matches!(
        error,
        StoreError::Conflict(_)
            | StoreError::TooManyLive { .. }
            | StoreError::TooMany { .. }
            | StoreError::Locked(_)
            | StoreError::Altered { .. }
            | StoreError::Outran(_)
    )
}

/// In every transaction, before anything else: another process may have changed the schema since the last one.
fn known_schema(file: &File, db: &Connection, known: &mut Option<i64>) -> Result<(), StoreError> {
    let found = Some(schema::cookie(db).map_err(|error| file.explain(error))?);
    if *known != found {
        schema::refuse_other(db, schema::KNOWN).map_err(|failure| file.told(failure))?;
        *known = found;
    }
    Ok(())
}

fn execute(db: &Connection, sql: &str) -> rusqlite::Result<()> {
    db.prepare_cached(sql)?.execute([]).map(drop)
}

/// A job with its own outcome, which counts only if the transaction was committed.
type Ran = (Box<dyn Job>, Result<(), StoreError>);

/// Another process's change must be noticed within 250 ms.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Bounds how long the lock is held and how long the first in a batch waits for the last.
const MAX_BATCH: usize = 512;

/// How often it is tried while others read: each attempt may write to the disk.
const EMPTY_LOG_EVERY: Duration = Duration::from_secs(1);

const SWEEP_EVERY: Duration = Duration::from_secs(60);
const SWEEP_AT_ONCE: usize = 1000;
