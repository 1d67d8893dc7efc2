//! Dropping what is older than it need be: detail first, whole records later. The hashes of dropped records stay, so
//! every proof of what is kept still verifies, and so does the root.

use crate::entry::Entry;
use crate::fault::{AuditError, Fault, FaultKind, failed};
use crate::journal;
use crate::reader::{Log, settled};
use crate::retained::Retained;
use crate::segment;
use crate::tiles::{self, Kind, WIDTH};
use crate::trail::Trail;
use ironbridge_core::{Action, Position, Recorder, Timestamp};
use std::io;
use std::ops::Range;
use std::thread;
use std::time::Duration;

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
    pub fn kept_under(&self, limits: Limits) -> Result<Retained, Fault> {
        let now = self.kept()?;
        let records = match limits.records {
            None => now.records,
            Some(before) => self.bundles_before(now.records / WIDTH, before)? * WIDTH,
        };
        let detail = match limits.detail {
            None => now.detail,
            Some(before) => self.detail_before(records.max(now.detail), before)?,
        };
        Ok(Retained { records, detail: detail.max(records) }.max(now))
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
    pub fn retain(&self, limits: Limits, action: Action) -> Result<Option<Retained>, AuditError> {
        self.check_clock()?;
        let log = self.log();
        let (now, kept) = (log.rightly_kept()?, log.kept_under(limits)?);
        if kept == now {
            log.remove_dropped(now).map_err(failed("clearing", &log.places.base))?;
            return Ok(None);
        }
        let refused = |denial: Box<ironbridge_core::Denial>| AuditError::NotIntegrated(denial.to_string());
        self.await_checkpoint(self.act(&kept.announce(action)).map_err(refused)?)?;
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
    fn remove_dropped(&self, kept: Retained) -> io::Result<()> {
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
