//! The bridge's own access tokens toward a target: client credentials (RFC 6749 §4.4) at the target's
//! authorization server, cached, renewed before they expire, never fetched twice at a time.

use arc_swap::ArcSwapOption;
use ironbridge_core::{
    BoxFuture, Clock, Denial, Fetch, FetchMethod, FetchRequest, Fetched, Sensitive, code, json,
};
use ironbridge_seal::hash;
use parking_lot::Mutex;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use zeroize::Zeroizing;

const MAX_REPLY: usize = 64 * 1024;
const MAX_TOKEN: usize = 16 * 1024;
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);
/// A little more than a fetch may take, reading the secret included.
const WAIT: Duration = Duration::from_secs(15);
/// After a failure, callers are refused for so long without another attempt.
const PAUSE: Duration = Duration::from_secs(1);
/// Life of a token whose reply does not say (RFC 6749 §5.1 only recommends it). Ours.
const DEFAULT_LIFE: Duration = Duration::from_secs(300);
const MAX_LIFE: Duration = Duration::from_secs(24 * 3600);

/// Reads the client secret anew for each fetch, so that a rotated one is used at once.
pub type ReadSecret = Arc<dyn Fn() -> BoxFuture<'static, Result<Zeroizing<Vec<u8>>, String>> + Send + Sync>;

/// How to get a token for one target.
#[derive(Clone)]
pub struct TargetClient {
    /// Of the target's authorization server; `https`.
    pub token_url: String,
    pub client_id: String,
    pub secret: ReadSecret,
    pub authentication: ClientAuthentication,
    pub scopes: Vec<String>,
    /// RFC 8707.
    pub resource: Option<String>,
}

/// How the client shows its secret (RFC 6749 §2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuthentication {
    SecretBasic,
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
}

#[derive(Default)]
struct Flight {
    under_way: bool,
    /// The last failure, and when (monotonic) it happened.
    failed: Option<(Duration, Box<Denial>)>,
}

/// A token in the form in which it is sent.
#[derive(Debug)]
pub struct TargetToken {
    authorization: Sensitive,
    /// Monotonic.
    renew_from: Duration,
    unusable_from: Duration,
}

impl TargetToken {
    /// The value of the Authorization field.
    pub fn authorization(&self) -> &[u8] {
        self.authorization.expose()
    }
}

/// A token is at hand, or has to be fetched first.
pub enum Bearer {
    Now(Result<Arc<TargetToken>, Box<Denial>>),
    Later(BoxFuture<'static, Result<Arc<TargetToken>, Box<Denial>>>),
}

impl TargetTokens {
    pub fn new(client: TargetClient, fetch: Arc<dyn Fetch>, clock: Arc<dyn Clock>) -> Arc<TargetTokens> {
        Arc::new(TargetTokens {
            client,
            fetch,
            clock,
            current: ArcSwapOption::empty(),
            flight: Mutex::default(),
            ended: watch::Sender::new(0),
        })
    }

    /// The token to send. Within the last fifth of its life it is renewed in the background. Must be called
    /// within a Tokio runtime: a fetch is a task of its own, so that it survives the caller who began it.
    pub fn bearer(self: &Arc<Self>) -> Bearer {
        let now = self.clock.monotonic();
        if let Some(token) = self.usable(now) {
            if token.renew_from <= now {
                // A failure now is not the caller's trouble: the token still serves.
                let _ = self.start(now);
            }
            return Bearer::Now(Ok(token));
        }
        let ended = self.ended.subscribe();
        match self.start(now) {
            Err(recent) => Bearer::Now(Err(recent)),
            Ok(()) => Bearer::Later(Box::pin(Arc::clone(self).wait(ended))),
        }
    }

    /// Drops a token that the target refused (401), unless another took its place already.
    pub fn invalidate(&self, refused: &Arc<TargetToken>) {
        let _flight = self.flight.lock();
        if self.current.load().as_ref().is_some_and(|current| Arc::ptr_eq(current, refused)) {
            self.current.store(None);
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
        if let Some((at, denial)) = &flight.failed
            && now.saturating_sub(*at) < PAUSE
        {
            return Err(denial.clone());
        }
        flight.under_way = true;
        drop(tokio::spawn(Arc::clone(self).fly()));
        Ok(())
    }

    async fn wait(self: Arc<Self>, mut ended: watch::Receiver<u64>) -> Result<Arc<TargetToken>, Box<Denial>> {
        let _ = tokio::time::timeout(WAIT, ended.changed()).await;
        if let Some(token) = self.usable(self.clock.monotonic()) {
            return Ok(token);
        }
        let failed = self.flight.lock().failed.as_ref().map(|(_, denial)| denial.clone());
        Err(failed.unwrap_or_else(|| self.unavailable("no answer within 15 seconds")))
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
                Err(problem) => flight.failed = Some((self.clock.monotonic(), self.unavailable(problem))),
            }
        }
        self.ended.send_modify(|count| *count += 1);
    }

