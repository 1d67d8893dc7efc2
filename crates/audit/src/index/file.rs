//! One file of the index, read as far as a query needs it.

use super::block::{BlockHead, HEAD, find};
use super::positions::Positions;
use super::seal::{SEAL, Seal};
use super::term::Term;
use crate::disk::{self, Disk};
use crate::merkle::Hash;
use crate::segment::TrailKey;
use ironbridge_core::Timestamp;
use std::io;
use std::path::{Path, PathBuf};

/// Below the audit directory.
pub(crate) const DIRECTORY: &str = "index";

/// The index file of a block, below [`DIRECTORY`].
pub(crate) fn name(number: u64) -> String {
    format!("{number:08}.idx")
}

/// Puts the index of a block in place. What a power cut damages all the same is built again.
pub(crate) fn put(disk: &dyn Disk, audit: &Path, number: u64, bytes: &[u8]) -> io::Result<()> {
    let directory = audit.join(DIRECTORY);
    disk.create_dir_all(&directory)?;
    let path = directory.join(name(number));
    disk::put(disk, &path.with_extension("new"), &path, bytes)
}

/// The index of a block, open for looking terms up: its head is read, and fits the block.
pub(crate) struct IndexFile<'d> {
    disk: &'d dyn Disk,
    path: PathBuf,
    head: BlockHead,
    /// Without the trail's key nothing can be proven of it.
    seal: Option<Seal>,
}

impl<'d> IndexFile<'d> {
    /// `None` if there is none, or it is damaged, of another version, of other records than those under `root`, or not
    /// sealed with this key.
    pub fn open(
        disk: &'d dyn Disk,
        audit: &Path,
        number: u64,
        root: &Hash,
        key: Option<&TrailKey>,
    ) -> Option<IndexFile<'d>> {
        let path = audit.join(DIRECTORY).join(name(number));
        let bytes = disk.read_at(&path, 0, HEAD).ok()?;
        let head = BlockHead::parse(&bytes).filter(|head| head.root == *root)?;
        let seal = match key {
            None => None,
            Some(key) => {
                let seal = disk.read_at(&path, u64::try_from(head.end()).ok()?, SEAL).ok()?;
                Some(Seal::open(key, &bytes, &seal)?)
            }
        };
        Some(IndexFile { disk, path, head, seal })
    }

    pub fn subjects_known(&self) -> bool {
        self.head.subjects_known
    }

    pub fn within(&self, since: Option<Timestamp>, until: Option<Timestamp>) -> Positions {
        self.head.within(since, until)
    }

    /// The records that may have the term. `None` if that part of the file is damaged.
    pub fn records(&self, term: Term) -> Option<Positions> {
        find(&self.read(usize::from(term.chunk()))?, term).ok()
    }

    /// Whether every part is as it was written.
    pub fn is_sound(&self) -> bool {
        (0..self.head.chunks().len()).all(|number| self.read(number).is_some())
    }

    fn read(&self, number: usize) -> Option<Vec<u8>> {
        let chunk = self.head.chunks().get(number)?;
        let start = u64::try_from(chunk.start).ok()?;
        let bytes = self.disk.read_at(&self.path, start, chunk.length).ok()?;
        let whole = bytes.len() == chunk.length && crc32fast::hash(&bytes) == chunk.crc;
        (whole && self.seal.as_ref().is_none_or(|seal| seal.fits(number, &bytes))).then_some(bytes)
    }
}
