//! The store in one SQLite file: see the crate's documentation for why it is built this way.

mod adopt;
mod answer;
mod credentials;
mod file;
mod idempotency;
mod items;
mod kept;
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
use file::File;
use ironbridge_core::{Clock, StoreMark, Timestamp};
use kept::Kept;
use outbox::Author;
use queue::{Effect, Queue};
use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use steps::Keeper;
use tokio::sync::watch;
use writer::Writer;

/// [`Credentials`](crate::Credentials), [`SealedItems`](crate::SealedItems), [`OwnerKeys`](crate::OwnerKeys),
/// [`Outbox`](crate::Outbox) and [`Idempotency`](crate::Idempotency) in one SQLite file.
///
/// Dropping it waits until everything that was asked for, settlements included, is on disk.
pub struct SqliteStore {
    file: File,
    queue: Queue,
    generation: watch::Receiver<u64>,
    sealer: Arc<Keeper>,
    /// What idempotency keys take.
    kept: Arc<Kept>,
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
        let (publish, generation) = watch::channel(0);
        let (queue, jobs) = Queue::new();
        let kept = Arc::new(Kept::new());
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
            sealer,
            kept,
            clock,
            actor,
            run,
            reservations: AtomicI64::new(0),
            thread: Some(thread),
        })
    }

    /// How far the store came, for somebody outside to remember: a store that did not grow from it was set back.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn mark(&self) -> StoreFuture<'_, StoreMark> {
        self.queue.ask(Effect::Reads, |turn| Ok(turn.head()?.mark()))
    }

    /// The furthest that this process saw the store come, on disk, whatever lies there now.
    pub fn newest_mark(&self) -> StoreMark {
        self.sealer.newest()
    }

    /// Looks whether the store is the one that was opened, as it was left by whoever may change it, on the disk.
    ///
    /// # Errors
    /// [`StoreError::Altered`] where another hand set it back, or put another file in its place; others where it cannot
    /// be read.
    pub fn stands(&self) -> StoreFuture<'_, ()> {
        let file = self.file.clone();
        self.queue.ask(Effect::Reads, move |turn| {
            file.refuse_another()?;
            // What the connection keeps of the file may be whole where the file is not any more.
            turn.db.execute_batch("PRAGMA shrink_memory")?;
            schema::refuse_other(turn.db, schema::KNOWN)?;
            // All of what is bounded, and the beginning of the rest.
            for table in ["meta", "credential", "sealed_item", "outbox"] {
                let count = format!("SELECT count(*) FROM {table} NOT INDEXED");
                turn.db.prepare_cached(&count)?.query_row([], |row| row.get::<_, i64>(0))?;
            }
            for table in ["owner", "idempotency", "step"] {
                turn.db.prepare_cached(&format!("SELECT 1 FROM {table} LIMIT 1"))?.exists([])?;
            }
            turn.ledger().map(drop)
        })
    }

    /// Whether this store is what became of the one that had this mark.
    ///
    /// # Errors
    /// [`StoreError::Outran`] where it came too far since to tell; others when the store cannot be read.
    pub fn grew_from(&self, before: StoreMark) -> StoreFuture<'_, bool> {
        self.queue.ask(Effect::Reads, move |turn| {
            let (db, keeper) = (turn.db, turn.keeper);
            turn.head()?.grew_from(db, keeper, before)
        })
    }

    /// Whoever remembers how far the store came has taken note of this mark: what only tells of before is forgotten.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn noted(&self, mark: StoreMark) -> StoreFuture<'_, ()> {
        self.ask(Effect::Writes, move |db| steps::forget(db, mark))
    }

    fn ask<'a, T: Send + 'static>(
        &self,
        effect: Effect,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> StoreFuture<'a, T> {
        self.queue.ask(effect, move |turn| work(turn.db).map_err(queue::Failure::from))
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
        *self.generation.borrow()
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
