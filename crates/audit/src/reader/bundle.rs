//! Records are given as the tree has them that the checkpoint names: a bundle that was altered is told when it is read, not
//! only when somebody verifies.

use super::log::{CHECKPOINT, Log, parse};
use super::tree::Tree;
use crate::fault::{Fault, FaultKind};
use crate::merkle::{Hash, check_run, inclusion_path};
use crate::tiles::{Kind, WIDTH, bundle_entries, load_bytes, named};
use parking_lot::Mutex;
use std::sync::Arc;

impl Log {
    /// The records of the bundle that holds `index`, from `index` on, in a log of `size` entries.
    ///
    /// # Errors
    /// Where they are not those under the checkpoint's root.
    pub(crate) fn bundle(&self, index: u64, size: u64) -> Result<Vec<Vec<u8>>, Fault> {
        let tree = self.newest_tree()?;
        let number = index / WIDTH;
        let first = number * WIDTH;
        let width = tree.head.size.saturating_sub(first).min(WIDTH);
        if width == 0 || size > tree.head.size {
            let detail = "no checkpoint covers it yet";
            return Err(Fault::new(FaultKind::Missing, named(Kind::Entries, number, WIDTH), detail));
        }
        let (file, bytes) = load_bytes(&*self.disk, &self.places.log, Kind::Entries, number, width)?;
        let entries = bundle_entries(&file, &bytes, first, width)?;
        if !tree.has(self.tile_nodes(tree.head.size), number, &entries)? {
            let detail =
                "these records are not those that were signed; `ironbridge audit verify` tells which are not";
            return Err(Fault::new(FaultKind::Altered, file, detail).entry(first));
        }
        let skip = usize::try_from(index - first).unwrap_or(usize::MAX);
        let count = usize::try_from(size.saturating_sub(index)).unwrap_or(usize::MAX);
        Ok(entries.into_iter().skip(skip).take(count).map(<[u8]>::to_vec).collect())
    }

    /// Whether this is the root of the `number`th run of `2^height` records in the tree that the checkpoint names. Who has
    /// hashed all of them need not have each bundle proven.
    ///
    /// # Errors
    /// Where the tree's tiles cannot be read.
    pub(super) fn has_run(&self, number: u64, height: u32, root: &Hash) -> Result<bool, Fault> {
        let tree = self.newest_tree()?;
        let (first, size) = (number << height, tree.head.size);
        if size < (number + 1) << height {
            return Ok(false);
        }
        let path = inclusion_path(&mut self.tile_nodes(size), first, 0, size)?;
        Ok(check_run(&tree.head.root, size, (number, height), root, &path))
    }

    fn newest_tree(&self) -> Result<Arc<Tree>, Fault> {
        let note = self.note()?;
        let mut held = self.tree.lock();
        if let Some(tree) = held.as_ref().filter(|tree| tree.note == note) {
            return Ok(Arc::clone(tree));
        }
        let (text, _) = note.split_once("\n\n").unwrap_or_default();
        let head = parse(&format!("{text}\n"))?;
        Ok(Arc::clone(held.insert(Arc::new(Tree { note, head, tiles: Mutex::default() }))))
    }

    /// The tree that is read must be the one that the bridge remembers, or have grown from it.
    pub(super) fn check_tree(&self, size: u64, root: &Hash) -> Result<(), Fault> {
        let now = self.unverified_checkpoint()?.size;
        if now < size {
            let detail = format!("the log has {now} records, but {size} were signed");
            return Err(Fault::new(FaultKind::RolledBack, CHECKPOINT, detail).entry(now));
        }
        if size > 0 && self.root(size)? != *root {
            let detail =
                format!("the log is another one: its first {size} records are not those that were signed");
            return Err(Fault::new(FaultKind::Forked, CHECKPOINT, detail));
        }
        Ok(())
    }
}
