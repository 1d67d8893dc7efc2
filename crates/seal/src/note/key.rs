//! Named keys that sign notes, and that notes are verified with.

use super::checkpoint::Checkpoint;
use super::text::{KEY_ID_LEN, NoteError, check_characters, check_name};
use crate::{hash, random};
use aws_lc_rs::signature::{
    ED25519, Ed25519KeyPair, KeyPair as _, ML_DSA_44, ML_DSA_44_SIGNING, ParsedPublicKey, PqdsaKeyPair,
    VerificationAlgorithm,
};
use zeroize::Zeroizing;

/// What a key's signatures are, and mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignatureKind {
    /// Ed25519 over the note's text (c2sp.org/signed-note, type 0x01).
    Ed25519,
    /// A checkpoint cosigned with Ed25519 (c2sp.org/tlog-cosignature, type 0x04).
    Ed25519Cosignature,
    /// A checkpoint cosigned with ML-DSA-44, which quantum computers do not break (the same, type 0x06).
    MlDsa44Cosignature,
}

impl SignatureKind {
    const ALL: [SignatureKind; 3] =
        [SignatureKind::Ed25519, SignatureKind::Ed25519Cosignature, SignatureKind::MlDsa44Cosignature];

    /// As people know it.
    pub const fn name(self) -> &'static str {
        match self {
            SignatureKind::Ed25519 => "Ed25519",
            SignatureKind::Ed25519Cosignature => "Ed25519 cosignature",
            SignatureKind::MlDsa44Cosignature => "ML-DSA-44 cosignature",
        }
    }

    /// The byte that stands for it in verifier keys and key ids.
    const fn number(self) -> u8 {
        match self {
            SignatureKind::Ed25519 => 0x01,
            SignatureKind::Ed25519Cosignature => 0x04,
            SignatureKind::MlDsa44Cosignature => 0x06,
        }
    }

    /// Of a public key, in bytes (RFC 8032 §5.1.5; FIPS 204 table 2).
    const fn public_len(self) -> usize {
        match self {
            SignatureKind::Ed25519 | SignatureKind::Ed25519Cosignature => 32,
            SignatureKind::MlDsa44Cosignature => 1312,
        }
    }

    fn algorithm(self) -> &'static dyn VerificationAlgorithm {
        match self {
            SignatureKind::Ed25519 | SignatureKind::Ed25519Cosignature => &ED25519,
            SignatureKind::MlDsa44Cosignature => &ML_DSA_44,
        }
    }

    fn key_id(self, name: &str, public: &[u8]) -> [u8; KEY_ID_LEN] {
        let [a, b, c, d, ..] = hash::sha256_parts(&[name.as_bytes(), b"\n", &[self.number()], public]);
        [a, b, c, d]
    }

    fn verifier_key(self, name: &str, public: &[u8]) -> String {
        let id = self.key_id(name, public);
        format!("{name}+{}+{}", hash::hex(&id), hash::base64(&[&[self.number()], public].concat()))
    }
}

/// A named key that signs notes.
pub struct NoteSigner {
    name: String,
    kind: SignatureKind,
    id: [u8; KEY_ID_LEN],
    key: SigningKey,
}

enum SigningKey {
    Ed25519(Ed25519KeyPair),
    MlDsa44(PqdsaKeyPair),
}

impl SigningKey {
    fn public(&self) -> &[u8] {
        match self {
            SigningKey::Ed25519(key) => key.public_key().as_ref(),
            SigningKey::MlDsa44(key) => key.public_key().as_ref(),
        }
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, NoteError> {
        match self {
            SigningKey::Ed25519(key) => key.try_sign(message).map(|signature| signature.as_ref().to_vec()),
            SigningKey::MlDsa44(key) => {
                let mut signature = vec![0; key.algorithm().signature_len()];
                key.sign(message, &mut signature).map(|_| signature)
            }
        }
        .map_err(|_| NoteError::KeyRefused)
    }
}

impl NoteSigner {
    /// A fresh Ed25519 key for plain signatures. The name should be a URL without its scheme, such as
    /// `example.com/bridge-1`.
    pub fn generate(name: &str) -> Result<NoteSigner, NoteError> {
        NoteSigner::generate_kind(SignatureKind::Ed25519, name)
    }

