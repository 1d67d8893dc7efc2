//! Signed notes in C2SP's form (c2sp.org/signed-note): a text, a blank line, and one line per signature. Three
//! kinds of signature are made and verified: plain Ed25519, and the timestamped cosignatures of a checkpoint
//! (c2sp.org/tlog-cosignature) with Ed25519 and ML-DSA-44. Those of other kinds are of unknown keys.

mod checkpoint;
mod key;
mod signed;
#[cfg(test)]
mod tests;
mod text;

pub use checkpoint::Checkpoint;
pub use key::{NoteSigner, NoteVerifier, SignatureKind};
pub use signed::{Signature, add, sign, unverified_text, verify};
pub use text::{MAX_BYTES, MAX_SIGNATURES, NoteError};
