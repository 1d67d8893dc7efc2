use super::block::{Chunk, HEAD, Head, find};
use super::positions::Positions;
use super::term::Term;
use crate::disk::{self, Disk};
use crate::merkle::Hash;
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
    head: Head,
}

impl<'d> IndexFile<'d> {
    /// `None` if there is none, or it is damaged, of another version, or of other records than those under `root`.
    pub fn open(disk: &'d dyn Disk, audit: &Path, number: u64, root: &Hash) -> Option<IndexFile<'d>> {
        let path = audit.join(DIRECTORY).join(name(number));
        let head = Head::parse(&disk.read_at(&path, 0, HEAD).ok()?)?;
        (head.root == *root).then_some(IndexFile { disk, path, head })
    }

    pub fn subjects_known(&self) -> bool {
        self.head.subjects_known
    }

    pub fn within(&self, since: Option<Timestamp>, until: Option<Timestamp>) -> Positions {
        self.head.within(since, until)
    }

    /// The records that may have the term. `None` if that part of the file is damaged.
    pub fn records(&self, term: Term) -> Option<Positions> {
        let chunk = self.head.chunk(term.chunk())?;
        find(&self.read(chunk)?, term).ok()
    }

    /// Whether every part is as it was written.
    pub fn is_sound(&self) -> bool {
        self.head.chunks().iter().all(|chunk| self.read(*chunk).is_some())
    }

    fn read(&self, chunk: Chunk) -> Option<Vec<u8>> {
        let start = u64::try_from(chunk.start).ok()?;
        let bytes = self.disk.read_at(&self.path, start, chunk.length).ok()?;
        (bytes.len() == chunk.length && crc32fast::hash(&bytes) == chunk.crc).then_some(bytes)
    }
}
