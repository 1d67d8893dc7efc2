use super::{Log, settled};
use crate::checkpoint::Checkpoint;
use crate::fault::{Fault, FaultKind};
use crate::journal;
use crate::merkle::{Hash, root_of};
use crate::tiles::{
    Edge, HASH_BYTES, Kind, Tile, WIDTH, bundle_entries, load_bytes, load_tile, named, nodes_at, parse_tile,
};
use ironbridge_seal::note::NoteVerifier;
use std::path::{Path, PathBuf};

/// What a verification found to be true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The log's name in its checkpoint.
    pub origin: String,
    /// The name of the key that signed the checkpoint.
    pub key: String,
    /// Entries under the signed checkpoint; every one was hashed again.
    pub size: u64,
    pub root: Hash,
    /// Records in the journal that no checkpoint covers yet: their checksums are right, but nothing signs them.
    pub pending: u64,
}

impl Log {
    /// Reads everything and computes everything again: the hash of every entry, every tile, the root, and whether
    /// this key signed it. Then the journal. `progress` is told how many entries of how many are done.
    ///
    /// Without a key, the one that lies beside the log is taken: that shows damage, but not a forger who
    /// replaced both.
    ///
    /// # Errors
    /// The first fault, with its file and entry.
    pub fn verify(
        &self,
        key: Option<&NoteVerifier>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Verified, Fault> {
        let key = match key {
            Some(key) => key.clone(),
            None => self.stored_key()?,
        };
        // The edge moves while a bridge writes, so it is read at once; what is full never changes.
        let (head, edge) = settled(|| {
            let head = self.checkpoint(Some(&key))?;
            let edge = self.stored_edge(&head)?;
            Ok((head, edge))
        })?;
        self.verify_tree(&head, &edge, progress)?;
        let end = settled(|| self.verify_journal(head.size))?;
        Ok(Verified {
            origin: head.origin,
            key: key.name().to_owned(),
            size: head.size,
            root: head.root,
            pending: end.saturating_sub(head.size),
        })
    }

    /// The partial tiles and the partial bundle, as they are.
    fn stored_edge(&self, head: &Checkpoint) -> Result<Vec<(PathBuf, Vec<u8>)>, Fault> {
        let widths = (0..8).map(|level| (Kind::Hashes(level), nodes_at(level, head.size)));
        let partial =
            [(Kind::Entries, head.size)].into_iter().chain(widths).filter(|(_, nodes)| nodes % WIDTH > 0);
        partial
            .map(|(kind, nodes)| {
                let width = nodes % WIDTH;
                let (_, bytes) = load_bytes(&*self.disk, &self.places.log, kind, nodes / WIDTH, width)?;
                Ok((named(kind, nodes / WIDTH, width), bytes))
            })
            .collect()
    }

    fn verify_tree(
        &self,
        head: &Checkpoint,
        stored_edge: &[(PathBuf, Vec<u8>)],
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), Fault> {
        let mut computed = Edge::default();
        let mut full = Vec::new();
        progress(0, head.size);
        for number in 0..head.size / WIDTH {
            let first = number * WIDTH;
            let (file, bytes) = load_bytes(&*self.disk, &self.places.log, Kind::Entries, number, WIDTH)?;
            let entries = bundle_entries(&file, &bytes, first, WIDTH)?;
            entries.iter().for_each(|entry| computed.push(entry, &mut full));
            for tile in full.drain(..).filter(|tile| tile.kind != Kind::Entries) {
                let (file, stored) = load_bytes(&*self.disk, &self.places.log, tile.kind, tile.index, WIDTH)?;
                self.compare(&tile, &file, &stored, head)?;
            }
            progress(computed.size, head.size);
        }
        let width = head.size % WIDTH;
        if let Some((file, bytes)) = stored_edge.first().filter(|_| width > 0) {
            let entries = bundle_entries(file, bytes, head.size - width, width)?;
            entries.iter().for_each(|entry| computed.push(entry, &mut full));
        }
        for tile in computed.partial().iter().filter(|tile| tile.kind != Kind::Entries) {
            let file = named(tile.kind, tile.index, tile.width);
            let stored = stored_edge.iter().find(|(path, _)| *path == file);
            let Some((_, stored)) = stored else { continue };
            self.compare(tile, &file, stored, head)?;
        }
        progress(computed.size, head.size);
        if computed.root() == head.root {
            return Ok(());
        }
        let detail = "the entries and tiles agree with each other, but not with the root that was signed";
        Err(Fault::new(FaultKind::Altered, super::CHECKPOINT, detail))
    }

    /// A stored tile must be what its children give.
    fn compare(&self, computed: &Tile, file: &Path, stored: &[u8], head: &Checkpoint) -> Result<(), Fault> {
        let Kind::Hashes(level) = computed.kind else { return Ok(()) };
        let hashes = parse_tile(stored, computed.width)
            .map_err(|detail| Fault::new(FaultKind::Malformed, file, detail))?;
        let (expected, _) = computed.bytes.as_chunks::<HASH_BYTES>();
        let differing = hashes.iter().zip(expected).position(|(stored, expected)| stored != expected);
        let Some(place) = differing.and_then(|place| u64::try_from(place).ok()) else { return Ok(()) };
        let node = computed.index * WIDTH + place;
        if level > 0 {
            let detail = format!("hash {place} is not that of the tile below it");
            let fault = Fault::new(FaultKind::Altered, file, detail);
            return Err(fault.at(place * 32).entry(node.saturating_mul(1 << (8 * level.min(7)))));
        }
        // Entry or tile: whichever the level above does not know is the altered one.
        if self.is_vouched_for(computed, &hashes, head) {
            let bundle = named(Kind::Entries, computed.index, computed.width);
            let detail = format!("the entry's hash is not the one in {}", file.display());
            return Err(Fault::new(FaultKind::Altered, bundle, detail).entry(node));
        }
        let detail = format!("hash {place} is not that of the entry");
        Err(Fault::new(FaultKind::Altered, file, detail).at(place * 32).entry(node))
    }

    /// Whether the level above, or for a partial tile the signed root, knows these leaf hashes.
    fn is_vouched_for(&self, tile: &Tile, hashes: &[Hash], head: &Checkpoint) -> bool {
        if tile.width < WIDTH {
            let edge = Edge::load_hashes(&*self.disk, &self.places.log, head.size);
            return edge.is_ok_and(|edge| edge.root() == head.root);
        }
        let above = tile.index / WIDTH;
        let width = nodes_at(1, head.size).saturating_sub(above * WIDTH).min(WIDTH);
        let parents = load_tile(&*self.disk, &self.places.log, 1, above, width);
        let place = usize::try_from(tile.index % WIDTH).unwrap_or(usize::MAX);
        parents.is_ok_and(|parents| parents.get(place).copied() == root_of(hashes))
    }

    /// Checks every frame. The index after the last record; at least `integrated`.
    fn verify_journal(&self, integrated: u64) -> Result<u64, Fault> {
        let names = self.disk.list(&self.places.base).map_err(|error| Fault::reading("", &error))?;
        if !names.iter().any(|name| name == "journal") {
            // A copy of the log alone.
            return Ok(integrated);
        }
        let missing = |detail: String| Fault::new(FaultKind::Missing, "journal", detail).entry(integrated);
        let Some((first, end)) = journal::check(&*self.disk, &self.places.journal)? else {
            return Err(missing("the journal has no segment".into()));
        };
        if first > integrated && self.unverified_checkpoint()?.size < first {
            return Err(missing(format!("records {integrated} to {} are missing", first - 1)));
        }
        if end < integrated {
            return Err(missing(format!(
                "the journal ends at record {end}, before the checkpoint's {integrated}"
            )));
        }
        Ok(end)
    }
}
