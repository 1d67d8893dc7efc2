use super::Log;
use crate::fault::{Fault, FaultKind};
use crate::merkle::{Hash, Nodes, consistency_path, inclusion_path, range_root};
use crate::tiles::{Kind, WIDTH, load_tile, named, node_within, nodes_at};
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
        Ok(TileNodes { log: self, size: integrated, read: HashMap::new() })
    }
}

fn beyond(index: u64, size: u64) -> Fault {
    let detail = format!("{index} is beyond the {size} entries of the tree");
    Fault::new(FaultKind::Missing, super::CHECKPOINT, detail)
}

/// The tree's nodes, from its tiles.
pub(super) struct TileNodes<'l> {
    pub log: &'l Log,
    pub size: u64,
    pub read: HashMap<(u32, u64), Vec<Hash>>,
}

impl Nodes for TileNodes<'_> {
    type Error = Fault;

    fn node(&mut self, height: u32, index: u64) -> Result<Hash, Fault> {
        let (level, within) = (height / 8, height % 8);
        let first = index << within;
        let tile = first / WIDTH;
        if !self.read.contains_key(&(level, tile)) {
            let width = nodes_at(level, self.size).saturating_sub(tile * WIDTH).min(WIDTH);
            let hashes = load_tile(&*self.log.disk, &self.log.places.log, level, tile, width)?;
            self.read.insert((level, tile), hashes);
        }
        let place = usize::try_from(index % (WIDTH >> within)).unwrap_or(usize::MAX);
        self.read.get(&(level, tile)).and_then(|hashes| node_within(hashes, within, place)).ok_or_else(|| {
            Fault::new(FaultKind::Malformed, named(Kind::Hashes(level), tile, WIDTH), "too short")
        })
    }
}
