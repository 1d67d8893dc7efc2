//! Records one after the other, in either direction.

use super::details::{Anywhere, Forward};
use super::log::{Log, settled};
use crate::detail::{self, Detail, DetailKind, SealedDetail};
use crate::entry::Entry;
use crate::fault::{Fault, FaultKind};
use crate::journal::Cursor;
use crate::segment::{Part, Taken};
use crate::tiles::{Kind, WIDTH, named};
use ironbridge_core::{ExchangeId, OwnerKey, OwnerTag};
use std::collections::VecDeque;

/// A record as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its place in the log.
    pub index: u64,
    /// The leaf, byte for byte.
    pub json: String,
    /// The same, read.
    pub entry: Entry,
    /// The personal detail that the record commits to. Empty where it was never there (version 1), was dropped
    /// by retention, or does not lie beside this copy of the log.
    pub details: Vec<SealedDetail>,
}

impl Stored {
    fn parse(log: &Log, index: u64, taken: Held) -> Result<Stored, Fault> {
        let malformed = |detail: String| {
            let file = named(Kind::Entries, index / WIDTH, WIDTH);
            Fault::new(FaultKind::Malformed, file, detail).entry(index)
        };
        let entry = Entry::parse(&taken.leaf)
            .map_err(|error| malformed(format!("the record cannot be read: {error}")))?;
        let json = String::from_utf8(taken.leaf).map_err(|_| malformed("the record is not text".into()))?;
        let details = detail::parse(&taken.detail).unwrap_or_else(|| {
            let unreadable = "the record's detail cannot be read";
            log.note_damage(Fault::new(FaultKind::Malformed, "detail", unreadable).entry(index));
            Vec::new()
        });
        Ok(Stored { index, json, entry, details })
    }

    /// Owner tags of the data subjects that it names.
    pub fn subjects(&self) -> impl Iterator<Item = &OwnerTag> {
        self.details.iter().filter(|detail| detail.kind == DetailKind::Subject).map(|detail| &detail.owner)
    }

    /// What of its details these keys open, in their order. What has no key was erased.
    pub fn open_details<'k>(
        &self,
        key_of: impl Fn(&OwnerTag) -> Option<&'k OwnerKey>,
    ) -> Vec<Option<Detail>> {
        let id = ExchangeId::parse(&self.entry.id).unwrap_or_default();
        let record = (id, self.entry.amends);
        let open =
            |(place, sealed): (usize, &SealedDetail)| sealed.open(record, place, key_of(&sealed.owner)?);
        self.details.iter().enumerate().map(open).collect()
    }
}

/// Records as they are read; a fault is the last.
pub(super) type Records = Box<dyn Iterator<Item = Result<Stored, Fault>> + Send>;

/// A record's bytes.
struct Held {
    leaf: Vec<u8>,
    detail: Vec<u8>,
}

/// Records in ascending order, from the log and then from the journal. After `None` it may be asked again, and
/// goes on with what was written since.
pub struct Follow {
    log: Log,
    next: u64,
    integrated: u64,
    cursor: Option<Cursor>,
    detail: Forward,
    ahead: VecDeque<Held>,
}

impl Follow {
    pub(super) fn from(log: &Log, next: u64) -> Follow {
        let detail = Forward::new(log);
        Follow { log: log.clone(), next, integrated: 0, cursor: None, detail, ahead: VecDeque::new() }
    }

    /// The next record's index.
    pub fn position(&self) -> u64 {
        self.next
    }

    fn advance(&mut self) -> Result<Option<Stored>, Fault> {
        if self.ahead.is_empty() {
            self.refill()?;
        }
        let Some(held) = self.ahead.pop_front() else { return Ok(None) };
        let index = self.next;
        self.next += 1;
        Stored::parse(&self.log, index, held).map(Some)
    }

