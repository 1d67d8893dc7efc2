//! A bridge from its start to its stop, and its reloads. It knows transports by their trait alone.

use crate::actions::manifest_facts;
use crate::descriptors;
use crate::home::Home;
use crate::issuers::Issuers;
use crate::lapsed::Terms;
use crate::plan::Plan;
use crate::services::{ServiceError, Services};
use crate::tend;
use crate::transport::{Basis, BuildError, Egress, Egresses, Ingress, Preparing, Transport};
use crate::transports;
use ironbridge_audit::AuditError;
use ironbridge_core::action::{Action, name};
use ironbridge_core::{Outcome, SystemClock, Word, word};
use ironbridge_manifest::{Diagnostics, Manifest, Sections};
use ironbridge_net::cores::Cores;
use ironbridge_store::Actor;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use tokio::task::AbortHandle;

/// A running bridge.
pub struct Bridge {
    dir: PathBuf,
    /// Those of its transports, by which a manifest is read.
    sections: Sections,
    services: Arc<Services>,
    cores: Cores,
    /// Reloads are made one after the other.
    state: Arc<Mutex<State>>,
    tending: Vec<AbortHandle>,
}

struct State {
    /// The caller's sides.
    ingresses: Vec<Box<dyn Ingress>>,
    /// The target's sides.
    egresses: Egresses,
    issuers: Issuers,
    generation: u64,
    fixed: Fixed,
    drain: Duration,
    files: Vec<PathBuf>,
    /// Of what is in force.
    terms: Terms,
}

/// What only a restart can change.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fixed {
    name: String,
    public_url: String,
    data_dir: PathBuf,
    workers: usize,
}

/// Why a bridge does not start, or a reload changes nothing.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Everything that is wrong, at the line where it stands.
    #[error("the manifest has errors")]
    Manifest(Box<Diagnostics>),
    /// What lasts cannot be opened.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// What is declared cannot be put into force.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The system gives no more threads.
    #[error("cannot start the worker threads: {0}")]
    Threads(std::io::Error),
    /// It would run and serve nobody.
    #[error("the limit of open files leaves no room for connections")]
    Descriptors,
}

/// Why a reload changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The manifest cannot be put into force.
    #[error(transparent)]
    Start(#[from] StartError),
    /// It would have to be another bridge.
    #[error("{what} changed, and only a restart can change that")]
    NeedsRestart {
        /// The key that changed.
        what: &'static str,
    },
}

impl ReloadError {
    /// As the record of the reload says it.
    fn word(&self) -> &'static Word {
        match self {
            ReloadError::NeedsRestart { .. } => &word::NEEDS_RESTART,
            ReloadError::Start(StartError::Manifest(_)) => &word::MANIFEST_INVALID,
            ReloadError::Start(_) => &word::NOT_STARTED,
        }
    }
}

/// How a bridge ended.
#[derive(Debug)]
#[must_use]
pub struct Stopped {
    /// Connections that had to be cut.
    pub connections_cut: usize,
    /// Whether every record is on disk and under the last checkpoint.
    pub trail: Result<(), AuditError>,
}

/// What a reload did.
#[derive(Debug)]
pub struct Reloaded {
    /// Counts loads of the manifest since the start, which is the first.
    pub generation: u64,
    /// How many are declared now.
    pub integrations: usize,
    /// From the first file that was read until all was in force.
    pub took: Duration,
    /// Warnings and notes.
    pub findings: Diagnostics,
}

impl Bridge {
    /// Loads the manifest directory and starts what it declares. Must be called within a tokio runtime, which
    /// then does the upkeep; exchanges have threads of their own. Returns with it what the manifest is warned of.
    ///
    /// # Errors
    /// Why it does not start; then nothing runs.
    pub async fn start(dir: &Path) -> Result<(Bridge, Diagnostics), StartError> {
        Bridge::start_with(dir, Vec::new()).await
    }

