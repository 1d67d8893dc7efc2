//! How one file of the index is laid out.

use super::positions::{BITMAP, Positions};
use super::term::Term;
use crate::merkle::Hash;
use crate::tiles::WIDTH;
use ironbridge_core::Timestamp;

/// How the log is cut into blocks: `2^height` records each, so that each block is one node of the tree.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blocks {
    pub height: u32,
}

/// 65,536 records, 256 bundles. A tree tile of level 2 holds the roots of 256 blocks.
pub(crate) const BLOCKS: Blocks = Blocks { height: 16 };

impl Blocks {
    pub fn records(self) -> u64 {
        1 << self.height
    }

    pub fn bundles(self) -> u64 {
        self.records() / WIDTH
    }
}

const MAGIC: [u8; 8] = *b"IBINDEX\0";
const VERSION: u32 = 1;
/// Bundles of a block; chunks that its terms are spread over.
pub(super) const PARTS: usize = 256;
/// Magic, version, flags, root, times, chunks, checksum.
pub(crate) const HEAD: usize = 8 + 4 + 4 + 32 + PARTS * 16 + PARTS * 8 + 4;

const SUBJECTS_KNOWN: u32 = 1;

/// More terms than these in one block are not kept, which bounds memory: 64 a record, where 12 are usual.
pub(crate) const MAX_POSTINGS: usize = 4 << 20;
/// What a chunk of [`MAX_POSTINGS`] terms can have at most, six bytes each.
const MAX_CHUNK: usize = MAX_POSTINGS * 6;

/// From so many records on a bitmap is the shorter form.
const DENSE: usize = BITMAP / 2;
/// In the place of a count: a bitmap follows, or the count itself does.
const IS_BITMAP: u8 = 0;
const IS_LONG: u8 = u8::MAX;

/// When the exchanges of a bundle began, the earliest and the latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    pub first: Timestamp,
    pub last: Timestamp,
}

impl Times {
    pub const NONE: Times = Times { first: Timestamp(u64::MAX), last: Timestamp(0) };

    pub fn widen(&mut self, time: Timestamp) {
        self.first = self.first.min(time);
        self.last = self.last.max(time);
    }

    fn meets(self, since: Option<Timestamp>, until: Option<Timestamp>) -> bool {
        since.is_none_or(|since| self.last >= since) && until.is_none_or(|until| self.first < until)
    }
}

/// The first bytes of an index file: enough to find the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BlockHead {
    /// Of the tree of the block's records.
    pub root: Hash,
    /// Whether every subject of every record is among the terms.
    pub subjects_known: bool,
    times: Vec<Times>,
    chunks: Vec<Chunk>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// From the file's start, in bytes.
    pub start: usize,
    pub length: usize,
    pub crc: u32,
}

impl BlockHead {
    pub fn parse(bytes: &[u8]) -> Option<BlockHead> {
        let (head, _) = bytes.split_first_chunk::<HEAD>()?;
        let (content, crc) = head.split_last_chunk::<4>()?;
        if crc32fast::hash(content) != u32::from_be_bytes(*crc) {
            return None;
        }
        let (magic, rest) = content.split_first_chunk::<8>()?;
        let (version, rest) = rest.split_first_chunk::<4>()?;
        if *magic != MAGIC || u32::from_be_bytes(*version) != VERSION {
            return None;
        }
        let (flags, rest) = rest.split_first_chunk::<4>()?;
        let (root, rest) = rest.split_first_chunk::<32>()?;
        let (times, chunks) = rest.split_at_checked(PARTS * 16)?;
        let subjects_known = u32::from_be_bytes(*flags) & SUBJECTS_KNOWN != 0;
        Some(BlockHead {
            root: *root,
            subjects_known,
            times: parse_times(times),
            chunks: parse_chunks(chunks)?,
        })
    }

    /// The records of bundles that may hold one begun at or after `since` and before `until`.
    pub fn within(&self, since: Option<Timestamp>, until: Option<Timestamp>) -> Positions {
        let mut positions = Positions::none();
        for (bundle, _) in self.times.iter().enumerate().filter(|(_, times)| times.meets(since, until)) {
            positions.insert_bundle(bundle);
        }
        positions
    }

    pub fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// Where the chunks end.
    pub fn end(&self) -> usize {
        self.chunks.last().map_or(HEAD, |chunk| chunk.start.saturating_add(chunk.length))
    }
}

fn parse_times(bytes: &[u8]) -> Vec<Times> {
    let (numbers, _) = bytes.as_chunks::<8>();
    let (pairs, _) = numbers.as_chunks::<2>();
    let time = |bytes| Timestamp(u64::from_be_bytes(bytes));
    pairs.iter().map(|&[first, last]| Times { first: time(first), last: time(last) }).collect()
}

