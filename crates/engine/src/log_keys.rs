//! The keys that sign the audit trail's checkpoints: an Ed25519 key, which every verifier knows, and an ML-DSA-44
//! key beside it, which outlasts quantum computers. They follow each other with overlap.

use ironbridge_audit::{Signers, SignersError};
use ironbridge_core::Timestamp;
use ironbridge_seal::hash::{base64, unbase64};
use ironbridge_seal::note::{NoteError, NoteSigner, NoteVerifier, SignatureKind};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use zeroize::Zeroizing;

/// The kinds that a log signs with, and their names in the stored form.
const KINDS: [(SignatureKind, &str); 2] =
    [(SignatureKind::Ed25519, "ed25519"), (SignatureKind::MlDsa44Cosignature, "ml-dsa-44")];

/// So many sign a checkpoint at most: a note has room for 64 signatures, and witnesses want some of them.
const MAX_IN_FORCE: usize = 16;

/// A log's keys, newest first. All bear the log's origin as their name.
#[derive(Serialize, Deserialize)]
pub struct LogKeys {
    keys: Vec<LogKey>,
}

/// One key: until it is retired it signs, later it only verifies.
#[derive(Serialize, Deserialize)]
pub struct LogKey {
    kind: String,
    /// What verifiers are configured with: `name+id+key`.
    pub verifier: String,
    /// In seconds since 1970.
    pub since: u64,
    /// When it stops signing, in seconds since 1970; `None` is the newest of its kind.
    pub until: Option<u64>,
    /// Base64 of PKCS#8, while it signs.
    private: Option<Zeroizing<String>>,
}

/// Why the audit trail's keys cannot be used or rotated.
#[derive(Debug, thiserror::Error)]
pub enum LogKeysError {
    /// What the store holds is not what was written.
    #[error("the audit trail's keys in the store cannot be read: {0}")]
    Unreadable(String),
    /// A key is none, or its name cannot stand in a signature.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// They cannot sign together.
    #[error(transparent)]
    Signers(#[from] SignersError),
    /// A checkpoint with more signatures would be refused by others.
    #[error("{0} keys sign along already; rotate again when the overlap of some has ended")]
    TooMany(usize),
}

impl LogKeys {
    /// The first keys of a log.
    pub fn generate(origin: &str, now: Timestamp) -> Result<LogKeys, LogKeysError> {
        let keys = KINDS.map(|(kind, name)| LogKey::of(&NoteSigner::generate_kind(kind, origin)?, name, now));
        Ok(LogKeys { keys: keys.into_iter().collect::<Result<_, _>>()? })
    }

    /// Reads the stored form. Before there was one, PKCS#8 of a single Ed25519 key was kept.
    pub fn read(origin: &str, stored: &[u8], created: Timestamp) -> Result<LogKeys, LogKeysError> {
        if stored.first() == Some(&b'{') {
            return serde_json::from_slice(stored)
                .map_err(|error| LogKeysError::Unreadable(error.to_string()));
        }
        let signer = NoteSigner::from_pkcs8(origin, stored)?;
        Ok(LogKeys { keys: vec![LogKey::of(&signer, "ed25519", created)?] })
    }

    /// The form to be stored, private halves included.
    pub fn write(&self) -> Result<Zeroizing<Vec<u8>>, LogKeysError> {
        let text = serde_json::to_vec(self).map_err(|error| LogKeysError::Unreadable(error.to_string()))?;
        Ok(Zeroizing::new(text))
    }

    /// New keys take over; those in force sign along for so long, so that whoever knows only them can follow.
    pub fn rotate(&mut self, origin: &str, now: Timestamp, overlap: Duration) -> Result<(), LogKeysError> {
        self.retire(now);
        let in_force = self.keys.iter().filter(|key| key.private.is_some()).count();
        if in_force + KINDS.len() > MAX_IN_FORCE && !overlap.is_zero() {
            return Err(LogKeysError::TooMany(in_force));
        }
        let until = now.plus(overlap).seconds();
        for key in self.keys.iter_mut().filter(|key| key.private.is_some()) {
            key.until = Some(key.until.map_or(until, |set| set.min(until)));
        }
        self.keys.splice(0..0, LogKeys::generate(origin, now)?.keys);
        self.retire(now);
        Ok(())
    }

    /// Forgets the private half of what no longer signs. Whether there was any.
    pub fn retire(&mut self, now: Timestamp) -> bool {
        let over = |key: &&mut LogKey| key.private.is_some() && key.is_over(now);
        self.keys.iter_mut().filter(over).map(|key| key.private = None).count() > 0
    }

