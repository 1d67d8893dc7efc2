//! Reading segments: the journal, where a record first becomes durable, and the detail beside the log, which has the
//! same form without the records.
//!
//! A segment is named by the first index it may hold. Record `i` lives in the segment with the greatest name not
//! above `i`: after a failed write the same records are written again to a fresh segment, and whatever the old one
//! holds from there on no longer counts.

use crate::disk::Disk;
use crate::fault::{Fault, FaultKind};
use crate::segment::{
    FRAME_HEADER, FrameHeader, HeaderFault, Link, Part, SegmentHeader, Taken, TrailKey, frame_link,
    segment_name, segments,
};
use std::io;
use std::path::{Path, PathBuf};

/// What a disk writes whole or not at all.
const SECTOR: u64 = 512;
/// How much is read from a segment at once, in bytes.
const CHUNK: usize = 1 << 20;
/// No frame is longer: twice the 64 MiB that may wait for the disk, or 256 records with all the detail that each may have.
const LONGEST_FRAME: usize = 136 << 20;

/// What is demanded of segments before they are believed.
#[derive(Clone, Default)]
pub(crate) struct Trust {
    /// Without it, only checksums are checked.
    pub key: Option<TrailKey>,
    /// Segments that hold this index or later ones must be authenticated.
    pub from: u64,
}

/// Consecutive records, as they lie in a frame.
pub(crate) struct Batch {
    pub first: u64,
    header: SegmentHeader,
    frame: Vec<u8>,
    /// Records of the frame that come before the first.
    skip: usize,
}

impl Batch {
    pub fn records(&self) -> impl Iterator<Item = Taken<'_>> {
        self.header.parse_taken(&self.frame).0.into_iter().skip(self.skip)
    }
}

/// Reads segments in order of index, from wherever it is told, while they grow.
pub(crate) struct Cursor {
    part: Part,
    dir: PathBuf,
    trust: Trust,
    /// First index of the next batch.
    pub next: u64,
    /// Of the frame that ends there, if it was read and is authenticated.
    link: Option<Link>,
    /// The index that is looked out for, and what was found there.
    watched: u64,
    passed: Passed,
    segments: Vec<u64>,
    open: Option<Open>,
}

/// What of the chain lies where it was looked out for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passed {
    /// What was read begins behind it, or ends before it.
    Unseen,
    /// A frame ends or a segment begins there.
    Link(Link),
    /// A frame begins before it and ends behind it.
    Straddled,
}

/// The segment being read.
struct Open {
    part: Part,
    key: Option<TrailKey>,
    header: SegmentHeader,
    link: Link,
    /// From this index on, what nothing authenticates is not believed.
    old_below: u64,
    /// Index that the next frame must start with.
    place: u64,
    /// Where the next frame starts in the file.
    offset: u64,
    /// Bytes read from the file; the next frame starts at `used`.
    ahead: Vec<u8>,
    used: usize,
}

/// What comes next in a segment.
enum Step {
    Frame(Batch),
    /// The segment ends here, or within a frame whose write never finished.
    End,
    Damaged(Fault),
}

impl Cursor {
    pub fn new(part: Part, dir: PathBuf, next: u64, trust: Trust) -> Cursor {
        let (watched, passed) = (u64::MAX, Passed::Unseen);
        Cursor { part, dir, trust, next, link: None, watched, passed, segments: Vec::new(), open: None }
    }

    /// Looks out for the chain's link at this index, also among what comes before the records that are wanted.
    pub fn watch(&mut self, index: u64) {
        self.watched = index;
    }

    pub fn passed(&self) -> Passed {
        self.passed
    }

    /// Of the frame that ends where the next batch begins; `None` where that is not known, or not authenticated.
    pub fn link(&self) -> Option<Link> {
        self.link
    }

    /// What is wrong where the segments end before this index, at which reading began: records that are elsewhere do not
    /// make an older copy of the journal the one that was left.
    pub fn ends_before(&self, index: u64) -> Option<Fault> {
        let ended = match &self.open {
            Some(open) if open.place >= index => return None,
            Some(open) => {
                format!(
                    "the journal ends at record {}, before the log's {index}: its end was cut, or an older copy was put in its place",
                    open.place
                )
            }
            None if self.next > index => return None,
            None => format!("the journal has no segment that reaches the log's {index} records"),
        };
        Some(Fault::new(FaultKind::Missing, self.part.name(), ended).entry(index))
    }

