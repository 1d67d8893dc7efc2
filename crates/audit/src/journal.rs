//! Segments of frames: the journal, where a record first becomes durable (a frame is what one group commit wrote),
//! and the detail beside the log, which has the same form without the records.
//!
//! A segment is named by the first index it may hold. Record `i` lives in the segment with the greatest name not
//! above `i`: after a failed write the same records are written again to a fresh segment, and whatever the old one
//! holds from there on no longer counts.

use crate::disk::{Disk, DiskFile};
use crate::fault::{Fault, FaultKind};
use crate::tiles::{parse_entries, push_entry, take_entry};
use std::io;
use std::path::{Path, PathBuf};

/// Before the first frame of every segment: magic, version, the segment's first index, CRC-32.
const SEGMENT_HEADER: usize = 24;
const MAGIC: [u8; 8] = *b"IBAUDIT\0";
const VERSION: u32 = 2;
/// Frames of version 1 held records without detail.
const WITHOUT_DETAIL: u32 = 1;
/// Before every frame's entries: their length in bytes, their count, the first's index, their CRC-32, and the
/// CRC-32 of this header.
pub(crate) const FRAME_HEADER: usize = 24;
/// What a disk writes whole or not at all.
const SECTOR: u64 = 512;
/// How much is read from a segment at once, in bytes.
const CHUNK: usize = 1 << 20;

pub(crate) fn segment_name(first: u64) -> String {
    format!("{first:016}.wal")
}

/// First indexes of the segments in the directory, ascending.
pub(crate) fn segments(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<u64>> {
    let mut firsts: Vec<u64> = disk.list(dir)?.iter().filter_map(|name| parse_name(name)).collect();
    firsts.sort_unstable();
    Ok(firsts)
}

fn parse_name(name: &str) -> Option<u64> {
    let first = name.strip_suffix(".wal")?.parse().ok()?;
    (segment_name(first) == name).then_some(first)
}

/// The segment being written.
pub(crate) struct Segment {
    file: Box<dyn DiskFile>,
    pub bytes: u64,
}

impl Segment {
    /// A new segment, in place with its header before it is used. One of the same name holds no acknowledged
    /// record, so it is replaced.
    pub fn create(disk: &dyn Disk, dir: &Path, temporary: &Path, first: u64) -> io::Result<Segment> {
        let mut header = Vec::with_capacity(SEGMENT_HEADER);
        header.extend_from_slice(&MAGIC);
        header.extend_from_slice(&VERSION.to_be_bytes());
        header.extend_from_slice(&first.to_be_bytes());
        header.extend_from_slice(&crc32fast::hash(&header).to_be_bytes());
        let mut file = disk.create(temporary)?;
        file.write_all(&header)?;
        file.sync()?;
        disk.rename(temporary, &dir.join(segment_name(first)))?;
        disk.sync_dir(dir)?;
        Ok(Segment { file, bytes: 24 })
    }

    /// Writes a frame and waits until it is durable. After a failure the segment must not be used again: what a
    /// failed sync left behind is unknown, and a later success would not vouch for it.
    pub fn append(&mut self, frame: &[u8]) -> io::Result<()> {
        self.file.write_all(frame)?;
        self.file.sync()?;
        self.bytes = self.bytes.saturating_add(u64::try_from(frame.len()).unwrap_or(u64::MAX));
        Ok(())
    }
}

/// What a frame holds of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken<'f> {
    /// Empty in a segment of detail.
    pub leaf: &'f [u8],
    pub detail: &'f [u8],
}

/// The longest detail of one record, in bytes: a thousand subjects with ids of 256 bytes.
pub(crate) const MAX_DETAIL: usize = 512 * 1024;

