use crate::segment::Part;
use std::path::{Path, PathBuf};

/// The directories of a trail.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub base: PathBuf,
    pub journal: PathBuf,
    pub log: PathBuf,
    pub detail: PathBuf,
    pub temporary: PathBuf,
}

impl Places {
    pub fn below(base: &Path) -> Places {
        Places {
            base: base.to_path_buf(),
            journal: base.join("journal"),
            log: base.join("log"),
            detail: base.join("detail"),
            temporary: base.join("tmp"),
        }
    }

    pub fn of(&self, part: Part) -> &Path {
        match part {
            Part::Journal => &self.journal,
            Part::Detail => &self.detail,
        }
    }

    /// A name for a file that is not yet in place; one per purpose, each used by one thread.
    pub fn temporary(&self, purpose: &str) -> PathBuf {
        self.temporary.join(purpose)
    }
}
