use super::{Log, settled};
use crate::detail::{DetailKind, SealedDetail};
use crate::entry::Entry;
use crate::fault::{Fault, FaultKind};
use crate::journal::Cursor;
use crate::tiles::{Kind, WIDTH, bundle_entries, load_bytes, named};
use ironbridge_core::OwnerTag;
use std::collections::VecDeque;

/// A record as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its place in the log.
    pub index: u64,
    /// The leaf, byte for byte.
    pub json: String,
    pub entry: Entry,
    /// What it commits to, sealed. Empty where that was dropped, or is not there.
    pub details: Vec<SealedDetail>,
}

impl Stored {
    pub(super) fn parse(index: u64, leaf: Vec<u8>) -> Result<Stored, Fault> {
        let malformed = |detail: String| {
            let file = named(Kind::Entries, index / WIDTH, WIDTH);
            Fault::new(FaultKind::Malformed, file, detail).entry(index)
        };
        let entry =
            Entry::parse(&leaf).map_err(|error| malformed(format!("the record cannot be read: {error}")))?;
        let json = String::from_utf8(leaf).map_err(|_| malformed("the record is not text".into()))?;
        Ok(Stored { index, json, entry, details: Vec::new() })
    }

    /// Owner tags of the data subjects that it names.
    pub fn subjects(&self) -> impl Iterator<Item = &OwnerTag> {
        self.details.iter().filter(|detail| detail.kind == DetailKind::Subject).map(|detail| &detail.owner)
    }
}

/// Records in ascending order, from the log and then from the journal. After `None` it may be asked again, and
/// goes on with what was written since.
pub struct Follow {
    log: Log,
    next: u64,
    integrated: u64,
    cursor: Option<Cursor>,
    ahead: VecDeque<Vec<u8>>,
}

impl Follow {
    pub(super) fn from(log: &Log, next: u64) -> Follow {
        Follow { log: log.clone(), next, integrated: 0, cursor: None, ahead: VecDeque::new() }
    }

    /// The next record's index.
    pub fn position(&self) -> u64 {
        self.next
    }

    fn advance(&mut self) -> Result<Option<Stored>, Fault> {
        if self.ahead.is_empty() {
            self.refill()?;
        }
        let Some(leaf) = self.ahead.pop_front() else { return Ok(None) };
        let index = self.next;
        self.next += 1;
        Stored::parse(index, leaf).map(Some)
    }

    fn refill(&mut self) -> Result<(), Fault> {
        settled(|| {
            if self.next < self.integrated {
                self.ahead = self.log.bundle(self.next, self.integrated)?.into();
                return Ok(());
            }
            let (journal, next) = (&self.log.places.journal, self.next);
            let cursor = self.cursor.get_or_insert_with(|| Cursor::new(journal.clone(), next));
            match cursor.read(&*self.log.disk) {
                Ok(Some(batch)) => self.ahead = batch.entries().map(<[u8]>::to_vec).collect(),
                Ok(None) => self.refresh(false)?,
                Err(fault) if fault.kind == FaultKind::Missing => {
                    // Either the records have moved into the log meanwhile, or they are gone.
                    self.refresh(true)?;
                    return if self.next < self.integrated { self.refill_from_log() } else { Err(fault) };
                }
                Err(fault) => return Err(fault),
            }
            if self.ahead.is_empty() && self.next < self.integrated { self.refill_from_log() } else { Ok(()) }
        })
    }

    fn refill_from_log(&mut self) -> Result<(), Fault> {
        self.ahead = self.log.bundle(self.next, self.integrated)?.into();
        Ok(())
    }

    fn refresh(&mut self, forget: bool) -> Result<(), Fault> {
        self.integrated = self.log.unverified_checkpoint()?.size;
        if forget || self.next < self.integrated {
            self.cursor = None;
        }
        Ok(())
    }
}

impl Iterator for Follow {
    type Item = Result<Stored, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}

/// Records in descending order, as of when it was made.
pub(super) struct Backward {
    log: Log,
    /// Index of the last one to come.
    start: u64,
    /// Index after the next record.
    end: u64,
    integrated: u64,
    ahead: Vec<Vec<u8>>,
}

impl Backward {
    /// Those from `start` on.
    pub(super) fn new(log: &Log, start: u64) -> Result<Backward, Fault> {
        let integrated = log.unverified_checkpoint()?.size;
        let mut pending = Follow::from(log, integrated);
        let mut ahead = Vec::new();
        loop {
            pending.refill()?;
            if pending.ahead.is_empty() {
                break;
            }
            pending.next += u64::try_from(pending.ahead.len()).unwrap_or(0);
            ahead.extend(std::mem::take(&mut pending.ahead));
        }
        Ok(Backward { log: log.clone(), start, end: pending.next, integrated, ahead })
    }

    fn advance(&mut self) -> Result<Option<Stored>, Fault> {
        if self.end <= self.start {
            return Ok(None);
        }
        if self.ahead.is_empty() {
            let start = (self.end - 1) / WIDTH * WIDTH;
            let (log, end) = (&self.log, self.end);
            self.ahead = settled(|| {
                let integrated = log.unverified_checkpoint()?.size.max(self.integrated);
                let mut entries = log.bundle(start, integrated)?;
                entries.truncate(usize::try_from(end - start).unwrap_or(usize::MAX));
                Ok(entries)
            })?;
        }
        let Some(leaf) = self.ahead.pop() else { return Ok(None) };
        self.end -= 1;
        Stored::parse(self.end, leaf).map(Some)
    }
}

impl Iterator for Backward {
    type Item = Result<Stored, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}

impl Log {
    /// The records of the bundle that holds `index`, from `index` on, in a log of `size` entries.
    pub(super) fn bundle(&self, index: u64, size: u64) -> Result<Vec<Vec<u8>>, Fault> {
        let number = index / WIDTH;
        let first = number * WIDTH;
        let width = size.saturating_sub(first).min(WIDTH);
        let (file, bytes) = load_bytes(&*self.disk, &self.places.log, Kind::Entries, number, width)?;
        let entries = bundle_entries(&file, &bytes, first, width)?;
        let skip = usize::try_from(index - first).unwrap_or(usize::MAX);
        Ok(entries.into_iter().skip(skip).map(<[u8]>::to_vec).collect())
    }
}
