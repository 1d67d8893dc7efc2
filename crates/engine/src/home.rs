//! The data directory: what a bridge keeps, and how it is opened. Nothing here knows a manifest or an exchange.

use crate::log_keys::{LogKeys, LogKeysError};
use ironbridge_audit::{Anchor, Fault, Mark, Options, Trail, TrailKey};
use ironbridge_controls::idempotency;
use ironbridge_core::{Clock, SecretName, SystemClock, Timestamp};
use ironbridge_identity::api_key::{KeyKind, KeyRing};
use ironbridge_identity::authority::CertificateAuthority;
use ironbridge_privacy::Owners;
use ironbridge_seal::envelope::{KeyFile, KeyFileError, Keys};
use ironbridge_seal::hash::{self, MacKey};
use ironbridge_seal::note::{NoteSigner, SignatureKind};
use ironbridge_seal::random;
use ironbridge_secrets::{SealedStore, Secrets};
use ironbridge_store::{
    Actor, Credentials, Outbox, OwnerKeys, SealedItems, Sealer, SealerError, SqliteStore, Store, StoreError,
};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// A bridge's data directory: its keys, its store, its audit trail. The commands and the running bridge open the
/// same one, side by side.
///
/// | path | holds |
/// |---|---|
/// | `keys` | the key-encryption keys; whoever has it can open the rest |
/// | `store.sqlite` | issued credentials (hashes), sealed secrets and keys, idempotency keys |
/// | `audit/` | the transparency log |
/// | `audit-head` | what is remembered of the log outside of it |
pub struct Home {
    dir: PathBuf,
    /// By which what is done here is dated.
    pub clock: Arc<dyn Clock>,
    /// What everything in the store is sealed under.
    pub keys: Arc<Keys>,
    /// What must last, but for the audit trail.
    pub store: Arc<dyn Store>,
}

/// Why a data directory cannot be used. All are for whoever runs the bridge to mend.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "fields that their variant explains")]
pub enum HomeError {
    /// Permissions, or no space.
    #[error("cannot make the data directory {path}: {reason}")]
    Directory { path: PathBuf, reason: std::io::Error },
    /// Without them the store is unreadable; fresh ones would hide that.
    #[error(
        "the data directory {0} has a store but no key file: what is sealed in it cannot be opened. Bring back `keys` from your backup"
    )]
    KeysLost(PathBuf),
    /// A fresh one would be empty, and revoke nothing that was revoked.
    #[error(
        "the data directory {} has {beside} but no store: credentials, secrets and owners' keys are lost with it, if it ever held any. Bring back `store.sqlite` from your backup; to begin anew, give the bridge another data directory", .dir.display()
    )]
    StoreLost { dir: PathBuf, beside: &'static str },
    /// The key file is unreadable, or readable by others.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// The store cannot be opened, read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Somebody set it back or exchanged it.
    #[error("the store is not the one that was left: {0}")]
    NotAsLeft(Fault),
    /// Something that is kept in the store cannot be opened.
    #[error("{0}")]
    Kept(String),
}

/// Where the log's signing key is sealed.
const LOG_NAMESPACE: &str = "audit";
const LOG_KEY: &str = "log-key";
const WITNESS_NAMESPACE: &str = "witness";
const LOG_CONTEXT: &[u8] = b"audit/log-key";
/// Where the key is sealed that authenticates journal and detail.
const TRAIL_KEY: &str = "trail-key";
const TRAIL_CONTEXT: &[u8] = b"audit/trail-key";
/// How far the trail was when the store last took note.
const TRAIL_MARK: &str = "audit/trail";
const TRAIL_MARK_CONTEXT: &[u8] = b"mark/audit/trail";
/// Where the key of idempotency fingerprints is sealed.
const REPLAY_NAMESPACE: &str = "replay";
const FINGERPRINT_KEY: &str = "fingerprint-key";
const FINGERPRINT_CONTEXT: &[u8] = b"replay/fingerprint-key";
const STORE: &str = "store.sqlite";
const KEYS: &str = "keys";
/// The same, until the store holds something.
const FIRST_KEYS: &str = "keys.new";
/// Beside the audit directory, not in it.
pub(crate) const TRAIL_HEAD: &str = "audit-head";

