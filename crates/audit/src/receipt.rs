//! Receipts: one file that proves one record to be in the log, offline (c2sp.org/tlog-proof). The record itself
//! rides in the proof's `extra` line, and with it as much personal detail as its holder chose to disclose.

use crate::checkpoint::SignedCheckpoint;
use crate::detail::{Detail, DetailKind, commitment, root};
use crate::entry::Entry;
use crate::fault::{Fault, FaultKind};
use crate::merkle::{Hash, check_inclusion, leaf_hash};
use crate::reader::{Log, settled};
use crate::text::decimal;
use ironbridge_seal::hash::{base64, unbase64};
use ironbridge_seal::note::{self, NoteError, NoteVerifier, Signature};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Of a receipt, in bytes. Ours: a record, its detail and a note of the largest sizes fit.
pub const MAX_BYTES: usize = 4 << 20;
/// Hashes of an inclusion proof: a log has at most 2^63 entries.
const MAX_PATH: usize = 63;
const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// Proof that a record is an entry of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    index: u64,
    path: Vec<Hash>,
    /// The leaf.
    record: String,
    disclosure: Disclosed,
    /// The checkpoint, as a signed note.
    note: String,
}

/// What a receipt discloses of the personal detail that its record commits to. By default nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Disclosed {
    /// All commitments of the record, in their order; none if nothing is disclosed.
    pub commitments: Vec<Hash>,
    /// Pieces that are opened, each with its place among the commitments.
    pub opened: Vec<(usize, Detail)>,
}

/// What a receipt proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The log's name.
    pub origin: String,
    /// Of the record in the log.
    pub index: u64,
    /// Of the tree that the checkpoint covers.
    pub size: u64,
    /// The record, byte for byte.
    pub record: String,
    /// The same, read.
    pub entry: Entry,
    /// Of the personal detail, what was disclosed.
    pub details: Vec<Detail>,
    /// On the checkpoint, of the log's keys.
    pub signatures: Vec<Signature>,
    /// Of known witnesses.
    pub cosignatures: Vec<Signature>,
}

impl Receipt {
    /// The receipt of entry `index`. If witnesses cosigned a checkpoint that covers it, that is the one used. Without
    /// keys, those that lie beside the log are taken.
    ///
    /// # Errors
    /// When the entry is not yet under a checkpoint, or the log does not verify so far.
    pub fn make(
        log: &Log,
        index: u64,
        keys: &[NoteVerifier],
        disclosure: Disclosed,
    ) -> Result<Receipt, Fault> {
        settled(|| {
            let witnessed =
                log.witnessed_checkpoint(keys)?.filter(|witnessed| index < witnessed.checkpoint.size);
            let signed = match witnessed {
                Some(witnessed) => witnessed,
                None => log.signed_checkpoint(keys)?,
            };
            let (head, note) = (signed.checkpoint, signed.note);
            let path = log.prove_inclusion(index, head.size)?;
            let stored = log.follow(index).next().transpose()?;
            let missing =
                || Fault::new(FaultKind::Missing, "log", "the record is not there any more").entry(index);
            // Reading on past what retention dropped gives a later one.
            let record = stored.filter(|stored| stored.index == index).ok_or_else(missing)?.json;
            if !check_inclusion(&head.root, head.size, index, &leaf_hash(record.as_bytes()), &path) {
                let detail = "the record is not the one that was signed; verify the log to find out more";
                return Err(Fault::new(FaultKind::Altered, "log", detail).entry(index));
            }
            Ok(Receipt { index, path, record, disclosure: disclosure.clone(), note })
        })
    }

    /// Reads a receipt. What it says is to be believed only after [`Receipt::check`].
    pub fn parse(text: &str) -> Result<Receipt, ReceiptFault> {
        let malformed = ReceiptFault::Malformed;
        if text.len() > MAX_BYTES {
            return Err(malformed("it is larger than 4 MiB"));
        }
        let (proof, note) = text.split_once("\n\n").ok_or(malformed("the checkpoint is missing"))?;
        let mut lines = proof.split('\n');
        if lines.next() != Some(FIRST_LINE) {
            return Err(malformed("its first line is another"));
        }
        let extra = lines.next().and_then(|line| line.strip_prefix("extra "));
        let extra = extra.ok_or(malformed("the record is missing"))?;
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).and_then(decimal);
        let index = index.ok_or(malformed("the index is missing"))?;
        let path: Option<Vec<Hash>> = lines.by_ref().take(MAX_PATH).map(hash).collect();
        let path = path.ok_or(malformed("a hash of the proof is not one"))?;
        if lines.next().is_some() {
            return Err(malformed("the proof has more than 63 hashes"));
        }
        let extra = unbase64(extra).and_then(|json| serde_json::from_slice::<Extra>(&json).ok());
        let (record, disclosure) =
            extra.and_then(Extra::into_parts).ok_or(malformed("the record is unreadable"))?;
        Ok(Receipt { index, path, record, disclosure, note: note.to_owned() })
    }

    /// Whether all of it fits: a key of the log signed the checkpoint, `quorum` of the witnesses cosigned it, the
    /// record is the entry that the receipt says, and what is disclosed is what the record commits to.
    pub fn check(
        &self,
        log_keys: &[NoteVerifier],
        witness_keys: &[NoteVerifier],
        quorum: usize,
    ) -> Result<Checked, ReceiptFault> {
        let signed = SignedCheckpoint::open(self.note.clone(), log_keys).map_err(ReceiptFault::Signature)?;
        let (head, signatures) = (signed.checkpoint, signed.signatures);
        let cosignatures = self.cosignatures(witness_keys, &head.origin)?;
        let mut witnesses: Vec<&str> = cosignatures.iter().map(|signature| signature.name.as_str()).collect();
        witnesses.sort_unstable();
        witnesses.dedup();
        if witnesses.len() < quorum {
            return Err(ReceiptFault::Quorum { found: witnesses.len(), wanted: quorum });
        }
        let leaf = leaf_hash(self.record.as_bytes());
        if !check_inclusion(&head.root, head.size, self.index, &leaf, &self.path) {
            return Err(ReceiptFault::Inclusion { index: self.index, size: head.size });
        }
        let entry =
            Entry::parse(self.record.as_bytes()).map_err(|error| ReceiptFault::Record(error.to_string()))?;
        let details = self.disclosure.check(&entry)?;
        Ok(Checked {
            origin: head.origin,
            index: self.index,
            size: head.size,
            record: self.record.clone(),
            entry,
            details,
            signatures,
            cosignatures,
        })
    }

    /// A log is no witness of its own.
    fn cosignatures(
        &self,
        witness_keys: &[NoteVerifier],
        origin: &str,
    ) -> Result<Vec<Signature>, ReceiptFault> {
        let counts = |signature: &Signature| signature.is_witness() && signature.name != origin;
        match note::verify(&self.note, witness_keys) {
            Ok((_, signatures)) => Ok(signatures.into_iter().filter(counts).collect()),
            Err(NoteError::Unverified) => Ok(Vec::new()),
            Err(error) => Err(ReceiptFault::Signature(error)),
        }
    }
}

