//! The bridge's own access tokens toward a target: client credentials (RFC 6749 §4.4) at the target's
//! authorization server, cached, renewed before they expire, never fetched twice at a time.

mod refusals;
mod reply;
mod token;

pub use token::TargetToken;

use arc_swap::ArcSwapOption;
use ironbridge_core::{
    BoxFuture, Clock, Denial, Fetch, FetchError, FetchMethod, FetchRequest, Flow, Sensitive, code,
};
use ironbridge_seal::hash;
use ironbridge_secrets::{InUse, SecretError, SecretValue};
use parking_lot::Mutex;
use refusals::Refusals;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use zeroize::Zeroizing;

const MAX_REPLY: usize = 64 * 1024;
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// A little more than a fetch may take, reading the secret included.
const WAIT: Duration = Duration::from_secs(15);
/// After a failure, callers are refused for so long without another attempt; after each further one twice as long.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The longest that the token endpoint's own Retry-After is heeded.
const LONGEST_WISH: Duration = Duration::from_secs(3600);

/// How to get a token for one target.
pub struct TargetClient {
    /// Of the target's authorization server; `https`.
    pub token_url: String,
    /// As the authorization server knows the bridge.
    pub client_id: String,
    /// What it proves itself with.
    pub secret: InUse,
    /// How it does that.
    pub authentication: ClientAuthentication,
    /// What the token is to allow; none: what the server gives.
    pub scopes: Vec<String>,
    /// RFC 8707.
    pub resource: Option<String>,
}

/// How the client shows its secret (RFC 6749 §2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuthentication {
    /// In the Authorization field.
    SecretBasic,
    /// In the form.
    SecretPost,
}

/// The cached token of one target.
pub struct TargetTokens {
    client: TargetClient,
    fetch: Arc<dyn Fetch>,
    clock: Arc<dyn Clock>,
    current: ArcSwapOption<TargetToken>,
    flight: Mutex<Flight>,
    ended: watch::Sender<u64>,
    refusals: Refusals,
    /// Somebody reads the secret anew.
    reading: AtomicBool,
    /// What was odd of the last reply, told once.
    oddities: Mutex<Vec<&'static str>>,
}

#[derive(Default)]
struct Flight {
    under_way: bool,
    failed: Option<Failed>,
}

/// The last fetch failed.
struct Failed {
    problem: String,
    /// How often in a row.
    times: u32,
    /// Monotonic; nothing is asked before.
    until: Duration,
}

/// Why a fetch brought no token.
struct Trouble {
    problem: String,
    /// What the token endpoint asked for (RFC 9110 §10.2.3).
    wait: Option<Duration>,
}

impl From<SecretError> for Trouble {
    fn from(error: SecretError) -> Trouble {
        Trouble { problem: error.to_string(), wait: None }
    }
}

impl From<FetchError> for Trouble {
    fn from(error: FetchError) -> Trouble {
        Trouble { problem: error.to_string(), wait: None }
    }
}

/// A token is at hand, or has to be fetched first.
pub enum Bearer {
    /// It is at hand, or there is none to be had now.
    Now(Result<Arc<TargetToken>, Box<Denial>>),
    /// It is fetched; the wait is bounded.
    Later(BoxFuture<'static, Result<Arc<TargetToken>, Box<Denial>>>),
}

impl TargetTokens {
    /// Nothing is fetched before the first token is asked for.
    pub fn new(client: TargetClient, fetch: Arc<dyn Fetch>, clock: Arc<dyn Clock>) -> Arc<TargetTokens> {
        Arc::new(TargetTokens {
            client,
            fetch,
            clock,
            current: ArcSwapOption::empty(),
            flight: Mutex::default(),
            ended: watch::Sender::new(0),
            refusals: Refusals::default(),
            reading: AtomicBool::new(false),
            oddities: Mutex::default(),
        })
    }

    /// The token to send. Within the last fifth of its life, and where another secret was set, it is renewed in the
    /// background, so that whoever set it learns today whether it is right. Must be called within a Tokio runtime: a fetch is a task of its own, so that it survives the caller who began it.
    pub fn bearer(self: &Arc<Self>) -> Bearer {
        let now = self.clock.monotonic();
        if let Some(token) = self.usable(now) {
            if token.renew_from <= now || self.has_another_secret(&token) {
                // A failure now is not the caller's trouble: the token still serves.
                let _ = self.start(now);
            }
            return Bearer::Now(Ok(token));
        }
        self.fetched(now)
    }