    /// As [`NoteSigner::from_seed_kind`], for plain Ed25519 signatures.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<NoteSigner, NoteError> {
        NoteSigner::from_seed_kind(SignatureKind::Ed25519, name, seed)
    }

    /// As [`NoteSigner::from_pkcs8_kind`], for plain Ed25519 signatures.
    pub fn from_pkcs8(name: &str, pkcs8: &[u8]) -> Result<NoteSigner, NoteError> {
        NoteSigner::from_pkcs8_kind(SignatureKind::Ed25519, name, pkcs8)
    }

    /// A fresh key. No two names, and no two kinds, should share one.
    pub fn generate_kind(kind: SignatureKind, name: &str) -> Result<NoteSigner, NoteError> {
        NoteSigner::from_seed_kind(kind, name, &Zeroizing::new(random::bytes()))
    }

    /// The key of a seed (RFC 8032 §5.1.5; FIPS 204 §6.1).
    pub fn from_seed_kind(kind: SignatureKind, name: &str, seed: &[u8; 32]) -> Result<NoteSigner, NoteError> {
        let key = match kind {
            SignatureKind::MlDsa44Cosignature => {
                PqdsaKeyPair::from_seed(&ML_DSA_44_SIGNING, seed).map(SigningKey::MlDsa44)
            }
            _ => Ed25519KeyPair::from_seed_unchecked(seed).map(SigningKey::Ed25519),
        };
        NoteSigner::new(kind, name, key.map_err(|_| NoteError::KeyRefused)?)
    }

    /// The key that [`NoteSigner::to_pkcs8`] wrote.
    pub fn from_pkcs8_kind(kind: SignatureKind, name: &str, pkcs8: &[u8]) -> Result<NoteSigner, NoteError> {
        let key = match kind {
            SignatureKind::MlDsa44Cosignature => {
                PqdsaKeyPair::from_pkcs8(&ML_DSA_44_SIGNING, pkcs8).map(SigningKey::MlDsa44)
            }
            _ => Ed25519KeyPair::from_pkcs8(pkcs8).map(SigningKey::Ed25519),
        };
        NoteSigner::new(kind, name, key.map_err(|_| NoteError::KeyRefused)?)
    }

    fn new(kind: SignatureKind, name: &str, key: SigningKey) -> Result<NoteSigner, NoteError> {
        check_name(name)?;
        let id = kind.key_id(name, key.public());
        Ok(NoteSigner { name: name.to_owned(), kind, id, key })
    }

    /// The private key as PKCS#8 (RFC 8410, RFC 9881), to be sealed.
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, NoteError> {
        let refused = |_| NoteError::KeyRefused;
        let bytes = match &self.key {
            SigningKey::Ed25519(key) => key.to_pkcs8().map_err(refused)?.as_ref().to_vec(),
            SigningKey::MlDsa44(key) => key.to_pkcs8v1().map_err(refused)?.as_ref().to_vec(),
        };
        Ok(Zeroizing::new(bytes))
    }

    /// Who signs, as it stands before each signature.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its signatures are.
    pub fn kind(&self) -> SignatureKind {
        self.kind
    }

    /// The public key in the form that verifiers are configured with: `name+id+key`.
    pub fn verifier_key(&self) -> String {
        self.kind.verifier_key(&self.name, self.key.public())
    }

    /// The public half, to read notes with.
    ///
    /// # Errors
    /// When the cryptographic library refuses its own key.
    pub fn verifier(&self) -> Result<NoteVerifier, NoteError> {
        NoteVerifier::new(self.kind, &self.name, self.key.public())
    }

    /// The line that this signature adds to a note of the text.
    pub fn line(&self, text: &str, time: u64) -> Result<String, NoteError> {
        check_characters(text)?;
        if !text.ends_with('\n') {
            return Err(NoteError::Malformed);
        }
        let signature = self.key.sign(&message(self.kind, &self.name, text, time)?)?;
        let time = time.to_be_bytes();
        let time = if self.kind == SignatureKind::Ed25519 { &[][..] } else { &time };
        let encoded = hash::base64(&[&self.id, time, &signature].concat());
        Ok(format!("\u{2014} {} {encoded}\n", self.name))
    }
}