    async fn request_token(&self) -> Result<TargetToken, String> {
        let request = self.client.request().await?;
        // Its life is counted from before it was asked for, so that it never looks younger than it is.
        let asked = self.clock.monotonic();
        let reply = self.fetch.fetch(request).await.map_err(|error| error.to_string())?;
        read(&reply, asked)
    }

    fn unavailable(&self, problem: impl std::fmt::Display) -> Box<Denial> {
        let internal = format!("token from {}: {problem}", self.client.token_url);
        Box::new(Denial::new(&code::SECRET_UNAVAILABLE).internal(internal).retry_after(PAUSE))
    }
}

impl TargetClient {
    async fn request(&self) -> Result<FetchRequest, String> {
        let secret = (self.secret)().await?;
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
                headers.push(("authorization", basic(self.client_id.as_bytes(), &secret)));
            }
            ClientAuthentication::SecretPost => {
                form.add("client_id", self.client_id.as_bytes());
                form.add("client_secret", &secret);
            }
        }
        Ok(FetchRequest {
            method: FetchMethod::PostForm(Sensitive::new(form.0.as_bytes())),
            url: self.token_url.clone(),
            headers,
            max_reply: MAX_REPLY,
            timeout: FETCH_TIMEOUT,
        })
    }
}

/// Id and secret are form-encoded before they are joined (RFC 6749 §2.3.1).
fn basic(id: &[u8], secret: &[u8]) -> Sensitive {
    let mut pair = Form::default();
    pair.encode(id);
    pair.0.push(':');
    pair.encode(secret);
    let encoded = Zeroizing::new(hash::base64(pair.0.as_bytes()));
    Sensitive::new(["Basic ".as_bytes(), encoded.as_bytes()].concat())
}

/// A form being written (`application/x-www-form-urlencoded`); it may hold a secret.
#[derive(Default)]
struct Form(Zeroizing<String>);

impl Form {
    fn add(&mut self, name: &str, value: &[u8]) {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.push_str(name);
        self.0.push('=');
        self.encode(value);
    }

    fn encode(&mut self, value: &[u8]) {
        for byte in value {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    self.0.push(char::from(*byte));
                }
                _ => self.0.push_str(&format!("%{byte:02X}")),
            }
        }
    }
}

/// Reads a token reply (RFC 6749 §5.1) that was asked for at `asked`.
fn read(reply: &Fetched, asked: Duration) -> Result<TargetToken, String> {
    let members = json::parse(&reply.body).ok();
    let text = |name: &str| members.as_ref()?.get(name)?.as_str();
    if reply.status != 200 {
        let error = text("error").filter(|error| error.len() <= 64).unwrap_or("no error code");
        return Err(format!("status {}, {}", reply.status, error.escape_debug()));
    }
    if !text("token_type").is_some_and(|kind| kind.eq_ignore_ascii_case("bearer")) {
        return Err("token_type is not Bearer".to_owned());
    }
    // What is not of this alphabet (RFC 6750 §2.1) could break out of the header field.
    let token =
        text("access_token").filter(|token| is_b64token(token)).ok_or("no well-formed access_token")?;
    let life = life(members.as_ref().and_then(|members| members.get("expires_in")))?;
    Ok(TargetToken {
        authorization: Sensitive::new(["Bearer ".as_bytes(), token.as_bytes()].concat()),
        renew_from: asked.saturating_add(life / 5 * 4),
        // The rest covers the way to the target and its clock.
        unusable_from: asked.saturating_add(life / 20 * 19),
    })
}

fn is_b64token(token: &str) -> bool {
    (1..=MAX_TOKEN).contains(&token.len())
        && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte))
}

/// Some servers write `expires_in` as a text.
fn life(expires_in: Option<&Value>) -> Result<Duration, String> {
    let seconds = match expires_in {
        None | Some(Value::Null) => return Ok(DEFAULT_LIFE),
        Some(Value::String(text)) => text.parse().ok(),
        Some(value) => value.as_u64(),
    };
    match seconds {
        None | Some(0) => Err("expires_in is not a positive number".to_owned()),
        Some(seconds) => Ok(Duration::from_secs(seconds).min(MAX_LIFE)),
    }
}