    /// The next records, or `None` at the end as it is now.
    pub fn read(&mut self, disk: &dyn Disk) -> Result<Option<Batch>, Fault> {
        let mut refreshed = false;
        loop {
            let home = self.segments.iter().rfind(|first| **first <= self.next).copied();
            let step = home.map(|home| self.step(disk, home));
            match step {
                Some(Step::Frame(batch)) => match self.take(batch) {
                    Some(batch) => return Ok(Some(batch)),
                    None => continue,
                },
                // The list of segments may be old: only a fresh one can say that this is the end.
                _ if !refreshed => {
                    if let Some(Step::Damaged(_)) = step {
                        // Or the segment was replaced since it was opened.
                        self.open = None;
                    }
                    self.segments = segments(disk, &self.dir)
                        .map_err(|error| Fault::reading(self.part.name(), &error))?;
                    refreshed = true;
                    continue;
                }
                _ => {}
            }
            let later = self.segments.iter().find(|first| **first > self.next);
            return match (step, later) {
                (Some(Step::Damaged(fault)), _) => Err(fault),
                (_, Some(later)) => {
                    let detail =
                        format!("records {} to {} are missing before this segment", self.next, later - 1);
                    Err(Fault::new(FaultKind::Missing, self.part.named(*later), detail).entry(self.next))
                }
                _ => Ok(None),
            };
        }
    }

    fn step(&mut self, disk: &dyn Disk, home: u64) -> Step {
        let open = match self.open.take().filter(|open| open.header.first == home) {
            Some(open) => open,
            None => match self.enter(disk, home) {
                Ok(open) => {
                    if open.header.is_authenticated() && home == self.watched {
                        self.passed = Passed::Link(open.header.link);
                    }
                    open
                }
                Err(fault) => return Step::Damaged(fault),
            },
        };
        let open = self.open.insert(open);
        let before = open.place;
        let frame = open.frame(disk, &self.dir.join(segment_name(home)));
        if open.header.is_authenticated() && before < self.watched && open.place >= self.watched {
            let ends = open.place == self.watched;
            self.passed = if ends { Passed::Link(open.link) } else { Passed::Straddled };
        }
        if open.place >= self.next {
            self.link = open.header.is_authenticated().then_some(open.link);
        }
        frame
    }

    /// Opens a segment, which must follow what was read so far.
    fn enter(&self, disk: &dyn Disk, home: u64) -> Result<Open, Fault> {
        let open = Open::at(disk, self.part, &self.dir, home, &self.trust)?;
        // Detail that a failed round left is written again from the round's first record on.
        let before = self.link.filter(|_| home == self.next && self.part == Part::Journal);
        if before.is_some_and(|before| before != open.header.link) {
            let detail =
                "the segment does not follow the frame before it: records between them were taken out";
            return Err(Fault::new(FaultKind::Altered, self.part.named(home), detail).at(0).entry(home));
        }
        Ok(open)
    }

    /// The frame's records from `next` on, if it has any.
    fn take(&mut self, mut batch: Batch) -> Option<Batch> {
        let end = self.open.as_ref()?.place;
        if end <= self.next {
            return None;
        }
        batch.skip = usize::try_from(self.next.saturating_sub(batch.first)).unwrap_or(usize::MAX);
        batch.first = self.next;
        self.next = end;
        Some(batch)
    }
}

impl Open {
    fn at(disk: &dyn Disk, part: Part, dir: &Path, first: u64, trust: &Trust) -> Result<Open, Fault> {
        let file = part.named(first);
        let fault = |kind, detail: &str| Fault::new(kind, &file, detail).at(0).entry(first);
        let bytes = disk
            .read_at(&dir.join(segment_name(first)), 0, SegmentHeader::MAX_BYTES)
            .map_err(|error| Fault::reading(&file, &error))?;
        let header = SegmentHeader::parse(&bytes, part, trust.key.as_ref()).map_err(|wrong| match wrong {
            HeaderFault::Malformed(detail) => fault(FaultKind::Malformed, &detail),
            HeaderFault::Foreign => fault(FaultKind::Altered, "this bridge did not write this segment"),
        })?;
        if header.first != first {
            let detail = format!("the segment's header says it starts with record {}", header.first);
            return Err(fault(FaultKind::Altered, &detail));
        }
        if trust.key.is_some() && !header.is_authenticated() && first >= trust.from {
            let detail = "the segment is of an older version, whose records nothing authenticates";
            return Err(fault(FaultKind::Altered, detail));
        }
        let offset = u64::try_from(header.len()).unwrap_or(u64::MAX);
        let (key, link) = (trust.key.clone(), header.link);
        let old_below = if key.is_some() { trust.from } else { u64::MAX };
        Ok(Open { part, key, header, link, old_below, place: first, offset, ahead: Vec::new(), used: 0 })
    }

