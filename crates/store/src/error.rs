//! Why the store cannot do what it was asked.

use ironbridge_core::{Denial, Fault, code};
use std::path::PathBuf;

/// Why the store could not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// An id is taken; it is named.
    #[error("`{0}` exists already")]
    Conflict(String),
    /// Somebody else held the lock for so many seconds.
    #[error(
        "another process has held the store's lock for more than {0} s; is a backup or a second bridge running?"
    )]
    Locked(u64),
    /// So many operations wait that no further one is taken.
    #[error("more than {0} operations wait for the store; its disk is too slow for this load")]
    Overloaded(usize),
    /// The disk of this file is full.
    #[error("the disk with {} is full; free some space, the bridge then goes on by itself", .0.display())]
    Full(PathBuf),
    /// What the file holds contradicts itself.
    #[error("the store is damaged ({0}); stop the bridge and restore the file from a backup")]
    Corrupt(String),
    /// A later version of this program wrote it.
    #[error(
        "the store was written by a newer version (schema {found}, this program knows up to {known}); upgrade this program"
    )]
    Newer {
        /// Of the file.
        found: i64,
        /// Of this program.
        known: i64,
    },
    /// An earlier version of this program wrote it, and it was opened to be read only.
    #[error(
        "the store was written by an older version (schema {found}, this program's is {known}); the next start of the bridge, and any command that uses the store, brings it up to date"
    )]
    Older {
        /// Of the file.
        found: i64,
        /// Of this program.
        known: i64,
    },
    /// Others than its owner could read or replace the store.
    #[error("{}: {problem}; {mend}", path.display())]
    Permissions {
        /// What was to be opened.
        path: PathBuf,
        /// What is wrong.
        problem: String,
        /// How to mend it.
        mend: String,
    },
    /// The file cannot be opened, or is no store.
    #[error("cannot open the store at {}: {reason}", path.display())]
    Open {
        /// What was to be opened.
        path: PathBuf,
        /// What the operating system or the database says.
        reason: String,
    },
    /// The account has as many live credentials of the kind as it may have.
    #[error("there are {most} live ones already; the oldest is `{oldest}`")]
    TooManyLive {
        /// So many there may be.
        most: usize,
        /// The id of the one that could go first.
        oldest: String,
    },
    /// There are as many of a kind as the store keeps of all.
    #[error("the store keeps at most {most} {what}; {mend}")]
    TooMany {
        /// What is meant, in words.
        what: &'static str,
        /// So many there may be.
        most: usize,
        /// How to mend it.
        mend: &'static str,
    },
    /// The operating system or the database says no.
    #[error("the store cannot be read or written: {0}")]
    Io(String),
    /// Something is there that this bridge did not write, or is not there that it wrote.
    #[error("another hand was in the store: {what}; {mend}")]
    Altered {
        /// What is meant, in words.
        what: String,
        /// How to mend it.
        mend: &'static str,
    },
    /// It went on by more than so many steps since, so that nobody can tell whether it is the same.
    #[error(
        "the store has gone on by more than {0} steps since it was last read here, and what leads from there is forgotten, so nobody can tell whether it is the same; start again"
    )]
    Outran(u64),
    /// The [`Sealer`](crate::Sealer) could not seal or open.
    #[error("a stored answer cannot be sealed or opened: {0}")]
    Sealing(String),
}

impl StoreError {
    /// Who has to mend it.
    pub const fn fault(&self) -> Fault {
        match self {
            StoreError::Conflict(_) | StoreError::TooManyLive { .. } => Fault::Caller,
            StoreError::Locked(_)
            | StoreError::Overloaded(_)
            | StoreError::Full(_)
            | StoreError::Corrupt(_)
            | StoreError::Altered { .. }
            | StoreError::Outran(_)
            | StoreError::TooMany { .. }
            | StoreError::Newer { .. }
            | StoreError::Older { .. }
            | StoreError::Permissions { .. }
            | StoreError::Open { .. }
            | StoreError::Io(_)
            | StoreError::Sealing(_) => Fault::Operator,
        }
    }

    /// Whether the same call may succeed later without anyone repairing anything by hand.
    pub const fn retry(&self) -> bool {
        matches!(
            self,
            StoreError::Locked(_) | StoreError::Overloaded(_) | StoreError::Full(_) | StoreError::Io(_)
        )
    }
}

impl From<StoreError> for Denial {
    fn from(error: StoreError) -> Denial {
        Denial::new(&code::STORE_UNAVAILABLE).internal(error)
    }
}

/// What every operation that waits returns.
pub type StoreFuture<'a, T> = ironbridge_core::BoxFuture<'a, Result<T, StoreError>>;