fn parse_chunks(bytes: &[u8]) -> Option<Vec<Chunk>> {
    let (numbers, _) = bytes.as_chunks::<4>();
    let (pairs, _) = numbers.as_chunks::<2>();
    let mut start = HEAD;
    let mut chunks = Vec::with_capacity(PARTS);
    for &[length, crc] in pairs {
        let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
        if length > MAX_CHUNK {
            return None;
        }
        chunks.push(Chunk { start, length, crc: u32::from_be_bytes(crc) });
        start += length;
    }
    Some(chunks)
}

/// A chunk is damaged: what it says must not be believed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Damaged;

/// The records that a chunk lists under a term.
pub(crate) fn find(chunk: &[u8], term: Term) -> Result<Positions, Damaged> {
    let mut rest = chunk;
    while let Some((name, tail)) = rest.split_first_chunk::<3>() {
        let (list, tail) = List::split(tail).ok_or(Damaged)?;
        if *name == term.rest() {
            return Ok(list.positions());
        }
        rest = tail;
    }
    if rest.is_empty() { Ok(Positions::none()) } else { Err(Damaged) }
}

/// The records of one term, as they are stored.
enum List<'b> {
    Bitmap(&'b [u8; BITMAP]),
    Places(&'b [[u8; 2]]),
}

impl<'b> List<'b> {
    /// The list at the start of these bytes, and what follows it.
    fn split(bytes: &'b [u8]) -> Option<(List<'b>, &'b [u8])> {
        let (form, rest) = bytes.split_first()?;
        let (count, rest) = match *form {
            IS_BITMAP => {
                let (bitmap, rest) = rest.split_first_chunk::<BITMAP>()?;
                return Some((List::Bitmap(bitmap), rest));
            }
            IS_LONG => {
                let (count, rest) = rest.split_first_chunk::<2>()?;
                (usize::from(u16::from_be_bytes(*count)), rest)
            }
            short => (usize::from(short), rest),
        };
        let (places, rest) = rest.split_at_checked(count * 2)?;
        let (places, _) = places.as_chunks::<2>();
        Some((List::Places(places), rest))
    }

    fn positions(&self) -> Positions {
        match self {
            List::Bitmap(bytes) => Positions::from_bitmap(bytes),
            List::Places(places) => {
                let mut positions = Positions::none();
                places.iter().for_each(|place| positions.insert(u16::from_be_bytes(*place)));
                positions
            }
        }
    }
}

/// That the record at `place` of the block has the term. They sort as they are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Posting {
    pub term: Term,
    pub place: u16,
}

/// The index file of a block. `postings` are sorted and hold none twice, and at most [`MAX_POSTINGS`].
pub(crate) fn encode(root: &Hash, subjects_known: bool, times: &[Times], postings: &[Posting]) -> Vec<u8> {
    let mut chunks = Vec::new();
    let mut table = Vec::with_capacity(PARTS * 8);
    let mut rest = postings;
    for number in 0..=u8::MAX {
        let start = chunks.len();
        let (mine, tail) = rest.split_at(rest.partition_point(|posting| posting.term.chunk() <= number));
        mine.chunk_by(|a, b| a.term == b.term).for_each(|list| push_list(&mut chunks, list));
        rest = tail;
        let chunk = chunks.get(start..).unwrap_or_default();
        table.extend_from_slice(&u32::try_from(chunk.len()).unwrap_or(u32::MAX).to_be_bytes());
        table.extend_from_slice(&crc32fast::hash(chunk).to_be_bytes());
    }
    let mut file = Vec::with_capacity(HEAD + chunks.len());
    file.extend_from_slice(&MAGIC);
    file.extend_from_slice(&VERSION.to_be_bytes());
    file.extend_from_slice(&if subjects_known { SUBJECTS_KNOWN } else { 0 }.to_be_bytes());
    file.extend_from_slice(root);
    for times in times.iter().chain(std::iter::repeat(&Times::NONE)).take(PARTS) {
        file.extend_from_slice(&times.first.micros().to_be_bytes());
        file.extend_from_slice(&times.last.micros().to_be_bytes());
    }
    file.extend_from_slice(&table);
    file.extend_from_slice(&crc32fast::hash(&file).to_be_bytes());
    file.extend_from_slice(&chunks);
    file
}

