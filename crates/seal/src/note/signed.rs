//! Whole notes: signing, adding signatures, and verifying them.

use super::key::{NoteSigner, NoteVerifier, SignatureKind};
use super::text::{KEY_ID_LEN, MAX_BYTES, MAX_SIGNATURES, NoteError, check_characters, check_name};
use crate::hash;

/// A signature that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Of the key.
    pub name: String,
    /// What it is, and means.
    pub kind: SignatureKind,
    id: [u8; KEY_ID_LEN],
    /// When it was made as its maker says, in seconds since 1970; 0 if it says nothing. Only cosignatures have it.
    pub time: Option<u64>,
}

impl Signature {
    /// Whether this key made it.
    pub fn is_by(&self, key: &NoteVerifier) -> bool {
        key.is(&self.name, self.id)
    }

    /// Whether it says that the tree was the largest its maker had seen of the log, at a time.
    pub fn is_witness(&self) -> bool {
        self.time.is_some_and(|time| time > 0)
    }
}

/// The text with a signature of each: a complete note. The text must end in a newline and hold no other control
/// character; for cosignatures it must be a checkpoint. `time` is in seconds since 1970; only they contain it.
pub fn sign<'s>(
    text: &str,
    signers: impl IntoIterator<Item = &'s NoteSigner>,
    time: u64,
) -> Result<String, NoteError> {
    let mut note = format!("{text}\n");
    for signer in signers {
        note.push_str(&signer.line(text, time)?);
    }
    // What is refused when read is not written.
    split(&note)?;
    Ok(note)
}

/// The note with the signature lines of `more`, which must be for the same text: nothing is verified. A later
/// signature of a key takes the place of an earlier.
pub fn add(note: &str, more: &str) -> Result<String, NoteError> {
    let (text, _) = split(note)?;
    let line_of = |line: &str| {
        let parsed = line.strip_suffix('\n').and_then(parse_line);
        parsed.map(|parsed| (parsed.name.to_owned(), parsed.id)).ok_or(NoteError::Malformed)
    };
    let mut lines = Vec::new();
    let signatures = note.get(text.len() + 1..).unwrap_or_default();
    for line in signatures.split_inclusive('\n').chain(more.split_inclusive('\n')) {
        let key = line_of(line)?;
        lines.retain(|(earlier, _)| *earlier != key);
        lines.push((key, line));
    }
    let joined = lines.iter().fold(format!("{text}\n"), |note, (_, line)| note + line);
    split(&joined)?;
    Ok(joined)
}

/// The note's text, and the signatures of known keys, one for each key. Signatures of unknown keys are passed over;
/// a known key's must all be right, and there must be one.
pub fn verify<'n>(note: &'n str, verifiers: &[NoteVerifier]) -> Result<(&'n str, Vec<Signature>), NoteError> {
    let (text, lines) = split(note)?;
    let mut verified: Vec<Signature> = Vec::new();
    for line in lines {
        for verifier in verifiers.iter().filter(|verifier| verifier.is(line.name, line.id)) {
            let invalid = || NoteError::SignatureInvalid(line.name.to_owned());
            let time = verifier.verify(text, &line.signature).ok_or_else(invalid)?;
            let (name, kind, id) = (line.name.to_owned(), verifier.kind(), line.id);
            if !verified.iter().any(|seen| seen.name == name && seen.id == id && seen.kind == kind) {
                verified.push(Signature { name, kind, id, time });
            }
        }
    }
    if verified.is_empty() { Err(NoteError::Unverified) } else { Ok((text, verified)) }
}

/// The note's text, whoever signed it: enough to find out what it is about, not to believe it.
pub fn unverified_text(note: &str) -> Result<&str, NoteError> {
    split(note).map(|(text, _)| text)
}

impl NoteSigner {
    /// The text with this key's signature alone: [`sign`] without a time.
    pub fn sign(&self, text: &str) -> Result<String, NoteError> {
        sign(text, [self], 0)
    }
}

struct SignatureLine<'n> {
    name: &'n str,
    id: [u8; KEY_ID_LEN],
    signature: Vec<u8>,
}

/// The text ends at the last blank line; what follows are signature lines only.
fn split(note: &str) -> Result<(&str, Vec<SignatureLine<'_>>), NoteError> {
    if note.len() > MAX_BYTES {
        return Err(NoteError::TooLarge);
    }
    check_characters(note)?;
    let (text, signatures) = note
        .rfind("\n\n")
        .and_then(|at| Some((note.get(..=at)?, note.get(at + 2..)?.strip_suffix('\n')?)))
        .ok_or(NoteError::Malformed)?;
    let lines: Vec<&str> = signatures.split('\n').take(MAX_SIGNATURES + 1).collect();
    if lines.len() > MAX_SIGNATURES {
        return Err(NoteError::TooLarge);
    }
    let lines = lines.into_iter().map(parse_line).collect::<Option<Vec<_>>>().ok_or(NoteError::Malformed)?;
    Ok((text, lines))
}

fn parse_line(line: &str) -> Option<SignatureLine<'_>> {
    let (name, encoded) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
    check_name(name).ok()?;
    let decoded = hash::unbase64(encoded)?;
    let (id, signature) = decoded.split_first_chunk()?;
    let signature = signature.to_vec();
    (!signature.is_empty()).then_some(SignatureLine { name, id: *id, signature })
}