impl Home {
    /// Opens the data directory, and makes it, with fresh keys, where there is none. `actor` is who acts: what it
    /// changes is recorded under that name.
    ///
    /// # Errors
    /// It cannot be made or opened, or a part of it is lost.
    pub fn open(dir: &Path, actor: Actor) -> Result<Home, HomeError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|reason| HomeError::Directory { path: dir.to_owned(), reason })?;
        let is_new = refuse_lost_store(dir)?;
        let keys = Arc::new(match KeyFile::open(&dir.join(KEYS)) {
            Err(KeyFileError::Missing(_)) if is_new || is_there(&dir.join(FIRST_KEYS)) => first_keys(dir)?,
            Err(KeyFileError::Missing(_)) => return Err(HomeError::KeysLost(dir.to_owned())),
            opened => opened?,
        });
        let clock = Arc::new(SystemClock::default()) as Arc<dyn Clock>;
        let sealer = Arc::new(Sealing(Arc::clone(&keys)));
        let store = SqliteStore::open(&dir.join(STORE), sealer, Arc::clone(&clock), actor)?;
        settle_keys(dir)?;
        Ok(Home { dir: dir.to_owned(), clock, keys, store: Arc::new(store) })
    }

    /// Whether there is something in a data directory that a store belongs to, or the store.
    pub fn is_begun(dir: &Path) -> bool {
        [STORE, KEYS, TRAIL_HEAD].iter().any(|name| is_there(&dir.join(name)))
    }

    /// To look at it only: nothing on the disk changes. `None` where there is no store yet.
    ///
    /// # Errors
    /// As [`Home::open`].
    pub fn open_to_read(dir: &Path) -> Result<Option<Home>, HomeError> {
        if refuse_lost_store(dir)? {
            return Ok(None);
        }
        let keys = match KeyFile::open(&dir.join(KEYS)) {
            // Somebody is about to use it for the first time.
            Err(KeyFileError::Missing(_)) if is_there(&dir.join(FIRST_KEYS)) => return Ok(None),
            Err(KeyFileError::Missing(_)) => return Err(HomeError::KeysLost(dir.to_owned())),
            opened => Arc::new(opened?),
        };
        let clock = Arc::new(SystemClock::default()) as Arc<dyn Clock>;
        let sealer = Arc::new(Sealing(Arc::clone(&keys)));
        let store = SqliteStore::open_to_read(&dir.join(STORE), sealer, Arc::clone(&clock))?;
        Ok(Some(Home { dir: dir.to_owned(), clock, keys, store: Arc::new(store) }))
    }

    /// The data directory itself.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the audit trail lies in it.
    pub fn audit_dir(&self) -> PathBuf {
        audit_dir(&self.dir)
    }

    /// Secrets and keys, as they are sealed.
    pub fn items(&self) -> Arc<dyn SealedItems> {
        Arc::clone(&self.store) as Arc<dyn SealedItems>
    }

    /// The secret stores of this bridge. Here they are opened; nobody else knows which there are.
    pub fn secrets(&self) -> Secrets {
        let sealed = SealedStore::new(self.items(), Arc::clone(&self.keys), Arc::clone(&self.clock));
        Secrets::new([(SecretName::SEALED.to_owned(), Arc::new(sealed) as _)])
    }

    /// Issued credentials of one kind, as they stand in the store now.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn key_ring(&self, kind: KeyKind) -> Result<KeyRing, HomeError> {
        let ring = KeyRing::new(kind, Arc::clone(&self.store) as Arc<dyn Credentials>);
        ring.reload().await?;
        Ok(ring)
    }

    /// The internal CA of the bridge of this name, made at first use.
    ///
    /// # Errors
    /// The store cannot be read or written, or what it holds is no CA.
    pub async fn authority(&self, bridge: &str) -> Result<CertificateAuthority, HomeError> {
        let (items, keys, clock) = (self.items(), Arc::clone(&self.keys), Arc::clone(&self.clock));
        CertificateAuthority::load_or_create(items, keys, bridge, clock).await.map_err(kept)
    }

    /// Whose detail the audit trail seals, and under which key.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub async fn owners(&self) -> Result<Owners, HomeError> {
        let store = Arc::clone(&self.store) as Arc<dyn OwnerKeys>;
        Ok(Owners::open(store, self.items(), &self.keys, &*self.clock).await?)
    }

    /// The key of what requests with an Idempotency-Key are remembered by, made at first use. What older versions
    /// remembered without one is put under it.
    pub(crate) async fn fingerprint_key(&self) -> Result<Arc<MacKey>, HomeError> {
        let item = match self.store.get(REPLAY_NAMESPACE, FINGERPRINT_KEY).await? {
            Some(item) => item,
            None => {
                let fresh = Zeroizing::new(random::bytes::<32>());
                let sealed = self.keys.seal(fresh.as_slice(), FINGERPRINT_CONTEXT).map_err(kept)?;
                self.store.put_first(REPLAY_NAMESPACE, FINGERPRINT_KEY, sealed, self.clock.now()).await?
            }
        };
        let key = Arc::new(MacKey::new(&self.keys.open(&item.sealed, FINGERPRINT_CONTEXT).map_err(kept)?));
        let under = Arc::clone(&key);
        self.store.key_fingerprints(Box::new(move |plain| idempotency::keyed(&under, plain))).await?;
        Ok(key)
    }

    /// What waits to be recorded.
    pub fn outbox(&self) -> Arc<dyn Outbox> {
        Arc::clone(&self.store) as Arc<dyn Outbox>
    }

    /// The keys of the audit trail, made at first use. `origin` is the log's: the bridge's name.
    pub async fn log_keys(&self, origin: &str) -> Result<LogKeys, HomeError> {
        Ok(self.kept_log_keys(origin).await?.0)
    }

    /// New keys for the audit trail; the old ones sign along for the overlap. A running bridge follows at once.
    pub async fn rotate_log_keys(&self, origin: &str, overlap: Duration) -> Result<LogKeys, HomeError> {
        self.change_log_keys(origin, |keys, now| keys.rotate(origin, now, overlap).map(|()| true)).await
    }

    /// Forgets the private halves of keys whose overlap is over.
    pub(crate) async fn retire_log_keys(&self, origin: &str) -> Result<LogKeys, HomeError> {
        self.change_log_keys(origin, |keys, now| Ok(keys.retire(now))).await
    }

    /// Changes the keys, whoever else does so at the same time; nothing is kept of those before. `change` says
    /// whether it did.
    async fn change_log_keys(
        &self,
        origin: &str,
        change: impl Fn(&mut LogKeys, Timestamp) -> Result<bool, LogKeysError>,
    ) -> Result<LogKeys, HomeError> {
        loop {
            let (mut keys, version) = self.kept_log_keys(origin).await?;
            let now = self.clock.now();
            if !change(&mut keys, now).map_err(kept)? {
                return Ok(keys);
            }
            let sealed = self.seal_log_keys(&keys)?;
            if self.store.put_over(LOG_NAMESPACE, LOG_KEY, sealed, now, version).await?.is_some() {
                return Ok(keys);
            }
        }
    }

    /// With the version of what is kept.
    async fn kept_log_keys(&self, origin: &str) -> Result<(LogKeys, u64), HomeError> {
        let item = match self.store.get(LOG_NAMESPACE, LOG_KEY).await? {
            Some(item) => item,
            None => {
                let fresh = LogKeys::generate(origin, self.clock.now()).map_err(kept)?;
                let sealed = self.seal_log_keys(&fresh)?;
                self.store.put_first(LOG_NAMESPACE, LOG_KEY, sealed, self.clock.now()).await?
            }
        };
        let opened = self.keys.open(&item.sealed, LOG_CONTEXT).map_err(kept)?;
        Ok((LogKeys::read(origin, &opened, item.created).map_err(kept)?, item.version))
    }

    /// How the audit trail is opened for writing. Whoever has opened it says so with [`Home::trail_begun`].
    pub async fn trail_options(&self, origin: &str) -> Result<Options, HomeError> {
        let signers = self.log_keys(origin).await?.signers(origin, self.clock.now()).map_err(kept)?;
        let callers = self.owners().await?.callers().await?;
        self.make_trail_key().await?;
        let anchor = self.trail_anchor().await?;
        let anchor = anchor.ok_or_else(|| kept("the audit trail's key was removed"))?;
        // What it should be instead, or why it cannot be read, opening the trail says.
        let known = anchor.remembered().ok().flatten().map(|remembered| remembered.store);
        let store = self.store_seen(known.unwrap_or_default()).await?;
        Ok(Options { store, ..Options::new(self.audit_dir(), origin, signers, callers, anchor) })
    }

    async fn make_trail_key(&self) -> Result<(), HomeError> {
        if self.kept_trail_key().await?.is_none() {
            let fresh = Zeroizing::new(random::bytes());
            let sealed = self.seal_trail_key(&fresh, false)?;
            self.store.put_first(LOG_NAMESPACE, TRAIL_KEY, sealed, self.clock.now()).await?;
        }
        Ok(())
    }

    /// What proves what the bridge wrote of the trail; `None` where no bridge of this version has run yet.
    pub async fn trail_anchor(&self) -> Result<Option<Anchor>, HomeError> {
        let Some((key, begun, _)) = self.kept_trail_key().await? else { return Ok(None) };
        let mark = match self.store.kept_mark(TRAIL_MARK).await? {
            Some(sealed) => {
                let opened = self.keys.open(&sealed, TRAIL_MARK_CONTEXT).map_err(kept)?;
                Some(Mark::parse(&opened).ok_or_else(|| kept("the audit trail's mark cannot be read"))?)
            }
            None => None,
        };
        Ok(Some(Anchor { key: TrailKey::new(&key), head: self.dir.join(TRAIL_HEAD), begun, mark }))
    }

    /// Keeps how far the trail is: an older copy of what is remembered of it is refused from now on.
    pub async fn mark_trail(&self, trail: &Trail) -> Result<(), HomeError> {
        let Some(mark) = trail.mark() else { return Ok(()) };
        let sealed = self.keys.seal(&mark.bytes(), TRAIL_MARK_CONTEXT).map_err(kept)?;
        Ok(self.store.keep_mark(TRAIL_MARK, sealed).await?)
    }

    /// From now on a trail without what is remembered of it is refused.
    pub async fn trail_begun(&self) -> Result<(), HomeError> {
        if let Some((key, false, version)) = self.kept_trail_key().await? {
            let sealed = self.seal_trail_key(&key, true)?;
            self.store.put_over(LOG_NAMESPACE, TRAIL_KEY, sealed, self.clock.now(), version).await?;
        }
        Ok(())
    }

    /// The key, whether it was in use, and the version of the item.
    async fn kept_trail_key(&self) -> Result<Option<(Zeroizing<[u8; TrailKey::LEN]>, bool, u64)>, HomeError> {
        let Some(item) = self.store.get(LOG_NAMESPACE, TRAIL_KEY).await? else { return Ok(None) };
        let opened = self.keys.open(&item.sealed, TRAIL_CONTEXT).map_err(kept)?;
        match opened.split_last_chunk::<1>() {
            Some((key, [begun])) if key.len() == TrailKey::LEN => {
                let mut whole = Zeroizing::new([0; TrailKey::LEN]);
                whole.copy_from_slice(key);
                Ok(Some((whole, *begun != 0, item.version)))
            }
            _ => Err(kept("the audit trail's key has another length")),
        }
    }

    /// The key, and whether it is in use.
    fn seal_trail_key(&self, key: &[u8; TrailKey::LEN], begun: bool) -> Result<Vec<u8>, HomeError> {
        let plain = Zeroizing::new([key.as_slice(), &[u8::from(begun)]].concat());
        self.keys.seal(&plain, TRAIL_CONTEXT).map_err(kept)
    }

    /// The keys that this bridge cosigns other logs' checkpoints with, made at first use: Ed25519 and ML-DSA-44.
    pub async fn witness_signers(&self, bridge: &str) -> Result<Vec<NoteSigner>, HomeError> {
        let name = format!("{bridge}/witness");
        let kinds = [
            (SignatureKind::Ed25519Cosignature, "ed25519"),
            (SignatureKind::MlDsa44Cosignature, "ml-dsa-44"),
        ];
        let mut signers = Vec::new();
        for (kind, item) in kinds {
            let context = format!("{WITNESS_NAMESPACE}/{item}");
            let stored = match self.store.get(WITNESS_NAMESPACE, item).await? {
                Some(stored) => stored,
                None => {
                    let fresh = NoteSigner::generate_kind(kind, &name).and_then(|signer| signer.to_pkcs8());
                    let sealed = self.keys.seal(&fresh.map_err(kept)?, context.as_bytes()).map_err(kept)?;
                    self.store.put_first(WITNESS_NAMESPACE, item, sealed, self.clock.now()).await?
                }
            };
            let pkcs8 = self.keys.open(&stored.sealed, context.as_bytes()).map_err(kept)?;
            signers.push(NoteSigner::from_pkcs8_kind(kind, &name, &pkcs8).map_err(kept)?);
        }
        Ok(signers)
    }

    fn seal_log_keys(&self, keys: &LogKeys) -> Result<Vec<u8>, HomeError> {
        self.keys.seal(&keys.write().map_err(kept)?, LOG_CONTEXT).map_err(kept)
    }
}

