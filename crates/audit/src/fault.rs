//! What can be wrong with a stored trail, and why it cannot be opened or closed.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Something wrong with a stored trail, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Below the audit directory.
    pub file: PathBuf,
    /// Bytes from the file's start, where that says more than the file.
    pub offset: Option<u64>,
    /// The entry that is wrong, or the first that is.
    pub entry: Option<u64>,
    /// In what way.
    pub kind: FaultKind,
    /// What differs from what, for people.
    pub detail: String,
}

/// In what way something stored is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// The file is not there.
    Missing,
    /// The operating system cannot read it.
    Unreadable,
    /// It does not have the form of such a file: cut off, or its checksum is wrong.
    Malformed,
    /// Its form is right, but its content is not what was signed.
    Altered,
    /// The checkpoint's signature does not verify, or names another log or key.
    Signature,
    /// The log is shorter than it once was: it was set back to an earlier state.
    RolledBack,
    /// The log is not the one it once was: two different histories were signed.
    Forked,
}

impl Fault {
    pub(crate) fn new(kind: FaultKind, file: impl AsRef<Path>, detail: impl fmt::Display) -> Fault {
        Fault {
            file: file.as_ref().to_path_buf(),
            offset: None,
            entry: None,
            kind,
            detail: detail.to_string(),
        }
    }

    pub(crate) fn reading(file: impl AsRef<Path>, error: &io::Error) -> Fault {
        match error.kind() {
            io::ErrorKind::NotFound => Fault::new(FaultKind::Missing, file, "the file is missing"),
            _ => Fault::new(FaultKind::Unreadable, file, error),
        }
    }

    pub(crate) fn at(mut self, offset: u64) -> Fault {
        self.offset = Some(offset);
        self
    }

    pub(crate) fn entry(mut self, entry: u64) -> Fault {
        self.entry = Some(entry);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(entry) = self.entry {
            write!(f, ", entry {entry}")?;
        }
        if let Some(offset) = self.offset {
            write!(f, ", byte {offset}")?;
        }
        write!(f, ": {}", self.detail)
    }
}

impl std::error::Error for Fault {}

/// Why a trail could not be opened or closed. All are the operator's to mend; trying again helps only where
/// the disk was at fault.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The directory's lock is held: two writers would fork the log.
    #[error("another process writes this audit trail ({0})")]
    Locked(PathBuf),
    /// What is there is not what was written, and nobody can have the trail go on.
    #[error("the audit trail is damaged: {0}")]
    Damaged(#[from] Fault),
    /// A log keeps its name for ever, as its checkpoints bear it.
    #[error("the audit trail is that of a bridge called `{found}`, and this one is called `{name}`")]
    OtherName {
        /// As the checkpoint that is there says.
        found: String,
        /// As the manifest says.
        name: String,
    },
    /// It contradicts what is remembered of it, or itself. The operator may have it go on: [`crate::Options::accept_loss`].
    #[error("the audit trail is not as it was left: {0}")]
    NotAsLeft(Fault),
    /// The disk refused it.
    #[error("{action} {}: {source}", path.display())]
    Io {
        /// What was being done, such as `writing`.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// As the operating system says.
        source: io::Error,
    },
    /// Somebody must confirm it: [`crate::Options::confirm_clock`].
    #[error(
        "the clock is at {clock}, but {believed} was expected: nothing is dropped until somebody confirms that it is right"
    )]
    ClockInDoubt {
        /// What the clock says.
        clock: String,
        /// What it should say by what is known.
        believed: String,
    },
    /// The disk took none of them, to the end. Who waited for one was told.
    #[error("the audit trail closed with {0} records not yet on disk")]
    Unwritten(u64),
    /// They are in the journal; the next start integrates them.
    #[error("the last records could not be integrated into the log: {0}")]
    NotIntegrated(String),
}

/// For `map_err`: what was being done, and to what.
pub(crate) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> AuditError + use<> {
    let path = path.to_path_buf();
    move |source| AuditError::Io { action, path, source }
}
