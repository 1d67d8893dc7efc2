//! How much of a trail retention left: the file `kept` beside the log, and what the log's own records say of it.

use crate::disk::{self, Disk};
use crate::entry::Entry;
use crate::fault::{Fault, FaultKind};
use ironbridge_core::Action;
use ironbridge_core::action::name;
use std::io;
use std::path::Path;

pub(crate) const FILE: &str = "kept";
pub(crate) const NAMED: &str = "log/kept";

/// What helps against a file that is not right.
const REMEDY: &str = "and the bridge's next start, `ironbridge run`, writes it anew from the log's records";

/// What the record of a retention calls its two numbers.
const RECORDS_BELOW: &str = "records_below";
const DETAIL_BELOW: &str = "detail_below";

/// How much of the trail is still there. What it says must stand in the log as well, in a record of
/// `audit.retention`, or verification takes the missing files for a theft.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Retained {
    /// Index of the first record; a multiple of 256.
    pub records: u64,
    /// Index of the first record whose detail may be there.
    pub detail: u64,
}

impl Retained {
    pub(crate) fn read(disk: &dyn Disk, log: &Path) -> Result<Retained, Fault> {
        let bytes = match disk::read(disk, &log.join(FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Retained::default()),
            bytes => bytes.map_err(|error| Fault::reading(NAMED, &error))?,
        };
        serde_json::from_slice(&bytes).map_err(|error| {
            let detail = format!("it cannot be read ({error}), {REMEDY}");
            Fault::new(FaultKind::Malformed, NAMED, detail)
        })
    }

    /// What is wrong where it says that more was dropped than the log's records allow.
    pub(crate) fn beyond(self, allowed: Retained) -> Option<Fault> {
        (self.max(allowed) != allowed).then(|| {
            let detail = format!(
                "it says that retention dropped the records below {} and the detail below {}, and the log's records \
                 announce {} and {}, {REMEDY}; what is missing beyond them comes back from a backup only",
                self.records, self.detail, allowed.records, allowed.detail
            );
            Fault::new(FaultKind::Altered, NAMED, detail)
        })
    }

    /// What is wrong where it says less than was announced, although that is gone.
    pub(crate) fn short_of(self, announced: Retained) -> Fault {
        let detail = format!(
            "it says that retention dropped the records below {} and the detail below {}, and the log's records \
             announce {} and {}, which are gone, {REMEDY}",
            self.records, self.detail, announced.records, announced.detail
        );
        Fault::new(FaultKind::Altered, NAMED, detail)
    }

    /// The record of a retention that leaves so much.
    pub(crate) fn announce(self, action: Action) -> Action {
        action.fact(RECORDS_BELOW, self.records.to_string()).fact(DETAIL_BELOW, self.detail.to_string())
    }

    /// What the record of a retention says of it; `None` for every other record.
    pub(crate) fn announced(leaf: &[u8]) -> Option<Retained> {
        // Version, id and time have a fixed length before the action's name.
        const PLACE: usize = "{\"v\":2,\"id\":\"\",\"time\":\"\"".len() + 36 + 27;
        let marker = format_args!(",\"action\":\"{}\"", name::RETENTION).to_string();
        leaf.get(PLACE..)?.strip_prefix(marker.as_bytes())?;
        let facts = Entry::parse(leaf).ok()?.facts;
        let number = |fact: &str| facts.get(fact)?.parse().ok();
        Some(Retained { records: number(RECORDS_BELOW)?, detail: number(DETAIL_BELOW)? })
    }

    /// The later of each.
    pub(crate) fn max(self, other: Retained) -> Retained {
        Retained { records: self.records.max(other.records), detail: self.detail.max(other.detail) }
    }

    /// The earlier of each.
    pub(crate) fn min(self, other: Retained) -> Retained {
        Retained { records: self.records.min(other.records), detail: self.detail.min(other.detail) }
    }

    pub(crate) fn write(&self, disk: &dyn Disk, temporary: &Path, log: &Path) -> io::Result<()> {
        let text = serde_json::to_vec(self).map_err(io::Error::other)?;
        disk::put(disk, temporary, &log.join(FILE), &text)?;
        disk.sync_dir(log)
    }
}

/// What the records of a log of that size announced.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Announced {
    pub size: u64,
    pub kept: Retained,
}
