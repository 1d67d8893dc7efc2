//! One HTTP exchange, as the runner drives it: read the request, deliver it, read the reply.

use crate::Route;
use crate::answer;
use crate::connection::Worker;
use crate::credential::{Show, Shown};
use crate::fields::{self, Outbound};
use crate::left_out::Noted;
use crate::passes::announce;
use crate::reply::ReplyError;
use crate::request::{self, Inbound};
use crate::status;
use crate::watch::Watched;
use crate::websocket;
use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, Entry, HeaderMap, HeaderValue, TRAILER};
use http::request::Parts;
use http::{Request, Response, StatusCode, Uri, Version};
use http_body::Body;
use http_body_util::BodyExt;
use ironbridge_core::memory::Charge;
use ironbridge_core::{Cleared, Code, Crossing, Denial, ReplyFacts, code};
use ironbridge_net::gate::GateState;
use ironbridge_net::retry_after;
use ironbridge_net::upstream::{
    Again, BodyFault, Holder, OutBody, PooledBody, Repeatable, SendError, is_idempotent,
};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout, timeout_at};

pub struct HttpCrossing<'a> {
    pub worker: &'a Rc<Worker>,
    pub route: &'a Route,
    pub parts: Parts,
    /// The path below the integration's own as it is delivered, where that is not its decoded form.
    pub spelling: Option<Box<str>>,
    pub inbound: &'a mut Inbound,
    /// For the whole request body.
    pub body_timeout: Duration,
    /// Knows why the framing of an HTTP/1 body was refused.
    pub gate: &'a GateState,
    /// The caller asked to switch protocols, and the operation allows it.
    pub upgrades: bool,
    /// The request body streams past.
    pub streams: bool,
    /// Set when it is delivered: until then the reply must have begun, or have ended where a control reads it.
    pub deadline: Option<Instant>,
    pub via: &'a HeaderValue,
}

impl Crossing for HttpCrossing<'_> {
    type Reply = Response<Watched>;

    async fn read_request(&mut self, limit: u64, charge: &mut Charge) -> Result<Bytes, Box<Denial>> {
        match timeout(self.body_timeout, self.inbound.read_whole(limit, charge)).await {
            Ok(Err(denial)) => Err(self.body_fault().unwrap_or(denial)),
            Ok(body) => body,
            Err(_) => Err((&code::REQUEST_TIMEOUT).into()),
        }
    }

    async fn deliver(&mut self, mut cleared: Cleared<'_>) -> Result<Self::Reply, Box<Denial>> {
        let deadline = Instant::now() + self.route.timeout;
        self.deadline = Some(deadline);
        let (body, again) = self.body(&mut cleared);
        let mut attempt = Attempt { cleared, again, sent: Cell::new(false) };
        let reply = self.attempt(deadline, &attempt, body).await;
        attempt.again = None;
        if !attempt.sent.get() {
            attempt.cleared.count_none();
        }
        reply
    }

    fn reply_facts(&self, reply: &Self::Reply) -> ReplyFacts {
        let status = reply.status();
        // A client error's body is replaced and a redirection's left out, so no control reads it and nothing of it
        // passes; a switched protocol has none, and its bytes are known only once they passed. Where HTTP has no body,
        // none can be wanting.
        let (has_body, length) = match status {
            StatusCode::SWITCHING_PROTOCOLS => (false, None),
            _ if status.is_client_error() || status.is_redirection() => (false, Some(0)),
            _ if answer::is_bodiless(&self.parts.method, status) => (false, Some(0)),
            _ => (true, reply.body().size_hint().exact()),
        };
        ReplyFacts { answered: status::answered(status), length, has_body }
    }

    fn reply_media_type(&self, reply: &Self::Reply) -> Option<Box<str>> {
        request::text(reply.headers(), CONTENT_TYPE).map(Into::into)
    }

    fn reply_fields(&self, reply: &Self::Reply) -> Vec<(Box<str>, Box<[u8]>)> {
        answer::kept_fields(reply, self.route)
    }

    async fn last_look(&mut self, reply: &mut Self::Reply, body: Option<&Bytes>) -> Result<(), Box<Denial>> {
        if reply.status().is_client_error() {
            return Ok(());
        }
        let known = self.route.target.credential.presented();
        let found = |place: &dyn std::fmt::Display| {
            Err(Denial::new(&code::REPLY_HOLDS_CREDENTIAL).internal(format!("it stands in {place}")).into())
        };
        if let Some(known) = &known {
            let passes = &self.route.passes;
            let crosses = |name| passes.reply.pass(name) || passes.handshake.pass(name);
            let mut fields = reply.headers().iter().filter(|(name, _)| crosses(name));
            if let Some((name, _)) = fields.find(|(name, value)| known.in_field(name, value)) {
                return found(&format_args!("the field {name}"));
            }
            if body.is_some_and(|body| known.in_body(body)) {
                return found(&"the body");
            }
        }
        if body.is_some() || answer::is_bodiless(&self.parts.method, reply.status()) {
            return Ok(());
        }
        match reply.body_mut().watch(self.route.target.credential.injected()).await {
            Err(ReplyError::HoldsCredential) => found(&"the body"),
            Err(error) => Err(error.denial()),
            Ok(()) => Ok(()),
        }
    }

    async fn read_reply(
        &mut self,
        reply: &mut Self::Reply,
        limit: u64,
        charge: &mut Charge,
    ) -> Result<Bytes, Box<Denial>> {
        if !is_plain(reply.headers()) {
            return Err(Denial::new(&code::REPLY_REFUSED)
                .internal("the target's answer is compressed")
                .into());
        }
        // Several fields, or a list in one: each reader would take another of them.
        let mut types = reply.headers().get_all(CONTENT_TYPE).iter();
        let first = types.next();
        if types.next().is_some() || first.is_some_and(|kind| kind.as_bytes().contains(&b',')) {
            return Err(Denial::new(&code::REPLY_REFUSED)
                .internal("the target's answer has more than one Content-Type")
                .into());
        }
        // It would be read until the time is over. What any other body is, its bytes tell.
        if self.reply_media_type(reply).is_some_and(|kind| is_event_stream(&kind)) {
            return Err(Denial::new(&code::REPLY_REFUSED)
                .internal("the target's answer is an event stream, which no control can read as a whole")
                .into());
        }
        let read =
            read_whole(reply.body_mut(), limit, charge, &code::REPLY_TOO_LARGE, |error| error.denial());
        let deadline = self.deadline.unwrap_or_else(|| Instant::now() + self.route.timeout);
        timeout_at(deadline, read).await.unwrap_or_else(|_| Err((&code::TARGET_TIMEOUT).into()))
    }
}

