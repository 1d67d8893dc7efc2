//! Verifying a whole log, step by step, or a range of it.

use super::details::Forward;
use super::log::{CHECKPOINT, Log, settled};
use crate::checkpoint::Checkpoint;
use crate::detail;
use crate::fault::{Fault, FaultKind};
use crate::journal;
use crate::leaf;
use crate::merkle::{Hash, check_inclusion, leaf_hash, root_of};
use crate::retained::{self, Retained};
use crate::tiles::{
    Edge, HASH_BYTES, Kind, Tile, WIDTH, bundle_entries, load_bytes, load_tile, named, nodes_at, parse_tile,
};
use ironbridge_seal::hash::{base64, unbase64};
use ironbridge_seal::note::NoteVerifier;
use std::ops::Range;
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
    /// The tree's root, computed anew and signed.
    pub root: Hash,
    /// What retention dropped, as records in the log say. The hashes of dropped records were verified. Nothing where
    /// only a range was verified: the records that say so may lie outside.
    pub kept: Retained,
    /// Records whose detail lies beside the log and fits what they commit to.
    pub details: u64,
    /// Records in the journal that no checkpoint covers yet: their checksums are right, but nothing signs them.
    pub pending: u64,
}

/// A verification under way: bundle by bundle, so that it can show how far it is, stop, and go on later.
pub struct Verification {
    log: Log,
    head: Checkpoint,
    key: String,
    /// The files at the tree's right edge, as they were when the head was read.
    edge: Vec<(PathBuf, Vec<u8>)>,
    computed: Edge,
    /// What the log was when it began says is gone, and what its records say may be.
    kept: Retained,
    allowed: Retained,
    /// `None` where the log was copied without its detail.
    detail: Option<Forward>,
    details: u64,
    /// Told only once the records are known to be what was signed: else they are at fault, not their detail.
    detail_fault: Option<Fault>,
}

/// Where a verification stood, to be kept as text. Whoever can write it can make a verification pass over what
/// lies before it, so it belongs where the verifier's own files are.
#[derive(Debug, Clone)]
pub struct SavedPlace {
    origin: String,
    allowed: Retained,
    details: u64,
    edge: Edge,
}

impl Verification {
    /// Entries under the signed checkpoint.
    pub fn size(&self) -> u64 {
        self.head.size
    }

    /// Entries that were hashed so far.
    pub fn position(&self) -> u64 {
        self.computed.size
    }

    /// Where it stands. `None` once detail was found at fault: a verification that goes on would not tell of it.
    pub fn place(&self) -> Option<SavedPlace> {
        let (allowed, details, edge) = (self.allowed, self.details, self.computed.clone());
        let place = SavedPlace { origin: self.head.origin.clone(), allowed, details, edge };
        self.detail_fault.is_none().then_some(place)
    }

    /// Verifies the next full bundle and the tiles that it completes. False when there is none.
    pub fn advance(&mut self) -> Result<bool, Fault> {
        let number = self.computed.size / WIDTH;
        if number >= self.head.size / WIDTH {
            return Ok(false);
        }
        let mut full = Vec::new();
        if (number + 1) * WIDTH <= self.kept.records {
            let leaves = load_tile(&*self.log.disk, &self.log.places.log, 0, number, WIDTH)?;
            leaves.into_iter().for_each(|leaf| self.computed.push_dropped(leaf, &mut full));
        } else {
            let (disk, places) = (&*self.log.disk, &self.log.places.log);
            let (file, bytes) = load_bytes(disk, places, Kind::Entries, number, WIDTH)?;
            let entries = bundle_entries(&file, &bytes, number * WIDTH, WIDTH)?;
            self.take(&entries, &mut full);
        }
        let (disk, places) = (&*self.log.disk, &self.log.places.log);
        for tile in full.iter().filter(|tile| tile.kind != Kind::Entries) {
            let (file, stored) = load_bytes(disk, places, tile.kind, tile.index, WIDTH)?;
            self.log.compare(tile, &file, &stored, &self.head)?;
        }
        Ok(true)
    }

    /// Hashes entries into the tree, and checks what they commit to and what they allow.
    fn take(&mut self, entries: &[&[u8]], full: &mut Vec<Tile>) {
        for entry in entries {
            let index = self.computed.size;
            self.computed.push(entry, full);
            if let Some(kept) = Retained::announced(entry) {
                self.allowed = kept.max(self.allowed);
            }
            if let Err(fault) = self.verify_detail(index, entry) {
                self.detail_fault.get_or_insert(fault);
            }
        }
    }

