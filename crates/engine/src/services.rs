//! What outlives a reload: stores, keys, the audit trail, counters, and connections that are still right.

use crate::standing::Standing;
use crate::{Home, HomeError};
use ironbridge_audit::Trail;
use ironbridge_audit::disk::RealDisk;
use ironbridge_audit::witness::FileState;
use ironbridge_controls::limit::LimitTable;
use ironbridge_core::memory::Memory;
use ironbridge_core::{Clock, Entropy, IdSource, OpenExchanges, Recorder, Room, StoreMark};
use ironbridge_identity::api_key::{KeyKind, KeyRing};
use ironbridge_identity::authority::CertificateAuthority;
use ironbridge_identity::certificate::CertificateVerifier;
use ironbridge_identity::signing_keys::SigningKeys;
use ironbridge_identity::token_endpoint::TokenEndpoint;
use ironbridge_manifest::{Audit, Bridge};
use ironbridge_privacy::Owners;
use ironbridge_seal::hash::MacKey;
use ironbridge_seal::random::SystemRandom;
use ironbridge_secrets::Secrets;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tokio::sync::watch;

pub struct Services {
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub home: Home,
    pub trail: Arc<Trail>,
    /// The store is not the one that was left: no exchange is let in.
    pub store_fell: Arc<AtomicBool>,
    /// How far the trail knows that the store came.
    pub store_noted: tokio::sync::Mutex<StoreMark>,
    pub owners: Arc<Owners>,
    /// Of what requests with an Idempotency-Key are remembered by.
    pub fingerprint_key: Arc<MacKey>,
    pub limits: Arc<LimitTable>,
    /// Where exchanges hold and judge bodies.
    pub room: Arc<Room>,
    pub exchanges: Arc<OpenExchanges>,
    pub api_keys: Arc<KeyRing>,
    pub client_secrets: Arc<KeyRing>,
    pub signing: Arc<SigningKeys>,
    pub token_endpoint: Arc<TokenEndpoint>,
    pub authority: Arc<CertificateAuthority>,
    pub secrets: Arc<Secrets>,
    pub certificates: Arc<CertificateVerifier>,
    /// The audit trail's: the bridge's name.
    pub origin: Arc<str>,
    /// Of the bridge's own actions.
    pub action_ids: Mutex<IdSource>,
    /// What the manifest in force says about the audit trail.
    audit: watch::Sender<Option<Audit>>,
    /// Held from its first use on: it belongs to one process.
    witness_state: Mutex<Option<Arc<FileState>>>,
}

/// Why what lasts cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The data directory.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The audit trail, or that it is not as it was left.
    #[error("audit trail: {0}")]
    Audit(#[from] ironbridge_audit::AuditError),
    /// The keys that the token endpoint signs with.
    #[error("token endpoint: {0}")]
    Signing(String),
}

/// Certificates whose account is remembered.
const REMEMBERED_CERTIFICATES: usize = 10_000;
/// Counters of limits held at once; each takes about 50 bytes.
const LIMIT_COUNTERS: usize = 1 << 18;

impl Services {
    pub async fn open(home: Home, bridge: &Bridge) -> Result<Services, ServiceError> {
        let (clock, public_url) = (Arc::clone(&home.clock), bridge.origin());
        let owners = home.owners().await?;
        let fingerprint_key = home.fingerprint_key().await?;
        let trail = Arc::new(Trail::open(home.trail_options(&bridge.name).await?, Arc::clone(&clock))?);
        home.trail_begun().await?;
        home.mark_trail(&trail).await?;
        let api_keys = Arc::new(home.key_ring(KeyKind::ApiKey).await?);
        let client_secrets = Arc::new(home.key_ring(KeyKind::ClientSecret).await?);
        let signing =
            SigningKeys::load_or_create(home.items(), Arc::clone(&home.keys), &public_url, clock.now());
        let signing = Arc::new(signing.await.map_err(|error| ServiceError::Signing(error.to_string()))?);
        let token_endpoint =
            TokenEndpoint::new(&public_url, Arc::clone(&client_secrets), Arc::clone(&signing));
        Ok(Services {
            entropy: Arc::new(SystemRandom),
            trail,
            store_fell: Arc::default(),
            store_noted: tokio::sync::Mutex::default(),
            owners: Arc::new(owners),
            fingerprint_key,
            limits: Arc::new(LimitTable::new(LIMIT_COUNTERS)),
            room: Arc::new(Room::new(Memory::new(bridge.limits.memory.0))),
            exchanges: Arc::default(),
            api_keys,
            client_secrets,
            signing,
            token_endpoint: Arc::new(token_endpoint),
            authority: Arc::new(home.authority(&bridge.name).await?),
            secrets: Arc::new(home.secrets()),
            certificates: Arc::new(CertificateVerifier::new(REMEMBERED_CERTIFICATES)),
            origin: (&*bridge.name).into(),
            action_ids: Mutex::default(),
            audit: watch::Sender::default(),
            witness_state: Mutex::default(),
            clock,
            home,
        })
    }

    /// What the manifest in force says about the audit trail, and every later one.
    pub fn audit(&self) -> watch::Receiver<Option<Audit>> {
        self.audit.subscribe()
    }

    /// What the bridge remembers as a witness of other logs.
    pub fn witness_state(&self) -> std::io::Result<Arc<FileState>> {
        let mut held = self.witness_state.lock();
        if let Some(state) = &*held {
            return Ok(Arc::clone(state));
        }
        let state = Arc::new(FileState::open(Arc::new(RealDisk), &self.home.dir().join("witness"))?);
        Ok(Arc::clone(held.insert(state)))
    }

    /// What holds from now on of what a manifest says about the bridge itself.
    pub fn apply(&self, bridge: &Bridge) {
        self.audit.send_replace(Some(bridge.audit.clone()));
        self.room.memory.set_limit(bridge.limits.memory.0);
        let most = usize::try_from(bridge.limits.max_exchanges.value()).unwrap_or(usize::MAX);
        self.exchanges.set_limit(most);
        self.home.store.keep_at_most(bridge.limits.replay.0);
    }

    pub fn recorder(&self) -> Arc<dyn Recorder> {
        let (trail, store_fell) = (Arc::clone(&self.trail), Arc::clone(&self.store_fell));
        Arc::new(Standing { trail, store_fell })
    }
}
