//! The tree under one checkpoint, as far as its tiles were read.

use crate::checkpoint::Checkpoint;
use crate::disk::Disk;
use crate::fault::{Fault, FaultKind};
use crate::merkle::{Hash, Nodes, check_inclusion, inclusion_path, leaf_hash};
use crate::tiles::{Kind, WIDTH, load_tile, named, node_within, nodes_at};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::path::Path;

/// The tree of one checkpoint.
pub(super) struct Tree {
    /// The checkpoint as it is signed.
    pub note: String,
    pub head: Checkpoint,
    /// What was read of its tiles.
    pub tiles: Mutex<HashMap<(u32, u64), Vec<Hash>>>,
}

/// Tiles of a tree that are held, 8 KiB each: those above 65,536 records are one.
const HELD: usize = 256;

impl Tree {
    /// Whether these are the bundle's entries: one entry's proof takes all others of the bundle in.
    pub fn has(&self, mut nodes: TileNodes<'_>, number: u64, entries: &[&[u8]]) -> Result<bool, Fault> {
        let leaves: Vec<Hash> = entries.iter().map(|entry| leaf_hash(entry)).collect();
        let Some(leaf) = leaves.first().copied() else { return Ok(true) };
        let (first, size) = (number * WIDTH, self.head.size);
        let mut tiles = self.tiles.lock();
        let mut read = std::mem::take(&mut *tiles);
        if read.len() > HELD {
            read.clear();
        }
        read.insert((0, number), leaves);
        nodes.read = read;
        let path = inclusion_path(&mut nodes, first, 0, size)?;
        nodes.read.remove(&(0, number));
        *tiles = nodes.read;
        let proven = check_inclusion(&self.head.root, size, first, &leaf, &path);
        if !proven {
            // Or one of the tiles was altered, and may be put in order.
            tiles.clear();
        }
        Ok(proven)
    }
}

/// The tree's nodes, from its tiles.
pub(super) struct TileNodes<'l> {
    pub disk: &'l dyn Disk,
    /// The log's directory.
    pub log: &'l Path,
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
            let hashes = load_tile(self.disk, self.log, level, tile, width)?;
            self.read.insert((level, tile), hashes);
        }
        let place = usize::try_from(index % (WIDTH >> within)).unwrap_or(usize::MAX);
        self.read.get(&(level, tile)).and_then(|hashes| node_within(hashes, within, place)).ok_or_else(|| {
            Fault::new(FaultKind::Malformed, named(Kind::Hashes(level), tile, WIDTH), "too short")
        })
    }
}
