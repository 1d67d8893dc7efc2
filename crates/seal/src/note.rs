//! Signed notes in C2SP's form (c2sp.org/signed-note): a text, a blank line, and one line per signature. Only
//! Ed25519 signatures (type 0x01) are made and verified; signatures of other types are of unknown keys.

use crate::{hash, random};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, ParsedPublicKey};
use zeroize::Zeroizing;

/// The type byte of a plain Ed25519 signature.
const ED25519_TYPE: u8 = 1;
const KEY_ID_LEN: usize = 4;
/// The specification asks for at least 16. Ours: room for every node of a cluster and its witnesses.
pub const MAX_SIGNATURES: usize = 64;
/// Ours; a checkpoint has a few hundred bytes, a post-quantum signature about five thousand.
pub const MAX_BYTES: usize = 1024 * 1024;

/// A named Ed25519 key that signs notes.
pub struct NoteSigner {
    name: String,
    id: [u8; KEY_ID_LEN],
    key: Ed25519KeyPair,
}

impl NoteSigner {
    /// A fresh key. The name should be a URL without its scheme, such as `example.com/bridge-1`.
    pub fn generate(name: &str) -> Result<NoteSigner, NoteError> {
        NoteSigner::from_seed(name, &Zeroizing::new(random::bytes()))
    }

    /// The key of an Ed25519 seed (RFC 8032 §5.1.5).
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<NoteSigner, NoteError> {
        NoteSigner::new(name, Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| NoteError::KeyRefused)?)
    }

    /// The key that [`NoteSigner::to_pkcs8`] wrote.
    pub fn from_pkcs8(name: &str, pkcs8: &[u8]) -> Result<NoteSigner, NoteError> {
        NoteSigner::new(name, Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| NoteError::KeyRefused)?)
    }

    fn new(name: &str, key: Ed25519KeyPair) -> Result<NoteSigner, NoteError> {
        check_name(name)?;
        let id = key_id(name, key.public_key().as_ref());
        Ok(NoteSigner { name: name.to_owned(), id, key })
    }

    /// The private key as PKCS#8 (RFC 8410), to be sealed.
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, NoteError> {
        let document = self.key.to_pkcs8().map_err(|_| NoteError::KeyRefused)?;
        Ok(Zeroizing::new(document.as_ref().to_vec()))
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public key in the form that verifiers are configured with: `name+id+key`.
    pub fn verifier_key(&self) -> String {
        let key = [&[ED25519_TYPE], self.key.public_key().as_ref()].concat();
        format!("{}+{}+{}", self.name, hash::hex(&self.id), hash::base64(&key))
    }

    /// The text with this key's signature: a complete note. The text must end in a newline and hold no other
    /// control character.
    pub fn sign(&self, text: &str) -> Result<String, NoteError> {
        check_characters(text)?;
        if !text.ends_with('\n') {
            return Err(NoteError::Malformed);
        }
        let signature = self.key.try_sign(text.as_bytes()).map_err(|_| NoteError::KeyRefused)?;
        let signature = hash::base64(&[&self.id, signature.as_ref()].concat());
        Ok(format!("{text}\n\u{2014} {} {signature}\n", self.name))
    }
}

/// A named public key that notes are verified with.
#[derive(Debug, Clone)]
pub struct NoteVerifier {
    name: String,
    id: [u8; KEY_ID_LEN],
    key: ParsedPublicKey,
}

impl NoteVerifier {
    /// Reads `name+id+key`; the id must be the key's.
    pub fn parse(verifier_key: &str) -> Result<NoteVerifier, NoteError> {
        // Base64 has a plus of its own, so the key is all that follows the second.
        let mut parts = verifier_key.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::KeyRefused);
        };
        check_name(name)?;
        let key = hash::unbase64(key).ok_or(NoteError::KeyRefused)?;
        let Some((&ED25519_TYPE, public)) = key.split_first().filter(|(_, public)| public.len() == 32) else {
            return Err(NoteError::KeyRefused);
        };
        let expected = key_id(name, public);
        if hash::hex(&expected) != id {
            return Err(NoteError::KeyRefused);
        }
        let key = ParsedPublicKey::new(&ED25519, public).map_err(|_| NoteError::KeyRefused)?;
        Ok(NoteVerifier { name: name.to_owned(), id: expected, key })
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