    /// As [`Bridge::start`], with these transports besides those of the product, after which they come.
    ///
    /// # Errors
    /// As [`Bridge::start`].
    pub async fn start_with(
        dir: &Path,
        more: Vec<Arc<dyn Transport>>,
    ) -> Result<(Bridge, Diagnostics), StartError> {
        let transports: Vec<_> = transports::all().into_iter().chain(more).collect();
        let wrong = |found| StartError::Manifest(Box::new(found));
        let sections =
            transports.iter().fold(Sections::product(), |known, transport| transport.sections(known));
        let plan = Plan::load_with(dir, &SystemClock::default(), &sections).map_err(wrong)?;
        let fixed = Fixed::of(&plan.manifest);
        let data_dir = &plan.manifest.bridge.data_dir;
        if !Home::is_begun(data_dir) {
            tracing::warn!(
                data_dir = %data_dir.display(),
                "the data directory is new, and keys, secrets, CA and audit trail begin with it. Where this bridge ran \
                 before: is `data_dir` right, and is its disk mounted?"
            );
        }
        let home = Home::open(data_dir, Actor::new("bridge"));
        let home = home.map_err(ServiceError::from)?;
        let plan = plan.with_secrets(&home.secrets(), home.clock.now()).await.map_err(wrong)?;
        let manifest = &plan.manifest;
        descriptors::prepare(manifest);
        let services = Arc::new(Services::open(home, &manifest.bridge).await?);
        let workers = NonZeroUsize::new(fixed.workers).unwrap_or(NonZeroUsize::MIN);
        let cores = Cores::start(workers, "core").map_err(StartError::Threads)?;
        if !descriptors::suffice(manifest) {
            return Err(StartError::Descriptors);
        }
        let mut state = State {
            ingresses: transports.iter().map(|transport| transport.ingress()).collect(),
            egresses: Egresses::new(
                transports.iter().map(|transport| (transport.name(), transport.egress())),
            ),
            issuers: Issuers::default(),
            generation: 0,
            drain: manifest.bridge.timeouts.drain,
            files: manifest.files.clone(),
            terms: Terms::default(),
            fixed,
        };
        let renewed = replace(&mut state, &plan, &services, &cores.handle()).await?;
        let started = services.action(name::BRIDGE_START, &*services.origin);
        let started = started.fact("version", env!("CARGO_PKG_VERSION"));
        let started = [manifest_facts(started, manifest)].into_iter();
        note_in_force(&services, started.chain(renewed), &state).await;
        let state = Arc::new(Mutex::new(state));
        let tending = tend::start(&services);
        Ok((Bridge { dir: dir.to_owned(), sections, services, cores, state, tending }, plan.findings))
    }

    /// Loads the manifest again and replaces what is running. When anything is wrong, nothing changes.
    ///
    /// # Errors
    /// What is wrong. That it was is recorded too.
    pub async fn reload(&self) -> Result<Reloaded, ReloadError> {
        let mut state = self.state.lock().await;
        let reloaded = self.replace(&mut state).await;
        let action = self.services.action(name::BRIDGE_RELOAD, &*self.services.origin);
        let action = match &reloaded {
            Ok((_, manifest, _)) => manifest_facts(action, manifest),
            Err(error) => action.not_done(Outcome::Failed, error.word()),
        };
        let (reloaded, renewed) = match reloaded {
            Ok((reloaded, _, renewed)) => (Ok(reloaded), renewed),
            Err(error) => (Err(error), Vec::new()),
        };
        note_in_force(&self.services, [action].into_iter().chain(renewed), &state).await;
        reloaded
    }

