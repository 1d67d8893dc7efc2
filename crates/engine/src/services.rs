//! What outlives a reload: stores, keys, the audit trail, counters, and connections that are still right.

use crate::actions::ActionIds;
use crate::material::{self, MaterialError};
use crate::standing::Standing;
use crate::{Home, HomeError};
use ironbridge_audit::Trail;
use ironbridge_audit::disk::RealDisk;
use ironbridge_audit::witness::FileState;
use ironbridge_controls::limit::LimitTable;
use ironbridge_core::memory::Memory;
use ironbridge_core::{Action, Clock, Entropy, Fetch, Recorder, Room, SecretName, StoreMark, Timestamp};
use ironbridge_http::OpenExchanges;
use ironbridge_http::credential::Injected;
use ironbridge_identity::api_key::{KeyKind, KeyRing};
use ironbridge_identity::authority::{CertificateAuthority, IssueError, IssuedCertificate, Validity};
use ironbridge_identity::certificate::CertificateVerifier;
use ironbridge_identity::issuer_keys::{IssuerKeys, KeySource};
use ironbridge_identity::signing_keys::SigningKeys;
use ironbridge_identity::target_token::{ClientAuthentication, ReadSecret, TargetClient, TargetTokens};
use ironbridge_identity::token_endpoint::TokenEndpoint;
use ironbridge_manifest::{self as manifest, Audit, Bridge, HttpTarget, Oauth2};
use ironbridge_net::address::Policy;
use ironbridge_net::fetch::GuardedClient;
use ironbridge_net::tls::{Identity, Roots};
use ironbridge_net::upstream::{self, Upstream};
use ironbridge_privacy::Owners;
use ironbridge_seal::hash::{self, MacKey};
use ironbridge_seal::random::SystemRandom;
use ironbridge_secrets::Secrets;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use zeroize::Zeroizing;

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
    pub action_ids: ActionIds,
    /// What the manifest in force says about the audit trail.
    audit: watch::Sender<Option<Audit>>,
    /// Held from its first use on: it belongs to one process.
    witness_state: Mutex<Option<Arc<FileState>>>,
    carried: Mutex<Carried>,
}

/// Things that a reload keeps when what they were made from has not changed, so that connections stay warm and
/// tokens stay cached. The key is the declaration's text with a digest of the files it names.
#[derive(Default)]
pub struct Carried {
    /// With the life of the bridge's own certificate, where the internal CA issued one for it.
    upstreams: HashMap<String, (Arc<Upstream>, Option<Validity>)>,
    tokens: HashMap<String, Arc<TargetTokens>>,
    /// By system, whatever is declared of it.
    injected: HashMap<String, Arc<Injected>>,
    issuers: HashMap<String, (Arc<IssuerKeys>, AbortHandle)>,
    /// The bridge's own certificates that the internal CA made for this snapshot, to be recorded once it is in force.
    pub renewed: Vec<Action>,
}

