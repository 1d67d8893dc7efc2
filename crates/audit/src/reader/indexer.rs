//! Building the index beside a growing log.

use super::details::Forward;
use super::log::Log;
use crate::detail::{self, DetailKind};
use crate::fault::{Fault, FaultKind};
use crate::index::{BLOCKS, Blocks, DIRECTORY, IndexBuilder, IndexFile, name, put, seal};
use crate::merkle::Hash;
use crate::tiles::{Kind, WIDTH, bundle_entries, load_bytes, named};
use ironbridge_core::OwnerTag;
use std::path::Path;

/// Keeps the index of a log complete, one block at a time, for a thread that has nothing better to do.
pub struct Indexer {
    log: Log,
    blocks: Blocks,
    /// The next block to look after.
    next: u64,
    /// The first block whose index may be there although its records were dropped.
    dropped: u64,
}

impl Indexer {
    /// Begins with the first block: every index file is read once and built again if it is damaged.
    pub fn new(log: Log) -> Indexer {
        Indexer::of(log, BLOCKS)
    }

    pub(super) fn of(log: Log, blocks: Blocks) -> Indexer {
        Indexer { log, blocks, next: 0, dropped: 0 }
    }

    /// Checks the index of one block, or builds it, and removes that of dropped records. Whether there was one: if not, the index is complete until the
    /// log has grown by a block.
    ///
    /// # Errors
    /// When the block's records are damaged, and it goes without an index; the next call goes on behind it. Or
    /// when the index cannot be written; the next call tries again.
    pub fn catch_up(&mut self) -> Result<bool, Fault> {
        let kept = self.log.first_kept()?;
        self.drop_below(kept);
        let roots = self.log.block_roots(self.blocks)?;
        let number = self.next;
        let Some(root) = usize::try_from(number).ok().and_then(|place| roots.get(place)) else {
            return Ok(false);
        };
        self.next += 1;
        if number * self.blocks.records() < kept {
            return Ok(true);
        }
        if self.log.index(number, root).is_some_and(|file| file.is_sound()) {
            return Ok(true);
        }
        let bytes = self.log.index_of(number, self.blocks, root)?;
        self.log.put_index(number, &bytes).inspect_err(|_| self.next = number)?;
        Ok(true)
    }

    /// Removes the index of blocks of which retention left nothing. What cannot be removed leads to no record.
    fn drop_below(&mut self, kept: u64) {
        while (self.dropped + 1) * self.blocks.records() <= kept {
            let path = self.log.places.base.join(DIRECTORY).join(name(self.dropped));
            let _ = self.log.disk.remove(&path);
            self.dropped += 1;
        }
    }
}

impl Log {
    /// Builds the whole index again, whatever there is. `progress` is told how many records of how many are done.
    ///
    /// # Errors
    /// The first block that is damaged, or the disk.
    pub fn reindex(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<(), Fault> {
        self.reindex_blocks(BLOCKS, progress)
    }

    pub(super) fn reindex_blocks(
        &self,
        blocks: Blocks,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), Fault> {
        let roots = self.block_roots(blocks)?;
        let of = u64::try_from(roots.len()).unwrap_or(u64::MAX) * blocks.records();
        for (number, root) in (0..).zip(&roots) {
            progress(number * blocks.records(), of);
            if number * blocks.records() < self.first_kept()? {
                continue;
            }
            self.put_index(number, &self.index_of(number, blocks, root)?)?;
        }
        progress(of, of);
        Ok(())
    }

    /// How many records an index covers: all but the last 65,535 at most, once the index is complete.
    pub fn indexed(&self) -> Result<u64, Fault> {
        let roots = self.block_roots(BLOCKS)?;
        let covered = (0..).zip(&roots).filter(|(number, root)| self.index(*number, root).is_some()).count();
        Ok(u64::try_from(covered).unwrap_or(u64::MAX).saturating_mul(BLOCKS.records()))
    }

    fn index(&self, number: u64, root: &Hash) -> Option<IndexFile<'_>> {
        IndexFile::open(&*self.disk, &self.places.base, number, root, self.trust.key.as_ref())
    }

    /// The index of a block as its records give it, sealed where the trail's key is at hand.
    fn index_of(&self, number: u64, blocks: Blocks, root: &Hash) -> Result<Vec<u8>, Fault> {
        let mut builder = IndexBuilder::of(blocks);
        let kept = self.believed_kept()?;
        let mut detail = Forward::new(self);
        let first_bundle = number * blocks.bundles();
        for bundle in first_bundle..first_bundle + blocks.bundles() {
            let first = bundle * WIDTH;
            // As they lie there: that they are those of the tree is proven of all of them together.
            let (file, bytes) = load_bytes(&*self.disk, &self.places.log, Kind::Entries, bundle, WIDTH)?;
            for (leaf, index) in bundle_entries(&file, &bytes, first, WIDTH)?.into_iter().zip(first..) {
                let stored = detail.at(index)?;
                // Dropped detail names nobody; what is not there for another reason might come back.
                let is_known = index < kept.detail || !stored.is_empty();
                let subjects = is_known.then(|| subjects(&stored, index)).transpose()?;
                if let Err(error) = builder.add(leaf, subjects.as_deref()) {
                    // Another record than the one that was signed is told as such.
                    self.bundle(first, first + WIDTH)?;
                    let detail = format!("the record cannot be read: {error}");
                    return Err(Fault::new(FaultKind::Malformed, file, detail).entry(index));
                }
            }
        }
        let built = builder.finish().filter(|built| built.root == *root);
        if let Some(mut built) = built
            && self.has_run(number, blocks.height, root)?
        {
            if let Some(key) = &self.trust.key {
                seal(key, &mut built.bytes);
            }
            return Ok(built.bytes);
        }
        // The first of them that are other ones, by name.
        for bundle in first_bundle..first_bundle + blocks.bundles() {
            self.bundle(bundle * WIDTH, (bundle + 1) * WIDTH)?;
        }
        let detail = "the records are not those under the tree's node; `audit verify` tells which";
        Err(Fault::new(FaultKind::Altered, named(Kind::Entries, first_bundle, WIDTH), detail)
            .entry(first_bundle * WIDTH))
    }

    fn put_index(&self, number: u64, bytes: &[u8]) -> Result<(), Fault> {
        put(&*self.disk, &self.places.base, number, bytes).map_err(|error| {
            Fault::new(FaultKind::Unreadable, Path::new(DIRECTORY).join(name(number)), error)
        })
    }
}

/// Owner tags of the subjects in a record's detail.
fn subjects(stored: &[u8], index: u64) -> Result<Vec<OwnerTag>, Fault> {
    let details = detail::parse(stored).ok_or_else(|| {
        Fault::new(FaultKind::Malformed, "detail", "the record's detail cannot be read").entry(index)
    })?;
    Ok(details
        .iter()
        .filter(|detail| detail.kind == DetailKind::Subject)
        .map(|detail| detail.owner)
        .collect())
}