impl Disclosed {
    fn check(&self, entry: &Entry) -> Result<Vec<Detail>, ReceiptFault> {
        if self.commitments.is_empty() && self.opened.is_empty() {
            return Ok(Vec::new());
        }
        let count = u32::try_from(self.commitments.len()).ok();
        if count != Some(entry.details) || base64(&root(&self.commitments)) != entry.detail {
            return Err(ReceiptFault::Commitments);
        }
        for (place, detail) in &self.opened {
            let expected = commitment(detail.kind, &detail.salt, detail.value.as_bytes());
            if self.commitments.get(*place) != Some(&expected) {
                return Err(ReceiptFault::Detail(*place));
            }
        }
        Ok(self.opened.iter().map(|(_, detail)| detail.clone()).collect())
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let extra = serde_json::to_vec(&Extra::from(self)).map_err(|_| fmt::Error)?;
        writeln!(f, "{FIRST_LINE}\nextra {}\nindex {}", base64(&extra), self.index)?;
        self.path.iter().try_for_each(|hash| writeln!(f, "{}", base64(hash)))?;
        write!(f, "\n{}", self.note)
    }
}

/// The `extra` line, base64 of this as JSON.
#[derive(Serialize, Deserialize)]
struct Extra {
    /// Version of this form: 1.
    v: u32,
    record: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    commitments: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    details: Vec<Opened>,
}

#[derive(Serialize, Deserialize)]
struct Opened {
    place: usize,
    kind: String,
    salt: String,
    value: String,
}

impl From<&Receipt> for Extra {
    fn from(receipt: &Receipt) -> Extra {
        let opened = receipt.disclosure.opened.iter().map(|(place, detail)| Opened {
            place: *place,
            kind: detail.kind.name().to_owned(),
            salt: base64(&detail.salt),
            value: detail.value.clone(),
        });
        let commitments = receipt.disclosure.commitments.iter().map(|hash| base64(hash));
        Extra {
            v: 1,
            record: receipt.record.clone(),
            commitments: commitments.collect(),
            details: opened.collect(),
        }
    }
}

impl Extra {
    fn into_parts(self) -> Option<(String, Disclosed)> {
        let commitments = self.commitments.iter().map(|text| hash(text)).collect::<Option<_>>()?;
        let opened = self.details.into_iter().map(Opened::into_detail).collect::<Option<_>>()?;
        (self.v == 1).then_some((self.record, Disclosed { commitments, opened }))
    }
}

impl Opened {
    fn into_detail(self) -> Option<(usize, Detail)> {
        let kind = (0..=u8::MAX).filter_map(DetailKind::from_number).find(|kind| kind.name() == self.kind)?;
        let salt = unbase64(&self.salt)?.try_into().ok()?;
        Some((self.place, Detail { kind, salt, value: self.value }))
    }
}

fn hash(line: &str) -> Option<Hash> {
    unbase64(line)?.try_into().ok()
}

/// What does not fit in a receipt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptFault {
    /// Not in the form of c2sp.org/tlog-proof, or with lines of ours that are not there.
    /// Which part.
    #[error("this is not a receipt: {0}")]
    Malformed(&'static str),
    /// None of the keys that are believed signed the checkpoint.
    #[error("the receipt's checkpoint is not believed: {0}")]
    Signature(NoteError),
    /// Too few witnesses saw the log that the receipt is of.
    #[error("{found} of the known witnesses cosigned the receipt's checkpoint; {wanted} are asked for")]
    Quorum {
        /// Cosignatures of witnesses that are known.
        found: usize,
        /// As many as were asked for.
        wanted: usize,
    },
    /// The path does not lead from the record to the signed root.
    #[error("the record is not entry {index} of the {size} entries that were signed")]
    Inclusion {
        /// That the receipt names.
        index: u64,
        /// Of the tree that was signed.
        size: u64,
    },
    /// It was signed, but is not a record of a version that is known here.
    #[error("the record cannot be read: {0}")]
    Record(String),
    /// What is disclosed was not committed to by this record.
    #[error("the receipt's commitments are not those of the record")]
    Commitments,
    /// Its value or its salt is another one.
    #[error("the personal detail at place {0} is not what the record commits to")]
    Detail(usize),
}