/// The note's text, and the names of the known keys that signed it, each once. Signatures of unknown keys are
/// passed over; a known key's must all be right, and there must be one.
pub fn verify<'n>(note: &'n str, verifiers: &[NoteVerifier]) -> Result<(&'n str, Vec<String>), NoteError> {
    let (text, signatures) = split(note)?;
    let mut names = Vec::new();
    for line in signatures {
        let known = verifiers.iter().filter(|verifier| verifier.name == line.name && verifier.id == line.id);
        for verifier in known {
            verifier
                .key
                .verify_sig(text.as_bytes(), &line.signature)
                .map_err(|_| NoteError::SignatureInvalid(verifier.name.clone()))?;
            if !names.contains(&verifier.name) {
                names.push(verifier.name.clone());
            }
        }
    }
    if names.is_empty() { Err(NoteError::Unverified) } else { Ok((text, names)) }
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
    (!signature.is_empty()).then(|| SignatureLine { name, id: *id, signature: signature.to_vec() })
}

fn key_id(name: &str, public: &[u8]) -> [u8; KEY_ID_LEN] {
    let [a, b, c, d, ..] = hash::sha256_parts(&[name.as_bytes(), b"\n", &[ED25519_TYPE], public]);
    [a, b, c, d]
}

fn check_name(name: &str) -> Result<(), NoteError> {
    if name.is_empty() || name.contains(|c: char| c == '+' || c.is_whitespace() || c.is_control()) {
        return Err(NoteError::NameRefused);
    }
    Ok(())
}

