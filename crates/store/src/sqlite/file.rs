//! The file: its permissions, its settings, its schema, and what its errors mean.

use super::adopt::Adopted;
use super::failure::Failure;
use super::keeper::Keeper;
use super::ledger::Ledger;
use super::outbox::Author;
use super::owners;
use super::schema::{self, KNOWN, MIGRATIONS};
use super::turn::Turn;
use crate::{StoreError, StoreFuture};
use parking_lot::Mutex;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};
use std::ffi::OsStr;
use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

#[derive(Clone)]
pub(super) struct File {
    path: PathBuf,
    busy_timeout: Duration,
    access: Access,
    /// The file that was opened, and those that SQLite keeps beside it for the connection of now.
    opened: Arc<Mutex<[Option<Identity>; 3]>>,
}

/// Device and inode.
type Identity = (u64, u64);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Whole,
    /// Nothing on the disk changes, not even the files that SQLite keeps beside the store.
    Reads,
}

impl File {
    pub(super) fn new(path: &Path, busy_timeout: Duration) -> File {
        File { path: path.to_owned(), busy_timeout, access: Access::Whole, opened: Arc::default() }
    }

    /// Of a store that is only looked at.
    pub(super) fn to_read(path: &Path, busy_timeout: Duration) -> File {
        File { path: path.to_owned(), busy_timeout, access: Access::Reads, opened: Arc::default() }
    }