/// Appends a record to a frame: the leaf with its length in two bytes, the detail with its length in four. The
/// caller has checked both lengths.
pub(crate) fn push_taken(out: &mut Vec<u8>, taken: Taken<'_>) {
    push_entry(out, taken.leaf);
    debug_assert!(taken.detail.len() <= MAX_DETAIL);
    out.extend_from_slice(&u32::try_from(taken.detail.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(taken.detail);
}

/// The records of a frame, up to the first that is cut off: whether there is one.
fn parse_taken(version: u32, bytes: &[u8]) -> (Vec<Taken<'_>>, bool) {
    if version == WITHOUT_DETAIL {
        let (leaves, broken) = parse_entries(bytes);
        let taken = leaves.into_iter().map(|leaf| Taken { leaf, detail: &[] }).collect();
        return (taken, broken.is_some());
    }
    let mut records = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let Some((taken, tail)) = take_taken(rest) else { return (records, true) };
        records.push(taken);
        rest = tail;
    }
    (records, false)
}

fn take_taken(bytes: &[u8]) -> Option<(Taken<'_>, &[u8])> {
    let (leaf, tail) = take_entry(bytes)?;
    let (length, tail) = tail.split_first_chunk::<4>()?;
    let (detail, tail) = tail.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    Some((Taken { leaf, detail }, tail))
}

/// Fills in the header of a frame: the bytes' first 24 were left free for it.
pub(crate) fn finish_frame(frame: &mut [u8], first: u64, count: u32) {
    let Some((header, entries)) = frame.split_first_chunk_mut::<FRAME_HEADER>() else { return };
    let mut fields = Vec::with_capacity(FRAME_HEADER);
    fields.extend_from_slice(&u32::try_from(entries.len()).unwrap_or(u32::MAX).to_be_bytes());
    fields.extend_from_slice(&count.to_be_bytes());
    fields.extend_from_slice(&first.to_be_bytes());
    fields.extend_from_slice(&crc32fast::hash(entries).to_be_bytes());
    fields.extend_from_slice(&crc32fast::hash(&fields).to_be_bytes());
    header.copy_from_slice(&fields);
}

/// Consecutive records, as they lie in a frame.
pub(crate) struct Batch {
    pub first: u64,
    version: u32,
    frame: Vec<u8>,
    /// Records of the frame that come before the first.
    skip: usize,
}

impl Batch {
    pub fn records(&self) -> impl Iterator<Item = Taken<'_>> {
        parse_taken(self.version, &self.frame).0.into_iter().skip(self.skip)
    }
}

/// Reads the journal in order of index, from wherever it is told, while it grows.
pub(crate) struct Cursor {
    dir: PathBuf,
    /// First index of the next batch.
    pub next: u64,
    segments: Vec<u64>,
    open: Option<Open>,
}

/// The segment being read.
struct Open {
    first: u64,
    version: u32,
    /// Index that the next frame must start with.
    place: u64,
    /// Where the next frame starts in the file.
    offset: u64,
    /// Bytes read from the file; the next frame starts at `used`.
    ahead: Vec<u8>,
    used: usize,
}

enum Frame {
    Whole(Batch),
    /// The segment ends here, or within a frame whose write never finished.
    End,
    Damaged(Fault),
}

impl Cursor {
    pub fn new(dir: PathBuf, next: u64) -> Cursor {
        Cursor { dir, next, segments: Vec::new(), open: None }
    }

    /// The next records, or `None` at the journal's end as it is now.
    pub fn read(&mut self, disk: &dyn Disk) -> Result<Option<Batch>, Fault> {
        let mut refreshed = false;
        loop {
            let home = self.segments.iter().rfind(|first| **first <= self.next).copied();
            let step = home.map(|home| self.step(disk, home));
            match step {
                Some(Frame::Whole(batch)) => match self.take(batch) {
                    Some(batch) => return Ok(Some(batch)),
                    None => continue,
                },
                // The list of segments may be old: only a fresh one can say that this is the end.
                _ if !refreshed => {
                    if let Some(Frame::Damaged(_)) = step {
                        // Or the segment was replaced since it was opened.
                        self.open = None;
                    }
                    self.segments =
                        segments(disk, &self.dir).map_err(|error| Fault::reading("journal", &error))?;
                    refreshed = true;
                    continue;
                }
                _ => {}
            }
            let later = self.segments.iter().find(|first| **first > self.next);
            return match (step, later) {
                (Some(Frame::Damaged(fault)), _) => Err(fault),
                (_, Some(later)) => {
                    let detail =
                        format!("records {} to {} are missing before this segment", self.next, later - 1);
                    Err(Fault::new(FaultKind::Missing, named(*later), detail).entry(self.next))
                }
                _ => Ok(None),
            };
        }
    }