    fn refill(&mut self) -> Result<(), Fault> {
        settled(|| {
            // What retention dropped is passed over, wherever else it may still lie.
            self.next = self.next.max(self.log.first_kept()?);
            if self.next < self.integrated {
                return self.refill_from_log();
            }
            let (log, next) = (&self.log, self.next);
            let cursor = self.cursor.get_or_insert_with(|| {
                Cursor::new(Part::Journal, log.places.journal.clone(), next, log.trust.clone())
            });
            match cursor.read(&*self.log.disk) {
                Ok(Some(batch)) => self.ahead = batch.records().map(Held::from).collect(),
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
        let leaves = self.log.bundle(self.next, self.integrated)?;
        let held = leaves.into_iter().zip(self.next..).map(|(leaf, index)| {
            let detail = self.detail.at(index);
            Held { leaf, detail: self.log.or_damaged(detail) }
        });
        self.ahead = held.collect();
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
    detail: Anywhere,
    ahead: Vec<Held>,
}

impl Backward {
    /// Those from `start` on.
    pub(super) fn new(log: &Log, start: u64) -> Result<Backward, Fault> {
        let integrated = log.unverified_checkpoint()?.size;
        let mut pending = Follow::from(log, integrated);
        let mut ahead = Vec::new();
        loop {
            if let Err(fault) = pending.refill() {
                // What the journal holds behind it is told by nobody; the log is there.
                log.note_damage(fault);
            }
            if pending.ahead.is_empty() {
                break;
            }
            pending.next += u64::try_from(pending.ahead.len()).unwrap_or(0);
            ahead.extend(std::mem::take(&mut pending.ahead));
        }
        Ok(Backward {
            log: log.clone(),
            start,
            end: pending.next,
            integrated,
            detail: Anywhere::new(log),
            ahead,
        })
    }

    fn advance(&mut self) -> Result<Option<Stored>, Fault> {
        if self.end <= self.start {
            return Ok(None);
        }
        if self.ahead.is_empty() {
            if self.end <= self.log.first_kept()? {
                return Ok(None);
            }
            let start = (self.end - 1) / WIDTH * WIDTH;
            let (log, end) = (&self.log, self.end);
            let mut leaves = settled(|| {
                let integrated = log.unverified_checkpoint()?.size.max(self.integrated);
                log.bundle(start, integrated)
            })?;
            leaves.truncate(usize::try_from(end - start).unwrap_or(usize::MAX));
            let held = leaves.into_iter().zip(start..).map(|(leaf, index)| {
                let detail = self.detail.at(index);
                Held { leaf, detail: self.log.or_damaged(detail) }
            });
            self.ahead = held.collect();
        }
        let Some(held) = self.ahead.pop() else { return Ok(None) };
        self.end -= 1;
        Stored::parse(&self.log, self.end, held).map(Some)
    }
}

impl Iterator for Backward {
    type Item = Result<Stored, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}

impl From<Taken<'_>> for Held {
    fn from(taken: Taken<'_>) -> Held {
        Held { leaf: taken.leaf.to_vec(), detail: taken.detail.to_vec() }
    }
}

impl Log {
    /// The detail, or none where what lies there cannot be read.
    fn or_damaged(&self, detail: Result<Vec<u8>, Fault>) -> Vec<u8> {
        detail.unwrap_or_else(|fault| {
            self.note_damage(fault);
            Vec::new()
        })
    }

    /// The records at these indexes, in the order they are asked for. All must be under the checkpoint.
    pub(super) fn records(
        &self,
        mut detail: Option<&mut Anywhere>,
        indexes: &[u64],
    ) -> Result<Vec<Stored>, Fault> {
        let size = self.unverified_checkpoint()?.size;
        let mut bundle: Option<(u64, Vec<Vec<u8>>)> = None;
        indexes
            .iter()
            .map(|index| {
                let start = index / WIDTH * WIDTH;
                let leaves = match bundle.take().filter(|(of, _)| *of == start) {
                    Some((_, leaves)) => leaves,
                    None => settled(|| self.bundle(start, size))?,
                };
                let place = usize::try_from(index - start).unwrap_or(usize::MAX);
                let leaf = leaves.get(place).cloned();
                bundle = Some((start, leaves));
                let leaf = leaf.ok_or_else(|| {
                    Fault::new(
                        FaultKind::Missing,
                        named(Kind::Entries, index / WIDTH, WIDTH),
                        "no such record",
                    )
                    .entry(*index)
                })?;
                let detail = detail.as_mut().map(|detail| self.or_damaged(detail.at(*index)));
                Stored::parse(self, *index, Held { leaf, detail: detail.unwrap_or_default() })
            })
            .collect()
    }
}
