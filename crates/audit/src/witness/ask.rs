//! The other end: what to ask a witness, and what its answer means.

use super::{AddCheckpoint, Finding, FindingKind, MAX_BODY};
use crate::checkpoint::Checkpoint;
use crate::text::decimal;
use ironbridge_seal::note::{self, MAX_SIGNATURES, NoteVerifier, Signature};

/// A question to a witness, made by [`crate::Log::cosign_request`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CosignRequest {
    head: Checkpoint,
    request: AddCheckpoint,
}

/// What a witness's answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CosignOutcome {
    /// It cosigned. The note is the checkpoint with its cosignatures, for [`crate::Log::keep_witnessed`].
    Cosigned {
        /// As a signed note.
        note: String,
        /// Those of this witness in it.
        cosignatures: Vec<Signature>,
    },
    /// It knows another number of entries than was assumed: ask again, from there.
    At(u64),
    /// It has seen what an honest log cannot have shown it. Somebody has to look at this.
    Finding(Finding),
    /// It does not cosign, or answers as no witness does.
    Refused {
        /// HTTP's.
        status: u16,
        /// In its own words, or ours.
        reason: String,
    },
}

impl CosignRequest {
    pub(crate) fn new(head: Checkpoint, request: AddCheckpoint) -> CosignRequest {
        CosignRequest { head, request }
    }

    /// What the witness is asked to cosign.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.head
    }

    /// The body for `POST …/add-checkpoint`.
    pub fn body(&self) -> String {
        self.request.to_string()
    }

    /// What the answer means. `body` may be cut at [`MAX_BODY`].
    pub fn judge(&self, status: u16, body: &[u8], witness_keys: &[NoteVerifier]) -> CosignOutcome {
        let text = std::str::from_utf8(body).ok().filter(|text| text.len() <= MAX_BODY).unwrap_or_default();
        match status {
            200 => self.cosigned(text, witness_keys),
            409 => self.conflict(text),
            422 => self.forked(self.request.old),
            _ => refused(status, text),
        }
    }

    /// Keeps the signatures of known keys; what else is there is passed over.
    fn cosigned(&self, lines: &str, witness_keys: &[NoteVerifier]) -> CosignOutcome {
        let mut note = self.request.note.clone();
        let mut cosignatures = Vec::new();
        for line in lines.split_inclusive('\n').take(MAX_SIGNATURES) {
            let alone = format!("{}\n{line}", self.head_text());
            let Ok((_, signatures)) = note::verify(&alone, witness_keys) else { continue };
            let Ok(more) = note::add(&note, line) else { continue };
            if signatures.iter().all(Signature::is_witness) {
                note = more;
                cosignatures.extend(signatures);
            }
        }
        if cosignatures.is_empty() {
            return refused(200, "it cosigned with no key that it is known by");
        }
        CosignOutcome::Cosigned { note, cosignatures }
    }

    fn head_text(&self) -> &str {
        note::unverified_text(&self.request.note).unwrap_or_default()
    }

    fn conflict(&self, body: &str) -> CosignOutcome {
        let (old, ours) = (self.request.old, self.head.size);
        match body.strip_suffix('\n').and_then(decimal) {
            Some(theirs) if theirs > ours => self.rolled_back(theirs),
            // It is where we said, and still does not agree: the roots differ.
            Some(theirs) if theirs == old && theirs == ours => self.forked(theirs),
            Some(theirs) if theirs != old => CosignOutcome::At(theirs),
            _ => refused(409, "it contradicts itself"),
        }
    }

    fn rolled_back(&self, theirs: u64) -> CosignOutcome {
        let ours = self.head.size;
        self.finding(
            FindingKind::RolledBack,
            format!("the witness cosigned {theirs} entries, this log has {ours}"),
        )
    }

    fn forked(&self, theirs: u64) -> CosignOutcome {
        self.finding(
            FindingKind::Forked,
            format!("the {theirs} entries that the witness cosigned are not the first of this log"),
        )
    }

    fn finding(&self, kind: FindingKind, detail: String) -> CosignOutcome {
        let (origin, evidence) = (self.head.origin.clone(), vec![self.request.note.clone()]);
        CosignOutcome::Finding(Finding { kind, origin, detail, evidence })
    }
}

/// The reason is the witness's own words: cut, and in one line.
fn refused(status: u16, reason: &str) -> CosignOutcome {
    let reason = reason.chars().take(200).filter(|c| !c.is_control()).collect();
    CosignOutcome::Refused { status, reason }
}
