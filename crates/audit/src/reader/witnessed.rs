//! The newest head that witnesses cosigned, and asking them for another one.

use super::log::{CHECKPOINT, Log, settled};
use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::disk;
use crate::fault::{Fault, FaultKind};
use crate::merkle::check_consistency;
use crate::witness::{AddCheckpoint, CosignRequest};
use ironbridge_seal::note::{self, NoteVerifier};

const FILE: &str = "witnessed";
const WITNESSED: &str = "log/witnessed";

impl Log {
    /// The newest checkpoint that witnesses cosigned, if a key of the log signed it too. Whoever wants the
    /// cosignatures verifies its note with the witnesses' keys. Without keys, those that lie beside the log are
    /// taken. `None` when no witness has cosigned yet.
    pub fn witnessed_checkpoint(&self, keys: &[NoteVerifier]) -> Result<Option<SignedCheckpoint>, Fault> {
        let Some(note) = self.witnessed_note()? else { return Ok(None) };
        self.open_note(note, WITNESSED, keys).map(Some)
    }

    /// Keeps a cosigned checkpoint as the newest. Cosignatures of one checkpoint gather; an older one than is kept
    /// already is passed over. One thread of the process that writes the trail may call this.
    pub fn keep_witnessed(&self, note: &str) -> Result<(), Fault> {
        let malformed = || Fault::new(FaultKind::Malformed, WITNESSED, "the note is not a checkpoint");
        let text = note::unverified_text(note).map_err(|_| malformed())?;
        let head = Checkpoint::parse(text).ok_or_else(malformed)?;
        let mut kept = note.to_owned();
        if let Some(earlier) = self.witnessed_note()? {
            let earlier_text = note::unverified_text(&earlier).unwrap_or_default();
            if earlier_text == text {
                let lines = note.get(text.len() + 1..).unwrap_or_default();
                kept = note::add(&earlier, lines).unwrap_or(kept);
            } else if Checkpoint::parse(earlier_text).is_some_and(|earlier| earlier.size > head.size) {
                return Ok(());
            }
        }
        let (disk, places) = (&*self.disk, &self.places);
        let put = disk::put(disk, &places.temporary(FILE), &places.log.join(FILE), kept.as_bytes());
        put.and_then(|()| disk.sync_dir(&places.log)).map_err(|error| {
            Fault::new(FaultKind::Unreadable, WITNESSED, format_args!("it cannot be written: {error}"))
        })
    }

    fn witnessed_note(&self) -> Result<Option<String>, Fault> {
        match self.text(FILE, WITNESSED) {
            Ok(note) => Ok(Some(note)),
            Err(fault) if fault.kind == FaultKind::Missing => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Asks for a cosignature of the newest checkpoint from a witness that knows the first `old` entries; 0 if that
    /// is not known. Without keys, those that lie beside the log are taken.
    ///
    /// # Errors
    /// [`FaultKind::RolledBack`] when the log has fewer entries than the witness knows.
    pub fn cosign_request(&self, keys: &[NoteVerifier], old: u64) -> Result<CosignRequest, Fault> {
        settled(|| self.cosign_request_for(self.signed_checkpoint(keys)?, old))
    }

    /// As [`Log::cosign_request`], for this head: several witnesses that are asked for the same one make a quorum.
    pub fn cosign_request_for(&self, signed: SignedCheckpoint, old: u64) -> Result<CosignRequest, Fault> {
        let SignedCheckpoint { checkpoint: head, note, .. } = signed;
        if old > head.size {
            return Err(rolled_back(old, &head));
        }
        let proof = self.prove_consistency(old, head.size)?;
        Ok(CosignRequest::new(head, AddCheckpoint { old, proof, note }))
    }

    /// Whether the log is still the one of which this checkpoint was kept elsewhere: the older note must be signed
    /// by one of the keys, and be the beginning of the log as it is now. Gives both heads, older first.
    ///
    /// # Errors
    /// [`FaultKind::RolledBack`] when the log has become shorter, [`FaultKind::Forked`] when it begins otherwise.
    pub fn check_against(
        &self,
        old_note: &str,
        keys: &[NoteVerifier],
    ) -> Result<(Checkpoint, Checkpoint), Fault> {
        let old = self.open_note(old_note.to_owned(), "the older checkpoint", keys)?.checkpoint;
        let (now, path) = settled(|| {
            let now = self.signed_checkpoint(keys)?.checkpoint;
            let grown = old.size <= now.size;
            let path = if grown { self.prove_consistency(old.size, now.size)? } else { Vec::new() };
            Ok((now, path))
        })?;
        if old.origin != now.origin {
            let detail = format!("the older checkpoint is of the log {}", old.origin);
            return Err(Fault::new(FaultKind::Signature, CHECKPOINT, detail));
        }
        if old.size > now.size {
            return Err(rolled_back(old.size, &now));
        }
        if !check_consistency(old.size, &old.root, now.size, &now.root, &path) {
            let detail = format!(
                "the log forked: its first {} entries are not those of the older checkpoint, though the log's key \
                 signed both",
                old.size
            );
            return Err(Fault::new(FaultKind::Forked, CHECKPOINT, detail));
        }
        Ok((old, now))
    }
}

fn rolled_back(once: u64, now: &Checkpoint) -> Fault {
    let detail = format!("the log was rolled back: it had {once} entries and has {} now", now.size);
    Fault::new(FaultKind::RolledBack, CHECKPOINT, detail)
}
