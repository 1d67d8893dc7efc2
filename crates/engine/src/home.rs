use ironbridge_core::{Clock, SystemClock};
use ironbridge_identity::api_key::{KeyKind, KeyRing};
use ironbridge_identity::authority::CertificateAuthority;
use ironbridge_seal::envelope::{KeyFile, KeyFileError, Keys};
use ironbridge_seal::note::NoteSigner;
use ironbridge_secrets::{SealedStore, Secrets};
use ironbridge_store::{Actor, Credentials, SealedItems, Sealer, SealerError, SqliteStore, StoreError};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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

impl Home {
    /// Opens the data directory, and makes it, with fresh keys, where there is none.
    pub fn open(dir: &Path) -> Result<Home, HomeError> {
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
        let store = SqliteStore::open(&store_path, sealer, Arc::clone(&clock), Actor::new("bridge"))?;
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

    /// The public key that the audit trail is verified with; `bridge` is the log's origin.
    pub async fn audit_verifier_key(&self, bridge: &str) -> Result<String, HomeError> {
        Ok(self.log_signer(bridge).await?.verifier_key())
    }

    /// The audit trail's signing key, made at first use. `bridge` is the log's origin.
    pub(crate) async fn log_signer(&self, bridge: &str) -> Result<NoteSigner, HomeError> {
        let context = format!("{LOG_NAMESPACE}/{LOG_KEY}");
        if let Some(item) = self.store.get(LOG_NAMESPACE, LOG_KEY).await? {
            let pkcs8 = self.keys.open(&item.sealed, context.as_bytes()).map_err(kept)?;
            return NoteSigner::from_pkcs8(bridge, &pkcs8).map_err(kept);
        }
        let signer = NoteSigner::generate(bridge).map_err(kept)?;
        let pkcs8 = signer.to_pkcs8().map_err(kept)?;
        let sealed = self.keys.seal(&pkcs8, context.as_bytes()).map_err(kept)?;
        self.store.put(LOG_NAMESPACE, LOG_KEY, sealed, self.clock.now()).await?;
        Ok(signer)
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
