use super::*;
use crate::hash;
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

fn names(note: &str, verifiers: &[NoteVerifier]) -> Vec<String> {
    verify(note, verifiers).unwrap().1.into_iter().map(|signature| signature.name).collect()
}

const KINDS: [SignatureKind; 3] =
    [SignatureKind::Ed25519, SignatureKind::Ed25519Cosignature, SignatureKind::MlDsa44Cosignature];

fn head() -> String {
    Checkpoint { origin: "example.com/log".into(), size: 7, root: [9; 32] }.text()
}

#[test]
fn every_kind_signs_and_verifies_and_is_kept_apart() {
    let signers: Vec<NoteSigner> =
        KINDS.map(|kind| NoteSigner::from_seed_kind(kind, "example.com/log", &[3; 32]).unwrap()).into();
    let keys: Vec<NoteVerifier> = signers.iter().map(|signer| verifier(&signer.verifier_key())).collect();
    let note = sign(&head(), &signers, 1_767_225_600).unwrap();
    let (text, signatures) = verify(&note, &keys).unwrap();
    assert_eq!(text, head());
    let found: Vec<_> = signatures.iter().map(|signature| (signature.kind, signature.time)).collect();
    let time = Some(1_767_225_600);
    assert_eq!(found, [(KINDS[0], None), (KINDS[1], time), (KINDS[2], time)]);
    for (kind, key) in KINDS.iter().zip(&keys) {
        assert_eq!(verify(&note, std::slice::from_ref(key)).unwrap().1[0].kind, *kind);
        assert_eq!(key.verifier_key(), verifier(key.verifier_key()).verifier_key());
    }
    for signer in &signers {
        let alone = sign(&head(), [signer], 5).unwrap();
        for key in &keys {
            assert_eq!(verify(&alone, std::slice::from_ref(key)).is_ok(), key.kind() == signer.kind());
        }
        // A cosignature says when; nobody may change that.
        let (text, line) = alone.split_once("\n\n").unwrap();
        let (name, encoded) = line.trim_end().rsplit_once(' ').unwrap();
        let mut bytes = hash::unbase64(encoded).unwrap();
        bytes[11] ^= 1;
        let changed = format!("{text}\n\n{name} {}\n", hash::base64(&bytes));
        let refused = NoteError::SignatureInvalid("example.com/log".into());
        assert_eq!(verify(&changed, &keys), Err(refused));
        let another = alone.replace("example.com/log\n7\n", "example.com/log\n8\n");
        assert!(verify(&another, &keys).is_err());
    }
}

#[test]
fn stored_keys_of_every_kind_sign_on() {
    for kind in KINDS {
        let signer = NoteSigner::generate_kind(kind, "example.com/log").unwrap();
        let again =
            NoteSigner::from_pkcs8_kind(kind, "example.com/log", &signer.to_pkcs8().unwrap()).unwrap();
        assert_eq!(again.verifier_key(), signer.verifier_key());
        assert!(verify(&again.sign(&head()).unwrap(), &[signer.verifier().unwrap()]).is_ok());
    }
    let ed25519 = NoteSigner::generate("a").unwrap().to_pkcs8().unwrap();
    let refused = NoteSigner::from_pkcs8_kind(SignatureKind::MlDsa44Cosignature, "a", &ed25519);
    assert_eq!(refused.err(), Some(NoteError::KeyRefused));
}

/// Verifier keys that others published: of transparency-dev's `formats`, and of a running witness.
#[test]
fn known_cosigners_are_read() {
    let key = verifier("remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2");
    assert_eq!((key.name(), key.kind()), ("remora.n621.de", SignatureKind::Ed25519Cosignature));
}

#[test]
fn only_checkpoints_are_cosigned() {
    for kind in [SignatureKind::Ed25519Cosignature, SignatureKind::MlDsa44Cosignature] {
        let signer = NoteSigner::generate_kind(kind, "example.com/witness").unwrap();
        for text in [TEXT, "log\n", "log\n1\n", "log\n01\nAAAA\n"] {
            assert_eq!(sign(text, [&signer], 1), Err(NoteError::NotCosignable), "{text:?}");
        }
        assert_eq!(sign(&head(), [&signer], u64::MAX), Err(NoteError::NotCosignable));
    }
    let long = "a".repeat(256);
    let signer = NoteSigner::generate_kind(SignatureKind::MlDsa44Cosignature, &long).unwrap();
    assert_eq!(sign(&head(), [&signer], 1), Err(NoteError::NotCosignable));
    let signer = NoteSigner::generate_kind(SignatureKind::MlDsa44Cosignature, "w").unwrap();
    let text = Checkpoint { origin: long, size: 1, root: [0; 32] }.text();
    assert_eq!(sign(&text, [&signer], 1), Err(NoteError::NotCosignable));
}

#[test]
fn signatures_are_added_once() {
    let one = NoteSigner::generate_kind(SignatureKind::Ed25519Cosignature, "one").unwrap();
    let note = peter().sign(&head()).unwrap();
    let line = one.line(&head(), 8).unwrap();
    let both = add(&note, &line).unwrap();
    assert_eq!(both, format!("{note}{line}"));
    assert_eq!(add(&both, &line).unwrap(), both);
    for more in ["x", "\n", "\u{2014} a b", "\u{2014} a AAAAAAA=", "text\n\n\u{2014} a AAAAAAA=\n"] {
        assert_eq!(add(&note, more), Err(NoteError::Malformed), "{more:?}");
    }
}

#[test]
fn the_known_note_is_signed_and_verified() {
    let note = format!("{TEXT}\n{SIGNATURE}");
    assert_eq!(peter().verifier_key(), KEY);
    assert_eq!(peter().sign(TEXT).unwrap(), note);
    assert_eq!(verify(&note, &[verifier(KEY)]).unwrap().0, TEXT);
    assert_eq!(names(&note, &[verifier(KEY)]), ["PeterNeumann"]);
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
    assert_eq!(names(&both, std::slice::from_ref(&peter_key)), ["PeterNeumann"]);
    let other_key = verifier(&other.verifier_key());
    assert_eq!(verify(&both, &[peter_key.clone(), other_key.clone()]).unwrap().1.len(), 2);
    let wrong = format!("{TEXT}\n{SIGNATURE}{}", line(&other, "another text\n"));
    assert_eq!(names(&wrong, std::slice::from_ref(&peter_key)), ["PeterNeumann"]);
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
    assert_eq!(names(&many(16), &[verifier(KEY)]), ["PeterNeumann"]);
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