    fn verify_detail(&mut self, index: u64, entry: &[u8]) -> Result<(), Fault> {
        let (Some(reader), Some(committed)) = (&mut self.detail, leaf::committed(entry)) else {
            return Ok(());
        };
        if index < self.kept.detail {
            return Ok(());
        }
        let stored = settled(|| reader.at(index))?;
        let fault = |kind, text: &str| Err(reader.fault(kind, index, text));
        let Some(pieces) = detail::parse(&stored) else {
            return fault(FaultKind::Malformed, "the record's detail cannot be read");
        };
        let commitments: Vec<Hash> = pieces.iter().map(|piece| piece.commitment).collect();
        if pieces.is_empty() {
            return fault(FaultKind::Missing, "the record's detail is missing, and no retention says so");
        }
        if detail::root(&commitments) != committed {
            return fault(FaultKind::Altered, "the detail is not what the record commits to");
        }
        self.details += 1;
        Ok(())
    }

    /// Verifies what is left: the right edge, the root and the journal.
    pub fn finish(mut self) -> Result<Verified, Fault> {
        while self.advance()? {}
        self.verify_edge()?;
        if self.computed.root() != self.head.root {
            let detail = "the entries and tiles agree with each other, but not with the root that was signed";
            return Err(Fault::new(FaultKind::Altered, CHECKPOINT, detail));
        }
        if let Some(fault) = self.detail_fault {
            return Err(fault);
        }
        if let Some(fault) = self.kept.beyond(self.allowed) {
            return Err(fault);
        }
        let (log, head) = (self.log, self.head);
        let end = settled(|| log.verify_journal(head.size))?;
        Ok(Verified {
            origin: head.origin,
            key: self.key,
            size: head.size,
            root: head.root,
            kept: self.kept,
            details: self.details,
            pending: end.saturating_sub(head.size),
        })
    }

    fn verify_edge(&mut self) -> Result<(), Fault> {
        let width = self.head.size % WIDTH;
        let edge = std::mem::take(&mut self.edge);
        if let Some((file, bytes)) = edge.first().filter(|_| width > 0) {
            let entries = bundle_entries(file, bytes, self.head.size - width, width)?;
            // A partial bundle completes no tile.
            self.take(&entries, &mut Vec::new());
        }
        for tile in self.computed.partial().iter().filter(|tile| tile.kind != Kind::Entries) {
            let file = named(tile.kind, tile.index, tile.width);
            let stored = edge.iter().find(|(path, _)| *path == file);
            let Some((_, stored)) = stored else { continue };
            self.log.compare(tile, &file, stored, &self.head)?;
        }
        Ok(())
    }
}

impl SavedPlace {
    /// How many entries lie before it.
    pub fn position(&self) -> u64 {
        self.edge.size
    }

    /// One line for the origin; one for the position, up to where records and detail were seen to be dropped, and
    /// how many details were checked; then the hashes of the tree's edge: level and base64.
    pub fn text(&self) -> String {
        let hashes = self.edge.hashes().map(|(level, hash)| format!("{level} {}\n", base64(hash)));
        let (size, kept) = (self.edge.size, self.allowed);
        let hashes: String = hashes.collect();
        format!(
            "{HEADING}\n{}\n{size} {} {} {}\n{hashes}",
            self.origin, kept.records, kept.detail, self.details
        )
    }

    /// Reads what [`SavedPlace::text`] wrote.
    pub fn parse(text: &str) -> Option<SavedPlace> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        if lines.next()? != HEADING {
            return None;
        }
        let origin = lines.next()?.to_owned();
        let mut numbers = lines.next()?.split(' ').map(str::parse);
        let mut number = || numbers.next()?.ok();
        let (size, allowed) = (number()?, Retained { records: number()?, detail: number()? });
        let details = number()?;
        let hashes = lines
            .map(|line| {
                let (level, hash) = line.split_once(' ')?;
                Some((level.parse().ok()?, Hash::try_from(unbase64(hash)?).ok()?))
            })
            .collect::<Option<Vec<(u32, Hash)>>>()?;
        Some(SavedPlace { origin, allowed, details, edge: Edge::of_full_bundles(size, hashes)? })
    }
}

