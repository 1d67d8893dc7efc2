//! Why work on the store fails.

use crate::StoreError;

/// Why an operation failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The database's own; the writer explains it.
    Database(rusqlite::Error),
    /// The operation's.
    Refused(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure::Refused(error)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Failure {
        Failure::Database(error)
    }
}

/// Another hand was in the file; `what` says what shows it.
pub(super) fn altered(what: &str) -> StoreError {
    StoreError::Altered { what: what.to_owned(), mend: RESTORE }
}

const RESTORE: &str = "find out who can write the data directory, and restore store.sqlite from a backup";
