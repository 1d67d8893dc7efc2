//! Keys this bridge issues: API keys (`ibk_…`) and OAuth client secrets (`ibs_…`), which differ in use only.
//!
//! ```text
//! ibk_ 0Ab3…  (11) key id, public: what the store, commands and records name it by
//!      9xQ7…  (27) secret: 160 random bits
//!      1Kd0zz  (6) CRC-32 of everything before it, so that a mistyped key is told apart without a look-up
//! ```
//! As a pattern for secret scanners: `ib[ks]_[0-9A-Za-z]{44}`.
//!
//! Only the SHA-256 of the whole key is kept: at 160 random bits a slow hash would protect nothing further.

use crate::accounts::Directory;
use ahash::AHashMap;
use arc_swap::ArcSwap;
use ironbridge_core::{Code, Credential, CredentialKind, Denial, Principal, Timestamp, code};
use ironbridge_seal::{apikey, hash, random};
use ironbridge_store::{Credentials, IssuedCredential, IssuedKind, StoreError};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use zeroize::Zeroizing;

const PREFIX: usize = 4;
const ID: usize = 11;
const SECRET: usize = 27;
const CHECKSUM: usize = 6;
const LENGTH: usize = PREFIX + ID + SECRET + CHECKSUM;

/// Live keys of one kind that an account may hold, so that one can be replaced by the next without a gap.
pub const MAX_LIVE: usize = 2;

/// What a key of this bridge is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// A caller shows it with each request.
    ApiKey,
    /// Secret of an OAuth client whose client id is the account's name.
    ClientSecret,
}

impl KeyKind {
    /// Each of them.
    pub const ALL: [KeyKind; 2] = [KeyKind::ApiKey, KeyKind::ClientSecret];

    /// What its keys begin with: four characters.
    pub const fn prefix(self) -> &'static str {
        match self {
            KeyKind::ApiKey => "ibk_",
            KeyKind::ClientSecret => "ibs_",
        }
    }

    const fn issued(self) -> IssuedKind {
        match self {
            KeyKind::ApiKey => IssuedKind::ApiKey,
            KeyKind::ClientSecret => IssuedKind::ClientSecret,
        }
    }

    const fn credential(self) -> CredentialKind {
        match self {
            KeyKind::ApiKey => CredentialKind::ApiKey,
            KeyKind::ClientSecret => CredentialKind::OauthClient,
        }
    }
}

/// A key whose form and checksum are right; whether it was ever issued is another question.
#[derive(Clone, Copy)]
pub struct ApiKey<'a> {
    /// What its prefix says.
    pub kind: KeyKind,
    id: [u8; ID],
    whole: &'a [u8],
}

impl<'a> ApiKey<'a> {
    /// Refuses what cannot be a key, without a look-up.
    pub fn parse(bytes: &'a [u8]) -> Option<ApiKey<'a>> {
        if bytes.len() != LENGTH {
            return None;
        }
        let kind = match bytes.first_chunk::<PREFIX>()? {
            b"ibk_" => KeyKind::ApiKey,
            b"ibs_" => KeyKind::ClientSecret,
            _ => return None,
        };
        let (signed, checksum) = bytes.split_last_chunk::<CHECKSUM>()?;
        let (_, random) = signed.split_first_chunk::<PREFIX>()?;
        let checked = number(checksum)? == u64::from(apikey::crc32(signed));
        (checked && random.iter().all(u8::is_ascii_alphanumeric)).then_some(ApiKey {
            kind,
            id: *random.first_chunk()?,
            whole: bytes,
        })
    }

    /// The public part.
    pub fn id(&self) -> &str {
        std::str::from_utf8(&self.id).unwrap_or_default()
    }

    fn hash(&self) -> [u8; 32] {
        hash::sha256(self.whole)
    }
}

/// The base-62 number that the characters write.
fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |sum, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'A'..=b'Z' => digit - b'A' + 10,
            b'a'..=b'z' => digit - b'a' + 36,
            _ => return None,
        };
        Some(sum * 62 + u64::from(value))
    })
}