const HEADING: &str = "ironbridge verification v1";

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
        loop {
            let kept = self.kept()?;
            match self.verify_once(key, progress) {
                Err(fault) if self.was_dropped(&fault, kept)? => {}
                outcome => return outcome,
            }
        }
    }

    fn verify_once(
        &self,
        key: Option<&NoteVerifier>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Verified, Fault> {
        let mut verification = self.verification(key.map(std::slice::from_ref).unwrap_or_default())?;
        progress(0, verification.size());
        while verification.advance()? {
            progress(verification.position(), verification.size());
        }
        progress(verification.size(), verification.size());
        verification.finish()
    }

    /// As [`Log::verify`], step by step, and with any of these keys. Without keys, the one beside the log is taken.
    /// Whoever meets a fault asks [`Log::was_dropped`] whether to begin anew.
    pub fn verification(&self, keys: &[NoteVerifier]) -> Result<Verification, Fault> {
        // The edge moves while a bridge writes, so it is read at once; what is full never changes.
        let (signed, edge) = settled(|| {
            let signed = self.signed_checkpoint(keys)?;
            let edge = self.stored_edge(&signed.checkpoint)?;
            Ok((signed, edge))
        })?;
        let names = self.disk.list(&self.places.base).map_err(|error| Fault::reading("", &error))?;
        // A copy of the log alone has neither. Beside a journal, detail that is not there is missing.
        let whole = names.iter().any(|name| name == "detail" || name == "journal");
        let detail = whole.then(|| Forward::new(self));
        Ok(Verification {
            kept: self.kept()?,
            allowed: Retained::default(),
            log: self.clone(),
            key: signed.key().to_owned(),
            head: signed.checkpoint,
            edge,
            computed: Edge::default(),
            detail,
            details: 0,
            detail_fault: None,
        })
    }

    /// A verification that goes on where an earlier one stood. The entries before are not read again, but their
    /// hashes count in the root that must be the signed one.
    ///
    /// # Errors
    /// A fault where the place is of another log, or the log has become shorter than it was.
    pub fn resume_verification(
        &self,
        keys: &[NoteVerifier],
        place: &SavedPlace,
    ) -> Result<Verification, Fault> {
        let mut verification = self.verification(keys)?;
        let head = &verification.head;
        if place.origin != head.origin {
            let detail = format!("the log is {}, but the saved place is of {}", head.origin, place.origin);
            return Err(Fault::new(FaultKind::Signature, CHECKPOINT, detail));
        }
        if place.edge.size > head.size {
            let detail = format!(
                "{} entries were verified before, but the log has only {}: it was rolled back",
                place.edge.size, head.size
            );
            return Err(Fault::new(FaultKind::RolledBack, CHECKPOINT, detail).entry(head.size));
        }
        verification.computed = place.edge.clone();
        verification.allowed = place.allowed;
        verification.details = place.details;
        Ok(verification)
    }

    /// Checks the records with these indexes: that their hashes are in the tree that was signed. `progress` is told
    /// how many of how many are done.
    ///
    /// # Errors
    /// The first fault; one of kind [`FaultKind::Missing`] where the range ends beyond the signed tree.
    pub fn verify_range(
        &self,
        keys: &[NoteVerifier],
        range: Range<u64>,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Verified, Fault> {
        let signed = self.signed_checkpoint(keys)?;
        let (key, head) = (signed.key().to_owned(), signed.checkpoint);
        if range.is_empty() || range.end > head.size {
            let detail = format!("there are no records {}..{} under it", range.start, range.end);
            return Err(Fault::new(FaultKind::Missing, CHECKPOINT, detail));
        }
        let kept = self.kept()?;
        if range.start < kept.records {
            let detail = format!("retention dropped the records below {}", kept.records);
            return Err(Fault::new(FaultKind::Missing, retained::NAMED, detail).entry(range.start));
        }
        let (first, last) = (range.start / WIDTH, (range.end - 1) / WIDTH);
        let of = range.end - range.start;
        // First, because it may be the log's edge, whose files give way to larger ones while a bridge writes.
        settled(|| self.verify_bundle(&head, last))?;
        for number in first..last {
            settled(|| self.verify_bundle(&head, number))?;
            progress(((number + 1) * WIDTH).saturating_sub(range.start), of);
        }
        progress(of, of);
        let (origin, size, root) = (head.origin, head.size, head.root);
        Ok(Verified { origin, key, size, root, kept: Retained::default(), details: 0, pending: 0 })
    }

    /// A bundle's entries against its leaf hashes, and these against the signed root: one entry's proof takes all
    /// other leaf hashes of the tile in.
    fn verify_bundle(&self, head: &Checkpoint, number: u64) -> Result<(), Fault> {
        let first = number * WIDTH;
        let width = (head.size - first).min(WIDTH);
        let (disk, places) = (&*self.disk, &self.places.log);
        let (file, bytes) = load_bytes(disk, places, Kind::Entries, number, width)?;
        let entries = bundle_entries(&file, &bytes, first, width)?;
        let leaves = load_tile(disk, places, 0, number, width)?;
        for ((entry, leaf), index) in entries.iter().zip(&leaves).zip(first..) {
            if leaf_hash(entry) != *leaf {
                let detail = "the entry's hash is not the one in the tile of leaves";
                return Err(Fault::new(FaultKind::Altered, file, detail).entry(index));
            }
        }
        let path = self.prove_tile(number, &leaves, head.size)?;
        let proven =
            leaves.first().is_some_and(|leaf| check_inclusion(&head.root, head.size, first, leaf, &path));
        if proven {
            return Ok(());
        }
        let detail = "these hashes do not lead to the root that was signed";
        Err(Fault::new(FaultKind::Altered, named(Kind::Hashes(0), number, width), detail).entry(first))
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
        let Some((first, end)) = journal::check(&*self.disk, &self.places.journal, &self.trust)? else {
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
