//! The public keys of a token issuer: fetched, kept fresh, and never fetched more often than is good for the
//! issuer, whatever tokens arrive.

use arc_swap::ArcSwapOption;
use ironbridge_core::{Clock, Fetch, FetchMethod, FetchRequest, Fetched, Timestamp, json};
use ironbridge_seal::jose::JwkSet;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// A JWKS or metadata document may have so many bytes; real ones have a few KiB.
const MAX_DOCUMENT: usize = 256 * 1024;
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// An attempt makes at most three fetches.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(16);
/// Bounds on what the issuer's max-age may ask for, and what holds without one.
const MIN_FRESH: Duration = Duration::from_secs(5 * 60);
const MAX_FRESH: Duration = Duration::from_secs(24 * 3600);
const DEFAULT_FRESH: Duration = Duration::from_secs(3600);
/// While the issuer is down, keys serve so long after they stopped being fresh.
const MAX_STALE: Duration = Duration::from_secs(24 * 3600);
/// Tokens with an unknown kid cause at most one fetch in this time.
const REFETCH_INTERVAL: Duration = Duration::from_secs(60);
/// Between failing attempts: 1 s, doubled up to this.
const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// Where an issuer's keys are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// By the issuer's metadata: RFC 8414 §3, else OpenID Connect Discovery 1.0 §4.
    Discovery,
    /// At this `https` URL.
    Jwks(String),
}

/// The keys of one issuer. [`IssuerKeys::keep_fresh`] fetches them; verifiers only read.
pub struct IssuerKeys {
    issuer: String,
    current: ArcSwapOption<JwkSet>,
    generation: AtomicU64,
    remote: Option<Remote>,
}

struct Remote {
    source: KeySource,
    fetch: Arc<dyn Fetch>,
    clock: Arc<dyn Clock>,
    flight: Mutex<Flight>,
    wanted: Notify,
    attempts: watch::Sender<u64>,
    problem: Mutex<Option<String>>,
}

struct Flight {
    under_way: bool,
    /// When a token last asked for keys that were not known.
    asked: Option<Timestamp>,
}

/// A fetched set and how long it is fresh.
struct Fresh {
    document: Vec<u8>,
    keys: JwkSet,
    life: Duration,
}

impl IssuerKeys {
    /// Keys of an external issuer. Nothing is fetched until [`IssuerKeys::keep_fresh`] runs; until its first
    /// attempt ends, tokens wait for it.
    pub fn remote(
        issuer: &str,
        source: KeySource,
        fetch: Arc<dyn Fetch>,
        clock: Arc<dyn Clock>,
    ) -> Arc<IssuerKeys> {
        Arc::new(IssuerKeys {
            issuer: issuer.to_owned(),
            current: ArcSwapOption::empty(),
            generation: AtomicU64::new(0),
            remote: Some(Remote {
                source,
                fetch,
                clock,
                flight: Mutex::new(Flight { under_way: true, asked: None }),
                wanted: Notify::new(),
                attempts: watch::Sender::new(0),
                problem: Mutex::default(),
            }),
        })
    }

    /// Keys that this process has itself, as the built-in token endpoint does.
    pub fn local(issuer: &str, keys: JwkSet) -> Arc<IssuerKeys> {
        Arc::new(IssuerKeys {
            issuer: issuer.to_owned(),
            current: ArcSwapOption::from_pointee(keys),
            generation: AtomicU64::new(1),
            remote: None,
        })
    }

    /// Rises whenever the keys change, so that nothing verified with earlier ones is still believed.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Why the last fetch failed, for the operator; `None` when it did not.
    pub fn problem(&self) -> Option<String> {
        self.remote.as_ref()?.problem.lock().clone()
    }

    /// Fetches now, then keeps the keys fresh for as long as it is polled: by their max-age (5 min to 24 h),
    /// at once when a token names an unknown key (once a minute at most), with growing pauses while the issuer
    /// fails. To be spawned once; returns only for local keys.
    pub async fn keep_fresh(self: Arc<Self>) {
        let Some(remote) = &self.remote else { return };
        let (mut fresh_until, mut document) = (None, Vec::new());
        let mut backoff = Duration::from_secs(1);
        loop {
            remote.flight.lock().under_way = true;
            let pause = match remote.attempt(&self.issuer).await {
                Ok(fresh) => {
                    fresh_until = Some(remote.clock.now().plus(fresh.life));
                    if fresh.document != document {
                        document = fresh.document;
                        self.replace(Some(fresh.keys));
                    }
                    *remote.problem.lock() = None;
                    backoff = Duration::from_secs(1);
                    fresh.life
                }
                Err(problem) => {
                    *remote.problem.lock() = Some(problem);
                    if fresh_until.is_some_and(|end| remote.clock.now().since(end) >= MAX_STALE) {
                        (fresh_until, document) = (None, Vec::new());
                        self.replace(None);
                    }
                    let pause = backoff;
                    backoff = (backoff * 2).min(MAX_BACKOFF);
                    pause
                }
            };
            remote.flight.lock().under_way = false;
            remote.attempts.send_modify(|attempts| *attempts += 1);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = remote.wanted.notified() => {}
            }
        }
    }

    /// Puts other keys in place of the current ones.
    pub(crate) fn replace(&self, keys: Option<JwkSet>) {
        self.current.store(keys.map(Arc::new));
        self.generation.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn current(&self) -> Option<Arc<JwkSet>> {
        self.current.load_full()
    }

    /// Something to wait for, when a fetch is under way or may be made because of a key that is not known.
    pub(crate) fn more(&self, now: Timestamp) -> Option<NextAttempt> {
        let remote = self.remote.as_ref()?;
        // Subscribed before the flight is looked at: an attempt that ends in between is then not missed.
        let next = NextAttempt(remote.attempts.subscribe());
        let mut flight = remote.flight.lock();
        if flight.under_way {
            return Some(next);
        }
        if self.current.load().is_none() {
            // The pauses between failing attempts are kept; waiting for the next would hold the caller up.
            return None;
        }
        if flight.asked.is_some_and(|asked| now.since(asked) < REFETCH_INTERVAL) {
            return None;
        }
        flight.asked = Some(now);
        flight.under_way = true;
        remote.wanted.notify_one();
        Some(next)
    }
}

