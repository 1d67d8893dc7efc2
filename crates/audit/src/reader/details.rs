//! Finding the detail that lies beside the log. Where there is none, it is empty: it was dropped, or this is a copy of
//! the log alone.

use super::log::{Log, settled};
use crate::disk::Disk;
use crate::fault::{Fault, FaultKind};
use crate::journal::{Cursor, Trust};
use crate::segment::{self, Part};
use crate::tiles::WIDTH;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

/// So many records further on a segment is looked at again that had no other after it.
const LOOK_AGAIN: u64 = 65_536;

/// Reads detail in ascending order of index, while it grows.
pub(super) struct Forward {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    trust: Trust,
    cursor: Option<Cursor>,
    ahead: VecDeque<(u64, Vec<u8>)>,
    /// Nothing is there below this index.
    absent_below: u64,
}

impl Forward {
    pub fn new(log: &Log) -> Forward {
        let (disk, dir) = (Arc::clone(&log.disk), log.places.detail.clone());
        Forward { disk, dir, trust: log.trust.clone(), cursor: None, ahead: VecDeque::new(), absent_below: 0 }
    }

    /// A fault is given once; what lies in the same segment behind it is empty then.
    pub fn at(&mut self, index: u64) -> Result<Vec<u8>, Fault> {
        loop {
            while self.ahead.front().is_some_and(|(at, _)| *at < index) {
                self.ahead.pop_front();
            }
            match self.ahead.front() {
                Some((at, _)) if *at == index => {
                    return Ok(self.ahead.pop_front().map(|(_, detail)| detail).unwrap_or_default());
                }
                Some(_) => return Ok(Vec::new()),
                None if index < self.absent_below => return Ok(Vec::new()),
                None => self.refill(index)?,
            }
        }
    }

    /// A fault in the segment that would hold the index's detail.
    pub fn fault(&self, kind: FaultKind, index: u64, detail: &str) -> Fault {
        let segments = segments(&*self.disk, &self.dir).unwrap_or_default();
        let home = segments.iter().rfind(|first| **first <= index);
        let file = home.map(|first| Part::Detail.named(*first));
        Fault::new(kind, file.unwrap_or_else(|| "detail".into()), detail).entry(index)
    }

    fn refill(&mut self, index: u64) -> Result<(), Fault> {
        let cursor = self.cursor.take().filter(|cursor| cursor.next <= index);
        let mut cursor =
            cursor.unwrap_or_else(|| Cursor::new(Part::Detail, self.dir.clone(), index, self.trust.clone()));
        match cursor.read(&*self.disk) {
            Ok(Some(batch)) => {
                let records = (batch.first..).zip(batch.records());
                self.ahead = records.map(|(at, taken)| (at, taken.detail.to_vec())).collect();
                self.cursor = Some(cursor);
            }
            Ok(None) => self.absent_below = (index / WIDTH + 1) * WIDTH,
            Err(fault) if fault.kind == FaultKind::Missing => {
                self.absent_below = self.resumes_after(index)?
            }
            Err(fault) => {
                // What follows in the segment cannot be authenticated either.
                let next = segments(&*self.disk, &self.dir)?.into_iter().find(|first| *first > index);
                self.absent_below = next.unwrap_or(index.saturating_add(LOOK_AGAIN));
                return Err(fault);
            }
        }
        Ok(())
    }

    fn resumes_after(&self, index: u64) -> Result<u64, Fault> {
        let segments = segments(&*self.disk, &self.dir)?;
        Ok(segments.into_iter().find(|first| *first > index).unwrap_or((index / WIDTH + 1) * WIDTH))
    }
}

/// Reads detail anywhere; holds the segment that it read last.
pub(super) struct Anywhere {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    trust: Trust,
    segment: Option<Loaded>,
}

/// The detail of one segment.
struct Loaded {
    first: u64,
    /// Index after the last record it holds.
    end: u64,
    /// By index.
    details: Vec<(u64, Vec<u8>)>,
}

impl Anywhere {
    pub fn new(log: &Log) -> Anywhere {
        Anywhere {
            disk: Arc::clone(&log.disk),
            dir: log.places.detail.clone(),
            trust: log.trust.clone(),
            segment: None,
        }
    }

    pub fn at(&mut self, index: u64) -> Result<Vec<u8>, Fault> {
        let known =
            self.segment.as_ref().is_some_and(|segment| (segment.first..segment.end).contains(&index));
        let fault = if known { None } else { self.enter(index)? };
        let Some(segment) = &self.segment else { return Ok(Vec::new()) };
        let found = segment.details.binary_search_by_key(&index, |(at, _)| *at).ok();
        let found = found.and_then(|place| segment.details.get(place)).map(|(_, detail)| detail.clone());
        match (found, fault) {
            (None, Some(fault)) => Err(fault),
            (found, _) => Ok(found.unwrap_or_default()),
        }
    }

    /// Holds the segment of this index, as far as it can be read.
    fn enter(&mut self, index: u64) -> Result<Option<Fault>, Fault> {
        let mut fault = None;
        self.segment = settled(|| {
            let loaded = self.load(index)?;
            if let Some((Loaded { .. }, Some(missing))) = &loaded
                && missing.kind == FaultKind::Missing
            {
                return Err(missing.clone());
            }
            Ok(loaded.map(|(segment, found)| {
                fault = found;
                segment
            }))
        })?;
        Ok(fault)
    }

    /// The segment that holds the index's detail, if there is one.
    fn load(&self, index: u64) -> Result<Option<(Loaded, Option<Fault>)>, Fault> {
        let segments = segments(&*self.disk, &self.dir)?;
        let Some(first) = segments.iter().rfind(|first| **first <= index).copied() else { return Ok(None) };
        let after = segments.iter().find(|first| **first > index).copied().unwrap_or(u64::MAX);
        let mut cursor = Cursor::new(Part::Detail, self.dir.clone(), first, self.trust.clone());
        let (mut details, mut fault) = (Vec::new(), None);
        while cursor.next < after {
            match cursor.read(&*self.disk) {
                Ok(Some(batch)) => {
                    let records = (batch.first..).zip(batch.records());
                    details.extend(records.map(|(at, taken)| (at, taken.detail.to_vec())));
                }
                Ok(None) => break,
                Err(found) => {
                    fault = Some(found);
                    break;
                }
            }
        }
        // Behind a fault nothing can be read: that segment is not opened again for each record.
        let end = if fault.is_some() { after } else { cursor.next.min(after) };
        Ok(Some((Loaded { first, end, details }, fault)))
    }
}

fn segments(disk: &dyn Disk, dir: &std::path::Path) -> Result<Vec<u64>, Fault> {
    segment::segments(disk, dir).map_err(|error| Fault::reading("detail", &error))
}
