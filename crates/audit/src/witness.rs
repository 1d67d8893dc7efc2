//! Witnesses: who cosigns a log's checkpoint says to have seen that it only ever grew (c2sp.org/tlog-witness). Both
//! sides of the protocol, without a socket: [`Witness`] answers for others, [`CosignRequest`] asks.

mod ask;
mod state;

pub use ask::{CosignOutcome, CosignRequest};
pub use state::{FileState, WitnessState};

use crate::checkpoint::Checkpoint;
use crate::merkle::{Hash, check_consistency, empty_root};
use crate::text::decimal;
use ironbridge_core::Timestamp;
use ironbridge_seal::hash::{base64, unbase64};
use ironbridge_seal::note::{self, NoteSigner, NoteVerifier, SignatureKind};
use std::collections::HashMap;
use std::fmt;
use std::io;

/// Of a request or an answer, in bytes. Ours: a checkpoint with 64 signatures of ML-DSA-44 fits.
pub const MAX_BODY: usize = 256 << 10;
/// Of a consistency proof; the protocol's.
const MAX_PROOF: usize = 63;

/// Cosigns checkpoints of the logs it knows.
pub struct Witness {
    logs: HashMap<String, Vec<NoteVerifier>>,
    signers: Vec<NoteSigner>,
    state: Box<dyn WitnessState>,
}

/// An answer to `add-checkpoint`, for HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP's, as c2sp.org/tlog-witness has them: 200, 400, 403, 404, 409 or 422.
    pub status: u16,
    /// Its media type.
    pub content_type: &'static str,
    /// A cosignature line, the size that the witness knows, or a reason.
    pub body: String,
    /// Proof that the log is not honest, if the request was one.
    pub finding: Option<Box<Finding>>,
}

/// A log that does not only grow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// In what way.
    pub kind: FindingKind,
    /// The log's name.
    pub origin: String,
    /// What was seen, for people.
    pub detail: String,
    /// Checkpoints that the log signed and that cannot both be true, where there are such.
    pub evidence: Vec<String>,
}

/// In what way a log was not honest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FindingKind {
    /// The witness has seen a longer log.
    RolledBack,
    /// The witness has seen another log of that name.
    Forked,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            FindingKind::RolledBack => "was rolled back",
            FindingKind::Forked => "forked",
        };
        write!(f, "the log {} {what}: {}", self.origin, self.detail)
    }
}

/// Why a witness cannot be made. The operator's to mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a witness signs with cosignature keys; {0} is none")]
pub struct NotACosigner(String);

impl Witness {
    /// A witness of these logs, by their origins with the keys that are believed for each.
    pub fn new(
        logs: impl IntoIterator<Item = (String, Vec<NoteVerifier>)>,
        signers: Vec<NoteSigner>,
        state: Box<dyn WitnessState>,
    ) -> Result<Witness, NotACosigner> {
        if let Some(plain) = signers.iter().find(|signer| signer.kind() == SignatureKind::Ed25519) {
            return Err(NotACosigner(plain.name().to_owned()));
        }
        Ok(Witness { logs: logs.into_iter().collect(), signers, state })
    }

    /// The keys that this witness is known by.
    pub fn verifier_keys(&self) -> impl Iterator<Item = String> {
        self.signers.iter().map(NoteSigner::verifier_key)
    }

    /// Answers `POST …/add-checkpoint`. A body above [`MAX_BODY`] need not be read to its end.
    pub fn add_checkpoint(&self, body: &[u8], now: Timestamp) -> Answer {
        self.cosign(body, now).unwrap_or_else(|refusal| refusal)
    }