/// A fresh key: its id and its whole text.
fn generate(kind: KeyKind) -> (String, Zeroizing<String>) {
    let id = apikey::base62(&random::bytes::<8>());
    let secret = Zeroizing::new(apikey::base62(Zeroizing::new(random::bytes::<20>()).as_slice()));
    let mut key = Zeroizing::new(String::with_capacity(LENGTH));
    key.push_str(kind.prefix());
    key.push_str(&id);
    key.push_str(&secret);
    let checksum = apikey::base62(&apikey::crc32(key.as_bytes()).to_be_bytes());
    key.push_str(&checksum);
    (id, key)
}

/// A key at the one moment it exists in the clear.
#[derive(Debug)]
pub struct Issued {
    /// The public part.
    pub id: String,
    /// The whole of it.
    pub key: IssuedKey,
    /// From then on it opens nothing.
    pub expires: Timestamp,
}

/// Wiped from memory when dropped, never printed by accident.
pub struct IssuedKey(Zeroizing<String>);

impl IssuedKey {
    /// To be shown once.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for IssuedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[key]")
    }
}

/// Why a key is not issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// Names the older of the live keys.
    /// The account has as many live keys of the kind as it may have.
    #[error(
        "account `{account}` has {MAX_LIVE} live keys already; revoke one first, the older is `{oldest}`"
    )]
    TwoLive {
        /// Whose.
        account: String,
        /// The id of the one that was issued first.
        oldest: String,
    },
    /// The store could not keep it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Every issued key of one kind, in memory, so that verifying asks no database.
pub struct KeyRing {
    kind: KeyKind,
    store: Arc<dyn Credentials>,
    keys: ArcSwap<AHashMap<[u8; ID], Arc<Held>>>,
    /// One at a time: a list read before a revocation must not replace the one read after it.
    reloading: tokio::sync::Mutex<()>,
}

/// Why bytes are no live key of a ring. An API key is refused with a code for each; a client secret has one word for all of
/// them (RFC 6749 §5.2), and its own in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoKey {
    Malformed,
    Unknown,
    Revoked,
    Expired,
}