fn push_list(out: &mut Vec<u8>, list: &[Posting]) {
    let Some(first) = list.first() else { return };
    out.extend_from_slice(&first.term.rest());
    match (u8::try_from(list.len()), u16::try_from(list.len())) {
        (Ok(count), _) if count < IS_LONG => out.push(count),
        (_, Ok(count)) if list.len() <= DENSE => {
            out.push(IS_LONG);
            out.extend_from_slice(&count.to_be_bytes());
        }
        _ => {
            let mut positions = Positions::none();
            list.iter().for_each(|posting| positions.insert(posting.place));
            out.push(IS_BITMAP);
            return positions.push_bitmap(out);
        }
    }
    list.iter().for_each(|posting| out.extend_from_slice(&posting.place.to_be_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn places(positions: &Positions) -> BTreeSet<u16> {
        let bundles = (0..256).flat_map(|n| positions.in_bundle(n).into_iter().map(move |at| n * 256 + at));
        bundles.map(|place| u16::try_from(place).unwrap()).collect()
    }

    fn posted(file: &[u8], term: Term) -> BTreeSet<u16> {
        let head = BlockHead::parse(file).unwrap();
        let chunk = head.chunks()[usize::from(term.chunk())];
        let bytes = &file[chunk.start..chunk.start + chunk.length];
        assert_eq!(crc32fast::hash(bytes), chunk.crc);
        places(&find(bytes, term).unwrap())
    }

    /// Lists of every form: short, long, bitmap, and all records.
    #[test]
    fn lists_of_every_length_read_back() {
        let lengths = [1u32, 254, 255, 256, 4096, 4097, 65_535, 65_536];
        let term = |n: usize| Term(u32::try_from(n).unwrap() * 0x1234_5678);
        let first = |length: u32| (0..length).map(|place| u16::try_from(place).unwrap());
        let mut postings: Vec<Posting> = (0..lengths.len())
            .flat_map(|n| first(lengths[n]).map(move |place| Posting { term: term(n), place }))
            .collect();
        postings.sort_unstable();
        let file = encode(&[7; 32], true, &[], &postings);
        for (n, length) in lengths.into_iter().enumerate() {
            assert_eq!(posted(&file, term(n)), first(length).collect(), "{length}");
        }
        assert_eq!(posted(&file, Term(1)), BTreeSet::new());
        let head = BlockHead::parse(&file).unwrap();
        assert_eq!((head.root, head.subjects_known), ([7; 32], true));
    }

    proptest! {
        #[test]
        fn files_read_back(
            postings in btree_set((0..40u32, any::<u16>()), 0..300),
            times in vec((any::<u64>(), any::<u64>()), 256),
            since in proptest::option::of(any::<u64>()),
            until in proptest::option::of(any::<u64>()),
        ) {
            let spread = |n: u32| Term(n.wrapping_mul(0x9e37_79b9));
            let mut sorted: Vec<Posting> =
                postings.iter().map(|&(n, place)| Posting { term: spread(n), place }).collect();
            sorted.sort_unstable();
            let stored: Vec<Times> =
                times.iter().map(|&(a, b)| Times { first: Timestamp(a), last: Timestamp(b) }).collect();
            let file = encode(&[1; 32], false, &stored, &sorted);
            for n in 0..40 {
                let expected: BTreeSet<u16> =
                    postings.iter().filter(|(term, _)| *term == n).map(|(_, place)| *place).collect();
                prop_assert_eq!(posted(&file, spread(n)), expected);
            }
            let within = BlockHead::parse(&file).unwrap().within(since.map(Timestamp), until.map(Timestamp));
            for (bundle, (first, last)) in times.into_iter().enumerate() {
                let meets = since.is_none_or(|at| last >= at) && until.is_none_or(|at| first < at);
                prop_assert_eq!(!within.in_bundle(bundle).is_empty(), meets);
            }
        }

        #[test]
        fn hostile_bytes_do_no_harm(bytes: Vec<u8>, term: u32, head in vec(any::<u8>(), HEAD)) {
            let _ = find(&bytes, Term(term));
            // With the right magic, version and checksum, so that the rest is looked at.
            let mut head = head;
            head[..12].copy_from_slice(b"IBINDEX\0\0\0\0\x01");
            let crc = crc32fast::hash(&head[..HEAD - 4]);
            head[HEAD - 4..].copy_from_slice(&crc.to_be_bytes());
            if let Some(head) = BlockHead::parse(&head) {
                prop_assert!(head.chunks().iter().all(|chunk| chunk.length <= MAX_CHUNK));
            }
        }

        #[test]
        fn a_flipped_bit_of_the_head_is_seen(byte in 0..HEAD, bit in 0..8u32) {
            let mut file = encode(&[1; 32], true, &[], &[]);
            file[byte] ^= 1 << bit;
            prop_assert_eq!(BlockHead::parse(&file), None);
        }
    }
}
