//! Dropping what is older than it need be: detail first, whole records later. The hashes of dropped records stay, so
//! every proof of what is kept still verifies, and so does the root.

use crate::disk::{self, Disk};
use crate::entry::Entry;
use crate::fault::{AuditError, Fault, FaultKind, failed};
use crate::journal;
use crate::reader::{Log, Order, settled};
use crate::segment;
use crate::tiles::{self, Kind, WIDTH};
use crate::trail::Trail;
use ironbridge_core::action::name;
use ironbridge_core::{Action, Position, Recorder, Timestamp};
use std::io;
use std::ops::Range;
use std::path::Path;
use std::thread;
use std::time::Duration;

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
        serde_json::from_slice(&bytes).map_err(|error| {
            let detail = format!("it cannot be read ({error}), {REMEDY}");
            Fault::new(FaultKind::Malformed, NAMED, detail)
        })
    }

    /// What is wrong where it says that more was dropped than the log's records allow.
    pub(crate) fn beyond(self, allowed: Kept) -> Option<Fault> {
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
    pub(crate) fn short_of(self, announced: Kept) -> Fault {
        let detail = format!(
            "it says that retention dropped the records below {} and the detail below {}, and the log's records \
             announce {} and {}, which are gone, {REMEDY}",
            self.records, self.detail, announced.records, announced.detail
        );
        Fault::new(FaultKind::Altered, NAMED, detail)
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

    /// The earlier of each.
    fn min(self, other: Kept) -> Kept {
        Kept { records: self.records.min(other.records), detail: self.detail.min(other.detail) }
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
    size: u64,
    kept: Kept,
}

/// How old is too old. What is `None` is kept for ever.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Detail of exchanges that began before may go.
    pub detail: Option<Timestamp>,
    /// Records of exchanges that began before may go, and their detail with them.
    pub records: Option<Timestamp>,
}

impl Log {
    /// What would be kept under these limits. Records go in bundles of 256, detail in whole segments (a day's, or
    /// 16 MiB), and neither before the last of them is old enough.
    pub fn kept_under(&self, limits: Limits) -> Result<Kept, Fault> {
        let now = self.kept()?;
        let records = match limits.records {
            None => now.records,
            Some(before) => self.bundles_before(now.records / WIDTH, before)? * WIDTH,
        };
        let detail = match limits.detail {
            None => now.detail,
            Some(before) => self.detail_before(records.max(now.detail), before)?,
        };
        Ok(Kept { records, detail: detail.max(records) }.max(now))
    }

    /// What is missing already, as far as the log's own records allow it: `kept` is a file that anybody who can write
    /// there can raise, and a retention that began from it would sign what somebody stole.
    pub fn rightly_kept(&self) -> Result<Kept, Fault> {
        let kept = self.kept()?;
        if kept == Kept::default() {
            return Ok(kept);
        }
        kept.beyond(self.announced()?).map_or(Ok(kept), Err)
    }

    /// How much of the trail is gone by right, for whoever passes over it. On the bridge's own machine that is no more
    /// than the log's own records announce, whatever lies beside them, and where nobody can tell, it is nothing: detail
    /// that somebody hides for a while must not count as dropped, nor a record as one that nobody is to be sent.
    pub(crate) fn believed_kept(&self) -> Result<Kept, Fault> {
        let kept = self.kept()?;
        if self.trust.key.is_none() {
            return Ok(kept);
        }
        let known = *self.announced.lock();
        if kept.max(known.kept) == known.kept {
            return Ok(kept);
        }
        // It is announced before it is done: only a log that grew can say more.
        let size = self.unverified_checkpoint()?.size;
        if size == known.size {
            return Ok(kept.min(known.kept));
        }
        // Nor does a search that failed say more until then, and whoever passes many records over asks for each.
        let found = self.announced().unwrap_or_else(|fault| {
            self.note_damage(fault);
            known.kept
        });
        let known = Announced { size, kept: known.kept.max(found) };
        *self.announced.lock() = known;
        Ok(kept.min(known.kept))
    }

    /// What the newest retention announced, in a record that the signed tree holds, whatever `kept` would hide of it.
    pub(crate) fn announced(&self) -> Result<Kept, Fault> {
        match self.as_if_whole().recorded(name::RETENTION, Order::NewestFirst) {
            Ok(newest) => {
                Ok(newest.and_then(|stored| Kept::announced(stored.json.as_bytes())).unwrap_or_default())
            }
            // What a retention dropped lies below its record, and that is looked for from above.
            Err(fault) if fault.kind == FaultKind::Missing && fault.file.starts_with("log/tile/entries") => {
                Ok(Kept::default())
            }
            Err(fault) => Err(fault),
        }
    }

    /// Number of the first bundle from `from` on that holds a record not older; the last bundle is never among the old
    /// ones. Each is looked at: a clock that was once wrong must not take records along that are young.
    fn bundles_before(&self, from: u64, before: Timestamp) -> Result<u64, Fault> {
        let full = self.unverified_checkpoint()?.size / WIDTH;
        let mut bundle = from;
        while bundle < full.saturating_sub(1)
            && self.newest_in(bundle * WIDTH..(bundle + 1) * WIDTH)? < before
        {
            bundle += 1;
        }
        Ok(bundle)
    }

    /// Reads no detail: to find that of one bundle, a whole segment may have to be read.
    fn newest_in(&self, records: Range<u64>) -> Result<Timestamp, Fault> {
        let (mut next, mut newest) = (records.start, Timestamp::default());
        while next < records.end {
            let leaves = settled(|| self.bundle(next, self.unverified_checkpoint()?.size))?;
            for (leaf, index) in leaves.iter().zip(next..records.end) {
                let entry = Entry::parse(leaf).map_err(|error| {
                    let file = tiles::named(Kind::Entries, index / WIDTH, WIDTH);
                    Fault::new(FaultKind::Malformed, file, error).entry(index)
                })?;
                newest = newest.max(entry.time);
            }
            next = (next / WIDTH + 1) * WIDTH;
        }
        Ok(newest)
    }

    fn detail_before(&self, from: u64, before: Timestamp) -> Result<u64, Fault> {
        let segments = segment::segments(&*self.disk, &self.places.detail)
            .map_err(|error| Fault::reading("detail", &error))?;
        let mut kept = from;
        for next in segments.into_iter().skip(1).filter(|next| *next > from) {
            if self.newest_in(kept..next)? >= before {
                break;
            }
            kept = next;
        }
        Ok(kept)
    }
}

impl Trail {
    /// Drops what is older than the limits allow: says so in a record, waits until a checkpoint covers that record,
    /// and only then removes files. `action` is that record, to which the two numbers are added. Blocks meanwhile.
    /// `None` when there was nothing to drop.
    ///
    /// # Errors
    /// When the trail cannot be read or written, and [`AuditError::ClockInDoubt`]. What was not removed then is removed by the next call.
    pub fn retain(&self, limits: Limits, action: Action) -> Result<Option<Kept>, AuditError> {
        self.check_clock()?;
        let log = self.log();
        let (now, kept) = (log.rightly_kept()?, log.kept_under(limits)?);
        if kept == now {
            log.remove_dropped(now).map_err(failed("clearing", &log.places.base))?;
            return Ok(None);
        }
        let action =
            action.fact(RECORDS_BELOW, kept.records.to_string()).fact(DETAIL_BELOW, kept.detail.to_string());
        let refused = |denial: Box<ironbridge_core::Denial>| AuditError::NotIntegrated(denial.to_string());
        self.await_checkpoint(self.act(&action).map_err(refused)?)?;
        let temporary = log.places.temporary("kept");
        kept.write(&*log.disk, &temporary, &log.places.log).map_err(failed("writing", &log.places.log))?;
        log.remove_dropped(kept).map_err(failed("clearing", &log.places.base))?;
        Ok(Some(kept))
    }

    fn await_checkpoint(&self, Position(index): Position) -> Result<(), AuditError> {
        const STEP: Duration = Duration::from_millis(10);
        const STEPS: u32 = 3_000;
        for _ in 0..STEPS {
            let status = self.status();
            if status.integrated > index {
                return Ok(());
            }
            if let Some(outage) = status.unavailable {
                return Err(AuditError::NotIntegrated(outage.reason));
            }
            thread::sleep(STEP);
        }
        Err(AuditError::NotIntegrated("no checkpoint covers the record of the retention yet".into()))
    }
}

impl Log {
    /// Removes the files of what is not kept, lowest first: what a crash leaves lies directly below what is kept,
    /// so the next call finds it by looking down from there.
    fn remove_dropped(&self, kept: Kept) -> io::Result<()> {
        let (disk, log) = (&*self.disk, &self.places.log);
        let file = |number| log.join(tiles::path(Kind::Entries, number, WIDTH));
        let end = kept.records / WIDTH;
        let mut first = end;
        while first > 0 && disk.read_at(&file(first - 1), 0, 1).is_ok() {
            first -= 1;
        }
        (first..end).try_for_each(|number| disk.remove(&file(number)))?;
        journal::remove_below(disk, &self.places.detail, kept.detail)
    }
}
