//! What every note keeps to: how large it may be, and what its text and the names of its keys may hold.

/// Bytes of a key's id, which a signature line carries.
pub(super) const KEY_ID_LEN: usize = 4;
/// Signatures of one note. The specification asks for at least 16. Ours: room for every node of a cluster and its witnesses.
pub const MAX_SIGNATURES: usize = 64;
/// Of one note. Ours; a checkpoint has a few hundred bytes, a post-quantum signature about five thousand.
pub const MAX_BYTES: usize = 1024 * 1024;

pub(super) fn check_name(name: &str) -> Result<(), NoteError> {
    if name.is_empty() || name.contains(|c: char| c == '+' || c.is_whitespace() || c.is_control()) {
        return Err(NoteError::NameRefused);
    }
    Ok(())
}

pub(super) fn check_characters(text: &str) -> Result<(), NoteError> {
    if text.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
        return Err(NoteError::Malformed);
    }
    Ok(())
}

/// Why a note or one of its keys was not accepted, or cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// No text, blank line and signature lines, or a control character among them.
    #[error("this is not a signed note")]
    Malformed,
    /// Above [`MAX_BYTES`] or [`MAX_SIGNATURES`].
    #[error("the note is larger than 1 MiB or has more than {MAX_SIGNATURES} signatures")]
    TooLarge,
    /// A known key, of this name, did not make the signature that bears its name.
    #[error("the signature of {0} does not fit the note's text")]
    SignatureInvalid(String),
    /// There may be signatures, but none of a key that the reader knows.
    #[error("no known key signed the note")]
    Unverified,
    /// Cosignatures say something of a log, so there is nothing else that they can sign.
    #[error("a cosignature is for checkpoints only, and names of at most 255 bytes")]
    NotCosignable,
    /// The name would be read as something else in a signature line or a verifier key.
    #[error("a key's name may not be empty or hold a plus sign, white space or control characters")]
    NameRefused,
    /// Neither a verifier key, a seed nor PKCS#8 of a kind that is spoken here, or the library refused it.
    #[error("this is not a key in the expected form: Ed25519, or ML-DSA-44 for cosignatures")]
    KeyRefused,
}