/// A request on its way until the reply begins.
struct Attempt<'x> {
    cleared: Cleared<'x>,
    /// Its body, where that streams.
    again: Option<Again>,
    /// Anything of it may have reached the target.
    sent: Cell<bool>,
}

impl Attempt<'_> {
    /// The body once more, where it can be sent twice.
    fn body(&self) -> Option<OutBody> {
        match (self.cleared.exchange().request.bytes(), &self.again) {
            (Some(bytes), _) => Some(OutBody::Full(bytes.clone())),
            (None, Some(again)) => again.body(),
            (None, None) => Some(OutBody::Empty),
        }
    }
}

/// Dropped while it is on its way: its caller went away, or the HTTP/2 library found fault with its body, which it tells
/// the body only.
impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.again.as_ref().is_some_and(Again::is_malformed) {
            self.cleared.break_off(&code::BODY_INCOMPLETE);
        }
    }
}

impl HttpCrossing<'_> {
    async fn attempt(
        &self,
        deadline: Instant,
        attempt: &Attempt<'_>,
        body: OutBody,
    ) -> Result<Response<Watched>, Box<Denial>> {
        let credential = &self.route.target.credential;
        let shown = match credential.show() {
            Show::Now(shown) => shown?,
            Show::Later(shown) => timeout_at(deadline, shown).await.unwrap_or_else(token_too_late)?,
        };
        let request = self.request(&attempt.cleared, shown.as_ref(), body)?;
        let reply = self.send(deadline, attempt, shown.as_ref(), request).await?;
        if reply.status() == StatusCode::UNAUTHORIZED {
            return Box::pin(self.send_with_another(deadline, attempt, shown, reply)).await;
        }
        self.checked(reply)
    }

    /// The request target for the target system: its base path, then the path below the integration's, or the
    /// operation's own template.
    fn uri(&self, cleared: &Cleared<'_>) -> Result<Uri, Box<Denial>> {
        let asked = &cleared.exchange().asked;
        let mut text = self.route.delivered(self.spelling.as_deref().unwrap_or(&asked.resource));
        if !asked.query.is_empty() {
            text.push('?');
            text.push_str(asked.query.spelling());
        }
        Uri::try_from(text).map_err(|error| Box::new(Denial::new(&code::PATH_AMBIGUOUS).internal(error)))
    }

    /// The target refused the credential before it expired: once more with another, if there may be one and the body
    /// can be sent again.
    async fn send_with_another(
        &self,
        deadline: Instant,
        attempt: &Attempt<'_>,
        shown: Option<Shown>,
        refused: Response<PooledBody>,
    ) -> Result<Response<Watched>, Box<Denial>> {
        let (credential, flow) = (&self.route.target.credential, &attempt.cleared.exchange().flow);
        let Some(another) = credential.instead_of(shown.as_ref(), flow) else { return self.checked(refused) };
        let Some(body) = attempt.body() else { return self.checked(refused) };
        refused.into_body().discard();
        let shown = timeout_at(deadline, another).await.unwrap_or_else(token_too_late)?;
        let request = self.request(&attempt.cleared, Some(&shown), body)?;
        let reply = self.send(deadline, attempt, Some(&shown), request).await?;
        if reply.status() != StatusCode::UNAUTHORIZED {
            credential.helped(flow);
        }
        self.checked(reply)
    }

    /// The body toward the target; the connection frames it.
    fn body(&mut self, cleared: &mut Cleared<'_>) -> (OutBody, Option<Again>) {
        if let Some(bytes) = cleared.exchange().request.bytes().cloned() {
            cleared.count_in(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
            return (OutBody::Full(bytes), None);
        }
        let max = self.route.pipeline.max_request();
        let Some(body) = self.inbound.take() else { return (OutBody::Empty, None) };
        self.streams = true;
        let trailers = Arc::clone(&self.route.passes.request_trailers);
        let body = OutBody::stream(body, max, self.body_timeout, cleared.counter_in(), trailers);
        let again = body.again(self.worker.pool(&self.route.target.upstream).room());
        (body, again)
    }

    /// What goes to the target, as often as it is sent.
    fn request(
        &self,
        cleared: &Cleared<'_>,
        shown: Option<&Shown>,
        body: OutBody,
    ) -> Result<Request<OutBody>, Box<Denial>> {
        let (exchange, passes) = (cleared.exchange(), &self.route.passes);
        let caller = self.route.target.caller_address.then_some(exchange.peer.address);
        let outbound = Outbound { via: self.via, caller, upgrades: self.upgrades, passes };
        let mut left_out = Noted::of_request(&passes.left_out);
        let mut headers = fields::toward_target(&self.parts.headers, &outbound, &mut left_out)?;
        left_out.tell(exchange);
        if !self.streams {
            // Trailers cross only with a body that streams.
            headers.remove(TRAILER);
        } else if body.size_hint().exact().is_none() {
            announce(&mut headers, &self.route.passes.request_trailers);
        }
        if let Some(shown) = shown {
            shown.put(&mut headers);
        }
        // Saying nothing would let it choose any (RFC 9110 §12.5.3), and what is compressed cannot be searched, be it for
        // this credential or for one before.
        if self.route.target.credential.presented().is_some()
            && let Entry::Vacant(entry) = headers.entry(ACCEPT_ENCODING)
        {
            entry.insert(HeaderValue::from_static("identity"));
        }
        let mut request = Request::new(body);
        *request.method_mut() = self.parts.method.clone();
        *request.uri_mut() = self.uri(cleared)?;
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = headers;
        Ok(request)
    }

    async fn send(
        &self,
        deadline: Instant,
        attempt: &Attempt<'_>,
        shown: Option<&Shown>,
        request: Request<OutBody>,
    ) -> Result<Response<PooledBody>, Box<Denial>> {
        let target = &self.route.target;
        let pool = self.worker.pool(&target.upstream);
        let exchange = attempt.cleared.exchange();
        let principal = exchange.principal.as_ref();
        let holder =
            principal.map(|principal| Holder { account: &principal.account().name, most: target.share });
        let sent = if self.upgrades {
            timeout_at(deadline, Box::pin(pool.send_upgrade(request, holder))).await
        } else {
            // An exchange that holds an idempotency key is declared to act once at most, whatever its method says.
            let reserved = exchange.reservation.is_some();
            let idempotent = !reserved && is_idempotent(&self.parts.method);
            let again = || self.request(&attempt.cleared, shown, attempt.body()?).ok();
            let repeatable = Repeatable { idempotent, again: &again };
            timeout_at(deadline, pool.send_repeatable(request, repeatable, holder)).await
        };
        let unsent = matches!(&sent, Ok(Err(error)) if error.is_unsent());
        attempt.sent.set(attempt.sent.get() || !unsent);
        match sent {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) => Err(self.body_fault().unwrap_or_else(|| refusal(&error))),
            Err(_) if self.inbound.is_awaited() => Err((&code::REQUEST_TIMEOUT).into()),
            Err(_) => Err((&code::TARGET_TIMEOUT).into()),
        }
    }

    /// What the target's reply must be before any of it is passed on, whether a control reads it or it streams.
    fn checked(&self, reply: Response<PooledBody>) -> Result<Response<Watched>, Box<Denial>> {
        if let Err(denial) = judge_status(&reply, self.upgrades) {
            reply.into_body().discard();
            return Err(denial);
        }
        if reply.status() == StatusCode::SWITCHING_PROTOCOLS {
            websocket::judge_reply(&self.parts.headers, reply.headers())
                .map_err(|why| Box::new(Denial::new(&code::REPLY_MALFORMED).internal(why)))?;
        }
        let announced = reply.body().size_hint().lower();
        if !reply.status().is_client_error() && announced > self.route.pipeline.max_reply() {
            return Err((&code::REPLY_TOO_LARGE).into());
        }
        if self.is_packed(&reply) {
            let internal = "it is compressed although nobody asked for that, so that it cannot be searched for the \
                            bridge's credential; request.headers: [Accept-Encoding] lets it pass unsearched";
            return Err(Denial::new(&code::REPLY_REFUSED).internal(internal).into());
        }
        // Not asked for, it would be judged as if it were the whole.
        if self.route.reply_is_read && reply.status() == StatusCode::PARTIAL_CONTENT {
            return Err(Denial::new(&code::REPLY_REFUSED).internal("a part that nobody asked for").into());
        }
        Ok(reply.map(|body| Watched::new(body, Arc::clone(&self.route.passes.reply_trailers))))
    }

    /// Compressed, unasked, by a target that could put the bridge's credential inside.
    fn is_packed<B: Body>(&self, reply: &Response<B>) -> bool {
        let passes = !reply.status().is_client_error() && !reply.status().is_redirection();
        let asked = self.route.passes.request.pass(&ACCEPT_ENCODING)
            && self.parts.headers.contains_key(ACCEPT_ENCODING);
        passes
            && !asked
            && !is_plain(reply.headers())
            && !reply.body().is_end_stream()
            && self.route.target.credential.presented().is_some()
    }

    fn body_fault(&self) -> Option<Box<Denial>> {
        self.gate.body_fault().map(Into::into)
    }
}