    async fn replace(&self, state: &mut State) -> Result<(Reloaded, Manifest, Vec<Action>), ReloadError> {
        let started = Instant::now();
        let wrong = |found| StartError::Manifest(Box::new(found));
        // As the store has them now: what is in memory may be older than a command that has just ended.
        let (secrets, clock) = (self.services.home.secrets(), &self.services.clock);
        let plan = Plan::load_with(&self.dir, &**clock, &self.sections).map_err(wrong)?;
        state.fixed.check(&Fixed::of(&plan.manifest))?;
        let plan = plan.with_secrets(&secrets, clock.now()).await.map_err(wrong)?;
        if !state.terms.may_become(&plan.terms, clock.now()) {
            return Err(wrong(plan.findings).into());
        }
        let renewed = replace(state, &plan, &self.services, &self.cores.handle()).await?;
        state.drain = plan.manifest.bridge.timeouts.drain;
        state.files.clone_from(&plan.manifest.files);
        let reloaded = Reloaded {
            generation: state.generation,
            integrations: plan.manifest.integrations.len(),
            took: started.elapsed(),
            findings: plan.findings,
        };
        Ok((reloaded, plan.manifest, renewed))
    }

    /// Where it listens, by listener.
    pub async fn addresses(&self) -> Vec<(Arc<str>, SocketAddr)> {
        let state = self.state.lock().await;
        state.ingresses.iter().flat_map(|ingress| ingress.addresses()).collect()
    }

    /// The files that listeners' certificates come from, by listener; none for those of the internal CA.
    pub async fn chains(&self) -> BTreeMap<Arc<str>, PathBuf> {
        let state = self.state.lock().await;
        state.ingresses.iter().flat_map(|ingress| ingress.chains()).collect()
    }

    /// The files the manifest was read from, and those it names.
    pub async fn files(&self) -> Vec<PathBuf> {
        self.state.lock().await.files.clone()
    }

    /// Where it keeps its state.
    pub fn data_dir(&self) -> &Path {
        self.services.home.dir()
    }

    /// PEM of the internal CA, which callers trust.
    pub fn ca_pem(&self) -> &str {
        self.services.authority.root_pem()
    }

    /// Whether a certificate is due for renewal, of a listener or toward a target, or what had run out is good again; a
    /// reload does it.
    pub async fn renewal_due(&self) -> bool {
        let now = self.services.clock.now();
        let state = self.state.lock().await;
        state.egresses.iter().any(|egress| egress.renewal_due(now))
            || state.ingresses.iter().any(|ingress| ingress.renewal_due(now))
            || state.terms.are_due(now)
    }

    /// Takes no more connections, lets open exchanges end (at most the manifest's drain time), closes the audit
    /// trail with a last checkpoint.
    pub async fn stop(self) -> Stopped {
        self.stop_by(std::future::pending()).await
    }

    /// As [`Bridge::stop`], but waits no longer than `deadline`. Exchanges that are cut still get their record.
    pub async fn stop_by(self, deadline: impl Future<Output = ()>) -> Stopped {
        let state = self.state.lock().await;
        state.ingresses.iter().for_each(|ingress| ingress.drain());
        let all_idle = async || {
            for ingress in &state.ingresses {
                ingress.idle().await;
            }
        };
        tokio::select! {
            _ = tokio::time::timeout(state.drain, all_idle()) => {}
            () = deadline => {}
        }
        let connections_cut = state.ingresses.iter().map(|ingress| ingress.open()).sum();
        if connections_cut > 0 {
            // Each connection says why, and a WebSocket that it closes; nobody is waited for.
            state.ingresses.iter().for_each(|ingress| ingress.leave(Duration::ZERO));
            drop(tokio::time::timeout(FAREWELL, all_idle()).await);
        }
        self.tending.iter().for_each(AbortHandle::abort);
        self.cores.stop();
        for ring in [&self.services.api_keys, &self.services.client_secrets] {
            if let Err(error) = in_time(ring.flush_last_used()).await {
                tracing::warn!(error, "last-used times could not be written");
            }
        }
        if let Err(error) = in_time(self.services.drain_outbox()).await {
            tracing::warn!(error, "actions wait for their record; the next start makes it");
            // The trail remembers all the same how far the store was, should it have been set back.
            if let Err(error) = in_time(self.services.note_store()).await {
                tracing::warn!(error, "the store could not be told that the audit trail knows how far it is");
            }
        }
        let stopped = self.services.action(name::BRIDGE_STOP, &*self.services.origin);
        note_in_force(&self.services, [stopped], &state).await;
        drop(state);
        let trail = self.services.trail.close();
        if let Err(error) = in_time(self.services.home.mark_trail(&self.services.trail)).await {
            tracing::warn!(error, "the store does not know how far the audit trail is");
        }
        Stopped { connections_cut, trail }
    }
}

