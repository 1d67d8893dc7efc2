//! The store in one SQLite file: see the crate's documentation for why it is built this way.

mod adopt;
mod allowance;
mod answer;
mod credentials;
mod failure;
mod file;
mod idempotency;
mod integrity;
mod items;
mod keeper;
mod ledger;
mod marks;
mod outbox;
mod owners;
mod queue;
mod schema;
mod steps;
#[cfg(test)]
mod tests;
mod turn;
mod writer;

use crate::{Actor, Changes, HANGS, Sealer, StoreError, StoreFuture};
use allowance::Allowance;
use file::File;
use ironbridge_core::{Clock, Timestamp};
use keeper::Keeper;
use outbox::Author;
use queue::{Effect, Queue};
use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use writer::{Publish, Writer};

/// A [`Store`](crate::Store) in one SQLite file.
///
/// Dropping it waits until everything that was asked for, settlements included, is on disk.
pub struct SqliteStore {
    file: File,
    queue: Queue,
    generation: watch::Receiver<u64>,
    /// The same, for who asks at every exchange: without the lock of the channel.
    newest: Arc<AtomicU64>,
    sealer: Arc<Keeper>,
    /// What idempotency keys take.
    allowance: Arc<Allowance>,
    clock: Arc<dyn Clock>,
    actor: Actor,
    /// Names this opening of the store in the reservations it takes.
    run: i64,
    reservations: AtomicI64,
    thread: Option<JoinHandle<()>>,
}

impl SqliteStore {
    /// Opens the store, and makes it when there is none: the file with mode 0600, missing directories with 0700.
    /// Blocks while it does; an older schema is migrated first. What this process changes is recorded as done by
    /// `actor`.
    ///
    /// # Errors
    /// When file or directory can be read or replaced by other users, cannot be opened, is not a store, is
    /// damaged, or was written by a newer version.
    pub fn open(
        path: &Path,
        sealer: Arc<dyn Sealer>,
        clock: Arc<dyn Clock>,
        actor: Actor,
    ) -> Result<SqliteStore, StoreError> {
        SqliteStore::open_file(File::new(path, BUSY_TIMEOUT), sealer, clock, actor)
    }

    /// Opens the store to look at it: nothing on the disk changes, and whatever would change something fails.
    ///
    /// # Errors
    /// When it is not there, cannot be read, or was written by another version.
    pub fn open_to_read(
        path: &Path,
        sealer: Arc<dyn Sealer>,
        clock: Arc<dyn Clock>,
    ) -> Result<SqliteStore, StoreError> {
        SqliteStore::open_file(File::to_read(path, BUSY_TIMEOUT), sealer, clock, Actor::new(""))
    }

    fn open_file(
        file: File,
        sealer: Arc<dyn Sealer>,
        clock: Arc<dyn Clock>,
        actor: Actor,
    ) -> Result<SqliteStore, StoreError> {
        file.make()?;
        let sealer = Arc::new(Keeper::new(sealer));
        let db = file.open(&sealer, &Author::new(actor.clone(), clock.now()))?;
        // Whoever destroyed a key may have been killed before it did this. While others use the log, they will do it.
        let _ = file.empty_log(&db, Duration::ZERO);
        let run = db.query_row("SELECT random()", [], |row| row.get(0)).map_err(|e| file.explain(e))?;
        let (changed, generation) = watch::channel(0);
        let newest = Arc::new(AtomicU64::new(0));
        let publish = Publish { changed, newest: Arc::clone(&newest) };
        let (queue, jobs) = Queue::new();
        let allowance = Arc::new(Allowance::new());
        let keeper = Arc::clone(&sealer);
        let mut writer = Writer::new(file.clone(), db, keeper, jobs, publish, Arc::clone(&clock));
        writer.look();
        let thread = std::thread::Builder::new()
            .name("store".into())
            .spawn(move || writer.run())
            .map_err(|e| StoreError::Io(format!("no thread for the store: {e}")))?;
        Ok(SqliteStore {
            file,
            queue,
            generation,
            newest,
            sealer,
            allowance,
            clock,
            actor,
            run,
            reservations: AtomicI64::new(0),
            thread: Some(thread),
        })
    }

    fn ask<'a, T: Send + 'static>(
        &self,
        effect: Effect,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> StoreFuture<'a, T> {
        self.queue.ask(effect, move |turn| work(turn.db).map_err(failure::Failure::from))
    }

    fn next_holder(&self) -> (i64, i64) {
        (self.run, self.reservations.fetch_add(1, Ordering::Relaxed))
    }
}

impl Changes for SqliteStore {
    fn changes(&self) -> watch::Receiver<u64> {
        self.generation.clone()
    }

    fn generation(&self) -> u64 {
        self.newest.load(Ordering::Relaxed)
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.queue.stop();
        let begun = Instant::now();
        while self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) && begun.elapsed() < HANGS {
            // A thread whose disk hangs is left: it does nothing that the next start does not find.
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// How long to wait for another process's lock. A command's writes take milliseconds; a client rarely waits
/// longer than this for an answer.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// SQLite's integers are signed. The year 294,000 is late enough to saturate at.
fn to_sql(time: Timestamp) -> i64 {
    i64::try_from(time.micros()).unwrap_or(i64::MAX)
}

fn from_sql(micros: i64) -> Timestamp {
    Timestamp(u64::try_from(micros).unwrap_or(0))
}
