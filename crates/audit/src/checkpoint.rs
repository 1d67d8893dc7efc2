//! The keys that sign a log's head, and how they follow each other.

use ironbridge_seal::note::{self, NoteError, NoteSigner, NoteVerifier, Signature, SignatureKind};

pub use ironbridge_seal::note::Checkpoint;

pub(crate) const FILE: &str = "checkpoint";
/// The verifier keys of the log, beside it for convenience.
pub(crate) const KEYS: &str = "key";

/// The keys of a log. Every checkpoint is signed with all that are in force, so that while one key follows another
/// those who know either can verify. What keys out of force signed is still believed.
pub struct Signers {
    in_force: Vec<NoteSigner>,
    verifiers: Vec<NoteVerifier>,
}

/// Why keys cannot sign a log's checkpoints. The operator's to mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignersError {
    /// None of the keys is of the kind that all verifiers know.
    #[error("a log needs a plain Ed25519 key in force: every verifier knows that kind")]
    NoEd25519,
    /// A key's name is the log's origin, and no other (c2sp.org/tlog-checkpoint). The key, and the log.
    #[error("the key {0} does not have the name of the log, {1}")]
    Name(String, String),
    /// A key cannot be read, or the library refuses it.
    #[error("{0}")]
    Key(#[from] NoteError),
}

impl Signers {
    /// The keys of the log `origin`, all named so: those in force, newest first, and those that were.
    ///
    /// # Errors
    /// When no plain Ed25519 key is in force, or a key has another name.
    pub fn new(
        origin: &str,
        in_force: Vec<NoteSigner>,
        earlier: Vec<NoteVerifier>,
    ) -> Result<Signers, SignersError> {
        if !in_force.iter().any(|signer| signer.kind() == SignatureKind::Ed25519) {
            return Err(SignersError::NoEd25519);
        }
        let mut verifiers = in_force.iter().map(NoteSigner::verifier).collect::<Result<Vec<_>, _>>()?;
        verifiers.extend(earlier);
        if let Some(other) = verifiers.iter().find(|verifier| verifier.name() != origin) {
            return Err(SignersError::Name(other.name().to_owned(), origin.to_owned()));
        }
        Ok(Signers { in_force, verifiers })
    }

    /// The signed note of this head. `time` is in seconds since 1970.
    pub fn sign(&self, head: &Checkpoint, time: u64) -> Result<String, NoteError> {
        note::sign(&head.text(), &self.in_force, time)
    }

    /// All keys whose signatures are believed.
    pub fn verifiers(&self) -> &[NoteVerifier] {
        &self.verifiers
    }

    /// The verifier keys, one a line: what `log/key` holds.
    pub fn key_file(&self) -> String {
        self.verifiers.iter().map(|verifier| format!("{}\n", verifier.verifier_key())).collect()
    }
}

/// A checkpoint that a key of its own log signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// What it says, read.
    pub checkpoint: Checkpoint,
    /// The whole note, with the signatures of others too, such as witnesses.
    pub note: String,
    /// Those of the keys that it was opened with.
    pub signatures: Vec<Signature>,
}

impl SignedCheckpoint {
    /// Opens a note that at least one of these keys signed, named as the log.
    pub fn open(note: String, keys: &[NoteVerifier]) -> Result<SignedCheckpoint, NoteError> {
        let (text, signatures) = note::verify(&note, keys)?;
        let checkpoint = Checkpoint::parse(text).ok_or(NoteError::Malformed)?;
        if !signatures.iter().any(|signature| signature.name == checkpoint.origin) {
            return Err(NoteError::Unverified);
        }
        Ok(SignedCheckpoint { checkpoint, note, signatures })
    }

    /// The name of the key that signed it, which is the log's.
    pub fn key(&self) -> &str {
        &self.checkpoint.origin
    }
}

/// One plain Ed25519 key, named as its log.
impl TryFrom<NoteSigner> for Signers {
    type Error = SignersError;

    fn try_from(signer: NoteSigner) -> Result<Signers, SignersError> {
        let origin = signer.name().to_owned();
        Signers::new(&origin, vec![signer], Vec::new())
    }
}