    /// Makes directory and file where they are missing, and refuses those that other users could read or
    /// replace. SQLite gives its `-wal` and `-shm` files the same mode.
    pub(super) fn make(&self) -> Result<(), StoreError> {
        if self.access == Access::Reads {
            return Ok(());
        }
        let directory = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|e| self.cannot_open(directory, &e))?;
        self.refuse_mode(directory, 0o022, "other users can replace files in it", "chmod 700")?;
        // Never opens a file that is there: closing it would drop the locks that this process holds on it
        // through SQLite (POSIX advisory locks belong to the process, not to the descriptor).
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.path);
        match made {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                return Err(self.cannot_open(&self.path, &e));
            }
            _ => {}
        }
        self.refuse_mode(&self.path, 0o077, "other users can read it", "chmod 600")
    }

    /// Opens the file that [`File::make`] left and brings its schema up to date.
    pub(super) fn open(&self, keeper: &Keeper, author: &Author) -> Result<Connection, StoreError> {
        let mut db = self.connect()?;
        match self.access {
            Access::Whole => {
                self.configure(&db).map_err(|e| self.explain(e))?;
                self.migrate(&mut db, keeper, author)?;
            }
            Access::Reads => self.refuse_other_version(&db)?,
        }
        self.judged(&db, |db| Turn::new(db, keeper).ledger().map(drop))
            .map_err(|failure| self.told(failure))?;
        *self.opened.lock() = self.identities();
        Ok(db)
    }

    /// Asks something of a file whose schema is this program's, as it is at one moment.
    pub(super) fn judged<T>(
        &self,
        db: &Connection,
        ask: impl FnOnce(&Connection) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let view = db.unchecked_transaction()?;
        schema::refuse_other(&view, KNOWN)?;
        ask(&view)
    }

    /// Opens the file again after a failure. A file that became empty is no new store: it is being restored, or
    /// was lost, and starting afresh would forget every idempotency key.
    pub(super) fn reopen(&self) -> Result<Connection, StoreError> {
        let [opened, ..] = *self.opened.lock();
        if self.access == Access::Whole && opened != self.identity("") {
            return Err(another());
        }
        let db = self.connect()?;
        if self.access == Access::Reads {
            return self.refuse_other_version(&db).map(|()| db);
        }
        match self.version(&db)? {
            KNOWN => {}
            0 => return Err(StoreError::Corrupt("it is empty".into())),
            found if found > KNOWN => return Err(StoreError::Newer { found, known: KNOWN }),
            _ => return Err(StoreError::Corrupt("it is of an older version than before".into())),
        }
        self.configure(&db).map_err(|e| self.explain(e))?;
        let [_, log, shared] = self.identities();
        *self.opened.lock() = [opened, log, shared];
        Ok(db)
    }

    /// Whoever opens the store by its path must come to what this process has open: else what each does never reaches
    /// the other.
    pub(super) fn refuse_another(&self) -> Result<(), StoreError> {
        // What this process does may all lie in the log beside it, and whoever opens it next deletes that.
        if self.path.metadata().is_ok_and(|found| found.len() == 0) {
            return Err(StoreError::Corrupt("it is empty".into()));
        }
        self.refuse_journal()?;
        if self.access == Access::Reads || *self.opened.lock() == self.identities() {
            return Ok(());
        }
        Err(another())
    }

    fn identities(&self) -> [Option<Identity>; 3] {
        ["", "-wal", "-shm"].map(|ending| self.identity(ending))
    }

    fn identity(&self, ending: &str) -> Option<Identity> {
        let mut path = self.path.clone().into_os_string();
        path.push(ending);
        Path::new(&path).metadata().ok().map(|found| (found.dev(), found.ino()))
    }

    fn refuse_other_version(&self, db: &Connection) -> Result<(), StoreError> {
        match self.version(db)? {
            KNOWN => Ok(()),
            found if found > KNOWN => Err(StoreError::Newer { found, known: KNOWN }),
            found => Err(StoreError::Older { found, known: KNOWN }),
        }
    }

    /// Asks on a second connection and a thread of its own, as of one moment: for long reads, which others must not have
    /// to wait for.
    pub(super) fn beside<'a, T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    ) -> StoreFuture<'a, T> {
        let file = self.clone();
        let (reply, answer) = oneshot::channel();
        let read = move || {
            let found =
                file.read_only().and_then(|db| file.judged(&db, ask).map_err(|failure| file.told(failure)));
            // Whoever asked may have gone.
            let _ = reply.send(found);
        };
        let started = std::thread::Builder::new().name("store reader".into()).spawn(read);
        Box::pin(async move {
            started.map_err(|error| StoreError::Io(format!("no thread for the store: {error}")))?;
            answer.await.unwrap_or_else(|_| Err(StoreError::Io("its thread has ended".into())))
        })
    }

    fn read_only(&self) -> Result<Connection, StoreError> {
        self.refuse_journal()?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        self.distrusted(Connection::open_with_flags(&self.path, flags)).map_err(|e| self.explain(e))
    }

    /// SQLite has two ways to undo what was not finished. Our stores have the log alone; what lies there as a journal of
    /// the other kind SQLite would write into the store before it reads anything.
    fn refuse_journal(&self) -> Result<(), StoreError> {
        let mut path = self.path.clone().into_os_string();
        path.push("-journal");
        match Path::new(&path).symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            _ => Err(StoreError::Altered {
                what: "store.sqlite-journal lies beside it, which it never has, and SQLite would write into it what that says"
                    .to_owned(),
                mend: "find out who can write the data directory, look whether store.sqlite is as it should be (a backup \
                       was restored with another one's journal, or a program that changed it was killed), and remove it",
            }),
        }
    }

    fn connect(&self) -> Result<Connection, StoreError> {
        self.refuse_journal()?;
        if self.access == Access::Reads {
            return self.look().map_err(|e| self.explain(e));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        self.distrusted(Connection::open_with_flags(&self.path, flags)).map_err(|e| self.explain(e))
    }

    fn distrusted(&self, db: rusqlite::Result<Connection>) -> rusqlite::Result<Connection> {
        let db = db?;
        db.busy_timeout(self.busy_timeout)?;
        schema::distrust(&db)?;
        Ok(db)
    }

    /// Where nobody has the store open there is no write-ahead log, and SQLite may take the file for one that nobody
    /// changes; else it would make that log anew to read. Where there is one it is read, and its index neither made nor
    /// written.
    fn look(&self) -> rusqlite::Result<Connection> {
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        let how = if Path::new(&log).exists() { "readonly_shm=1" } else { "immutable=1" };
        let mut uri = b"file:".to_vec();
        for byte in self.path.as_os_str().as_bytes() {
            match byte {
                b'%' | b'?' | b'#' => uri.extend_from_slice(format!("%{byte:02x}").as_bytes()),
                other => uri.push(*other),
            }
        }
        uri.extend_from_slice(format!("?mode=ro&{how}").as_bytes());
        let flags =
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = self.distrusted(Connection::open_with_flags(OsStr::from_bytes(&uri), flags))?;
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        Ok(db)
    }

    fn configure(&self, db: &Connection) -> rusqlite::Result<()> {
        db.set_prepared_statement_cache_capacity(32);
        // Two processes that make the store at the same moment both switch it to WAL, and SQLite does not wait
        // for the lock there.
        let mut tries = 50;
        while let Err(error) = begin_log(db) {
            if tries == 0 || error.sqlite_error_code() != Some(ErrorCode::DatabaseBusy) {
                return Err(error);
            }
            tries -= 1;
            std::thread::sleep(self.busy_timeout / 50);
        }
        // In WAL mode only FULL makes a commit survive a power cut; NORMAL may lose the last ones.
        db.pragma_update(None, "synchronous", "full")?;
        // Overwrites what is deleted, owners' keys above all.
        db.pragma_update(None, "secure_delete", true)
    }

    /// Empties the write-ahead log if it may hold what was erased, by whichever process; false when others are using
    /// it for longer than `patience`; a backup may for minutes. They, or whoever opens the store next, will do it then.
    pub(super) fn empty_log(&self, db: &Connection, patience: Duration) -> rusqlite::Result<bool> {
        let (erased, emptied) = owners::erasures(db)?;
        if erased <= emptied || self.access == Access::Reads {
            return Ok(true);
        }
        db.busy_timeout(patience)?;
        // Brings the log into the file, and truncates it.
        let busy = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0));
        db.busy_timeout(self.busy_timeout)?;
        if busy? {
            return Ok(false);
        }
        // What another process erased since is not among them.
        db.execute("UPDATE meta SET emptied = max(emptied, ?1)", [erased])?;
        Ok(true)
    }

    /// A store of an older version, or an empty one, gets its ledger in the same transaction.
    fn migrate(&self, db: &mut Connection, keeper: &Keeper, author: &Author) -> Result<(), StoreError> {
        let explain = |error| self.explain(error);
        if self.version(db)? == KNOWN {
            return Ok(());
        }
        let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(explain)?;
        // Read again under the lock: another process may have migrated meanwhile.
        let found = self.version(&transaction)?;
        if found == KNOWN {
            return Ok(());
        }
        let steps = usize::try_from(found).ok().and_then(|done| MIGRATIONS.get(done..));
        let Some(steps) = steps else { return Err(StoreError::Newer { found, known: KNOWN }) };
        if found == 0 {
            self.refuse_foreign(&transaction)?;
        }
        let told = |failure| self.told(failure);
        if found > 0 {
            schema::refuse_other(&transaction, found).map_err(told)?;
        }
        // Read before the steps take it apart.
        let known = match found {
            ..FIRST_LEDGER => Known::Rows(Adopted::of(&transaction, keeper, found).map_err(told)?),
            FIRST_LEDGER..FIRST_HEAD => {
                Known::Ledger(Ledger::read_older(&transaction, keeper).map(Box::new).map_err(told)?)
            }
            _ => Known::AsItIs,
        };
        for step in steps {
            transaction.execute_batch(step).map_err(explain)?;
        }
        let begun = match known {
            Known::Rows(adopted) => adopted.begin(&transaction, keeper, author),
            Known::Ledger(mut ledger) => ledger.write(&transaction, keeper),
            Known::AsItIs => Ok(()),
        };
        begun.map_err(told)?;
        transaction.pragma_update(None, "user_version", KNOWN).map_err(explain)?;
        transaction.commit().map_err(explain)
    }

    /// How long other processes are waited for.
    pub(super) fn patience(&self) -> Duration {
        self.busy_timeout
    }

    pub(super) fn told(&self, failure: Failure) -> StoreError {
        match failure {
            Failure::Database(error) => self.explain(error),
            Failure::Refused(error) => error,
        }
    }

    fn version(&self, db: &Connection) -> Result<i64, StoreError> {
        db.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(|e| self.explain(e))
    }

    /// A database with tables but without our version belongs to another program.
    fn refuse_foreign(&self, db: &Connection) -> Result<(), StoreError> {
        let tables: i64 = db
            .query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))
            .map_err(|e| self.explain(e))?;
        if tables == 0 {
            return Ok(());
        }
        Err(StoreError::Open {
            path: self.path.clone(),
            reason: "it is another program's SQLite database".into(),
        })
    }

    fn refuse_mode(&self, path: &Path, forbidden: u32, problem: &str, mend: &str) -> Result<(), StoreError> {
        let mode = path.metadata().map_err(|e| self.cannot_open(path, &e))?.mode();
        if mode & forbidden == 0 {
            return Ok(());
        }
        Err(StoreError::Permissions {
            path: path.to_owned(),
            problem: format!("{problem} (mode {:03o})", mode & 0o777),
            mend: format!("run `{mend} {}`", path.display()),
        })
    }

    fn cannot_open(&self, path: &Path, error: &io::Error) -> StoreError {
        StoreError::Open { path: path.to_owned(), reason: error.to_string() }
    }

    /// What an error of the database means to the operator. SQLite's messages name tables and files, never
    /// values: every value is a bound parameter.
    pub(super) fn explain(&self, error: rusqlite::Error) -> StoreError {
        use rusqlite::Error as E;
        match &error {
            E::SqliteFailure(..) | E::SqlInputError { .. } => {}
            // A row that is not what the schema says.
            _ => return StoreError::Corrupt(error.to_string()),
        }
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                StoreError::Locked(self.busy_timeout.as_secs())
            }
            Some(ErrorCode::DiskFull) => StoreError::Full(self.path.clone()),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                StoreError::Corrupt(error.to_string())
            }
            Some(ErrorCode::CannotOpen) => {
                StoreError::Open { path: self.path.clone(), reason: error.to_string() }
            }
            // A full disk shows so too, where it is met first beside the file: in its log, or its shared memory.
            Some(ErrorCode::SystemIoFailure) => StoreError::Io(format!(
                "{}: {error}; is the disk full or failing, or the directory read-only?",
                self.path.display()
            )),
            _ => StoreError::Io(format!("{}: {error}", self.path.display())),
        }
    }
}

/// A store that has no log yet, as it is new or somebody's copy, gets one without a journal of the other kind.
fn begin_log(db: &Connection) -> rusqlite::Result<()> {
    if db.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0))? == "wal" {
        return Ok(());
    }
    db.pragma_update(None, "journal_mode", "memory")?;
    db.pragma_update(None, "journal_mode", "wal")
}

/// What a store of an older version knows of its rows.
enum Known {
    Rows(Adopted),
    Ledger(Box<Ledger>),
    AsItIs,
}

fn another() -> StoreError {
    StoreError::Altered {
        what: "store.sqlite, or a file beside it, was removed or replaced while it was open: what commands do to it now does not arrive here".into(),
        mend: "find out who can write the data directory, and restart the bridge, which then compares what is there",
    }
}

/// From this version on a store has a ledger, and gets no other one.
const FIRST_LEDGER: i64 = 5;
/// And from this one on it is in two parts.
const FIRST_HEAD: i64 = 7;