    /// Whether the secret is another than the one that bought this token. What has to be read first is read meanwhile.
    fn has_another_secret(self: &Arc<Self>, token: &Arc<TargetToken>) -> bool {
        if self.client.secret.is_current(&token.bought_with) {
            return false;
        }
        match self.client.secret.at_hand() {
            Some(secret) => is_another(secret, token),
            None if self.reading.swap(true, Ordering::Relaxed) => false,
            None => {
                drop(tokio::spawn(Arc::clone(self).read_secret(Arc::clone(token))));
                false
            }
        }
    }

    async fn read_secret(self: Arc<Self>, token: Arc<TargetToken>) {
        let secret = self.client.secret.value().await;
        self.reading.store(false, Ordering::Relaxed);
        if is_another(secret, &token) {
            let _ = self.start(self.clock.monotonic());
        }
    }

    /// The target answered 401 to this token. What may be sent instead: the token that took its place, or one fetched
    /// now, once per token and operation. `None` when fetching would not help: the operation refuses fresh tokens too.
    /// Until another is there, the refused one serves the other operations.
    pub fn refused(self: &Arc<Self>, refused: &Arc<TargetToken>, flow: &Flow) -> Option<Bearer> {
        let now = self.clock.monotonic();
        match self.usable(now) {
            Some(current) if !Arc::ptr_eq(&current, refused) => return Some(Bearer::Now(Ok(current))),
            _ => {}
        }
        let joins = self.flight.lock().under_way;
        (joins || self.refusals.may_renew(flow, now)).then(|| self.fetched(now))
    }

    /// The target took the token that was sent instead: fetching it helped, and a later refusal is a new one. (That it
    /// takes other requests of the operation says nothing: it may refuse every token for one path.)
    pub fn helped(&self, flow: &Flow) {
        self.refusals.forget(flow);
    }

    /// A token yet to come.
    fn fetched(self: &Arc<Self>, now: Duration) -> Bearer {
        let (ended, before) = (self.ended.subscribe(), self.current.load_full());
        match self.start(now) {
            Err(recent) => Bearer::Now(Err(recent)),
            Ok(()) => Bearer::Later(Box::pin(Arc::clone(self).wait(ended, before))),
        }
    }

    fn usable(&self, now: Duration) -> Option<Arc<TargetToken>> {
        self.current.load_full().filter(|token| now < token.unusable_from)
    }

    /// Sees to it that a fetch is under way, unless one failed just now.
    fn start(self: &Arc<Self>, now: Duration) -> Result<(), Box<Denial>> {
        let mut flight = self.flight.lock();
        if flight.under_way {
            return Ok(());
        }
        if let Some(failed) = &flight.failed
            && now < failed.until
        {
            return Err(self.unavailable(&failed.problem, failed.until.saturating_sub(now)));
        }
        flight.under_way = true;
        drop(tokio::spawn(Arc::clone(self).fly()));
        Ok(())
    }

    /// Waits for the flight to end. `before` is the token that was there when it began, and does not count.
    async fn wait(
        self: Arc<Self>,
        mut ended: watch::Receiver<u64>,
        before: Option<Arc<TargetToken>>,
    ) -> Result<Arc<TargetToken>, Box<Denial>> {
        let _ = tokio::time::timeout(WAIT, ended.changed()).await;
        let now = self.clock.monotonic();
        let is_new =
            |token: &Arc<TargetToken>| !before.as_ref().is_some_and(|before| Arc::ptr_eq(before, token));
        if let Some(token) = self.usable(now).filter(is_new) {
            return Ok(token);
        }
        Err(match &self.flight.lock().failed {
            Some(failed) => self.unavailable(&failed.problem, failed.until.saturating_sub(now)),
            None => self.unavailable("no answer within 15 seconds", PAUSE),
        })
    }

    async fn fly(self: Arc<Self>) {
        let outcome = self.request_token().await;
        {
            let mut flight = self.flight.lock();
            flight.under_way = false;
            match outcome {
                Ok(token) => {
                    flight.failed = None;
                    self.current.store(Some(Arc::new(token)));
                }
                Err(trouble) => {
                    let times = flight.failed.as_ref().map_or(0, |failed| failed.times).saturating_add(1);
                    let wait = trouble.wait.map_or(Duration::ZERO, |wait| wait.min(LONGEST_WISH));
                    let now = self.clock.monotonic();
                    if let Some(token) = self.usable(now).filter(|_| times == 1) {
                        let serves = token.unusable_from.saturating_sub(now).as_secs();
                        let (url, problem) = (&*self.client.token_url, &*trouble.problem);
                        tracing::warn!(
                            url,
                            problem,
                            "a new token could not be had; the one at hand serves {serves} more seconds"
                        );
                    }
                    let until = now.saturating_add(pause(times).max(wait));
                    flight.failed = Some(Failed { problem: trouble.problem, times, until });
                }
            }
        }
        self.ended.send_modify(|count| *count += 1);
    }