#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    #[error(transparent)]
    Home(#[from] HomeError),
    #[error("audit trail: {0}")]
    Audit(#[from] ironbridge_audit::AuditError),
    #[error("token endpoint: {0}")]
    Signing(String),
    #[error(transparent)]
    Material(#[from] MaterialError),
    #[error("system {system}: {reason}")]
    Target { system: String, reason: String },
    #[error("issuer {issuer}: {reason}")]
    Issuer { issuer: String, reason: String },
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
            action_ids: ActionIds::default(),
            audit: watch::Sender::default(),
            witness_state: Mutex::default(),
            carried: Mutex::default(),
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
        self.home.store.keep_at_most(bridge.limits.replay.0);
    }

    pub fn recorder(&self) -> Arc<dyn Recorder> {
        let (trail, store_fell) = (Arc::clone(&self.trail), Arc::clone(&self.store_fell));
        Arc::new(Standing { trail, store_fell })
    }

    /// Whether a certificate that the bridge shows to a target is due for renewal.
    pub fn renewal_due(&self, now: Timestamp) -> bool {
        self.carried
            .lock()
            .upstreams
            .values()
            .any(|(_, issued)| issued.is_some_and(|validity| validity.due(now)))
    }

    /// Connections to a target: the ones in use, if nothing about them changed and no certificate of theirs is due.
    pub async fn upstream(
        &self,
        system: &str,
        target: &HttpTarget,
        next: &mut Carried,
    ) -> Result<Arc<Upstream>, ServiceError> {
        let key = self.identity_key(system, target)?;
        let now = self.clock.now();
        let known = self.carried.lock().upstreams.get(&key).cloned();
        let known = known.filter(|(_, issued)| !issued.is_some_and(|validity| validity.due(now)));
        let (upstream, issued) = match known {
            Some(known) => known,
            None => self.connect(system, target, next).await?,
        };
        next.upstreams.insert(key, (Arc::clone(&upstream), issued));
        Ok(upstream)
    }

    async fn connect(
        &self,
        system: &str,
        target: &HttpTarget,
        next: &mut Carried,
    ) -> Result<(Arc<Upstream>, Option<Validity>), ServiceError> {
        let refused = |reason: String| ServiceError::Target { system: system.to_owned(), reason };
        let mut issued = None;
        let identity = match &target.certificate {
            None => None,
            Some(manifest::ClientCertificate::Files { chain, key }) => {
                Some(material::identity(chain, key, &self.home.secrets()).await?)
            }
            Some(manifest::ClientCertificate::Issued) => {
                let certificate = self.issue_toward(system).map_err(|error| refused(error.to_string()))?;
                let identity = material::issued(&certificate).map_err(|error| refused(error.to_string()))?;
                next.renewed.push(self.renewal("system", system, &certificate));
                issued = Some(certificate.validity);
                Some(identity)
            }
        };
        let roots = material::roots_or_system(target.ca.as_deref())?;
        let upstream =
            Upstream::new(settings(target, roots, identity)).map_err(|error| refused(error.to_string()))?;
        Ok((upstream, issued))
    }

    /// The bridge's own client certificate toward a system, from the internal CA.
    fn issue_toward(&self, system: &str) -> Result<IssuedCertificate, IssueError> {
        const LIFETIME: Duration = Duration::from_secs(90 * 24 * 3600);
        self.authority.issue_client(&format!("urn:ironbridge:toward:{system}"), LIFETIME)
    }

    /// What was presented to a system, whatever was declared of it.
    pub fn injected(&self, system: &str, next: &mut Carried) -> Arc<Injected> {
        let known = self.carried.lock().injected.get(system).cloned().unwrap_or_default();
        next.injected.insert(system.to_owned(), Arc::clone(&known));
        known
    }

    /// The token client toward a target's authorization server (RFC 6749 §4.4).
    pub fn target_tokens(
        &self,
        target: &HttpTarget,
        oauth2: &Oauth2,
        next: &mut Carried,
    ) -> Result<Arc<TargetTokens>, ServiceError> {
        let ca = oauth2.ca.as_deref().or(target.ca.as_deref());
        let key = format!("{oauth2:?} {}", digest(ca)?);
        let known = self.carried.lock().tokens.get(&key).cloned();
        let tokens = match known {
            Some(tokens) => tokens,
            None => {
                let client = TargetClient {
                    token_url: oauth2.token_url.text.to_string(),
                    client_id: oauth2.client_id.clone(),
                    secret: self.read_secret(oauth2.client_secret.clone()),
                    scopes: oauth2.scopes.clone(),
                    resource: oauth2.resource.clone(),
                    authentication: match oauth2.method {
                        manifest::ClientAuthentication::Basic => ClientAuthentication::SecretBasic,
                        manifest::ClientAuthentication::Post => ClientAuthentication::SecretPost,
                    },
                };
                TargetTokens::new(client, self.fetch(ca)?, Arc::clone(&self.clock))
            }
        };
        next.tokens.insert(key, Arc::clone(&tokens));
        Ok(tokens)
    }

    /// An external issuer's keys, fetched and kept fresh in the background.
    pub fn issuer_keys(
        &self,
        name: &str,
        issuer: &manifest::Issuer,
        next: &mut Carried,
    ) -> Result<Arc<IssuerKeys>, ServiceError> {
        let key = format!("{name} {issuer:?} {}", digest(issuer.ca.as_deref())?);
        let known = self.carried.lock().issuers.get(&key).cloned();
        let (keys, task) = match known {
            Some(known) => known,
            None => {
                let source = match &issuer.jwks_url {
                    Some(url) => KeySource::Jwks(url.text.to_string()),
                    None => KeySource::Discovery,
                };
                let fetch = self.fetch(issuer.ca.as_deref())?;
                let keys = IssuerKeys::remote(&issuer.issuer.text, source, fetch, Arc::clone(&self.clock));
                let task = tokio::spawn(Arc::clone(&keys).keep_fresh()).abort_handle();
                (keys, task)
            }
        };
        next.issuers.insert(key, (Arc::clone(&keys), task));
        Ok(keys)
    }

    /// The new snapshot is in use: what it does not need any more is let go.
    pub fn keep(&self, next: Carried) {
        let before = std::mem::replace(&mut *self.carried.lock(), next);
        let carried = self.carried.lock();
        for (key, (_, task)) in before.issuers {
            if !carried.issuers.contains_key(&key) {
                task.abort();
            }
        }
    }

    /// Gives up what a failed build started.
    pub fn discard(&self, next: Carried) {
        let carried = self.carried.lock();
        for (key, (_, task)) in next.issuers {
            if !carried.issuers.contains_key(&key) {
                task.abort();
            }
        }
    }

    /// Reads the secret anew each time, so that a rotated one is used.
    fn read_secret(&self, name: SecretName) -> ReadSecret {
        let secrets = Arc::clone(&self.secrets);
        Arc::new(move || {
            let (secrets, name) = (Arc::clone(&secrets), name.clone());
            Box::pin(async move {
                let secret = secrets.read(&name).await.map_err(|error| error.to_string())?;
                Ok(Zeroizing::new(secret.expose().to_vec()))
            })
        })
    }

    pub fn fetch(&self, ca: Option<&Path>) -> Result<Arc<dyn Fetch>, ServiceError> {
        let roots = material::roots_or_system(ca)?;
        let client = GuardedClient::new(&roots, Policy::Declared);
        let client = client.map_err(|reason| MaterialError::Unusable {
            path: ca.map(Path::to_owned).unwrap_or_default(),
            reason,
        })?;
        Ok(Arc::new(client))
    }

    /// Everything that makes a connection to a target what it is.
    fn identity_key(&self, system: &str, target: &HttpTarget) -> Result<String, ServiceError> {
        let certificate = match &target.certificate {
            Some(manifest::ClientCertificate::Files { chain, key }) => match key {
                manifest::KeySource::File(file) => digest(Some(chain))? + &digest(Some(file))?,
                manifest::KeySource::Secret(_) => digest(Some(chain))?,
            },
            _ => String::new(),
        };
        Ok(format!("{system} {target:?} {} {certificate}", digest(target.ca.as_deref())?))
    }
}

/// How connections to a target are made.
pub fn settings(target: &HttpTarget, roots: Roots, identity: Option<Identity>) -> upstream::Settings {
    let mut settings = upstream::Settings::new(&*target.url.text);
    (settings.roots, settings.identity) = (roots, identity);
    settings.server_name = target.server_name.clone();
    settings.protocol = match target.protocol {
        manifest::Protocol::Http1 => upstream::Protocol::Http1,
        manifest::Protocol::Http2 => upstream::Protocol::Http2,
        manifest::Protocol::Auto => upstream::Protocol::Auto,
    };
    settings.max_connections = usize::try_from(target.max_connections.value()).unwrap_or(usize::MAX);
    settings.connect_timeout = target.connect_timeout;
    settings.danger_plaintext = target.danger_plaintext.is_some();
    settings
}

fn digest(file: Option<&Path>) -> Result<String, MaterialError> {
    file.map_or(Ok(String::new()), |file| Ok(hash::hex(&hash::sha256(&material::read(file)?))))
}