    fn frame(&mut self, disk: &dyn Disk, path: &Path) -> Step {
        let parsed = self.parse(disk, path);
        let frame = parsed.unwrap_or_else(|error| Step::Damaged(Fault::reading(self.name(), &error)));
        if !matches!(frame, Step::Frame(_)) {
            // The bytes may be on their way; look at them afresh next time.
            self.ahead = Vec::new();
            self.used = 0;
        }
        frame
    }

    fn parse(&mut self, disk: &dyn Disk, path: &Path) -> io::Result<Step> {
        self.fill(disk, path, FRAME_HEADER)?;
        let Some((header, _)) = self.rest().split_first_chunk::<FRAME_HEADER>() else {
            return Ok(Step::End);
        };
        let Some(header) = FrameHeader::parse(header) else {
            self.fill(disk, path, LONGEST_FRAME + 1)?;
            if self.rest().len() > LONGEST_FRAME {
                return Ok(self.damaged("more follows the last frame than any write leaves"));
            }
            return Ok(self.unfinished_or_damaged(usize::MAX, "a frame's header does not fit its checksum"));
        };
        let before = self.header.frame_header_len();
        let whole = before.saturating_add(header.length);
        if whole > LONGEST_FRAME {
            return Ok(self.damaged("a frame's header says that it is longer than any frame"));
        }
        self.fill(disk, path, whole)?;
        let Some(frame) = self.rest().get(..whole) else { return Ok(Step::End) };
        let entries = frame.get(before..).unwrap_or_default();
        if crc32fast::hash(entries) != header.checksum {
            self.fill(disk, path, whole.saturating_add(1))?;
            return Ok(self.unfinished_or_damaged(whole, "a frame's records do not fit their checksum"));
        }
        if self.header.is_authenticated() {
            match frame_link(self.key.as_ref(), self.part, &self.link, frame) {
                Some(link) => self.link = link,
                None => return Ok(self.foreign()),
            }
        }
        let Some(entries) = self.rest().get(before..whole) else { return Ok(Step::End) };
        let (held, broken) = self.header.parse_taken(entries);
        let held = u64::try_from(held.len()).unwrap_or(u64::MAX);
        if !self.header.is_authenticated() && self.place.saturating_add(held) > self.old_below {
            return Ok(self.foreign());
        }
        if header.first != self.place || held != u64::from(header.count) || broken {
            let detail =
                format!("the frame holds {held} records from {}, not from {}", header.first, self.place);
            return Ok(self.damaged(&detail));
        }
        let batch = Batch { first: header.first, header: self.header, frame: entries.to_vec(), skip: 0 };
        self.used += whole;
        self.offset = self.offset.saturating_add(u64::try_from(whole).unwrap_or(u64::MAX));
        self.place = self.place.saturating_add(held);
        Ok(Step::Frame(batch))
    }

    fn name(&self) -> PathBuf {
        self.part.named(self.header.first)
    }

    fn rest(&self) -> &[u8] {
        self.ahead.get(self.used..).unwrap_or_default()
    }

    /// Reads until `wanted` bytes of the rest are at hand, or the file ends.
    fn fill(&mut self, disk: &dyn Disk, path: &Path, wanted: usize) -> io::Result<()> {
        if self.rest().len() < wanted {
            self.ahead.drain(..self.used);
            self.used = 0;
        }
        while self.ahead.len() < wanted {
            let from = self.offset.saturating_add(u64::try_from(self.ahead.len()).unwrap_or(u64::MAX));
            let missing = wanted - self.ahead.len();
            let bytes = disk.read_at(path, from, missing.clamp(CHUNK, 64 * CHUNK))?;
            if bytes.is_empty() {
                break;
            }
            self.ahead.extend_from_slice(&bytes);
        }
        Ok(())
    }

