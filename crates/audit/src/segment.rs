//! The form of segments: what the journal and the detail beside the log are made of. A segment is a header and frames,
//! each synced before anything after it; a frame is what one group commit wrote.
//!
//! From version 3 on everything in it is authenticated under a key that does not lie beside it ([`TrailKey`]): the
//! header, and every frame together with the one before. So nothing can be put in, taken out of the middle or moved;
//! what is missing at the end is told by the [head](crate::head).

use crate::disk::{Disk, DiskFile};
use crate::fault::{Fault, FaultKind};
use crate::tiles::{parse_entries, push_entry, take_entry};
use ironbridge_seal::hash::{self, MacKey};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAGIC: [u8; 8] = *b"IBAUDIT\0";
const VERSION: u32 = 3;
/// Frames of version 1 held records without detail.
const WITHOUT_DETAIL: u32 = 1;
/// Segments of versions 1 and 2 had no MAC.
const UNAUTHENTICATED: u32 = 2;
const MAC: usize = 32;
/// Magic, version, the segment's first index, CRC-32.
const BARE_HEADER: usize = 24;
/// The same with the last MAC of the segment before, and a MAC after it.
const SEGMENT_HEADER: usize = BARE_HEADER + MAC + MAC;
/// Before every frame's entries: their length in bytes, their count, the first's index, their CRC-32, and the
/// CRC-32 of this header.
pub(crate) const FRAME_HEADER: usize = 24;

/// Authenticates a frame and all before it.
pub(crate) type Link = [u8; MAC];

/// The key that proves what the bridge itself wrote: HMAC-SHA256.
#[derive(Clone)]
pub struct TrailKey(Arc<MacKey>);

/// What a segment is part of; segments of one do not pass for the other's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Journal,
    Detail,
}

impl TrailKey {
    /// Of the key, in bytes.
    pub const LEN: usize = 32;

    /// For as long as a trail lives: what another key wrote is another hand's.
    pub fn new(key: &[u8; TrailKey::LEN]) -> TrailKey {
        TrailKey(Arc::new(MacKey::new(key)))
    }

    fn header(&self, part: Part, fields: &[u8]) -> Link {
        self.0.mac(&[b"ironbridge segment v3\0", part.label(), fields])
    }

    fn frame(&self, part: Part, before: &Link, header: &[u8], entries: &[u8]) -> Link {
        self.0.mac(&[b"ironbridge frame v3\0", part.label(), before, header, entries])
    }

    pub(crate) fn index_head(&self, head: &[u8]) -> Link {
        self.0.mac(&[b"ironbridge index v1\0", head])
    }

    pub(crate) fn index_chunk(&self, head: &Link, number: usize, chunk: &[u8]) -> Link {
        let number = u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes();
        self.0.mac(&[b"ironbridge index chunk v1\0", head, &number, chunk])
    }

    pub(crate) fn head(&self, fields: &[u8]) -> Link {
        self.0.mac(&[b"ironbridge head v1\0", fields])
    }
}

impl Part {
    /// As faults name it, and as its directory is called.
    pub const fn name(self) -> &'static str {
        match self {
            Part::Journal => "journal",
            Part::Detail => "detail",
        }
    }

    const fn label(self) -> &'static [u8] {
        match self {
            Part::Journal => b"journal\0",
            Part::Detail => b"detail\0",
        }
    }

    /// A segment as faults name it.
    pub fn named(self, first: u64) -> PathBuf {
        Path::new(self.name()).join(segment_name(first))
    }
}

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

/// Where segments of one kind are written.
pub(crate) struct Destination<'p> {
    pub disk: &'p dyn Disk,
    pub dir: &'p Path,
    /// A name for a segment that is not yet in place.
    pub temporary: PathBuf,
    pub part: Part,
    pub key: &'p TrailKey,
}

/// The segment being written.
pub(crate) struct Segment {
    file: Box<dyn DiskFile>,
    part: Part,
    key: TrailKey,
    header: Arc<[u8]>,
    first: u64,
    pub bytes: u64,
    /// Of the last frame.
    pub link: Link,
}

