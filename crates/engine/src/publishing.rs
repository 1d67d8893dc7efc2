//! What the manifest says about the audit trail beyond this machine, kept running: mirrors, receivers, witnesses.

use crate::audit_dir;
use crate::material::{self, MaterialError};
use crate::services::{ServiceError, Services};
use ironbridge_audit::export;
use ironbridge_audit::{Log, Stored};
use ironbridge_core::action::name;
use ironbridge_core::{Fetch, SecretName, Sensitive, Timestamp};
use ironbridge_manifest::finding::{OTHER_NAME, TRAIL_BEHIND};
use ironbridge_manifest::{self as manifest, Audit, HttpReceiver, Observed, RecordFormat};
use ironbridge_net::address::Policy;
use ironbridge_net::session::Dialer;
use ironbridge_publish::{
    Bucket, Cosigner, Format, Forward, Framing, Kind, Mirror, Publisher, Settings, Sink, Snapshot, Target,
    adopt_cursors,
};
use ironbridge_seal::hash;
use ironbridge_seal::note::NoteVerifier;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// When something that publishing needs (a secret, a CA file) is not there.
const RETRY: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
enum PublishingError {
    #[error(transparent)]
    Service(#[from] ServiceError),
    #[error(transparent)]
    Material(#[from] MaterialError),
    #[error("bridge.audit.{place}: {reason}")]
    Declared { place: String, reason: String },
}

/// Publishes what is declared, and begins anew whenever the declaration, a secret in it, or the log's keys change.
pub async fn follow(services: Arc<Services>, mut declared: watch::Receiver<Option<Audit>>) {
    let mut changes = services.home.store.changes();
    let mut running: Option<(Vec<u8>, Publisher)> = None;
    loop {
        changes.borrow_and_update();
        let audit = declared.borrow_and_update().clone();
        let mut wait = Duration::MAX;
        if let Some(audit) = &audit {
            match services.publishing(audit).await {
                Ok(wanted) => {
                    let same = running.as_ref().is_some_and(|(identity, _)| *identity == wanted.identity);
                    if !same {
                        if let Some((_, old)) = running.take() {
                            old.stop().await;
                        }
                        let (clock, entropy) = (Arc::clone(&services.clock), Arc::clone(&services.entropy));
                        let log = services.trail.log();
                        let publisher = Publisher::start(log, wanted.keys, wanted.settings, clock, entropy);
                        running = Some((wanted.identity, publisher));
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "the audit trail is published as before, or not at all");
                    wait = RETRY;
                }
            }
        }
        tokio::select! {
            changed = declared.changed() => if changed.is_err() { return },
            changed = changes.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// How long a destination may be behind before that is a finding: a restart of it takes less.
const LATE: Duration = Duration::from_secs(300);

/// Where in the manifest a destination stands that is late, or contradicts the log, and what is known of it.
pub fn behind(bridge: &manifest::Bridge, now: Timestamp) -> Vec<Observed> {
    // What cannot be read says nothing; `audit status` tells why.
    let Ok(Some(snapshot)) = Snapshot::read(&audit_dir(&bridge.data_dir)) else { return Vec::new() };
    let audit = &bridge.audit;
    let told = snapshot.destinations.into_iter().filter_map(|lag| {
        let (key, declared) = match lag.kind {
            Kind::Mirror => ("mirrors", audit.mirrors.keys().any(|name| **name == *lag.name)),
            Kind::Forward => ("forward", audit.forward.keys().any(|name| **name == *lag.name)),
            Kind::Witness => ("witnesses", audit.witnesses.keys().any(|name| **name == *lag.name)),
        };
        let late = lag.behind_since.is_some_and(|since| now.since(since) > LATE);
        if !declared || !late {
            return None;
        }
        let records = lag.of.saturating_sub(lag.position);
        let why = lag.last_error.map_or_else(String::new, |error| format!(": {error}"));
        let message = format!("`{}` does not have the last {records} records{why}", lag.name);
        Some(Observed::new(&TRAIL_BEHIND, &["bridge", "audit", key, &lag.name], message))
    });
    told.collect()
}

/// Whether the trail in the data directory has another name than the bridge.
pub fn other_name(bridge: &manifest::Bridge) -> Option<Observed> {
    // What cannot be read says nothing; a start, and `audit verify`, tell why.
    let found = Log::open(audit_dir(&bridge.data_dir)).ok()?.checkpoint(None).ok()?.origin;
    if found == *bridge.name {
        return None;
    }
    let message =
        format!("the audit trail in `data_dir` is that of a bridge called `{}`", found.escape_debug());
    Some(Observed::new(&OTHER_NAME, &["bridge", "name"], message))
}

struct Wanted {
    settings: Settings,
    keys: Vec<NoteVerifier>,
    /// Changes when anything in it does; holds digests of secrets, not secrets.
    identity: Vec<u8>,
}

impl Services {
    async fn publishing(&self, audit: &Audit) -> Result<Wanted, PublishingError> {
        if !audit.forward.is_empty() {
            self.adopt_cursors().await.map_err(|reason| declared("forward", reason))?;
        }
        let keys = self.home.log_keys(&self.origin).await.map_err(ServiceError::from)?;
        let signers = keys.signers(&self.origin, self.clock.now());
        let keys = signers.map_err(|error| declared("", error))?.verifiers().to_vec();
        let texts: Vec<&str> = keys.iter().map(NoteVerifier::verifier_key).collect();
        let mut building = Building { services: self, identity: format!("{audit:?} {texts:?}").into_bytes() };
        let settings = building.settings(audit).await?;
        Ok(Wanted { settings, keys, identity: building.identity })
    }
}

/// Where it is kept that cursors without a seal are nobody's any more.
const CURSORS: (&str, &str) = ("forward", "cursors");

impl Services {
    /// Seals the cursors of an older version, once.
    async fn adopt_cursors(&self) -> Result<(), String> {
        let (namespace, item) = CURSORS;
        let store = &self.home.store;
        if store.get(namespace, item).await.map_err(|error| error.to_string())?.is_some() {
            return Ok(());
        }
        let (log, keys) = (self.trail.log(), Arc::clone(&self.home.keys));
        let adopted = tokio::task::spawn_blocking(move || adopt_cursors(&log, &keys)).await;
        let adopted = adopted.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        for (receiver, next) in adopted {
            let action = self.action(name::STORE_ADOPT, format!("forward/{receiver}"));
            self.note(action.fact("next", next.to_string())).await;
        }
        let context = format!("{namespace}/{item}");
        let mark = self.home.keys.seal(&[], context.as_bytes()).map_err(|error| error.to_string())?;
        let put = store.put_first(namespace, item, mark, self.clock.now()).await;
        put.map(drop).map_err(|error| error.to_string())
    }
}

struct Building<'s> {
    services: &'s Services,
    identity: Vec<u8>,
}

impl Building<'_> {
    async fn settings(&mut self, audit: &Audit) -> Result<Settings, PublishingError> {
        let mut settings = Settings::default();
        for (name, mirror) in &audit.mirrors {
            let target = match mirror {
                manifest::Mirror::Directory(directory) => Target::Directory(directory.to_path_buf()),
                manifest::Mirror::S3(bucket) => Target::S3(self.bucket(bucket).await?),
            };
            let interval = target.interval();
            settings.mirrors.push(Mirror { name: name.to_string(), target, interval });
        }
        for (name, forward) in &audit.forward {
            let (sink, format) = self.sink(name, forward).await?;
            let keys = Arc::clone(&self.services.home.keys);
            settings.forwards.push(Forward { name: name.to_string(), sink, format, keys });
        }
        for (name, witness) in &audit.witnesses {
            let key = NoteVerifier::parse(&witness.key);
            let key = key.map_err(|error| declared(&format!("witnesses.{name}.key"), error))?;
            settings.witnesses.push(Cosigner {
                name: name.to_string(),
                url: witness.url.text.to_string(),
                keys: vec![key],
                client: self.client(witness.ca.as_deref())?,
            });
        }
        Ok(settings)
    }

    async fn bucket(&mut self, declared: &manifest::S3Bucket) -> Result<Bucket, PublishingError> {
        Ok(Bucket {
            url: declared.url.text.to_string(),
            bucket: declared.bucket.to_string(),
            prefix: declared.prefix.as_ref().map(ToString::to_string).unwrap_or_default(),
            region: declared.region.to_string(),
            access_key_id: declared.access_key_id.to_string(),
            secret_access_key: self.secret(&declared.secret_access_key).await?,
            client: self.client(declared.ca.as_deref())?,
        })
    }

    async fn sink(
        &mut self,
        name: &str,
        declared_as: &manifest::Forward,
    ) -> Result<(Sink, Format), PublishingError> {
        Ok(match declared_as {
            manifest::Forward::Syslog { receiver, format } => {
                let (host, port) = (&receiver.address.host, receiver.address.port);
                let roots = self.roots(receiver.ca.as_deref())?;
                let dialer = Dialer::new(host, port, &roots, Policy::Declared)
                    .map_err(|error| declared(&format!("forward.{name}.syslog.address"), error))?;
                let hostname = self.services.origin.to_string();
                (Sink::Syslog { dialer, hostname }, written(*format))
            }
            manifest::Forward::Otlp(receiver) => {
                let (url, authorization, client) = self.receiver(receiver).await?;
                let instance = self.services.origin.to_string();
                (Sink::Otlp { url, instance, authorization, client }, written(RecordFormat::Json))
            }
            manifest::Forward::Https { receiver, format } => {
                let (url, authorization, client) = self.receiver(receiver).await?;
                let framing = match format {
                    RecordFormat::Ocsf => Framing::Array,
                    RecordFormat::Json | RecordFormat::Cef => Framing::Lines,
                };
                (Sink::Https { url, framing, authorization, client }, written(*format))
            }
        })
    }

    async fn receiver(
        &mut self,
        receiver: &HttpReceiver,
    ) -> Result<(String, Option<Sensitive>, Arc<dyn Fetch>), PublishingError> {
        let authorization = match &receiver.authorization {
            Some(secret) => Some(self.secret(secret).await?),
            None => None,
        };
        Ok((receiver.url.text.to_string(), authorization, self.client(receiver.ca.as_deref())?))
    }

    async fn secret(&mut self, reference: &SecretName) -> Result<Sensitive, PublishingError> {
        let read = self.services.secrets.read(reference).await;
        let secret = read.map_err(|error| declared(&reference.to_string(), error))?;
        self.identity.extend_from_slice(&hash::sha256(secret.expose()));
        Ok(Sensitive::new(secret.expose()))
    }

    fn client(&mut self, ca: Option<&Path>) -> Result<Arc<dyn Fetch>, PublishingError> {
        self.roots(ca)?;
        Ok(material::fetch(ca)?)
    }

    fn roots(&mut self, ca: Option<&Path>) -> Result<ironbridge_net::tls::Roots, PublishingError> {
        if let Some(path) = ca {
            self.identity.extend_from_slice(&hash::sha256(&material::read(path)?));
        }
        Ok(material::roots_or_system(ca)?)
    }
}

fn declared(place: &str, reason: impl ToString) -> PublishingError {
    PublishingError::Declared { place: place.to_owned(), reason: reason.to_string() }
}

/// Personal detail stays here: what is sent elsewhere can no longer be erased.
fn written(format: RecordFormat) -> Format {
    let format = match format {
        RecordFormat::Json => export::Format::Json,
        RecordFormat::Ocsf => export::Format::Ocsf,
        RecordFormat::Cef => export::Format::Cef,
    };
    Arc::new(move |stored: &Stored, out: &mut Vec<u8>| format.write(stored, &[], out))
}