/// Whether there is no store yet. One that was taken away, or emptied, must not be made anew in silence: what was revoked
/// or erased, and which requests were answered, would be forgotten with it. What belongs to a store is looked for before
/// the store: none of it comes to be before a store that holds something.
fn refuse_lost_store(dir: &Path) -> Result<bool, HomeError> {
    let trail = match fs::read_dir(audit_dir(dir)) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    };
    let beside = [
        (is_there(&dir.join(TRAIL_HEAD)), "what is remembered of an audit trail (`audit-head`)"),
        (trail, "an audit trail (`audit`)"),
        (is_there(&dir.join(KEYS)), "a key file (`keys`)"),
    ];
    match fs::metadata(dir.join(STORE)) {
        Ok(store) if store.len() > 0 => return Ok(false),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Ok(false),
        _ => {}
    }
    match beside.into_iter().find(|(is_there, _)| *is_there) {
        Some((_, beside)) => Err(HomeError::StoreLost { dir: dir.to_owned(), beside }),
        None => Ok(true),
    }
}

/// The keys of a data directory in its first use, which go by another name until the store holds something: so keys
/// without a store always mean that it was taken away. Several may begin at once, or one after another that was killed.
fn first_keys(dir: &Path) -> Result<Keys, KeyFileError> {
    let (settled, first) = (dir.join(KEYS), dir.join(FIRST_KEYS));
    let keys = match KeyFile::create(&first) {
        Err(KeyFileError::Exists(_)) => KeyFile::open(&first),
        made => made,
    };
    // Whoever was faster has settled, maybe with others.
    match KeyFile::open(&settled) {
        Err(KeyFileError::Missing(_)) => keys,
        opened => opened,
    }
}

