//! Dropping what is older than it need be: detail first, whole records later. The hashes of dropped records stay, so
//! every proof of what is kept still verifies, and so does the root.

use crate::disk::{self, Disk};
use crate::fault::{Fault, FaultKind};
use std::io;
use std::path::Path;

pub(crate) const FILE: &str = "kept";
const NAMED: &str = "log/kept";

/// How much of the trail is still there. What it says must stand in the log as well, in a record of
/// `audit.retention`, or verification takes the missing files for a theft.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Kept {
    /// Index of the first record; a multiple of 256.
    pub records: u64,
    /// Index of the first record whose detail may be there.
    pub detail: u64,
}

impl Kept {
    pub(crate) fn read(disk: &dyn Disk, log: &Path) -> Result<Kept, Fault> {
        let bytes = match disk::read(disk, &log.join(FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Kept::default()),
            bytes => bytes.map_err(|error| Fault::reading(NAMED, &error))?,
        };
        serde_json::from_slice(&bytes).map_err(|error| Fault::new(FaultKind::Malformed, NAMED, error))
    }

    pub(crate) fn write(&self, disk: &dyn Disk, temporary: &Path, log: &Path) -> io::Result<()> {
        let text = serde_json::to_vec(self).map_err(io::Error::other)?;
        disk::put(disk, temporary, &log.join(FILE), &text)?;
        disk.sync_dir(log)
    }
}
