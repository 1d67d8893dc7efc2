//! The stored trail, and what of it stands in single files: the head, the keys.

use super::tree::Tree;
use crate::checkpoint::{self, Checkpoint, SignedCheckpoint};
use crate::disk::{self, Disk, RealDisk};
use crate::fault::{Fault, FaultKind};
use crate::head::Anchor;
use crate::journal::Trust;
use crate::places::Places;
use crate::retained::Announced;
use ironbridge_seal::note::NoteVerifier;
use parking_lot::Mutex;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// A stored trail.
#[derive(Clone)]
pub struct Log {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) places: Places,
    /// What is demanded of journal and detail.
    pub(crate) trust: Trust,
    /// What could not be read while records were.
    damage: Arc<Mutex<Vec<Fault>>>,
    /// Of the newest checkpoint, as far as it was read.
    pub(super) tree: Arc<Mutex<Option<Arc<Tree>>>>,
    /// Whether a query passed records over because an index said so that nothing proves.
    pub(super) indexed: Arc<AtomicBool>,
    /// Whether `kept` is not believed, and nothing is passed over because of it.
    pub(super) whole: bool,
    /// What the log's own records say of it, as far as that was looked for.
    pub(crate) announced: Arc<Mutex<Announced>>,
}

/// More faults tell nothing more.
const MAX_DAMAGE: usize = 16;
pub(super) const CHECKPOINT: &str = "log/checkpoint";
const KEY: &str = "log/key";

impl Log {
    /// The trail in the audit directory.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(dir: impl AsRef<Path>) -> Result<Log, Fault> {
        Log::open_on(Arc::new(RealDisk), dir)
    }

    /// As [`Log::open`], on another disk.
    pub fn open_on(disk: Arc<dyn Disk>, dir: impl AsRef<Path>) -> Result<Log, Fault> {
        let log = Log::at(disk, Places::below(dir.as_ref()), Trust::default());
        log.unverified_checkpoint()?;
        Ok(log)
    }

    pub(crate) fn at(disk: Arc<dyn Disk>, places: Places, trust: Trust) -> Log {
        let (damage, tree, indexed) = (Arc::default(), Arc::default(), Arc::default());
        Log { disk, places, trust, damage, tree, indexed, whole: false, announced: Arc::default() }
    }

    /// What could not be read so far of what lies beside the records: they were given without it. The first faults, one
    /// of each file.
    pub fn damage(&self) -> Vec<Fault> {
        self.damage.lock().clone()
    }

    /// Whether a query passed records over because an index said so, which nothing authenticates.
    pub fn went_by_index(&self) -> bool {
        self.indexed.load(Relaxed)
    }

    /// Records stay readable whatever lies beside them; whoever reads them is told.
    pub(crate) fn note_damage(&self, fault: Fault) {
        let mut damage = self.damage.lock();
        if damage.len() < MAX_DAMAGE && damage.iter().all(|known| known.file != fault.file) {
            damage.push(fault);
        }
    }

    /// The trail, of whose journal and detail only what the bridge itself wrote is believed. Without the key that the
    /// anchor holds, their checksums show damage, but not a forger.
    ///
    /// # Errors
    /// When what is remembered of the trail cannot be read, or is of another log.
    pub fn authenticated(mut self, anchor: &Anchor) -> Result<Log, Fault> {
        if let Some(remembered) = anchor.remembered_on(&*self.disk)? {
            settled(|| self.check_tree(remembered.size, &remembered.root))?;
            self.trust = Trust { key: Some(anchor.key.clone()), from: remembered.authenticated_from };
        }
        Ok(self)
    }

    /// The head of the log, if this key signed it. Without a key, those that lie beside the log are taken: that
    /// shows damage, but not a forger who replaced both.
    pub fn checkpoint(&self, verifier: Option<&NoteVerifier>) -> Result<Checkpoint, Fault> {
        let keys = verifier.map(std::slice::from_ref).unwrap_or_default();
        Ok(self.signed_checkpoint(keys)?.checkpoint)
    }

    /// The head of the log as it is signed, by one of these keys at least. Without keys, those that lie beside the
    /// log are taken.
    pub fn signed_checkpoint(&self, keys: &[NoteVerifier]) -> Result<SignedCheckpoint, Fault> {
        self.open_note(self.note()?, CHECKPOINT, keys)
    }

    /// The verifier keys that lie beside the log.
    pub fn stored_keys(&self) -> Result<Vec<NoteVerifier>, Fault> {
        let text = self.text("key", KEY)?;
        NoteVerifier::parse_lines(&text).map_err(|error| Fault::new(FaultKind::Malformed, KEY, error))
    }

    /// A note that one of these keys signed. Without keys, those that lie beside the log are taken.
    pub(super) fn open_note(
        &self,
        note: String,
        named: &str,
        keys: &[NoteVerifier],
    ) -> Result<SignedCheckpoint, Fault> {
        let stored = if keys.is_empty() { self.stored_keys()? } else { Vec::new() };
        let keys = if keys.is_empty() { &stored } else { keys };
        SignedCheckpoint::open(note, keys).map_err(|error| Fault::new(FaultKind::Signature, named, error))
    }

    /// What the checkpoint says, whoever signed it: enough to find entries, not to believe them.
    pub(crate) fn unverified_checkpoint(&self) -> Result<Checkpoint, Fault> {
        let note = self.note()?;
        let (text, _) = note.split_once("\n\n").unwrap_or_default();
        parse(&format!("{text}\n"))
    }

    /// For looking for records that a `kept` of another hand may hide.
    pub(super) fn as_if_whole(&self) -> Log {
        Log { whole: true, ..self.clone() }
    }

    /// The checkpoint as it is written.
    pub(super) fn note(&self) -> Result<String, Fault> {
        self.text(checkpoint::FILE, CHECKPOINT)
    }

    pub(super) fn text(&self, file: &str, named: &str) -> Result<String, Fault> {
        let bytes = disk::read(&*self.disk, &self.places.log.join(file))
            .map_err(|error| Fault::reading(named, &error))?;
        String::from_utf8(bytes).map_err(|_| Fault::new(FaultKind::Malformed, named, "the file is not text"))
    }
}

pub(super) fn parse(text: &str) -> Result<Checkpoint, Fault> {
    Checkpoint::parse(text)
        .ok_or_else(|| Fault::new(FaultKind::Malformed, CHECKPOINT, "the note is not a checkpoint"))
}

/// Tries again while the log grows under the reader's hands: a partial tile that gave way to a larger one, a
/// segment whose records have moved into the log.
pub(crate) fn settled<T>(mut attempt: impl FnMut() -> Result<T, Fault>) -> Result<T, Fault> {
    const ATTEMPTS: usize = 5;
    for _ in 1..ATTEMPTS {
        match attempt() {
            Err(fault) if fault.kind == FaultKind::Missing => {}
            outcome => return outcome,
        }
    }
    attempt()
}