    fn step(&mut self, disk: &dyn Disk, home: u64) -> Frame {
        let open = match self.open.take().filter(|open| open.first == home) {
            Some(open) => open,
            None => match Open::at(disk, &self.dir, home) {
                Ok(open) => open,
                Err(fault) => return Frame::Damaged(fault),
            },
        };
        let open = self.open.insert(open);
        open.frame(disk, &self.dir.join(segment_name(home)))
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
    fn at(disk: &dyn Disk, dir: &Path, first: u64) -> Result<Open, Fault> {
        let file = named(first);
        let header = disk
            .read_at(&dir.join(segment_name(first)), 0, SEGMENT_HEADER)
            .map_err(|error| Fault::reading(&file, &error))?;
        let version = match parse_segment_header(&header) {
            Ok((version, found)) if found == first => version,
            Ok((_, found)) => {
                let detail = format!("the segment's header says it starts with record {found}");
                return Err(Fault::new(FaultKind::Altered, file, detail).at(0));
            }
            Err(detail) => return Err(Fault::new(FaultKind::Malformed, file, detail).at(0)),
        };
        Ok(Open { first, version, place: first, offset: 24, ahead: Vec::new(), used: 0 })
    }

    fn frame(&mut self, disk: &dyn Disk, path: &Path) -> Frame {
        let parsed = self.parse(disk, path);
        let frame = parsed.unwrap_or_else(|error| Frame::Damaged(Fault::reading(named(self.first), &error)));
        if !matches!(frame, Frame::Whole(_)) {
            // The bytes may be on their way; look at them afresh next time.
            self.ahead = Vec::new();
            self.used = 0;
        }
        frame
    }

    fn parse(&mut self, disk: &dyn Disk, path: &Path) -> io::Result<Frame> {
        self.fill(disk, path, FRAME_HEADER)?;
        let Some((header, _)) = self.rest().split_first_chunk::<FRAME_HEADER>() else {
            return Ok(Frame::End);
        };
        let Some(header) = FrameHeader::parse(header) else {
            self.fill(disk, path, usize::MAX)?;
            return Ok(self.unfinished_or_damaged(usize::MAX, "a frame's header does not fit its checksum"));
        };
        let whole = FRAME_HEADER.saturating_add(header.length);
        self.fill(disk, path, whole)?;
        let Some(entries) = self.rest().get(FRAME_HEADER..whole) else { return Ok(Frame::End) };
        if crc32fast::hash(entries) != header.checksum {
            return Ok(self.unfinished_or_damaged(whole, "a frame's records do not fit their checksum"));
        }
        let (held, broken) = parse_taken(self.version, entries);
        let held = u64::try_from(held.len()).unwrap_or(u64::MAX);
        if header.first != self.place || held != u64::from(header.count) || broken {
            let detail =
                format!("the frame holds {held} records from {}, not from {}", header.first, self.place);
            return Ok(self.damaged(&detail));
        }
        let batch = Batch { first: header.first, version: self.version, frame: entries.to_vec(), skip: 0 };
        self.used += whole;
        self.offset = self.offset.saturating_add(u64::try_from(whole).unwrap_or(u64::MAX));
        self.place = self.place.saturating_add(held);
        Ok(Frame::Whole(batch))
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

    /// A frame that a power cut kept from being written whole lacks sectors, which then read as zeros. Only such
    /// a frame was never acknowledged; any other damage is damage.
    fn unfinished_or_damaged(&self, length: usize, detail: &str) -> Frame {
        let frame = self.rest().get(..length).unwrap_or(self.rest());
        if lacks_sectors(frame, self.offset) { Frame::End } else { self.damaged(detail) }
    }

    fn damaged(&self, detail: &str) -> Frame {
        let fault = Fault::new(FaultKind::Malformed, named(self.first), detail);
        Frame::Damaged(fault.at(self.offset).entry(self.place))
    }
}

fn lacks_sectors(bytes: &[u8], offset: u64) -> bool {
    let to_boundary = usize::try_from(SECTOR - offset % SECTOR).unwrap_or(512);
    let (lead, rest) = bytes.split_at_checked(to_boundary).unwrap_or((bytes, &[]));
    let empty = |sector: &[u8]| !sector.is_empty() && sector.iter().all(|byte| *byte == 0);
    empty(lead) || rest.chunks(512).any(empty)
}

struct FrameHeader {
    length: usize,
    count: u32,
    first: u64,
    checksum: u32,
}

impl FrameHeader {
    fn parse(bytes: &[u8; FRAME_HEADER]) -> Option<FrameHeader> {
        let (fields, own) = bytes.split_last_chunk::<4>()?;
        if crc32fast::hash(fields) != u32::from_be_bytes(*own) {
            return None;
        }
        let (length, fields) = fields.split_first_chunk::<4>()?;
        let (count, fields) = fields.split_first_chunk::<4>()?;
        let (first, fields) = fields.split_first_chunk::<8>()?;
        Some(FrameHeader {
            length: usize::try_from(u32::from_be_bytes(*length)).ok()?,
            count: u32::from_be_bytes(*count),
            first: u64::from_be_bytes(*first),
            checksum: u32::from_be_bytes(*fields.first_chunk::<4>()?),
        })
    }
}

/// The segment's version, and the first index that it says it holds.
fn parse_segment_header(header: &[u8]) -> Result<(u32, u64), String> {
    let parts = header.split_last_chunk::<4>().filter(|_| header.len() == SEGMENT_HEADER);
    let Some((fields, own)) = parts else { return Err("the segment is shorter than its header".into()) };
    let Some((MAGIC, fields_after)) = fields.split_first_chunk::<8>().map(|(magic, rest)| (*magic, rest))
    else {
        return Err("this is not a journal segment".into());
    };
    if crc32fast::hash(fields) != u32::from_be_bytes(*own) {
        return Err("the segment's header does not fit its checksum".into());
    }
    let (version, first) = fields_after.split_first_chunk::<4>().ok_or("the header is cut off")?;
    match u32::from_be_bytes(*version) {
        version @ (VERSION | WITHOUT_DETAIL) => {
            let first = first.first_chunk::<8>().ok_or("the header is cut off")?;
            Ok((version, u64::from_be_bytes(*first)))
        }
        other => Err(format!("the segment has version {other}; this program reads versions up to {VERSION}")),
    }
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

/// The segment as faults name it.
fn named(first: u64) -> PathBuf {
    Path::new("journal").join(segment_name(first))
}

/// Checks every frame of every segment. The first and the next index.
pub(crate) fn check(disk: &dyn Disk, dir: &Path) -> Result<Option<(u64, u64)>, Fault> {
    let segments = segments(disk, dir).map_err(|error| Fault::reading("journal", &error))?;
    let Some(&first) = segments.first() else { return Ok(None) };
    let mut cursor = Cursor::new(dir.to_path_buf(), first);
    while cursor.read(disk)?.is_some() {}
    // A segment that nothing was written to yet is read only for its header.
    let last = segments.last().copied().unwrap_or(first);
    Open::at(disk, dir, last)?;
    Ok(Some((first, cursor.next)))
}

/// Where temporary files go: beside the journal and the log, on the same file system.
pub(crate) fn clear_temporary(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    for name in disk.list(dir)? {
        disk.remove(&dir.join(name))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_of_one_form() {
        assert_eq!(segment_name(42), "0000000000000042.wal");
        assert_eq!(parse_name("0000000000000042.wal"), Some(42));
        assert_eq!(parse_name(&segment_name(u64::MAX)), Some(u64::MAX));
        for name in ["42.wal", "+000000000000042.wal", "0000000000000042.wal.old", "x", ""] {
            assert_eq!(parse_name(name), None, "{name}");
        }
    }

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

    proptest! {
        #[test]
        fn records_read_back(records: Vec<(Vec<u8>, Vec<u8>)>) {
            let records: Vec<_> = records.iter().map(|(leaf, detail)| Taken { leaf, detail }).collect();
            let mut frame = Vec::new();
            records.iter().for_each(|taken| push_taken(&mut frame, *taken));
            prop_assert_eq!(parse_taken(VERSION, &frame), (records, false));
            if let Some((_, cut)) = frame.split_last() {
                prop_assert!(parse_taken(VERSION, cut).1);
            }
        }

        #[test]
        fn hostile_frames_do_no_harm(bytes: Vec<u8>, version in 1..=2u32) {
            let _ = parse_taken(version, &bytes);
        }

        #[test]
        fn hostile_headers_do_no_harm(bytes: [u8; 24]) {
            prop_assert!(FrameHeader::parse(&bytes).is_none());
            prop_assert!(parse_segment_header(&bytes).is_err());
        }
    }
}