/// The end of the attempt that is under way.
pub(crate) struct NextAttempt(watch::Receiver<u64>);

impl NextAttempt {
    /// Waits for it, but no longer than any attempt may take.
    pub async fn ended(mut self) {
        let _ = tokio::time::timeout(ATTEMPT_TIMEOUT, self.0.changed()).await;
    }
}

impl Remote {
    async fn attempt(&self, issuer: &str) -> Result<Fresh, String> {
        let url = match &self.source {
            KeySource::Jwks(url) => url.clone(),
            KeySource::Discovery => self.discover(issuer).await?,
        };
        let reply = self.get(&url).await?;
        let keys = JwkSet::parse(&reply.body).map_err(|error| format!("{url}: {error}"))?;
        let life = reply.max_age.map_or(DEFAULT_FRESH, Duration::from_secs).clamp(MIN_FRESH, MAX_FRESH);
        Ok(Fresh { document: reply.body, keys, life })
    }

    /// The `jwks_uri` of the issuer's metadata.
    async fn discover(&self, issuer: &str) -> Result<String, String> {
        let mut problems = Vec::new();
        for url in metadata_urls(issuer)? {
            let metadata = match self.get(&url).await {
                Ok(reply) => json::parse(&reply.body).map_err(|_| format!("{url}: not JSON")),
                Err(problem) => Err(problem),
            };
            let metadata = match metadata {
                Ok(metadata) => metadata,
                Err(problem) => {
                    problems.push(problem);
                    continue;
                }
            };
            // Exactly, character by character (RFC 8414 §3.3): else one issuer could speak for another.
            if metadata.get("issuer").and_then(|named| named.as_str()) != Some(issuer) {
                return Err(format!("{url}: its issuer is not exactly `{issuer}`"));
            }
            let keys = metadata.get("jwks_uri").and_then(|uri| uri.as_str());
            return match keys.filter(|uri| uri.starts_with("https://")) {
                Some(uri) => Ok(uri.to_owned()),
                None => Err(format!("{url}: no jwks_uri with https")),
            };
        }
        Err(problems.join("; "))
    }

    async fn get(&self, url: &str) -> Result<Fetched, String> {
        let request = FetchRequest {
            method: FetchMethod::Get,
            url: url.to_owned(),
            headers: Vec::new(),
            max_reply: MAX_DOCUMENT,
            timeout: FETCH_TIMEOUT,
        };
        let reply = self.fetch.fetch(request).await.map_err(|error| format!("{url}: {error}"))?;
        match reply.status {
            200 => Ok(reply),
            status => Err(format!("{url}: status {status}")),
        }
    }
}

/// Where an issuer's metadata may be: RFC 8414 inserts the well-known part before the issuer's path, OpenID
/// Connect appends it.
fn metadata_urls(issuer: &str) -> Result<[String; 2], String> {
    let rest = issuer.strip_prefix("https://").ok_or_else(|| format!("`{issuer}` is no https URL"))?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
    Ok([
        format!("https://{host}/.well-known/oauth-authorization-server{path}"),
        format!("https://{host}{path}/.well-known/openid-configuration"),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_looked_for_where_the_standards_put_it() {
        let urls = |issuer| metadata_urls(issuer).map(|urls| urls.join(" "));
        assert_eq!(
            urls("https://idp.example/tenant/a").unwrap(),
            "https://idp.example/.well-known/oauth-authorization-server/tenant/a \
             https://idp.example/tenant/a/.well-known/openid-configuration"
        );
        assert_eq!(
            urls("https://idp.example:8443/").unwrap(),
            "https://idp.example:8443/.well-known/oauth-authorization-server \
             https://idp.example:8443/.well-known/openid-configuration"
        );
        assert!(urls("http://idp.example").is_err());
    }
}