impl Segment {
    /// A new segment that follows the frame with this link, in place with its header before it is used. One of the same
    /// name holds no acknowledged record, so it is replaced.
    pub fn create(to: &Destination<'_>, first: u64, link: Link) -> io::Result<Segment> {
        let mut header = Vec::with_capacity(SEGMENT_HEADER);
        header.extend_from_slice(&MAGIC);
        header.extend_from_slice(&VERSION.to_be_bytes());
        header.extend_from_slice(&first.to_be_bytes());
        header.extend_from_slice(&link);
        header.extend_from_slice(&crc32fast::hash(&header).to_be_bytes());
        header.extend_from_slice(&to.key.header(to.part, &header));
        let mut file = to.disk.create(&to.temporary)?;
        file.write_all(&header)?;
        file.sync()?;
        to.disk.rename(&to.temporary, &to.dir.join(segment_name(first)))?;
        to.disk.sync_dir(to.dir)?;
        let (part, key) = (to.part, to.key.clone());
        let bytes = u64::try_from(header.len()).unwrap_or(u64::MAX);
        Ok(Segment { file, part, key, header: header.into(), first, bytes, link })
    }

    /// What must be in its place as long as it is written.
    pub fn written(&self) -> WrittenSegment {
        WrittenSegment {
            part: self.part,
            first: self.first,
            header: Arc::clone(&self.header),
            bytes: self.bytes,
        }
    }

    /// Writes a frame and waits until it is durable. After a failure the segment must not be used again: what a
    /// failed sync left behind is unknown, and a later success would not vouch for it.
    pub fn append(&mut self, frame: &mut Frame) -> io::Result<()> {
        self.write(frame.finish(&self.key, self.part, &self.link))
    }

    /// As [`Segment::append`], several frames at once.
    pub fn append_all(&mut self, frames: &mut [Frame]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(frames.iter().map(Frame::len).sum());
        let mut link = self.link;
        for frame in frames {
            let (finished, next) = frame.finish(&self.key, self.part, &link);
            bytes.extend_from_slice(finished);
            link = next;
        }
        self.write((&bytes, link))
    }

    fn write(&mut self, (bytes, link): (&[u8], Link)) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.file.sync()?;
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.link = link;
        Ok(())
    }
}

/// A segment as far as it was written.
#[derive(Clone)]
pub(crate) struct WrittenSegment {
    part: Part,
    first: u64,
    header: Arc<[u8]>,
    bytes: u64,
}

