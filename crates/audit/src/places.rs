//! Where the parts of a trail lie, and whether anything can be written there.

use crate::segment::Part;
use rustix::fs::{StatVfsMountFlags, statvfs};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Why no record can be written to the trail in this directory, as far as that shows without writing one: whoever asks may
/// be another process than the bridge's. `None`: nothing speaks against it.
pub fn unwritable(dir: &Path) -> Option<String> {
    let places = Places::below(dir);
    for place in [&places.journal, &places.log, &places.detail] {
        match std::fs::symlink_metadata(place) {
            Ok(there) if there.is_dir() => {}
            Ok(_) => return Some(format!("{} is no directory", place.display())),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Some(format!("{} is missing", place.display()));
            }
            // Not for this process to look at.
            Err(_) => {}
        }
    }
    let files = statvfs(dir).ok()?;
    if files.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Some(format!("the file system of {} is read-only", dir.display()));
    }
    (files.f_bavail == 0).then(|| format!("no space is left for {}", dir.display()))
}

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
