//! The bridge's own services on a listener: its log for everyone to read, and its word as a witness.

use super::offer::Builder;
use crate::services::Services;
use crate::transport::BuildError;
use bytes::Bytes;
use ironbridge_audit::witness::{MAX_BODY, Witness};
use ironbridge_audit::{Log, LogFile};
use ironbridge_core::{BoxFuture, Clock};
use ironbridge_http::{Mount, Mounted, MountedReply};
use ironbridge_manifest::Path;
use ironbridge_seal::note::NoteVerifier;
use std::sync::Arc;

impl Builder<'_> {
    pub(super) async fn mounts(&self, listener: &str) -> Result<Vec<Mount>, BuildError> {
        let bridge = &self.from.plan.manifest.bridge;
        let here = |name| bridge.listener_called(name).is_some_and(|(serving, _)| **serving == *listener);
        let mut mounts = Vec::new();
        if let Some(serve) = bridge.audit.serve.as_ref().filter(|serve| here(serve.listener.as_ref())) {
            let service = ServedLog { log: self.from.services.trail.log(), entries: serve.entries };
            mounts.push(mount(&serve.path, Arc::new(service)));
        }
        if let Some(witness) = bridge.audit.witness.as_ref().filter(|witness| here(witness.listener.as_ref()))
        {
            let service = self.witness(witness).await?;
            mounts.push(mount(&witness.path, Arc::new(service)));
        }
        Ok(mounts)
    }

    async fn witness(&self, declared: &ironbridge_manifest::WitnessService) -> Result<Cosigner, BuildError> {
        let refused = |reason: String| BuildError::Declared { place: "bridge.audit.witness".into(), reason };
        let logs = declared.logs.iter().map(|(origin, key)| {
            let verifier = NoteVerifier::parse(key).map_err(|error| refused(error.to_string()))?;
            Ok((origin.to_string(), vec![verifier]))
        });
        let logs = logs.collect::<Result<Vec<_>, BuildError>>()?;
        let Services { home, origin, clock, .. } = self.from.services;
        let signers = home.witness_signers(origin).await.map_err(|error| refused(error.to_string()))?;
        let state = self.from.services.witness_state().map_err(|error| refused(error.to_string()))?;
        let witness =
            Witness::new(logs, signers, Box::new(state)).map_err(|error| refused(error.to_string()))?;
        Ok(Cosigner { witness: Arc::new(witness), clock: Arc::clone(clock) })
    }
}

fn mount(path: &Path, service: Arc<dyn Mounted>) -> Mount {
    Mount { path: path.0.trim_end_matches('/').into(), service }
}

/// The log's files (c2sp.org/tlog-tiles).
struct ServedLog {
    log: Log,
    /// Whether records are served, and not only their hashes.
    entries: bool,
}

/// What is full never changes; everything else may, at any moment.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
const NEVER: &str = "no-cache";

impl Mounted for ServedLog {
    fn method(&self) -> &'static str {
        "GET"
    }

    fn max_body(&self) -> u64 {
        0
    }

    fn answer(&self, path: &str, _: Bytes) -> BoxFuture<'_, MountedReply> {
        let file =
            LogFile::parse(path).filter(|file| self.entries || !matches!(file, LogFile::Entries { .. }));
        let log = self.log.clone();
        Box::pin(async move {
            let Some(file) = file else { return plain(404, "there is no such file in a log\n") };
            match tokio::task::spawn_blocking(move || log.read(file)).await {
                Ok(Ok(Some(bytes))) => served(file, bytes),
                Ok(Ok(None)) => plain(404, "the log does not have this file\n"),
                Ok(Err(fault)) => {
                    tracing::error!(%fault, "a file of the log cannot be served; `ironbridge audit verify` says whether it is damaged");
                    plain(500, "the file cannot be read\n")
                }
                Err(_) => plain(500, "the file cannot be read\n"),
            }
        })
    }
}

fn served(file: LogFile, bytes: Vec<u8>) -> MountedReply {
    let (content_type, cache) = match file {
        LogFile::Tile { .. } | LogFile::Entries { .. } => ("application/octet-stream", FOR_EVER),
        LogFile::Kept => ("application/json", NEVER),
        LogFile::Checkpoint | LogFile::Key | LogFile::Witnessed => ("text/plain; charset=utf-8", NEVER),
    };
    MountedReply { status: 200, content_type, cache, body: bytes.into() }
}

/// The witness's side of `add-checkpoint` (c2sp.org/tlog-witness).
pub(crate) struct Cosigner {
    pub witness: Arc<Witness>,
    pub clock: Arc<dyn Clock>,
}

impl Mounted for Cosigner {
    fn method(&self) -> &'static str {
        "POST"
    }

    fn max_body(&self) -> u64 {
        u64::try_from(MAX_BODY).unwrap_or(u64::MAX)
    }

    fn answer(&self, path: &str, body: Bytes) -> BoxFuture<'_, MountedReply> {
        let asked = path == "add-checkpoint";
        let (witness, now) = (Arc::clone(&self.witness), self.clock.now());
        Box::pin(async move {
            if !asked {
                return plain(404, "a witness answers add-checkpoint only\n");
            }
            // Checking a proof takes a while, and the state is a file.
            let Ok(answer) = tokio::task::spawn_blocking(move || witness.add_checkpoint(&body, now)).await
            else {
                return plain(500, "the checkpoint could not be judged\n");
            };
            if let Some(finding) = &answer.finding {
                tracing::error!(%finding, evidence = finding.evidence.join("\n"), "a log that is witnessed here is not honest; keep the evidence, and ask who runs it");
            }
            let (content_type, body) = (answer.content_type, answer.body.into());
            MountedReply { status: answer.status, content_type, cache: "no-store", body }
        })
    }
}

fn plain(status: u16, text: &'static str) -> MountedReply {
    MountedReply {
        status,
        content_type: "text/plain; charset=utf-8",
        cache: "no-store",
        body: Bytes::from_static(text.as_bytes()),
    }
}