/// Whether the body is not compressed. The names of codings have no case (RFC 9110 §8.4.1).
fn is_plain(headers: &HeaderMap) -> bool {
    let plain = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"identity");
    headers.get_all(CONTENT_ENCODING).iter().all(plain)
}

/// A reply that goes on for as long as somebody listens (HTML Standard, server-sent events).
fn is_event_stream(content_type: &str) -> bool {
    content_type.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
}

fn token_too_late<T>(_: Elapsed) -> Result<T, Box<Denial>> {
    let internal = "the token for the target did not come within the operation's timeout";
    Err(Denial::new(&code::SECRET_UNAVAILABLE).internal(internal).retry_after(Duration::from_secs(1)).into())
}

/// Server errors and refused credentials of the target are failures of ours toward the caller.
fn judge_status<B>(reply: &Response<B>, upgrades: bool) -> Result<(), Box<Denial>> {
    let status = reply.status();
    // RFC 9110 §15: what is no status cannot be passed on as one.
    if status.as_u16() > 599 {
        return Err(Denial::new(&code::REPLY_MALFORMED).internal(format!("the status {status}")).into());
    }
    if status == StatusCode::UNAUTHORIZED || status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
        return Err(Denial::new(&code::TARGET_REFUSED_US).internal(status).into());
    }
    // What it says of its connection with the bridge would, passed on, speak of the caller's (RFC 9110 §15.5.20: no proxy
    // generates a 421; §15.5.22). A handshake's 426 is the answer to the version that the caller asked for (RFC 6455 §4.4).
    if status == StatusCode::MISDIRECTED_REQUEST {
        return Err(Denial::new(&code::TARGET_MISDIRECTED).internal(status).into());
    }
    if status == StatusCode::UPGRADE_REQUIRED && !upgrades {
        return Err(Denial::new(&code::TARGET_PROTOCOL_UNSPOKEN).internal(status).into());
    }
    if !status.is_server_error() {
        return Ok(());
    }
    let retry_after = retry_after(reply.headers());
    let code = match status {
        StatusCode::SERVICE_UNAVAILABLE if retry_after.is_some() => &code::TARGET_UNAVAILABLE,
        _ => &code::TARGET_FAILED,
    };
    Err(Box::new(Denial { retry_after, ..Denial::new(code).internal(status) }))
}