fn check_characters(text: &str) -> Result<(), NoteError> {
    if text.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
        return Err(NoteError::Malformed);
    }
    Ok(())
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    #[error("this is not a signed note")]
    Malformed,
    #[error("the note is larger than 1 MiB or has more than {MAX_SIGNATURES} signatures")]
    TooLarge,
    #[error("the signature of {0} does not fit the note's text")]
    SignatureInvalid(String),
    #[error("no known key signed the note")]
    Unverified,
    #[error("a key's name may not be empty or hold a plus sign, white space or control characters")]
    NameRefused,
    #[error("this is not an Ed25519 key in the expected form")]
    KeyRefused,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // The example of Go's golang.org/x/mod/sumdb/note, from which C2SP's specification comes.
    const SEED: &str = "gQoUAtUUbI2E8kQzMPVAgOv5juF9nHT2JS/F1ccoMXM=";
    const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const TEXT: &str = "If you think cryptography is the answer to your problem,\n\
                        then you don't know what your problem is.\n";
    const SIGNATURE: &str = "\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FF\
                             YC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    fn peter() -> NoteSigner {
        NoteSigner::from_seed("PeterNeumann", &hash::unbase64(SEED).unwrap().try_into().unwrap()).unwrap()
    }

    fn verifier(key: &str) -> NoteVerifier {
        NoteVerifier::parse(key).unwrap()
    }

    #[test]
    fn the_known_note_is_signed_and_verified() {
        let note = format!("{TEXT}\n{SIGNATURE}");
        assert_eq!(peter().verifier_key(), KEY);
        assert_eq!(peter().sign(TEXT).unwrap(), note);
        assert_eq!(verify(&note, &[verifier(KEY)]), Ok((TEXT, vec!["PeterNeumann".to_owned()])));
    }

    #[test]
    fn a_stored_key_signs_on() {
        let signer = NoteSigner::generate("example.com/log").unwrap();
        let again = NoteSigner::from_pkcs8("example.com/log", &signer.to_pkcs8().unwrap()).unwrap();
        assert_eq!(again.sign("x\n").unwrap(), signer.sign("x\n").unwrap());
    }

    #[test]
    fn unknown_keys_are_passed_over_and_known_ones_must_fit() {
        let peter_key = verifier(KEY);
        let other = NoteSigner::generate("example.com/other").unwrap();
        let namesake = NoteSigner::generate("PeterNeumann").unwrap();
        let line =
            |signer: &NoteSigner, text| signer.sign(text).unwrap().split_once("\n\n").unwrap().1.to_owned();
        let both = format!("{TEXT}\n{SIGNATURE}{}", line(&other, TEXT));
        assert_eq!(verify(&both, std::slice::from_ref(&peter_key)).unwrap().1, ["PeterNeumann"]);
        let other_key = verifier(&other.verifier_key());
        assert_eq!(verify(&both, &[peter_key.clone(), other_key.clone()]).unwrap().1.len(), 2);
        let wrong = format!("{TEXT}\n{SIGNATURE}{}", line(&other, "another text\n"));
        assert_eq!(verify(&wrong, std::slice::from_ref(&peter_key)).unwrap().1, ["PeterNeumann"]);
        assert_eq!(
            verify(&wrong, &[peter_key.clone(), other_key]),
            Err(NoteError::SignatureInvalid("example.com/other".into()))
        );
        let same_name = format!("{TEXT}\n{}", line(&namesake, TEXT));
        assert_eq!(verify(&same_name, &[peter_key]), Err(NoteError::Unverified));
        assert_eq!(verify(&both, &[]), Err(NoteError::Unverified));
    }

    #[test]
    fn the_text_may_hold_blank_lines_and_sixteen_signatures_are_read() {
        let text = "a\n\n\u{2014} b c\n\nd\n";
        let signed = peter().sign(text).unwrap();
        assert_eq!(verify(&signed, &[verifier(KEY)]).unwrap().0, text);
        let many = |count| format!("{TEXT}\n{}", SIGNATURE.repeat(count));
        assert_eq!(verify(&many(16), &[verifier(KEY)]).unwrap().1, ["PeterNeumann"]);
        assert!(verify(&many(MAX_SIGNATURES), &[verifier(KEY)]).is_ok());
        assert_eq!(verify(&many(MAX_SIGNATURES + 1), &[verifier(KEY)]), Err(NoteError::TooLarge));
    }

    #[test]
    fn only_the_strict_form_is_read() {
        let key = [verifier(KEY)];
        let signature = SIGNATURE.trim_end();
        for note in [
            String::new(),
            TEXT.to_owned(),
            format!("{TEXT}\n"),
            format!("{TEXT}{SIGNATURE}"),
            format!("{TEXT}\n{signature}"),
            format!("{TEXT}\n{SIGNATURE}\n"),
            format!("{TEXT}\r\n{SIGNATURE}"),
            format!("{TEXT}\n{signature}\r\n"),
            format!("{TEXT}\n{}", SIGNATURE.replace('\u{2014}', "-")),
            format!("{TEXT}\n {SIGNATURE}"),
            format!("{TEXT}\n{signature} x\n"),
            format!("{TEXT}\n{SIGNATURE}x\n"),
            format!("{TEXT}\n{}", SIGNATURE.replace(" x0", "  x0")),
            format!("{TEXT}\n{}", SIGNATURE.replace("=\n", "\n")),
            format!("{TEXT}\n{SIGNATURE}\u{2014} a AAAA\n"),
            format!("{TEXT}\n{SIGNATURE}\u{2014} a AAAAAA==\n"),
            format!("{TEXT}\n{SIGNATURE}\u{2014}  AAAAAAA=\n"),
            format!("{TEXT}\n{SIGNATURE}\u{2014} a\u{a0}b AAAAAAA=\n"),
            format!("\t{TEXT}\n{SIGNATURE}"),
            format!("\0{TEXT}\n{SIGNATURE}"),
        ] {
            assert_eq!(verify(&note, &key), Err(NoteError::Malformed), "{note:?}");
        }
        for text in ["", "no newline", "tab\t\n", "cr\r\n"] {
            assert_eq!(peter().sign(text), Err(NoteError::Malformed), "{text:?}");
        }
        assert_eq!(verify(&"x\n".repeat(MAX_BYTES), &key), Err(NoteError::TooLarge));
    }

    #[test]
    fn every_mangled_verifier_key_is_refused() {
        for start in 0..KEY.len() {
            for end in start..=KEY.len() {
                assert_eq!(NoteVerifier::parse(&KEY[start..end]).is_ok(), end - start == KEY.len());
            }
            let mut bytes = KEY.as_bytes().to_vec();
            bytes[start] += 1;
            assert!(NoteVerifier::parse(std::str::from_utf8(&bytes).unwrap()).is_err(), "{start}");
        }
        // Right ids for a key of the wrong length and for an unknown type.
        for key in [
            "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
            "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        ] {
            assert_eq!(NoteVerifier::parse(key).unwrap_err(), NoteError::KeyRefused);
        }
        for name in ["", "a b", "a+b", "a\u{2003}b", "a\nb"] {
            assert_eq!(NoteSigner::generate(name).err(), Some(NoteError::NameRefused), "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn a_changed_note_never_verifies(at in 0_usize..200, bit in 0_u8..7) {
            let mut note = format!("{TEXT}\n{SIGNATURE}").into_bytes();
            let at = at % note.len();
            note[at] ^= 1_u8 << bit;
            if let Ok(note) = String::from_utf8(note) {
                prop_assert!(verify(&note, &[verifier(KEY)]).is_err());
            }
        }

        #[test]
        fn never_panics(note in "(\\PC|\n|\u{2014} ){0,64}") {
            let _ = verify(&note, &[verifier(KEY)]);
            let _ = NoteVerifier::parse(&note);
        }

        #[test]
        fn what_is_signed_verifies(text in "(\\PC{0,8}\n){1,8}") {
            let note = peter().sign(&text).unwrap();
            prop_assert_eq!(verify(&note, &[verifier(KEY)]).unwrap().0, text);
        }
    }
}