    async fn request_token(&self) -> Result<TargetToken, Trouble> {
        let secret = self.client.secret.value().await?;
        let request = self.client.request(secret.expose());
        // Its life is counted from before it was asked for, so that it never looks younger than it is.
        let asked = self.clock.monotonic();
        let reply = self.fetch.fetch(request).await?;
        let read = reply::read(&reply, asked, secret);
        let read =
            read.map_err(|problem| Trouble { problem, wait: reply.retry_after.map(Duration::from_secs) })?;
        self.tell(read.oddities);
        Ok(read.token)
    }

    /// What a token endpoint does against the standard, once for as long as it does it.
    fn tell(&self, oddities: Vec<&'static str>) {
        let mut told = self.oddities.lock();
        if !oddities.is_empty() && *told != oddities {
            let url = &*self.client.token_url;
            tracing::warn!(
                url,
                odd = oddities.join("; "),
                "the token endpoint's reply was taken, though it is not as RFC 6749 has it; tell its owner"
            );
        }
        *told = oddities;
    }

    fn unavailable(&self, problem: &str, wait: Duration) -> Box<Denial> {
        let internal = format!("token from {}: {problem}", self.client.token_url);
        Box::new(Denial::new(&code::SECRET_UNAVAILABLE).internal(internal).retry_after(wait))
    }
}

/// One that cannot be read is told when a token is needed.
fn is_another(secret: Result<SecretValue, SecretError>, token: &TargetToken) -> bool {
    secret.is_ok_and(|secret| !secret.is(&token.bought_with))
}

/// After so many failures in a row.
fn pause(times: u32) -> Duration {
    PAUSE.saturating_mul(1 << times.saturating_sub(1).min(16)).min(LONGEST_PAUSE)
}

impl TargetClient {
    fn request(&self, secret: &[u8]) -> FetchRequest {
        let scope = self.scopes.join(" ");
        let mut form = Form::default();
        form.add("grant_type", b"client_credentials");
        if !scope.is_empty() {
            form.add("scope", scope.as_bytes());
        }
        if let Some(resource) = &self.resource {
            form.add("resource", resource.as_bytes());
        }
        let mut headers = vec![("accept", Sensitive::new(&b"application/json"[..]))];
        match self.authentication {
            ClientAuthentication::SecretBasic => {
                headers.push(("authorization", basic(self.client_id.as_bytes(), secret)));
            }
            ClientAuthentication::SecretPost => {
                form.add("client_id", self.client_id.as_bytes());
                form.add("client_secret", secret);
            }
        }
        FetchRequest {
            method: FetchMethod::PostForm(form.0),
            url: self.token_url.clone(),
            headers,
            max_reply: MAX_REPLY,
            timeout: FETCH_TIMEOUT,
        }
    }
}

/// Id and secret are form-encoded before they are joined (RFC 6749 §2.3.1).
fn basic(id: &[u8], secret: &[u8]) -> Sensitive {
    let mut pair = Form::default();
    pair.encode(id);
    pair.0.extend(b":");
    pair.encode(secret);
    Sensitive::joined(&[b"Basic ", Zeroizing::new(hash::base64(pair.0.expose())).as_bytes()])
}

/// A form being written (`application/x-www-form-urlencoded`); it may hold a secret.
#[derive(Default)]
struct Form(Sensitive);

impl Form {
    fn add(&mut self, name: &str, value: &[u8]) {
        if !self.0.expose().is_empty() {
            self.0.extend(b"&");
        }
        self.0.extend(name.as_bytes());
        self.0.extend(b"=");
        self.encode(value);
    }

    fn encode(&mut self, value: &[u8]) {
        for byte in value {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    self.0.extend(&[*byte])
                }
                _ => self.0.extend(&percent(*byte)),
            }
        }
    }
}

fn percent(byte: u8) -> [u8; 3] {
    let digit = |half: u8| if half < 10 { b'0' + half } else { b'A' + half - 10 };
    [b'%', digit(byte >> 4), digit(byte & 15)]
}
