//! Tiles and entry bundles as they lie on disk (c2sp.org/tlog-tiles), and the growing edge of the tree.

use crate::disk::{self, Disk};
use crate::fault::{Fault, FaultKind};
use crate::leaf::MAX_ENTRY;
use crate::merkle::{Hash, empty_root, leaf_hash, root_of};
use std::io;
use std::path::{Path, PathBuf};

/// Hashes in a full tile, entries in a full bundle.
pub(crate) const WIDTH: u64 = 256;
pub(crate) const HASH_BYTES: usize = 32;

/// One file of the log: hashes of a level (0 is the leaves), or entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Hashes(u32),
    Entries,
}

/// Where a tile or bundle lies, below `log/`. A width below 256 names a partial one.
pub(crate) fn path(kind: Kind, index: u64, width: u64) -> PathBuf {
    let mut path = PathBuf::from("tile");
    match kind {
        Kind::Hashes(level) => path.push(level.to_string()),
        Kind::Entries => path.push("entries"),
    }
    let digits = format!("{index:03}");
    let lead = digits.len() % 3;
    let padded = if lead == 0 { digits } else { format!("{}{digits}", "0".repeat(3 - lead)) };
    let (groups, _) = padded.as_bytes().as_chunks::<3>();
    let last = groups.len() - 1;
    for (n, group) in groups.iter().enumerate() {
        let group = String::from_utf8_lossy(group);
        match (n < last, width < WIDTH) {
            (true, _) => path.push(format!("x{group}")),
            (false, true) => path.push(format!("{group}.p")),
            (false, false) => path.push(&*group),
        }
    }
    if width < WIDTH {
        path.push(width.to_string());
    }
    path
}

/// How many nodes of `level` a tree of `size` leaves has complete.
pub(crate) fn nodes_at(level: u32, size: u64) -> u64 {
    size.checked_shr(level * 8).unwrap_or(0)
}

/// The hashes of a tile's bytes, which must be `width` of them.
pub(crate) fn parse_tile(bytes: &[u8], width: u64) -> Result<Vec<Hash>, String> {
    let (hashes, rest) = bytes.as_chunks::<HASH_BYTES>();
    let count = u64::try_from(hashes.len()).unwrap_or(u64::MAX);
    if count != width || !rest.is_empty() {
        let expected = width * 32;
        return Err(format!("the tile has {} bytes, not {expected}", bytes.len()));
    }
    Ok(hashes.to_vec())
}

/// The length-prefixed entries of these bytes, up to the first that is cut off: its offset is there, then.
pub(crate) fn parse_entries(bytes: &[u8]) -> (Vec<&[u8]>, Option<usize>) {
    let mut entries = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let Some((entry, tail)) = take_entry(rest) else { return (entries, Some(bytes.len() - rest.len())) };
        entries.push(entry);
        rest = tail;
    }
    (entries, None)
}

/// The first length-prefixed entry, and what follows it.
pub(crate) fn take_entry(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, tail) = bytes.split_first_chunk::<2>()?;
    tail.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

