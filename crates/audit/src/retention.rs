//! Dropping what is older than it need be: detail first, whole records later. The hashes of dropped records stay, so
//! every proof of what is kept still verifies, and so does the root.

use crate::disk::{self, Disk};
use crate::entry::Entry;
use crate::fault::{Fault, FaultKind};
use ironbridge_core::action::name;
use std::io;
use std::path::Path;

pub(crate) const FILE: &str = "kept";
pub(crate) const NAMED: &str = "log/kept";

/// What the record of a retention calls its two numbers.
const RECORDS_BELOW: &str = "records_below";
const DETAIL_BELOW: &str = "detail_below";

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

    /// What the record of a retention says of it; `None` for every other record.
    pub(crate) fn announced(leaf: &[u8]) -> Option<Kept> {
        // Version, id and time have a fixed length before the action's name.
        const PLACE: usize = "{\"v\":2,\"id\":\"\",\"time\":\"\"".len() + 36 + 27;
        let marker = format_args!(",\"action\":\"{}\"", name::RETENTION).to_string();
        leaf.get(PLACE..)?.strip_prefix(marker.as_bytes())?;
        let facts = Entry::parse(leaf).ok()?.facts;
        let number = |fact: &str| facts.get(fact)?.parse().ok();
        Some(Kept { records: number(RECORDS_BELOW)?, detail: number(DETAIL_BELOW)? })
    }

    /// The later of each.
    pub(crate) fn max(self, other: Kept) -> Kept {
        Kept { records: self.records.max(other.records), detail: self.detail.max(other.detail) }
    }

    pub(crate) fn write(&self, disk: &dyn Disk, temporary: &Path, log: &Path) -> io::Result<()> {
        let text = serde_json::to_vec(self).map_err(io::Error::other)?;
        disk::put(disk, temporary, &log.join(FILE), &text)?;
        disk.sync_dir(log)
    }
}