/// What is cut when the bridge stops has so long for its last word; a core that is busy for longer is left.
const FAREWELL: Duration = Duration::from_secs(2);

/// One of the last steps, which the next start makes where the store's disk hangs.
async fn in_time<E: Display>(step: impl Future<Output = Result<(), E>>) -> Result<(), String> {
    let ended = tokio::time::timeout(LAST_STEP, step).await;
    ended.map_err(|_| "its disk does not answer".to_owned())?.map_err(|error| error.to_string())
}

/// How long the end waits for one of them.
const LAST_STEP: Duration = Duration::from_secs(5);

async fn note_in_force(services: &Services, actions: impl IntoIterator<Item = Action>, state: &State) {
    // All are taken before any is waited for: whoever is told to stop meanwhile may leave the rest of this undone.
    let noted: Vec<_> = actions
        .into_iter()
        .map(|action| services.taken(Action { generation: state.generation, ..action }))
        .collect();
    for noted in noted {
        noted.await;
    }
}

/// Builds the next snapshot whole, over all transports, then puts it into force. Returns what is to be recorded of it:
/// the bridge's own new certificates, and what time has taken away.
async fn replace(
    state: &mut State,
    plan: &Plan,
    services: &Services,
    cores: &ironbridge_net::cores::Handle,
) -> Result<Vec<Action>, StartError> {
    let generation = state.generation + 1;
    let basis = Basis { plan, services, generation };
    let egresses = state.egresses.next(basis).await?;
    let (from, issuers) = Preparing::new(basis, &state.issuers, &egresses, cores).await?;
    let mut prepared = Vec::with_capacity(state.ingresses.len());
    for ingress in &mut state.ingresses {
        prepared.push(ingress.prepare(&from).await?);
    }
    // From here on nothing fails. What bounds exchanges comes before what takes them.
    services.apply(&plan.manifest.bridge);
    let mut told: Vec<Action> = egresses.iter().flat_map(Egress::renewed).cloned().collect();
    told.extend(prepared.into_iter().flat_map(|prepared| prepared.apply()));
    drop(from);
    (state.egresses, state.issuers) = (egresses, issuers);
    state.generation = generation;
    state.terms.are(plan.terms.clone());
    told.extend(plan.terms.iter().filter_map(|term| term.told(services)));
    Ok(told)
}

impl Fixed {
    fn of(manifest: &Manifest) -> Fixed {
        let bridge = &manifest.bridge;
        let cores = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Fixed {
            name: bridge.name.to_string(),
            public_url: bridge.origin(),
            data_dir: bridge.data_dir.to_path_buf(),
            workers: bridge
                .workers
                .map_or_else(cores, |workers| usize::try_from(workers.value()).unwrap_or(1)),
        }
    }

    fn check(&self, next: &Fixed) -> Result<(), ReloadError> {
        for (same, what) in [
            (self.name == next.name, "bridge.name"),
            (self.public_url == next.public_url, "bridge.public_url"),
            (self.data_dir == next.data_dir, "bridge.data_dir"),
            (self.workers == next.workers, "bridge.workers"),
        ] {
            if !same {
                return Err(ReloadError::NeedsRestart { what });
            }
        }
        Ok(())
    }
}