    /// What signs checkpoints now, with the keys that once did.
    pub fn signers(&self, origin: &str, now: Timestamp) -> Result<Signers, LogKeysError> {
        let (mut in_force, mut earlier) = (Vec::new(), Vec::new());
        for key in &self.keys {
            match key.private.as_ref().filter(|_| !key.is_over(now)) {
                Some(private) => in_force.push(key.signer(origin, private)?),
                None => earlier.push(NoteVerifier::parse(&key.verifier)?),
            }
        }
        Ok(Signers::new(origin, in_force, earlier)?)
    }

    /// Newest first.
    pub fn keys(&self) -> &[LogKey] {
        &self.keys
    }
}

impl LogKey {
    fn of(signer: &NoteSigner, kind: &str, now: Timestamp) -> Result<LogKey, LogKeysError> {
        Ok(LogKey {
            kind: kind.to_owned(),
            verifier: signer.verifier_key(),
            since: now.seconds(),
            until: None,
            private: Some(Zeroizing::new(base64(&signer.to_pkcs8()?))),
        })
    }

    fn signer(&self, origin: &str, private: &str) -> Result<NoteSigner, LogKeysError> {
        let unreadable = || LogKeysError::Unreadable(format!("a key of kind `{}`", self.kind));
        let (kind, _) = KINDS.into_iter().find(|(_, name)| *name == self.kind).ok_or_else(unreadable)?;
        let pkcs8 = Zeroizing::new(unbase64(private).ok_or_else(unreadable)?);
        Ok(NoteSigner::from_pkcs8_kind(kind, origin, &pkcs8)?)
    }

    /// `ed25519` or `ml-dsa-44`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Whether it no longer signs.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now.seconds())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ironbridge_audit::Checkpoint;
    use ironbridge_seal::note::verify;

    const ORIGIN: &str = "example.com/bridge";

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn signed(keys: &LogKeys, now: u64) -> String {
        keys.signers(ORIGIN, at(now)).unwrap().sign(&Checkpoint::empty(ORIGIN), now).unwrap()
    }

    fn knows(key: &LogKey, note: &str) -> bool {
        verify(note, &[NoteVerifier::parse(&key.verifier).unwrap()]).is_ok()
    }

    #[test]
    fn old_keys_sign_along_and_then_only_verify() {
        let mut keys = LogKeys::generate(ORIGIN, at(100)).unwrap();
        keys.rotate(ORIGIN, at(1000), Duration::from_secs(500)).unwrap();
        assert_eq!(keys.keys().len(), 4);
        let during = signed(&keys, 1499);
        assert!(keys.keys().iter().all(|key| knows(key, &during)));
        let after = signed(&keys, 1500);
        let know: Vec<bool> = keys.keys().iter().map(|key| knows(key, &after)).collect();
        assert_eq!(know, [true, true, false, false]);
        let believed = keys.signers(ORIGIN, at(1500)).unwrap();
        assert!(verify(&during, believed.verifiers()).is_ok(), "what the old keys signed is still believed");

        let stored = keys.write().unwrap();
        assert!(keys.retire(at(1500)) && !keys.retire(at(1500)));
        assert!(keys.write().unwrap().len() < stored.len());
        let again = LogKeys::read(ORIGIN, &keys.write().unwrap(), at(0)).unwrap();
        assert_eq!(signed(&again, 1600).lines().count(), signed(&keys, 1600).lines().count());
    }

    #[test]
    fn checkpoints_do_not_fill_with_signatures() {
        let mut keys = LogKeys::generate(ORIGIN, at(0)).unwrap();
        let overlap = Duration::from_secs(100);
        for time in 1..8 {
            keys.rotate(ORIGIN, at(time), overlap).unwrap();
        }
        assert!(matches!(keys.rotate(ORIGIN, at(8), overlap), Err(LogKeysError::TooMany(16))));
        keys.rotate(ORIGIN, at(9), Duration::ZERO).unwrap();
        assert_eq!(signed(&keys, 9).lines().filter(|line| line.starts_with('\u{2014}')).count(), 2);
        keys.rotate(ORIGIN, at(10), overlap).unwrap();
    }

    #[test]
    fn the_first_version_kept_one_key() {
        let signer = NoteSigner::generate(ORIGIN).unwrap();
        let mut keys = LogKeys::read(ORIGIN, &signer.to_pkcs8().unwrap(), at(7)).unwrap();
        assert_eq!(keys.keys()[0].verifier, signer.verifier_key());
        keys.rotate(ORIGIN, at(1000), Duration::ZERO).unwrap();
        let note = signed(&keys, 1000);
        assert!(!knows(&keys.keys()[2], &note) && knows(&keys.keys()[1], &note));
    }
}