impl NoKey {
    pub(crate) fn code(self) -> &'static Code {
        match self {
            NoKey::Malformed => &code::API_KEY_MALFORMED,
            NoKey::Unknown => &code::API_KEY_UNKNOWN,
            NoKey::Revoked => &code::API_KEY_REVOKED,
            NoKey::Expired => &code::API_KEY_EXPIRED,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Held {
    hash: [u8; 32],
    pub account: Arc<str>,
    credential: Arc<Credential>,
    expires: Timestamp,
    revoked: bool,
    /// Seconds since the epoch; what was told to the store.
    used: AtomicU64,
    told: AtomicU64,
}

impl KeyRing {
    /// Empty until [`KeyRing::reload`].
    pub fn new(kind: KeyKind, store: Arc<dyn Credentials>) -> KeyRing {
        KeyRing { kind, store, keys: ArcSwap::default(), reloading: tokio::sync::Mutex::default() }
    }

    /// Who presents this key. Costs under a microsecond and allocates nothing unless it refuses.
    pub fn verify(
        &self,
        key: &[u8],
        directory: &Directory,
        now: Timestamp,
    ) -> Result<Principal, Box<Denial>> {
        let held = self.recognise(key, now).map_err(NoKey::code)?;
        let registration = directory.account(&held.account).filter(|registration| match self.kind {
            KeyKind::ApiKey => registration.api_key,
            KeyKind::ClientSecret => registration.oauth_client.is_some(),
        });
        let Some(registration) = registration else {
            let denial = Denial::new(&code::API_KEY_UNKNOWN);
            return Err(Box::new(denial.internal(format!(
                "key {} was issued to account `{}`, which the manifest does not let use such keys",
                held.credential.id, held.account
            ))));
        };
        held.note_use(now);
        Ok(Principal::verified(Arc::clone(&registration.account), Arc::clone(&held.credential), None))
    }

    /// The issued, live key of this ring's kind that the bytes are. Only who knows the whole key learns that it
    /// is expired or revoked.
    pub(crate) fn recognise(&self, key: &[u8], now: Timestamp) -> Result<Arc<Held>, NoKey> {
        let key = ApiKey::parse(key).filter(|key| key.kind == self.kind).ok_or(NoKey::Malformed)?;
        let keys = self.keys.load();
        let held = keys.get(&key.id).ok_or(NoKey::Unknown)?;
        if !hash::equal(&key.hash(), &held.hash) {
            return Err(NoKey::Unknown);
        }
        if held.revoked {
            return Err(NoKey::Revoked);
        }
        if held.expires <= now {
            return Err(NoKey::Expired);
        }
        Ok(Arc::clone(held))
    }

    /// Whether what was taken with the key of this id still holds: it is known and not revoked. An expired key takes
    /// nothing more, and what it took ends by its own time.
    pub(crate) fn stands(&self, id: &str) -> bool {
        let held = |id: [u8; ID]| self.keys.load().get(&id).is_some_and(|held| !held.revoked);
        id.as_bytes().try_into().is_ok_and(held)
    }

    /// Reads what is issued and revoked anew. The engine calls it at start and whenever the store's
    /// [`ironbridge_store::Changes`] tells of a change; a revocation holds from then on.
    pub async fn reload(&self) -> Result<(), StoreError> {
        let _turn = self.reloading.lock().await;
        let listed = self.store.issued(None).await?;
        let before = self.keys.load_full();
        let keys = listed.iter().filter(|listed| listed.kind == self.kind.issued()).filter_map(|listed| {
            let id: [u8; ID] = listed.id.as_bytes().try_into().ok()?;
            let held = match before.get(&id) {
                Some(known) if known.is(listed) => Arc::clone(known),
                known => {
                    let fresh = Held::new(self.kind, listed);
                    fresh.used.fetch_max(
                        known.map_or(0, |known| known.used.load(Ordering::Relaxed)),
                        Ordering::Relaxed,
                    );
                    Arc::new(fresh)
                }
            };
            Some((id, held))
        });
        self.keys.store(Arc::new(keys.collect()));
        Ok(())
    }

    /// Tells the store when keys were last used. To be called every half minute or so, and at shutdown; what
    /// could not be told is told next time.
    pub async fn flush_last_used(&self) -> Result<(), StoreError> {
        let keys = self.keys.load_full();
        let used: Vec<(Arc<Held>, u64)> =
            keys.values().filter_map(|held| Some((Arc::clone(held), held.untold()?))).collect();
        if used.is_empty() {
            return Ok(());
        }
        let report =
            used.iter().map(|(held, at)| (held.credential.id.to_string(), Timestamp::from_seconds(*at)));
        self.store.touch(report.collect()).await?;
        used.iter().for_each(|(held, at)| held.told.store(*at, Ordering::Relaxed));
        Ok(())
    }

    /// Issues a key; the returned value is the only place where it is readable.
    pub async fn issue(
        &self,
        account: &str,
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<Issued, IssueError> {
        let (id, key) = generate(self.kind);
        let expires = now.plus(lifetime);
        let credential = IssuedCredential {
            id: id.clone(),
            kind: self.kind.issued(),
            account: account.to_owned(),
            hash: hash::sha256(key.as_bytes()),
            created: now,
            expires,
            revoked: None,
            last_used: None,
        };
        self.store.insert(credential, MAX_LIVE).await.map_err(|error| match error {
            StoreError::TooManyLive { oldest, .. } => {
                IssueError::TwoLive { account: account.to_owned(), oldest }
            }
            other => IssueError::Store(other),
        })?;
        self.reload().await?;
        Ok(Issued { id, key: IssuedKey(key), expires })
    }

    /// All keys of this kind, or those of one account, oldest first; expired and revoked ones too.
    pub async fn list(&self, account: Option<&str>) -> Result<Vec<IssuedCredential>, StoreError> {
        let mut listed = self.store.issued(account).await?;
        listed.retain(|listed| listed.kind == self.kind.issued());
        Ok(listed)
    }

    /// Revokes at once in this process, and within the store's notice in every other. False when there is no
    /// such key or it was revoked before.
    pub async fn revoke(&self, id: &str, now: Timestamp) -> Result<bool, StoreError> {
        if !self.list(None).await?.iter().any(|listed| listed.id == id) {
            return Ok(false);
        }
        let revoked = self.store.revoke(id, now).await?;
        self.reload().await?;
        Ok(revoked)
    }
}

impl Held {
    fn new(kind: KeyKind, listed: &IssuedCredential) -> Held {
        let used = listed.last_used.map_or(0, Timestamp::seconds);
        Held {
            hash: listed.hash,
            account: listed.account.as_str().into(),
            credential: Arc::new(Credential {
                kind: kind.credential(),
                id: listed.id.as_str().into(),
                expires: Some(listed.expires),
            }),
            expires: listed.expires,
            revoked: listed.revoked.is_some(),
            used: AtomicU64::new(used),
            told: AtomicU64::new(used),
        }
    }

    /// The public part of the key.
    pub(crate) fn id(&self) -> &str {
        &self.credential.id
    }

    /// Whether the store still says the same, so that the entry with its last use can be kept.
    fn is(&self, listed: &IssuedCredential) -> bool {
        self.hash == listed.hash
            && *self.account == *listed.account
            && self.expires == listed.expires
            && self.revoked == listed.revoked.is_some()
    }

    /// Written once a second at most: cores that share a key should not fight for its cache line.
    pub(crate) fn note_use(&self, now: Timestamp) {
        if self.used.load(Ordering::Relaxed) < now.seconds() {
            self.used.store(now.seconds(), Ordering::Relaxed);
        }
    }

    fn untold(&self) -> Option<u64> {
        let used = self.used.load(Ordering::Relaxed);
        (used > self.told.load(Ordering::Relaxed)).then_some(used)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn generated_keys_read_back() {
        for kind in [KeyKind::ApiKey, KeyKind::ClientSecret] {
            let (id, key) = generate(kind);
            let read = ApiKey::parse(key.as_bytes()).unwrap();
            assert_eq!((read.kind, read.id(), key.len()), (kind, id.as_str(), LENGTH));
        }
    }

    #[test]
    fn a_known_key() {
        // Its checksum is zlib's CRC-32 of the 42 characters before it.
        let key = ApiKey::parse(b"ibk_0000000000A0123456789ABCDEFGHIJKLMNOPQ3D3qww").unwrap();
        assert_eq!((key.kind, key.id()), (KeyKind::ApiKey, "0000000000A"));
    }

    proptest! {
        #[test]
        fn any_one_changed_character_is_noticed(at in 0..LENGTH, to in "[0-9A-Za-z_]") {
            let (_, key) = generate(KeyKind::ApiKey);
            let mut changed = key.as_bytes().to_vec();
            changed[at] = to.as_bytes()[0];
            let same = changed == key.as_bytes();
            prop_assert_eq!(ApiKey::parse(&changed).is_some(), same);
        }

        #[test]
        fn any_two_swapped_characters_are_noticed(at in 0..LENGTH - 1) {
            let (_, key) = generate(KeyKind::ApiKey);
            let mut changed = key.as_bytes().to_vec();
            changed.swap(at, at + 1);
            let same = changed == key.as_bytes();
            prop_assert_eq!(ApiKey::parse(&changed).is_some(), same);
        }

        #[test]
        fn anything_else_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert!(ApiKey::parse(&bytes).is_none());
        }

        #[test]
        fn what_has_the_form_but_not_the_checksum_is_refused(text in "ib[ks]_[0-9A-Za-z]{44}") {
            prop_assert!(ApiKey::parse(text.as_bytes()).is_none());
        }
    }
}
