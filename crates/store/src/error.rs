use ironbridge_core::{Denial, Fault, code};
use std::path::PathBuf;

/// Why the store could not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error("`{0}` exists already")]
    Conflict(String),
    #[error(
        "another process has held the store's lock for more than {0} s; is a backup or a second bridge running?"
    )]
    Locked(u64),
    #[error("more than {0} operations wait for the store; its disk is too slow for this load")]
    Overloaded(usize),
    #[error("the disk with {} is full; free some space, the bridge then goes on by itself", .0.display())]
    Full(PathBuf),
    #[error("the store is damaged ({0}); stop the bridge and restore the file from a backup")]
    Corrupt(String),
    #[error(
        "the store was written by a newer version (schema {found}, this program knows up to {known}); upgrade this program"
    )]
    Newer { found: i64, known: i64 },
    #[error(
        "the store was written by an older version (schema {found}, this program's is {known}); the next start of the bridge, and any command that uses the store, brings it up to date"
    )]
    Older { found: i64, known: i64 },
    #[error("{}: {problem}; {mend}", path.display())]
    Permissions { path: PathBuf, problem: String, mend: String },
    #[error("cannot open the store at {}: {reason}", path.display())]
    Open { path: PathBuf, reason: String },
    #[error("there are {most} live ones already; the oldest is `{oldest}`")]
    TooManyLive { most: usize, oldest: String },
    #[error("the store keeps at most {most} {what}; {mend}")]
    TooMany { what: &'static str, most: usize, mend: &'static str },
    #[error("the store cannot be read or written: {0}")]
    Io(String),
    #[error("another hand was in the store: {what}; {mend}")]
    Altered { what: String, mend: &'static str },
    #[error(
        "the store has gone on by more than {0} steps since it was last read here, and what leads from there is forgotten, so nobody can tell whether it is the same; start again"
    )]
    Outran(u64),
    #[error("a stored answer cannot be sealed or opened: {0}")]
    Sealing(String),
}

impl StoreError {
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