    fn cosign(&self, body: &[u8], now: Timestamp) -> Result<Answer, Answer> {
        let unreadable = || Answer::refusal(400, "this is not an add-checkpoint request");
        let request = AddCheckpoint::parse(body).ok_or_else(unreadable)?;
        let text = note::unverified_text(&request.note).map_err(|_| unreadable())?;
        let head = Checkpoint::parse(text).ok_or_else(unreadable)?;
        let keys = self.logs.get(&head.origin);
        let keys = keys.ok_or_else(|| Answer::refusal(404, "this witness does not know the log"))?;
        note::verify(&request.note, keys).map_err(|error| Answer::refusal(403, &error.to_string()))?;
        if request.old > head.size {
            return Err(Answer::refusal(400, "the old size is above the checkpoint's"));
        }
        let known = self.latest(&head.origin)?;
        let at = known.as_ref().map_or(0, |known| known.head.size);
        if request.old != at {
            return Err(Answer::at(at));
        }
        if let Some(known) =
            known.as_ref().filter(|known| known.head.size == head.size && known.head.root != head.root)
        {
            let answer = Answer::refusal(422, "another tree of this size was cosigned");
            return Err(Answer { finding: Some(Box::new(forked(&head, known, &request))), ..answer });
        }
        let root = known.as_ref().map_or_else(empty_root, |known| known.head.root);
        let grew = check_consistency(at, &root, head.size, &head.root, &request.proof)
            && (head.size > 0 || head.root == empty_root());
        if !grew {
            return Err(Answer::refusal(422, "the proof does not show the log to have only grown"));
        }
        // Kept before it is signed: what this witness once said it must never forget.
        let known = known.map(|known| known.note);
        match self.state.advance(&head.origin, known.as_deref(), &request.note) {
            Ok(true) => self.sign(text, now),
            Ok(false) => Err(Answer::at(self.latest(&head.origin)?.map_or(0, |known| known.head.size))),
            Err(error) => Err(Answer::failure(&error)),
        }
    }

    fn latest(&self, origin: &str) -> Result<Option<Known>, Answer> {
        let Some(note) = self.state.latest(origin).map_err(|error| Answer::failure(&error))? else {
            return Ok(None);
        };
        let head = note::unverified_text(&note).ok().and_then(Checkpoint::parse);
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "what was kept of the log is damaged");
        let head = head.filter(|head| head.origin == origin).ok_or_else(|| Answer::failure(&damaged()))?;
        Ok(Some(Known { head, note }))
    }

    fn sign(&self, text: &str, now: Timestamp) -> Result<Answer, Answer> {
        let lines: Result<String, _> =
            self.signers.iter().map(|signer| signer.line(text, now.seconds())).collect();
        let body = lines.map_err(|error| Answer::failure(&io::Error::other(error)))?;
        Ok(Answer { status: 200, content_type: "text/plain; charset=utf-8", body, finding: None })
    }
}

/// The checkpoint that was cosigned last.
struct Known {
    head: Checkpoint,
    note: String,
}

fn forked(head: &Checkpoint, known: &Known, request: &AddCheckpoint) -> Finding {
    Finding {
        kind: FindingKind::Forked,
        origin: head.origin.clone(),
        detail: format!("its key signed two different trees of {} entries", head.size),
        evidence: vec![known.note.clone(), request.note.clone()],
    }
}

impl Answer {
    fn refusal(status: u16, reason: &str) -> Answer {
        let body = format!("{reason}\n");
        Answer { status, content_type: "text/plain; charset=utf-8", body, finding: None }
    }

    /// Says which size was cosigned last.
    fn at(size: u64) -> Answer {
        Answer { content_type: "text/x.tlog.size", ..Answer::refusal(409, &size.to_string()) }
    }

    fn failure(error: &io::Error) -> Answer {
        tracing::error!(%error, "the witness cannot keep its state, so it cosigns nothing");
        Answer::refusal(500, "the witness cannot keep its state")
    }
}

/// The body of an `add-checkpoint` request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// How many entries the witness knows.
    pub old: u64,
    /// That the tree of these is the beginning of the checkpoint's (RFC 9162 §2.1.4).
    pub proof: Vec<Hash>,
    /// The checkpoint, a signed note.
    pub note: String,
}

impl AddCheckpoint {
    /// Reads a request of at most [`MAX_BODY`]; `None` where it is none.
    pub fn parse(body: &[u8]) -> Option<AddCheckpoint> {
        let text = std::str::from_utf8(body).ok().filter(|text| text.len() <= MAX_BODY)?;
        let (proof, note) = text.split_once("\n\n")?;
        let mut lines = proof.split('\n');
        let old = decimal(lines.next()?.strip_prefix("old ")?)?;
        let hash = |line| Hash::try_from(unbase64(line)?).ok();
        let proof = lines.by_ref().take(MAX_PROOF).map(hash).collect::<Option<_>>()?;
        lines.next().is_none().then(|| AddCheckpoint { old, proof, note: note.to_owned() })
    }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{}", base64(hash)))?;
        write!(f, "\n{}", self.note)
    }
}