/// A named public key that notes are verified with.
#[derive(Debug, Clone)]
pub struct NoteVerifier {
    name: String,
    kind: SignatureKind,
    id: [u8; KEY_ID_LEN],
    key: ParsedPublicKey,
    text: String,
}

impl NoteVerifier {
    /// Whether a signature of this name and id would be its own.
    pub(super) fn is(&self, name: &str, id: [u8; KEY_ID_LEN]) -> bool {
        self.name == name && self.id == id
    }

    /// Reads `name+id+key`; the id must be the key's.
    pub fn parse(verifier_key: &str) -> Result<NoteVerifier, NoteError> {
        // Base64 has a plus of its own, so the key is all that follows the second.
        let mut parts = verifier_key.splitn(3, '+');
        let (Some(name), Some(_), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::KeyRefused);
        };
        let key = hash::unbase64(key).ok_or(NoteError::KeyRefused)?;
        let (number, public) = key.split_first().ok_or(NoteError::KeyRefused)?;
        let kind = SignatureKind::ALL.into_iter().find(|kind| kind.number() == *number);
        let verifier = NoteVerifier::new(kind.ok_or(NoteError::KeyRefused)?, name, public)?;
        if verifier.text == verifier_key { Ok(verifier) } else { Err(NoteError::KeyRefused) }
    }

    /// Reads verifier keys, one a line.
    pub fn parse_lines(text: &str) -> Result<Vec<NoteVerifier>, NoteError> {
        text.trim_end().split('\n').map(NoteVerifier::parse).collect()
    }

    fn new(kind: SignatureKind, name: &str, public: &[u8]) -> Result<NoteVerifier, NoteError> {
        check_name(name)?;
        if public.len() != kind.public_len() {
            return Err(NoteError::KeyRefused);
        }
        let key = ParsedPublicKey::new(kind.algorithm(), public).map_err(|_| NoteError::KeyRefused)?;
        let (id, text) = (kind.key_id(name, public), kind.verifier_key(name, public));
        Ok(NoteVerifier { name: name.to_owned(), kind, id, key, text })
    }

    /// Who signs, as it stands before each signature.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its signatures are.
    pub fn kind(&self) -> SignatureKind {
        self.kind
    }

    /// The form it was read from.
    pub fn verifier_key(&self) -> &str {
        &self.text
    }

    /// The time that the signature names, if its kind has one; `None` if this is no signature of this key.
    pub(super) fn verify(&self, text: &str, signature: &[u8]) -> Option<Option<u64>> {
        let (time, signature) = match self.kind {
            SignatureKind::Ed25519 => (None, signature),
            _ => {
                let (time, signature) = signature.split_first_chunk()?;
                (Some(u64::from_be_bytes(*time)), signature)
            }
        };
        let message = message(self.kind, &self.name, text, time.unwrap_or(0)).ok()?;
        self.key.verify_sig(&message, signature).ok().map(|()| time)
    }
}

/// The bytes that are signed.
fn message(kind: SignatureKind, name: &str, text: &str, time: u64) -> Result<Vec<u8>, NoteError> {
    if kind == SignatureKind::Ed25519 {
        return Ok(text.as_bytes().to_vec());
    }
    let checkpoint = Checkpoint::parse(text).ok_or(NoteError::NotCosignable)?;
    if i64::try_from(time).is_err() {
        return Err(NoteError::NotCosignable);
    }
    if kind == SignatureKind::Ed25519Cosignature {
        return Ok(format!("cosignature/v1\ntime {time}\n{text}").into_bytes());
    }
    let length = |text: &str| u8::try_from(text.len()).map_err(|_| NoteError::NotCosignable);
    Ok([
        b"subtree/v1\n\0".as_slice(),
        &[length(name)?],
        name.as_bytes(),
        &time.to_be_bytes(),
        &[length(&checkpoint.origin)?],
        checkpoint.origin.as_bytes(),
        // The subtree is the whole tree: from entry 0 to the last.
        &0u64.to_be_bytes(),
        &checkpoint.size.to_be_bytes(),
        &checkpoint.root,
    ]
    .concat())
}