fn settle_keys(dir: &Path) -> Result<(), HomeError> {
    let (settled, first) = (dir.join(KEYS), dir.join(FIRST_KEYS));
    if !is_there(&first) {
        return Ok(());
    }
    // A link, unlike a rename, fails when the name is taken.
    let settle = || match fs::hard_link(&first, &settled) {
        Err(error) if !is_there(&settled) => Err(error),
        _ => File::open(dir)?.sync_all(),
    };
    settle().map_err(|reason| HomeError::Directory { path: settled.clone(), reason })?;
    // Others may have removed it.
    let _ = fs::remove_file(&first);
    Ok(())
}

/// Also where it cannot be told: then opening says why.
pub(crate) fn is_there(path: &Path) -> bool {
    path.symlink_metadata().map_or_else(|error| error.kind() != io::ErrorKind::NotFound, |_| true)
}

/// Where the audit trail of a data directory is; commands that only read need nothing else opened.
pub fn audit_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("audit")
}

fn kept(error: impl std::fmt::Display) -> HomeError {
    HomeError::Kept(error.to_string())
}

/// The store's view of the key file.
struct Sealing(Arc<Keys>);

impl Sealer for Sealing {
    fn seal(&self, plain: &[u8], context: &[u8]) -> Result<Vec<u8>, SealerError> {
        self.0.seal(plain, context).map_err(|error| SealerError(error.to_string()))
    }

    fn open(&self, sealed: &[u8], context: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealerError> {
        self.0.open(sealed, context).map_err(|error| SealerError(error.to_string()))
    }

    fn mac(&self, key: &[u8; 32], text: &[u8]) -> [u8; 32] {
        hash::hmac_sha256(key, &[text])
    }
}