pub(crate) fn refusal(error: &SendError) -> Box<Denial> {
    if let SendError::Body(BodyFault::Trailer(name)) = error {
        return request::trailer_refused(name);
    }
    let code = match error {
        SendError::Unreachable(_)
        | SendError::Resolve(_)
        | SendError::AddressRefused(_)
        // No connection within its own time limit, so that nothing was sent.
        | SendError::Timeout => &code::TARGET_UNREACHABLE,
        SendError::Tls(_) | SendError::CertificateRefused(_) => &code::TARGET_TLS_FAILED,
        SendError::Protocol(_) => &code::TARGET_PROTOCOL_UNSPOKEN,
        SendError::Busy | SendError::ShareTaken { .. } => &code::TARGET_BUSY,
        SendError::NoDescriptor => &code::BRIDGE_BUSY,
        SendError::Body(BodyFault::TooLarge) => &code::BODY_TOO_LARGE,
        SendError::Body(BodyFault::TooSlow) => &code::REQUEST_TIMEOUT,
        SendError::Body(BodyFault::Broken(_) | BodyFault::Trailer(_)) => &code::BODY_INCOMPLETE,
        SendError::Malformed(_) => &code::REPLY_MALFORMED,
        // It took no part of the request, on any connection.
        SendError::BrokeOff { maybe_sent: false, .. } => &code::TARGET_UNREACHABLE,
        SendError::BrokeOff { .. } => &code::TARGET_BROKE_OFF,
    };
    let mut denial = Denial::new(code).internal(error);
    if let SendError::ShareTaken { most, .. } = error {
        denial = denial.detail(format!(
            "This account holds its share of the target's connections, {most}; WebSockets count until they are closed."
        ));
    }
    Box::new(if [&code::TARGET_BUSY, &code::BRIDGE_BUSY].contains(&code) {
        denial.retry_after(Duration::from_secs(1))
    } else {
        denial
    })
}