/// Appends an entry with its length. The caller has checked that it is not longer than [`MAX_ENTRY`].
pub(crate) fn push_entry(out: &mut Vec<u8>, entry: &[u8]) {
    debug_assert!(entry.len() <= MAX_ENTRY);
    out.extend_from_slice(&u16::try_from(entry.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(entry);
}

/// A tile or bundle and its bytes.
#[derive(Debug, Clone)]
pub(crate) struct Tile {
    pub kind: Kind,
    pub index: u64,
    pub width: u64,
    pub bytes: Vec<u8>,
}

impl Tile {
    pub fn path(&self) -> PathBuf {
        path(self.kind, self.index, self.width)
    }
}

/// The tree's right edge: of every level the hashes not yet in a full tile, and the entries not yet in a full
/// bundle. All that is needed to append, and to know the root.
#[derive(Debug, Clone, Default)]
pub(crate) struct Edge {
    pub size: u64,
    /// Fewer than 256 each.
    levels: Vec<Vec<Hash>>,
    bundle: Vec<u8>,
}

impl Edge {
    /// Appends an entry; tiles and bundles that it completes go to `full`.
    pub fn push(&mut self, entry: &[u8], full: &mut Vec<Tile>) {
        push_entry(&mut self.bundle, entry);
        self.size += 1;
        if self.size.is_multiple_of(WIDTH) {
            let bytes = std::mem::take(&mut self.bundle);
            full.push(Tile { kind: Kind::Entries, index: self.size / WIDTH - 1, width: WIDTH, bytes });
        }
        self.push_hash(0, leaf_hash(entry), full);
    }

    /// As [`Edge::push`] for an entry that is gone; a bundle is not made of such.
    pub fn push_dropped(&mut self, leaf: Hash, full: &mut Vec<Tile>) {
        self.size += 1;
        self.push_hash(0, leaf, full);
    }

    fn push_hash(&mut self, level: u32, hash: Hash, full: &mut Vec<Tile>) {
        let place = usize::try_from(level).unwrap_or(usize::MAX);
        if self.levels.len() <= place {
            self.levels.resize(place + 1, Vec::new());
        }
        let Some(hashes) = self.levels.get_mut(place) else { return };
        hashes.push(hash);
        if hashes.len() < 256 {
            return;
        }
        let hashes = std::mem::take(hashes);
        let index = nodes_at(level + 1, self.size) - 1;
        full.push(Tile { kind: Kind::Hashes(level), index, width: WIDTH, bytes: hashes.concat() });
        if let Some(root) = root_of(&hashes) {
            self.push_hash(level + 1, root, full);
        }
    }

    /// The partial tiles and the partial bundle of this size.
    pub fn partial(&self) -> Vec<Tile> {
        let mut tiles = Vec::new();
        let tile = |kind, level, bytes| {
            let nodes = nodes_at(level, self.size);
            Tile { kind, index: nodes / WIDTH, width: nodes % WIDTH, bytes }
        };
        if !self.bundle.is_empty() {
            tiles.push(tile(Kind::Entries, 0, self.bundle.clone()));
        }
        for (level, hashes) in (0u32..).zip(&self.levels).filter(|(_, hashes)| !hashes.is_empty()) {
            tiles.push(tile(Kind::Hashes(level), level, hashes.concat()));
        }
        tiles
    }

    pub fn root(&self) -> Hash {
        let mut root: Option<Hash> = None;
        for hashes in &self.levels {
            root = match (root_of(hashes), root) {
                (None, right) => right,
                (left, None) => left,
                // The part to the right is smaller than one node of this level, so it stands as one more.
                (Some(_), Some(right)) => {
                    let run: Vec<Hash> = hashes.iter().copied().chain([right]).collect();
                    root_of(&run)
                }
            };
        }
        root.unwrap_or_else(empty_root)
    }

    /// Reads the edge of the tree of this size, which must add up to this root and fit its entries.
    pub fn load(disk: &dyn Disk, log: &Path, size: u64, root: &Hash) -> Result<Edge, Fault> {
        let mut edge = Edge::load_hashes(disk, log, size)?;
        if edge.root() != *root {
            let detail = "the tiles at the tree's right edge do not add up to the checkpoint's root";
            return Err(Fault::new(FaultKind::Altered, "log/tile", detail));
        }
        let width = size % WIDTH;
        if width > 0 {
            let (file, bytes) = load_bytes(disk, log, Kind::Entries, size / WIDTH, width)?;
            edge.take_bundle(&file, &bytes, width)?;
        }
        Ok(edge)
    }

    /// The edge's hashes with their levels, in the order in which [`Edge::of_full_bundles`] takes them.
    pub fn hashes(&self) -> impl Iterator<Item = (u32, &Hash)> {
        (0u32..).zip(&self.levels).flat_map(|(level, hashes)| hashes.iter().map(move |hash| (level, hash)))
    }

    /// The edge of a tree whose bundles are all full, from its hashes. `None` where they do not fit the size.
    pub fn of_full_bundles(size: u64, hashes: impl IntoIterator<Item = (u32, Hash)>) -> Option<Edge> {
        let mut edge = Edge { size, ..Edge::default() };
        let mut hashes = hashes.into_iter().peekable();
        for level in (0..8).take_while(|level| nodes_at(*level, size) > 0) {
            let width = usize::try_from(nodes_at(level, size) % WIDTH).ok()?;
            let of_level: Vec<Hash> =
                std::iter::from_fn(|| hashes.next_if(|(at, _)| *at == level)).map(|(_, hash)| hash).collect();
            if of_level.len() != width {
                return None;
            }
            edge.levels.push(of_level);
        }
        (size.is_multiple_of(WIDTH) && hashes.next().is_none()).then_some(edge)
    }

    /// The edge's hashes, whatever root they give.
    pub fn load_hashes(disk: &dyn Disk, log: &Path, size: u64) -> Result<Edge, Fault> {
        let mut edge = Edge { size, ..Edge::default() };
        for level in 0.. {
            let nodes = nodes_at(level, size);
            if nodes == 0 {
                break;
            }
            let hashes = match nodes % WIDTH {
                0 => Vec::new(),
                width => load_tile(disk, log, level, nodes / WIDTH, width)?,
            };
            edge.levels.push(hashes);
        }
        Ok(edge)
    }

    fn take_bundle(&mut self, file: &Path, bytes: &[u8], width: u64) -> Result<(), Fault> {
        let first = self.size - width;
        let entries = bundle_entries(file, bytes, first, width)?;
        let leaves = self.levels.first().map(Vec::as_slice).unwrap_or_default();
        for ((entry, leaf), index) in entries.iter().zip(leaves).zip(first..) {
            if leaf_hash(entry) != *leaf {
                let detail = "the entry's hash is not the one in the tile of leaves";
                return Err(Fault::new(FaultKind::Altered, file, detail).entry(index));
            }
            push_entry(&mut self.bundle, entry);
        }
        Ok(())
    }
}

/// The `width` entries of a bundle, and nothing after them.
pub(crate) fn bundle_entries<'b>(
    file: &Path,
    bytes: &'b [u8],
    first: u64,
    width: u64,
) -> Result<Vec<&'b [u8]>, Fault> {
    let (entries, broken) = parse_entries(bytes);
    let count = u64::try_from(entries.len()).unwrap_or(u64::MAX);
    let fault = |detail: String, entry| Fault::new(FaultKind::Malformed, file, detail).entry(entry);
    match broken.and_then(|offset| u64::try_from(offset).ok()) {
        Some(offset) => Err(fault("the entry is cut off".into(), first.saturating_add(count)).at(offset)),
        None if count != width => {
            let detail = format!("the bundle has {count} entries, not {width}");
            Err(fault(detail, first.saturating_add(count.min(width))))
        }
        None => Ok(entries),
    }
}