impl WrittenSegment {
    /// What is wrong if the file does not begin as it did, or is not as long any more.
    pub fn wrong(&self, disk: &dyn Disk, dir: &Path) -> Option<Fault> {
        let path = dir.join(segment_name(self.first));
        let there = || {
            let begins = disk.read_at(&path, 0, self.header.len())? == *self.header;
            Ok(begins && disk.read_at(&path, self.bytes.saturating_sub(1), 1)?.len() == 1)
        };
        let name = self.part.named(self.first);
        let altered = "the segment was cut, altered or replaced while the bridge wrote it";
        match there() {
            Ok(true) => None,
            Ok(false) => Some(Fault::new(FaultKind::Altered, name, altered)),
            Err(error) => Some(Fault::reading(name, &error)),
        }
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

/// A frame in the making: room for header and MAC, then the records.
#[derive(Default)]
pub(crate) struct Frame {
    bytes: Vec<u8>,
    pub first: u64,
    pub count: u32,
}

impl Frame {
    /// An empty frame, in this buffer.
    pub fn starting_at(first: u64, mut bytes: Vec<u8>) -> Frame {
        bytes.clear();
        bytes.resize(FRAME_HEADER + MAC, 0);
        Frame { bytes, first, count: 0 }
    }

    /// Index after the last record.
    pub fn end(&self) -> u64 {
        self.first.saturating_add(u64::from(self.count))
    }

    /// In bytes.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Appends a record, whose lengths the caller has checked.
    pub fn push(&mut self, taken: Taken<'_>) {
        push_taken(&mut self.bytes, taken);
        self.count += 1;
    }

    /// As it goes to disk after the frame with this link, and its own link.
    fn finish(&mut self, key: &TrailKey, part: Part, before: &Link) -> (&[u8], Link) {
        let (first, count) = (self.first, self.count);
        let Some((header, rest)) = self.bytes.split_first_chunk_mut::<FRAME_HEADER>() else {
            return (&[], *before);
        };
        let Some((mac, entries)) = rest.split_first_chunk_mut::<MAC>() else { return (&[], *before) };
        let mut fields = Vec::with_capacity(FRAME_HEADER);
        fields.extend_from_slice(&u32::try_from(entries.len()).unwrap_or(u32::MAX).to_be_bytes());
        fields.extend_from_slice(&count.to_be_bytes());
        fields.extend_from_slice(&first.to_be_bytes());
        fields.extend_from_slice(&crc32fast::hash(entries).to_be_bytes());
        fields.extend_from_slice(&crc32fast::hash(&fields).to_be_bytes());
        header.copy_from_slice(&fields);
        *mac = key.frame(part, before, header, entries);
        let link = *mac;
        (&self.bytes, link)
    }

    pub fn into_buffer(self) -> Vec<u8> {
        self.bytes
    }
}

/// Appends a record to a frame: the leaf with its length in two bytes, the detail with its length in four.
fn push_taken(out: &mut Vec<u8>, taken: Taken<'_>) {
    push_entry(out, taken.leaf);
    debug_assert!(taken.detail.len() <= MAX_DETAIL);
    out.extend_from_slice(&u32::try_from(taken.detail.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(taken.detail);
}

/// What a segment says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    version: u32,
    pub first: u64,
    /// Of the last frame before it; zeros where it has none.
    pub link: Link,
}

impl SegmentHeader {
    /// How much of a segment must be read to parse its header.
    pub const MAX_BYTES: usize = SEGMENT_HEADER;

    /// Reads the beginning of a segment. With a key, its MAC must be right, if it has one.
    pub fn parse(bytes: &[u8], part: Part, key: Option<&TrailKey>) -> Result<SegmentHeader, HeaderFault> {
        let short = HeaderFault::Malformed("the segment is shorter than its header".into());
        let Some((magic, rest)) = bytes.split_first_chunk::<8>() else { return Err(short) };
        if *magic != MAGIC {
            return Err(HeaderFault::Malformed("this is not a journal segment".into()));
        }
        let Some((version, rest)) = rest.split_first_chunk::<4>() else { return Err(short) };
        let Some((first, rest)) = rest.split_first_chunk::<8>() else { return Err(short) };
        let version = u32::from_be_bytes(*version);
        let (link, rest) = match version {
            WITHOUT_DETAIL | UNAUTHENTICATED => ([0; MAC], rest),
            VERSION => {
                let Some((link, rest)) = rest.split_first_chunk::<MAC>() else { return Err(short) };
                (*link, rest)
            }
            other => {
                return Err(HeaderFault::Malformed(format!(
                    "the segment has version {other}; this program reads versions up to {VERSION}"
                )));
            }
        };
        let Some((checksum, rest)) = rest.split_first_chunk::<4>() else { return Err(short) };
        let header = SegmentHeader { version, first: u64::from_be_bytes(*first), link };
        let fields =
            bytes.get(..header.len() - MAC * usize::from(header.is_authenticated())).unwrap_or(bytes);
        let checked = fields.split_last_chunk::<4>().map(|(checked, _)| crc32fast::hash(checked));
        if checked != Some(u32::from_be_bytes(*checksum)) {
            return Err(HeaderFault::Malformed("the segment's header does not fit its checksum".into()));
        }
        if header.is_authenticated() {
            let Some(mac) = rest.get(..MAC) else { return Err(short) };
            if key.is_some_and(|key| !hash::equal(&key.header(part, fields), mac)) {
                return Err(HeaderFault::Foreign);
            }
        }
        Ok(header)
    }

    pub fn len(&self) -> usize {
        if self.is_authenticated() { SEGMENT_HEADER } else { BARE_HEADER }
    }

    pub fn is_authenticated(&self) -> bool {
        self.version > UNAUTHENTICATED
    }

    /// Bytes before a frame's records.
    pub fn frame_header_len(&self) -> usize {
        if self.is_authenticated() { FRAME_HEADER + MAC } else { FRAME_HEADER }
    }

    /// The records of a frame, up to the first that is cut off: whether there is one.
    pub fn parse_taken<'f>(&self, bytes: &'f [u8]) -> (Vec<Taken<'f>>, bool) {
        if self.version == WITHOUT_DETAIL {
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
}

fn take_taken(bytes: &[u8]) -> Option<(Taken<'_>, &[u8])> {
    let (leaf, tail) = take_entry(bytes)?;
    let (length, tail) = tail.split_first_chunk::<4>()?;
    let (detail, tail) = tail.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    Some((Taken { leaf, detail }, tail))
}

/// What is wrong with a segment's header.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    Malformed(String),
    /// Its form is right, but this bridge did not write it.
    Foreign,
}

/// A frame's header.
#[derive(Debug)]
pub(crate) struct FrameHeader {
    pub length: usize,
    pub count: u32,
    pub first: u64,
    pub checksum: u32,
}

impl FrameHeader {
    pub fn parse(bytes: &[u8; FRAME_HEADER]) -> Option<FrameHeader> {
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

/// The link of an authenticated frame (header, MAC and records), if its MAC is right under the key. Without a key it is
/// believed.
pub(crate) fn frame_link(key: Option<&TrailKey>, part: Part, before: &Link, frame: &[u8]) -> Option<Link> {
    let (header, rest) = frame.split_first_chunk::<FRAME_HEADER>()?;
    let (mac, entries) = rest.split_first_chunk::<MAC>()?;
    let genuine = key.is_none_or(|key| hash::equal(&key.frame(part, before, header, entries), mac));
    genuine.then_some(*mac)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(version: u32) -> SegmentHeader {
        SegmentHeader { version, first: 0, link: [0; 32] }
    }

    #[test]
    fn names_are_of_one_form() {
        assert_eq!(segment_name(42), "0000000000000042.wal");
        assert_eq!(parse_name("0000000000000042.wal"), Some(42));
        assert_eq!(parse_name(&segment_name(u64::MAX)), Some(u64::MAX));
        for name in ["42.wal", "+000000000000042.wal", "0000000000000042.wal.old", "x", ""] {
            assert_eq!(parse_name(name), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn records_read_back(records: Vec<(Vec<u8>, Vec<u8>)>) {
            let records: Vec<_> = records.iter().map(|(leaf, detail)| Taken { leaf, detail }).collect();
            let mut frame = Vec::new();
            records.iter().for_each(|taken| push_taken(&mut frame, *taken));
            prop_assert_eq!(header(VERSION).parse_taken(&frame), (records, false));
            if let Some((_, cut)) = frame.split_last() {
                prop_assert!(header(VERSION).parse_taken(cut).1);
            }
        }

        /// A frame is believed only as the part it was written for, under its key, after the frame it followed, and whole.
        #[test]
        fn frames_are_bound(leaf: Vec<u8>, first: u64, before: [u8; 32], at: prop::sample::Index) {
            let (key, other) = (TrailKey::new(&[1; 32]), TrailKey::new(&[2; 32]));
            let mut frame = Frame::starting_at(first, Vec::new());
            frame.push(Taken { leaf: &leaf, detail: b"d" });
            let (bytes, link) = frame.finish(&key, Part::Journal, &before);
            let bytes = bytes.to_vec();
            let read = |key: &TrailKey, part, before: &Link, bytes: &[u8]| frame_link(Some(key), part, before, bytes);
            prop_assert_eq!(read(&key, Part::Journal, &before, &bytes), Some(link));
            prop_assert_eq!(read(&other, Part::Journal, &before, &bytes), None);
            prop_assert_eq!(read(&key, Part::Detail, &before, &bytes), None);
            prop_assert_eq!(read(&key, Part::Journal, &link, &bytes), None);
            let mut altered = bytes.clone();
            altered[at.index(bytes.len())] ^= 1;
            prop_assert_eq!(read(&key, Part::Journal, &before, &altered), None);
            prop_assert_eq!(read(&key, Part::Journal, &before, &bytes[..bytes.len() - 1]), None);
        }

        #[test]
        fn hostile_frames_do_no_harm(bytes: Vec<u8>, version in 1..=3u32) {
            let _ = header(version).parse_taken(&bytes);
        }

        #[test]
        fn hostile_headers_do_no_harm(bytes: [u8; 88], small: [u8; 24]) {
            prop_assert!(FrameHeader::parse(&small).is_none());
            prop_assert!(SegmentHeader::parse(&bytes, Part::Journal, None).is_err());
            let magic = [&MAGIC[..], &bytes[8..]].concat();
            prop_assert!(SegmentHeader::parse(&magic, Part::Journal, None).is_err());
        }
    }
}
