use crate::log_keys::LogKeys;
use ironbridge_core::{Clock, SystemClock};
use ironbridge_identity::api_key::{KeyKind, KeyRing};
use ironbridge_identity::authority::CertificateAuthority;
use ironbridge_privacy::Owners;
use ironbridge_seal::envelope::{KeyFile, KeyFileError, Keys};
use ironbridge_seal::note::{NoteSigner, SignatureKind};
use ironbridge_secrets::{SealedStore, Secrets};
use ironbridge_store::{
    Actor, Credentials, Outbox, OwnerKeys, SealedItems, Sealer, SealerError, SqliteStore, StoreError,
};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A bridge's data directory: its keys, its store, its audit trail. The commands and the running bridge open the
/// same one, side by side.
///
/// | path | holds |
/// |---|---|
/// | `keys` | the key-encryption keys; whoever has it can open the rest |
/// | `store.sqlite` | issued credentials (hashes), sealed secrets and keys, idempotency keys |
/// | `audit/` | the transparency log |
pub struct Home {
    dir: PathBuf,
    pub clock: Arc<dyn Clock>,
    pub keys: Arc<Keys>,
    pub store: Arc<SqliteStore>,
}

#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    #[error("cannot make the data directory {path}: {reason}")]
    Directory { path: PathBuf, reason: std::io::Error },
    #[error(
        "the data directory {0} has a store but no key file: what is sealed in it cannot be opened. Bring back `keys` from your backup"
    )]
    KeysLost(PathBuf),
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Kept(String),
}

/// Where the log's signing key is sealed.
const LOG_NAMESPACE: &str = "audit";
const LOG_KEY: &str = "log-key";
const WITNESS_NAMESPACE: &str = "witness";
const LOG_CONTEXT: &[u8] = b"audit/log-key";

impl Home {
    /// Opens the data directory, and makes it, with fresh keys, where there is none. `actor` is who acts: what it
    /// changes is recorded under that name.
    pub fn open(dir: &Path, actor: Actor) -> Result<Home, HomeError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|reason| HomeError::Directory { path: dir.to_owned(), reason })?;
        let (key_path, store_path) = (dir.join("keys"), dir.join("store.sqlite"));
        let keys = match KeyFile::open(&key_path) {
            Err(KeyFileError::Missing(_)) if store_path.exists() => {
                return Err(HomeError::KeysLost(dir.to_owned()));
            }
            Err(KeyFileError::Missing(_)) => KeyFile::create(&key_path)?,
            opened => opened?,
        };
        let (keys, clock) = (Arc::new(keys), Arc::new(SystemClock::default()) as Arc<dyn Clock>);
        let sealer = Arc::new(Sealing(Arc::clone(&keys)));
        let store = SqliteStore::open(&store_path, sealer, Arc::clone(&clock), actor)?;
        Ok(Home { dir: dir.to_owned(), clock, keys, store: Arc::new(store) })
    }

    /// The data directory itself.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn audit_dir(&self) -> PathBuf {
        audit_dir(&self.dir)
    }

    pub fn items(&self) -> Arc<dyn SealedItems> {
        Arc::clone(&self.store) as Arc<dyn SealedItems>
    }

    pub fn sealed_store(&self) -> SealedStore {
        SealedStore::new(self.items(), Arc::clone(&self.keys), Arc::clone(&self.clock))
    }

    pub fn secrets(&self) -> Secrets {
        Secrets::new([("sealed".to_owned(), Arc::new(self.sealed_store()) as _)])
    }

    /// Issued credentials of one kind, as they stand in the store now.
    pub async fn key_ring(&self, kind: KeyKind) -> Result<KeyRing, HomeError> {
        let ring = KeyRing::new(kind, Arc::clone(&self.store) as Arc<dyn Credentials>);
        ring.reload().await?;
        Ok(ring)
    }

    pub async fn authority(&self, bridge: &str) -> Result<CertificateAuthority, HomeError> {
        let (items, keys, clock) = (self.items(), Arc::clone(&self.keys), Arc::clone(&self.clock));
        CertificateAuthority::load_or_create(items, keys, bridge, clock).await.map_err(kept)
    }

    /// Whose detail the audit trail seals, and under which key.
    pub async fn owners(&self) -> Result<Owners, HomeError> {
        let store = Arc::clone(&self.store) as Arc<dyn OwnerKeys>;
        Ok(Owners::open(store, self.items(), &self.keys, &*self.clock).await?)
    }

    /// What waits to be recorded.
    pub fn outbox(&self) -> Arc<dyn Outbox> {
        Arc::clone(&self.store) as Arc<dyn Outbox>
    }

    /// The keys of the audit trail, made at first use. `origin` is the log's: the bridge's name.
    pub async fn log_keys(&self, origin: &str) -> Result<LogKeys, HomeError> {
        let item = match self.store.get(LOG_NAMESPACE, LOG_KEY).await? {
            Some(item) => item,
            None => {
                let fresh = LogKeys::generate(origin, self.clock.now()).map_err(kept)?;
                let sealed = self.seal_log_keys(&fresh)?;
                self.store.put_first(LOG_NAMESPACE, LOG_KEY, sealed, self.clock.now()).await?
            }
        };
        let opened = self.keys.open(&item.sealed, LOG_CONTEXT).map_err(kept)?;
        LogKeys::read(origin, &opened, item.created).map_err(kept)
    }

    /// New keys for the audit trail; the old ones sign along for the overlap. A running bridge follows at once.
    pub async fn rotate_log_keys(&self, origin: &str, overlap: Duration) -> Result<LogKeys, HomeError> {
        let mut keys = self.log_keys(origin).await?;
        keys.rotate(origin, self.clock.now(), overlap).map_err(kept)?;
        self.put_log_keys(&keys).await?;
        Ok(keys)
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

    /// Keeps changed keys, and nothing of those before: the private half of a retired key is gone.
    pub(crate) async fn put_log_keys(&self, keys: &LogKeys) -> Result<(), HomeError> {
        let sealed = self.seal_log_keys(keys)?;
        self.store.replace(LOG_NAMESPACE, LOG_KEY, sealed, self.clock.now()).await?;
        Ok(())
    }

    fn seal_log_keys(&self, keys: &LogKeys) -> Result<Vec<u8>, HomeError> {
        self.keys.seal(&keys.write().map_err(kept)?, LOG_CONTEXT).map_err(kept)
    }
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

    fn open(&self, sealed: &[u8], context: &[u8]) -> Result<Vec<u8>, SealerError> {
        self.0
            .open(sealed, context)
            .map(|plain| plain.to_vec())
            .map_err(|error| SealerError(error.to_string()))
    }
}
