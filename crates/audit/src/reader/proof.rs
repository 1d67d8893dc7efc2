//! Proofs from the stored tree: that it holds an entry, and that it grew from a smaller one.

use super::log::{CHECKPOINT, Log};
use super::tree::TileNodes;
use crate::fault::{Fault, FaultKind};
use crate::merkle::{Hash, consistency_path, inclusion_path, range_root};
use crate::tiles::WIDTH;
use std::collections::HashMap;

impl Log {
    /// The root of the tree of the first `size` entries.
    pub fn root(&self, size: u64) -> Result<Hash, Fault> {
        range_root(&mut self.nodes(size)?, 0, size)
    }

    /// The path that proves entry `index` to be in the tree of `size` entries; for
    /// [`crate::merkle::check_inclusion`].
    pub fn prove_inclusion(&self, index: u64, size: u64) -> Result<Vec<Hash>, Fault> {
        if index >= size {
            return Err(beyond(index, size));
        }
        inclusion_path(&mut self.nodes(size)?, index, 0, size)
    }

    /// As [`Log::prove_inclusion`] for the first entry of a bundle, with these leaf hashes in the place of the stored
    /// ones: what follows from the path is proven for all of them.
    pub(super) fn prove_tile(&self, number: u64, leaves: &[Hash], size: u64) -> Result<Vec<Hash>, Fault> {
        let mut nodes = self.nodes(size)?;
        nodes.read.insert((0, number), leaves.to_vec());
        inclusion_path(&mut nodes, number * WIDTH, 0, size)
    }

    /// The path that proves the tree of `old` entries to be the beginning of that of `new` entries; for
    /// [`crate::merkle::check_consistency`].
    pub fn prove_consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, Fault> {
        if old > new {
            return Err(beyond(old, new));
        }
        let mut nodes = self.nodes(new)?;
        if old == 0 { Ok(Vec::new()) } else { consistency_path(&mut nodes, old, 0, new, true) }
    }

    fn nodes(&self, size: u64) -> Result<TileNodes<'_>, Fault> {
        let integrated = self.unverified_checkpoint()?.size;
        if size > integrated {
            return Err(beyond(size, integrated));
        }
        Ok(self.tile_nodes(integrated))
    }
}

impl Log {
    /// The nodes of the tree of so many entries, as its tiles have them.
    pub(super) fn tile_nodes(&self, size: u64) -> TileNodes<'_> {
        TileNodes { disk: &*self.disk, log: &self.places.log, size, read: HashMap::new() }
    }
}

fn beyond(index: u64, size: u64) -> Fault {
    let detail = format!("{index} is beyond the {size} entries of the tree");
    Fault::new(FaultKind::Missing, CHECKPOINT, detail)
}
