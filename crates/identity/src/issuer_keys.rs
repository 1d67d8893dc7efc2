//! The public keys of a token issuer: fetched, kept fresh, and never fetched more often than is good for the
//! issuer, whatever tokens arrive.

use arc_swap::ArcSwapOption;
use ironbridge_core::{Clock, Fetch, FetchMethod, FetchRequest, Fetched, json};
use ironbridge_seal::jose::JwkSet;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// A JWKS or metadata document may have so many bytes; real ones have a few KiB.
const MAX_DOCUMENT: usize = 256 * 1024;
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// An attempt makes at most three fetches.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(16);
/// Bounds on what the issuer's max-age may ask for. A key is withdrawn when it leaked, so it is believed for minutes at
/// most, whatever caches may do; without a max-age for as many.
const MIN_FRESH: Duration = Duration::from_secs(60);
const MAX_FRESH: Duration = Duration::from_secs(5 * 60);
/// While the issuer is down, keys serve so long after they stopped being fresh.
const MAX_STALE: Duration = Duration::from_secs(24 * 3600);
/// Between two attempts that tokens with an unknown kid cause, whoever sends them, after the first two: so long at most
/// are the tokens of a new key refused because somebody asked for others just before.
const REFETCH_INTERVAL: Duration = Duration::from_secs(5);
/// A kid that an attempt did not find causes the next one after so long, doubled up to a minute.
const UNFOUND_PAUSE: Duration = Duration::from_secs(10);
const MAX_UNFOUND_PAUSE: Duration = Duration::from_secs(60);
/// Such kids that are remembered; they come from callers that nobody knows.
const MAX_UNFOUND: usize = 1024;
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

/// Times are of the monotonic clock: one that is set back must not hold up a new key.
struct Flight {
    under_way: bool,
    /// No attempt for the sake of a token before: the issuer fails.
    not_before: Duration,
    /// When all attempts that tokens caused are paid for, at one each [`REFETCH_INTERVAL`].
    paid_at: Duration,
    /// Kids, hashed, that were asked for and not found.
    unfound: HashMap<u64, Unfound>,
    hasher: RandomState,
}

struct Unfound {
    not_before: Duration,
    pause: Duration,
}

impl Flight {
    fn new(now: Duration) -> Flight {
        let (unfound, hasher) = (HashMap::new(), RandomState::new());
        Flight { under_way: true, not_before: now, paid_at: now, unfound, hasher }
    }

    /// Whether a token with this kid may cause an attempt now. Then it is taken as made.
    fn allows(&mut self, kid: &str, now: Duration) -> bool {
        if now < self.not_before || self.paid_at.saturating_sub(now) > REFETCH_INTERVAL {
            return false;
        }
        let kid = self.hasher.hash_one(kid);
        let pause = match self.unfound.get(&kid) {
            Some(unfound) if now < unfound.not_before => return false,
            Some(unfound) => (unfound.pause * 2).min(MAX_UNFOUND_PAUSE),
            None => UNFOUND_PAUSE,
        };
        if self.unfound.len() >= MAX_UNFOUND {
            self.unfound.retain(|_, unfound| now < unfound.not_before);
        }
        if self.unfound.len() >= MAX_UNFOUND {
            self.unfound.clear();
        }
        self.unfound.insert(kid, Unfound { not_before: now.saturating_add(pause), pause });
        self.paid_at = self.paid_at.max(now).saturating_add(REFETCH_INTERVAL);
        true
    }
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
                flight: Mutex::new(Flight::new(clock.monotonic())),
                wanted: Notify::new(),
                clock,
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

    /// Fetches now, then keeps the keys fresh for as long as it is polled: a little before their max-age (1 to 5 min)
    /// is over, at once when a token names an unknown key (every 5 s at most), with growing pauses while the issuer
    /// fails. To be spawned once; returns only for local keys.
    pub async fn keep_fresh(self: Arc<Self>) {
        let Some(remote) = &self.remote else { return };
        let (mut fresh_until, mut document) = (None, Vec::new());
        let mut backoff = Duration::from_secs(1);
        loop {
            remote.flight.lock().under_way = true;
            let (pause, refetch) = match remote.attempt(&self.issuer).await {
                Ok(fresh) => {
                    fresh_until = Some(remote.clock.now().plus(fresh.life));
                    if fresh.document != document {
                        document = fresh.document;
                        self.replace(Some(fresh.keys));
                    }
                    *remote.problem.lock() = None;
                    backoff = Duration::from_secs(1);
                    (fresh.life - fresh.life / 10, Duration::ZERO)
                }
                Err(problem) => {
                    *remote.problem.lock() = Some(problem);
                    if fresh_until.is_some_and(|end| remote.clock.now().since(end) >= MAX_STALE) {
                        (fresh_until, document) = (None, Vec::new());
                        self.replace(None);
                    }
                    let pause = backoff;
                    backoff = (backoff * 2).min(MAX_BACKOFF);
                    // Nor do tokens shorten the pauses of an issuer that fails.
                    (pause, pause)
                }
            };
            {
                let mut flight = remote.flight.lock();
                flight.under_way = false;
                flight.not_before = remote.clock.monotonic().saturating_add(refetch);
            }
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

    /// Something to wait for, when a fetch is under way or may be made because of a key that is not known. What it costs
    /// is each kid's own, so that tokens with made-up ones do not use up what a new key needs.
    pub(crate) fn more(&self, kid: &str) -> Option<NextAttempt> {
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
        if !flight.allows(kid, remote.clock.monotonic()) {
            return None;
        }
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
        let keys = JwkSet::parse(reply.body.expose()).map_err(|error| format!("{url}: {error}"))?;
        let life = reply.max_age.map_or(MAX_FRESH, Duration::from_secs).clamp(MIN_FRESH, MAX_FRESH);
        Ok(Fresh { document: reply.body.expose().to_vec(), keys, life })
    }

    /// The `jwks_uri` of the issuer's metadata.
    async fn discover(&self, issuer: &str) -> Result<String, String> {
        let mut problems = Vec::new();
        for url in metadata_urls(issuer)? {
            let metadata = match self.get(&url).await {
                Ok(reply) => json::parse(reply.body.expose()).map_err(|_| format!("{url}: not JSON")),
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
                // Whoever writes the metadata may not make this bridge ask other hosts, internal ones least of all.
                Some(uri) if host(uri) != host(issuer) => Err(format!(
                    "{url}: its jwks_uri `{uri}` is on another host than the issuer; declare it as jwks_url"
                )),
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

/// Host and port, as far as they are written; `None` for what is no https URL.
fn host(url: &str) -> Option<String> {
    let authority = url.strip_prefix("https://")?.split(['/', '?', '#', '\\']).next()?;
    let host = authority.strip_suffix(":443").unwrap_or(authority);
    // Userinfo would make the host another than it seems.
    (!host.is_empty() && !host.contains('@')).then(|| host.to_ascii_lowercase())
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