/// Reads a body to its end, keeping at most `limit` bytes and no more than `charge` may grow to: by the announced
/// length before any of it is read, by what comes otherwise.
pub async fn read_whole<B>(
    body: &mut B,
    limit: u64,
    charge: &mut Charge,
    too_large: &'static Code,
    broken: impl Fn(B::Error) -> Box<Denial>,
) -> Result<Bytes, Box<Denial>>
where
    B: Body<Data = Bytes> + Unpin,
{
    let announced = body.size_hint().lower();
    if announced > limit {
        return Err(too_large.into());
    }
    let mut hold = |bytes: usize| charge.grow_to(bytes).map_err(|full| full.denial(too_large));
    hold(usize::try_from(announced).unwrap_or(usize::MAX))?;
    let mut first = Bytes::new();
    let mut rest = Vec::new();
    let mut total = 0usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(&broken)?;
        // Trailers are not part of what was declared, so they do not cross with a body that is read.
        let Ok(data) = frame.into_data() else { continue };
        total = total.saturating_add(data.len());
        if u64::try_from(total).unwrap_or(u64::MAX) > limit {
            return Err(too_large.into());
        }
        // Most bodies arrive in one piece, which then is not copied.
        if total == data.len() {
            hold(total)?;
            first = data;
            continue;
        }
        if rest.capacity() < total {
            // A half more each time, so that no more is held than twice what came.
            let room = (total + total / 2).max(usize::try_from(announced).unwrap_or(0));
            hold(room)?;
            rest.reserve_exact(room - rest.len());
            rest.extend_from_slice(&std::mem::take(&mut first));
        }
        rest.extend_from_slice(&data);
    }
    if rest.is_empty() {
        return Ok(first);
    }
    rest.shrink_to_fit();
    Ok(rest.into())
}
