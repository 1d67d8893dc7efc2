//! What administrators, commands and the bridge itself did, on its way into the audit trail.

use crate::lasting::Lasting;
use crate::services::Services;
use ironbridge_core::action::{Action, name};
use ironbridge_core::{Denial, Recorder};
use ironbridge_identity::authority::IssuedCertificate;
use ironbridge_manifest::Manifest;
use ironbridge_seal::hash;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// Actions taken from the outbox at once.
const BATCH: u32 = 256;
/// Between two tries when the trail or the store does not answer.
const RETRY: Duration = Duration::from_secs(1);

impl Services {
    /// An action of the bridge itself, done now.
    pub fn action(&self, name: impl Into<Cow<'static, str>>, object: impl Into<String>) -> Action {
        let now = self.clock.now();
        let id = self.action_ids.lock().next(now, &*self.entropy);
        Action { actor: "bridge".into(), ..Action::done(id, now, name, object) }
    }

    /// The bridge took a new certificate of its own, for a listener or toward a system.
    pub fn renewal(&self, role: &'static str, name: &str, certificate: &IssuedCertificate) -> Action {
        self.action(name::CERTIFICATE_RENEW, &*certificate.thumbprint).fact(role, name)
    }

    /// Records an action; when this returns, a power cut cannot take it back.
    pub async fn record(&self, action: &Action) -> Result<(), Box<Denial>> {
        let position = self.trail.act(action)?;
        self.trail.durable(position).await
    }

    /// As [`Services::record`], for what has happened whether it can be recorded or not. The trail says by itself
    /// when it cannot.
    pub async fn note(&self, action: Action) {
        self.taken(action).await;
    }

    /// The same; the action is with the trail when this returns, and on disk once its future ends.
    pub fn taken(&self, action: Action) -> impl Future<Output = ()> {
        let taken = self.trail.act(&action);
        async move {
            let written = match taken {
                Ok(position) => self.trail.durable(position).await,
                Err(denial) => Err(denial),
            };
            if let Err(denial) = written {
                tracing::error!(action = %action.name, %denial, "an action is not yet known to be on disk");
            }
        }
    }

    /// Records what waits in the outbox. An action whose record is on disk, but which could not be taken out, is
    /// recorded again under the same id.
    pub async fn drain_outbox(&self) -> Result<(), String> {
        let outbox = self.home.outbox();
        loop {
            let pending = outbox.pending(BATCH).await.map_err(|error| error.to_string())?;
            let mut last = None;
            // Also before actions have their records: a store that lacks what the trail tells of was set back.
            self.note_store().await?;
            if pending.is_empty() {
                return Ok(());
            }
            for action in &pending {
                // It never comes this way. Whoever can write the store must not be able to have the trail say that
                // records were dropped.
                if action.name == name::RETENTION {
                    tracing::error!(id = %action.id, "somebody put the record of a retention into the store");
                    continue;
                }
                last = Some(self.trail.act(action).map_err(|denial| denial.to_string())?);
            }
            if let Some(last) = last {
                self.trail.durable(last).await.map_err(|denial| denial.to_string())?;
            }
            let done = pending.iter().map(|action| action.id).collect();
            outbox.done(done).await.map_err(|error| error.to_string())?;
        }
    }
}

impl Services {
    /// The trail remembers how far the store came, where that is further than what was noted last. New owners' keys bring
    /// it further too, and leave no action.
    pub async fn note_store(&self) -> Result<(), String> {
        // One at a time: a mark that was read first must not come after one that was read later.
        let mut noted = self.store_noted.lock().await;
        // Not what lies there now: that may have been set back.
        let mark = self.home.store.newest_mark();
        if *noted != mark {
            self.trail.store_is_at(mark).map_err(|error| error.to_string())?;
            self.home.store.noted(mark).await.map_err(|error| error.to_string())?;
            *noted = mark;
        }
        Ok(())
    }
}

/// Records what commands did, within the store's notice.
pub async fn follow_outbox(services: Arc<Services>) {
    let (mut changes, mut lasting) = (services.home.store.changes(), Lasting::default());
    loop {
        changes.borrow_and_update();
        match services.drain_outbox().await {
            Ok(()) => {
                if lasting.works() {
                    tracing::info!("actions have their records again");
                }
                if changes.changed().await.is_err() {
                    return;
                }
            }
            Err(error) => {
                if lasting.fails(&error) {
                    tracing::error!(%error, "actions wait for their record");
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// What is said of a manifest: the SHA-256 of its files one after another, in the order of their paths.
pub fn manifest_facts(action: Action, manifest: &Manifest) -> Action {
    let texts: Vec<&[u8]> = manifest.sources.iter().map(|(_, text)| text.as_bytes()).collect();
    let digest = hash::hex(&hash::sha256_parts(&texts));
    let integrations = manifest.integrations.len().to_string();
    action.fact("manifest_sha256", digest).fact("integrations", integrations)
}