/// A tile's hashes, `width` of them.
pub(crate) fn load_tile(
    disk: &dyn Disk,
    log: &Path,
    level: u32,
    index: u64,
    width: u64,
) -> Result<Vec<Hash>, Fault> {
    let (file, bytes) = load_bytes(disk, log, Kind::Hashes(level), index, width)?;
    parse_tile(&bytes, width).map_err(|detail| Fault::new(FaultKind::Malformed, file, detail))
}

/// The bytes of a tile or bundle, and the file they came from. Where a partial one has given way to the full
/// one, they are the beginning of that.
pub(crate) fn load_bytes(
    disk: &dyn Disk,
    log: &Path,
    kind: Kind,
    index: u64,
    width: u64,
) -> Result<(PathBuf, Vec<u8>), Fault> {
    let read = |width| disk::read(disk, &log.join(path(kind, index, width)));
    let wanted = named(kind, index, width);
    match read(width) {
        Ok(bytes) => Ok((wanted, bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound && width < WIDTH => match read(WIDTH) {
            Ok(mut bytes) => {
                bytes.truncate(length_of(kind, &bytes, width));
                Ok((named(kind, index, WIDTH), bytes))
            }
            Err(_) => Err(Fault::reading(wanted, &error)),
        },
        Err(error) => Err(Fault::reading(wanted, &error)),
    }
}

/// The first `width` hashes or entries of a tile, as far as the checkpoint over `size` entries covers them. They are
/// cut from what that checkpoint was written with: a file beyond it may be half written, and one of another width be
/// left of a round that failed.
pub(crate) fn load_covered(
    disk: &dyn Disk,
    log: &Path,
    kind: Kind,
    index: u64,
    width: u64,
    size: u64,
) -> Result<Vec<u8>, Fault> {
    let level = if let Kind::Hashes(level) = kind { level } else { 0 };
    let covered = nodes_at(level, size).saturating_sub(index.saturating_mul(WIDTH)).min(WIDTH);
    if width > covered {
        let detail = "no checkpoint covers it yet";
        return Err(Fault::new(FaultKind::Missing, named(kind, index, width), detail));
    }
    let (file, mut bytes) = load_bytes(disk, log, kind, index, covered)?;
    match kind {
        Kind::Entries => drop(bundle_entries(&file, &bytes, index.saturating_mul(WIDTH), covered)?),
        Kind::Hashes(_) => drop(
            parse_tile(&bytes, covered).map_err(|detail| Fault::new(FaultKind::Malformed, &file, detail))?,
        ),
    }
    bytes.truncate(length_of(kind, &bytes, width));
    Ok(bytes)
}

/// How many of the bytes are the first `width` hashes or entries.
fn length_of(kind: Kind, bytes: &[u8], width: u64) -> usize {
    let width = usize::try_from(width).unwrap_or(usize::MAX);
    match kind {
        Kind::Hashes(_) => width.saturating_mul(HASH_BYTES),
        Kind::Entries => parse_entries(bytes).0.iter().take(width).map(|entry| entry.len() + 2).sum(),
    }
}

/// The file as faults name it.
pub(crate) fn named(kind: Kind, index: u64, width: u64) -> PathBuf {
    Path::new("log").join(path(kind, index, width))
}

/// The node `height` levels above a tile's hashes: the `index`th run of `2^height` of them.
pub(crate) fn node_within(hashes: &[Hash], height: u32, index: usize) -> Option<Hash> {
    let count = 1usize.checked_shl(height)?;
    let from = index.checked_mul(count)?;
    root_of(hashes.get(from..from.checked_add(count)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_of_the_specification() {
        let text = |kind, index, width| path(kind, index, width).to_string_lossy().into_owned();
        assert_eq!(text(Kind::Hashes(0), 0, 256), "tile/0/000");
        assert_eq!(text(Kind::Hashes(1), 5, 3), "tile/1/005.p/3");
        assert_eq!(text(Kind::Entries, 1_234_067, 256), "tile/entries/x001/x234/067");
        assert_eq!(text(Kind::Hashes(0), 1000, 255), "tile/0/x001/000.p/255");
        assert_eq!(text(Kind::Entries, u64::MAX, 256), "tile/entries/x018/x446/x744/x073/x709/x551/615");
    }

    proptest! {
        #[test]
        fn bundles_read_back(entries: Vec<Vec<u8>>) {
            let mut bytes = Vec::new();
            entries.iter().for_each(|entry| push_entry(&mut bytes, entry));
            let (read, broken) = parse_entries(&bytes);
            prop_assert_eq!(read, entries.iter().map(Vec::as_slice).collect::<Vec<_>>());
            prop_assert_eq!(broken, None);
            if let Some((_, cut)) = bytes.split_last() {
                prop_assert!(parse_entries(cut).1.is_some());
            }
        }

        #[test]
        fn hostile_bundles_do_no_harm(bytes: Vec<u8>) {
            let _ = parse_entries(&bytes);
        }
    }
}