    /// A frame that a power cut kept from being written whole lacks sectors, which then read as zeros, and nothing
    /// follows it, because it was synced before anything after it was written. Only such a frame was never
    /// acknowledged; any other damage is damage.
    fn unfinished_or_damaged(&self, length: usize, detail: &str) -> Step {
        let (frame, after) = self.rest().split_at_checked(length).unwrap_or((self.rest(), &[]));
        let last = after.is_empty() && !self.frame_follows(frame);
        if last && lacks_sectors(frame, self.offset) { Step::End } else { self.damaged(detail) }
    }

    /// Whether a later frame begins somewhere in these bytes, of which the first frame's length is not known.
    fn frame_follows(&self, bytes: &[u8]) -> bool {
        let later = |header: &[u8; FRAME_HEADER]| {
            // First what costs little: this is asked at every byte.
            let first = header.get(8..16).and_then(|first| first.try_into().ok()).map(u64::from_be_bytes);
            first.is_some_and(|first| first > self.place) && FrameHeader::parse(header).is_some()
        };
        bytes.array_windows::<FRAME_HEADER>().skip(1).any(later)
    }

    fn foreign(&self) -> Step {
        let detail =
            "this frame does not follow the one before it: this bridge did not write it, or not here";
        let fault = Fault::new(FaultKind::Altered, self.name(), detail);
        Step::Damaged(fault.at(self.offset).entry(self.place))
    }

    fn damaged(&self, detail: &str) -> Step {
        let fault = Fault::new(FaultKind::Malformed, self.name(), detail);
        Step::Damaged(fault.at(self.offset).entry(self.place))
    }
}

fn lacks_sectors(bytes: &[u8], offset: u64) -> bool {
    let to_boundary = usize::try_from(SECTOR - offset % SECTOR).unwrap_or(512);
    let (lead, rest) = bytes.split_at_checked(to_boundary).unwrap_or((bytes, &[]));
    let empty = |sector: &[u8]| !sector.is_empty() && sector.iter().all(|byte| *byte == 0);
    empty(lead) || rest.chunks(512).any(empty)
}

/// Removes the segments that hold only records below `index`. The last one stays.
pub(crate) fn remove_below(disk: &dyn Disk, dir: &Path, index: u64) -> io::Result<()> {
    let segments = segments(disk, dir)?;
    let keep = segments.iter().rposition(|first| *first <= index).unwrap_or(0);
    for first in segments.iter().take(keep) {
        disk.remove(&dir.join(segment_name(*first)))?;
    }
    Ok(())
}

/// What comes before this index survives a power cut from now on: what segments before the last held was synced before
/// that was begun.
pub(crate) fn sync_below(disk: &dyn Disk, dir: &Path, index: u64) -> io::Result<()> {
    match segments(disk, dir)?.iter().rfind(|first| **first < index) {
        Some(last) => disk.sync_file(&dir.join(segment_name(*last))),
        None => Ok(()),
    }
}

/// Checks every frame of every segment of the journal. The first and the next index.
pub(crate) fn check(disk: &dyn Disk, dir: &Path, trust: &Trust) -> Result<Option<(u64, u64)>, Fault> {
    let segments = segments(disk, dir).map_err(|error| Fault::reading("journal", &error))?;
    let Some(&first) = segments.first() else { return Ok(None) };
    let mut cursor = Cursor::new(Part::Journal, dir.to_path_buf(), first, trust.clone());
    while cursor.read(disk)?.is_some() {}
    // A segment that nothing was written to yet is read only for its header.
    let last = segments.last().copied().unwrap_or(first);
    Open::at(disk, Part::Journal, dir, last, trust)?;
    Ok(Some((first, cursor.next)))
}

/// Where temporary files go: beside the journal and the log, on the same file system.
/// What a link leads to is not the trail's to clear.
pub(crate) fn clear_temporary(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    if disk.is_link(dir)? {
        return Err(io::Error::other("it is a link, and what it leads to is not cleared: remove the link"));
    }
    for name in disk.list(dir)? {
        disk.remove(&dir.join(name))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_sectors_are_told_from_flipped_bits() {
        let full = vec![7u8; 2000];
        assert!(!lacks_sectors(&full, 100));
        let mut lacking = full.clone();
        lacking[412..924].fill(0);
        assert!(lacks_sectors(&lacking, 100));
        let mut shifted = full.clone();
        shifted[413..925].fill(0);
        assert!(!lacks_sectors(&shifted, 100));
        let mut tail = full;
        tail[1948..].fill(0);
        assert!(lacks_sectors(&tail, 100), "the last sector's share");
    }
}
