//! Delivery over HTTP: what was cleared goes to the target, whoever asked for it, and its reply comes back.

use crate::credential::{Show, Shown};
use crate::fields::{self, Outbound};
use crate::foreign::{Flowing, Made};
use crate::left_out::Noted;
use crate::passes::{Passes, announce};
use crate::refusal::refusal;
use crate::reply::HttpReply;
use crate::source::HttpSource;
use crate::watch::Watched;
use crate::way::Way;
use crate::websocket;
use http::header::{ACCEPT_ENCODING, Entry, HeaderMap, HeaderValue, TRAILER};
use http::{Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body;
use ironbridge_core::{Cleared, Delivery, Denial, LocalFuture, Reply, Source, code};
use ironbridge_net::retry_after;
use ironbridge_net::upstream::{
    Again, Holder, OutBody, Pool, PooledBody, Pools, Repeatable, SendError, is_idempotent,
};
use std::any::Any;
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout_at};

/// Takes exchanges of one operation to its HTTP target, over the connections of the core that it runs on.
pub struct HttpDelivery(Arc<Way>);

impl HttpDelivery {
    pub fn new(way: Way) -> HttpDelivery {
        HttpDelivery(Arc::new(way))
    }

    /// Which fields and query members cross with a delivery, if that is one over HTTP.
    pub fn passes(delivery: &dyn Delivery) -> Option<&Arc<Passes>> {
        HttpDelivery::way(delivery).map(|way| &way.passes)
    }

    /// The way of a delivery, if that is one over HTTP.
    pub(crate) fn way(delivery: &dyn Delivery) -> Option<&Arc<Way>> {
        let delivery: &dyn Any = delivery;
        delivery.downcast_ref::<HttpDelivery>().map(|HttpDelivery(way)| way)
    }
}

impl Delivery for HttpDelivery {
    fn deliver<'a>(
        &'a self,
        mut cleared: Cleared<'a>,
        source: &'a mut dyn Source,
    ) -> LocalFuture<'a, Result<Box<dyn Reply>, Box<Denial>>> {
        let HttpDelivery(way) = self;
        let deadline = Instant::now() + way.timeout;
        let pool = Pools::here().of(&way.target.upstream);
        let (by, body, again) = match By::of(way, &pool, &mut cleared, source) {
            Ok(asked) => asked,
            Err(denial) => return Box::pin(std::future::ready(Err(denial))),
        };
        let sent = Cell::new(false);
        let mut attempt = Attempt { way, pool, cleared, by, streams: again.is_some(), again, sent, deadline };
        Box::pin(async move {
            let reply = attempt.run(body).await;
            attempt.again = None;
            if !attempt.sent.get() {
                attempt.cleared.count_none();
            }
            let is_head = attempt.by.method() == Method::HEAD;
            let reply = HttpReply::new(reply?, Arc::clone(way), is_head, deadline);
            Ok(Box::new(reply) as Box<dyn Reply>)
        })
    }
}

/// Who asks, and how: a caller over HTTP, or one of another transport in whose place the request was made.
enum By<'a> {
    Http(&'a HttpSource),
    Other(Box<Made>),
}

impl<'a> By<'a> {
    /// With the body toward the target, which the connection frames, and what of it can be sent again where it streams.
    fn of(
        way: &Way,
        pool: &Pool,
        cleared: &mut Cleared<'_>,
        source: &'a mut dyn Source,
    ) -> Result<(By<'a>, OutBody, Option<Again>), Box<Denial>> {
        let held = cleared.exchange().request.bytes().cloned();
        if let Some(bytes) = &held {
            cleared.count_in(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        }
        if !(&*source as &dyn Any).is::<HttpSource>() {
            let made = Box::new(Made::of(cleared.exchange())?);
            let body = match (held, source.take_body()) {
                (Some(bytes), _) => OutBody::Full(bytes),
                (None, Some(inflow)) => Flowing::toward_target(inflow, cleared, &made.fault),
                (None, None) => OutBody::Empty,
            };
            return Ok((By::Other(made), body, None));
        }
        let source: &mut dyn Any = source;
        let Some(source) = source.downcast_mut::<HttpSource>() else {
            return Err((&code::INTERNAL).into());
        };
        let (body, again) = match held {
            Some(bytes) => (OutBody::Full(bytes), None),
            None => match source.inbound.take() {
                None => (OutBody::Empty, None),
                Some(body) => {
                    let trailers = Arc::clone(&way.passes.request_trailers);
                    let (max, count) = (cleared.max_request(), cleared.counter_in());
                    let body = OutBody::stream(body, max, source.body_timeout, count, trailers);
                    let again = body.again(pool.room());
                    (body, again)
                }
            },
        };
        Ok((By::Http(source), body, again))
    }

    fn method(&self) -> &Method {
        match self {
            By::Http(source) => &source.parts.method,
            By::Other(made) => &made.method,
        }
    }

    fn headers(&self) -> &HeaderMap {
        match self {
            By::Http(source) => &source.parts.headers,
            By::Other(made) => &made.headers,
        }
    }

    /// Names the HTTP version that the request came over, if it came over one (RFC 9110 §7.6.3).
    fn via(&self) -> Option<&HeaderValue> {
        match self {
            By::Http(source) => Some(&source.via),
            By::Other(_) => None,
        }
    }

    fn upgrades(&self) -> bool {
        matches!(self, By::Http(source) if source.upgrades)
    }

    /// The caller is waited for, which keeps sending its body.
    fn is_awaited(&self) -> bool {
        match self {
            By::Http(source) => source.inbound.is_awaited(),
            By::Other(_) => false,
        }
    }

    fn body_fault(&self) -> Option<Box<Denial>> {
        match self {
            By::Http(source) => source.body_fault(),
            By::Other(made) => made.fault.borrow_mut().take(),
        }
    }
}

/// A request on its way until the reply begins.
struct Attempt<'x> {
    way: &'x Arc<Way>,
    pool: Rc<Pool>,
    cleared: Cleared<'x>,
    by: By<'x>,
    /// The request body streams past, so that trailers may follow it.
    streams: bool,
    /// It once more.
    again: Option<Again>,
    /// Anything of it may have reached the target.
    sent: Cell<bool>,
    /// Until then the reply must have begun, or have ended where a control reads it.
    deadline: Instant,
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

impl Attempt<'_> {
    async fn run(&self, body: OutBody) -> Result<Response<Watched>, Box<Denial>> {
        let shown = match self.way.target.credential.show() {
            Show::Now(shown) => shown?,
            Show::Later(shown) => timeout_at(self.deadline, shown).await.unwrap_or_else(token_too_late)?,
        };
        let request = self.request(shown.as_ref(), body)?;
        let reply = self.send(shown.as_ref(), request).await?;
        if reply.status() == StatusCode::UNAUTHORIZED {
            return Box::pin(self.send_with_another(shown, reply)).await;
        }
        self.checked(reply)
    }

    /// The target refused the credential before it expired: once more with another, if there may be one and the body
    /// can be sent again.
    async fn send_with_another(
        &self,
        shown: Option<Shown>,
        refused: Response<PooledBody>,
    ) -> Result<Response<Watched>, Box<Denial>> {
        let (credential, flow) = (&self.way.target.credential, &self.cleared.exchange().flow);
        let Some(another) = credential.instead_of(shown.as_ref(), flow) else { return self.checked(refused) };
        let Some(body) = self.body() else { return self.checked(refused) };
        refused.into_body().discard();
        let shown = timeout_at(self.deadline, another).await.unwrap_or_else(token_too_late)?;
        let request = self.request(Some(&shown), body)?;
        let reply = self.send(Some(&shown), request).await?;
        if reply.status() != StatusCode::UNAUTHORIZED {
            credential.helped(flow);
        }
        self.checked(reply)
    }

    /// The body once more, where it can be sent twice.
    fn body(&self) -> Option<OutBody> {
        match (self.cleared.exchange().request.bytes(), &self.again, &self.by) {
            (Some(bytes), ..) => Some(OutBody::Full(bytes.clone())),
            (None, Some(again), _) => again.body(),
            (None, None, By::Other(made)) if made.flows => None,
            (None, None, _) => Some(OutBody::Empty),
        }
    }

    /// What goes to the target, as often as it is sent.
    fn request(&self, shown: Option<&Shown>, body: OutBody) -> Result<Request<OutBody>, Box<Denial>> {
        let (exchange, passes) = (self.cleared.exchange(), &*self.way.passes);
        let caller = exchange.origin.address().filter(|_| self.way.target.caller_address);
        let outbound = Outbound { via: self.by.via(), caller, upgrades: self.by.upgrades(), passes };
        let mut left_out = Noted::of_request(&passes.left_out);
        let mut headers = fields::toward_target(self.by.headers(), &outbound, &mut left_out)?;
        left_out.tell(exchange);
        if !self.streams {
            // Trailers cross only with a body that streams.
            headers.remove(TRAILER);
        } else if body.size_hint().exact().is_none() {
            announce(&mut headers, &passes.request_trailers);
        }
        if let Some(shown) = shown {
            shown.put(&mut headers);
        }
        // Saying nothing would let it choose any (RFC 9110 §12.5.3), and what is compressed cannot be searched, be it for
        // this credential or for one before.
        if self.way.target.credential.presented().is_some()
            && let Entry::Vacant(entry) = headers.entry(ACCEPT_ENCODING)
        {
            entry.insert(HeaderValue::from_static("identity"));
        }
        let mut request = Request::new(body);
        *request.method_mut() = self.by.method().clone();
        *request.uri_mut() = self.uri()?;
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// The request target for the target system: its base path, then the path below the integration's, or the
    /// operation's own template.
    fn uri(&self) -> Result<Uri, Box<Denial>> {
        let asked = &self.cleared.exchange().asked;
        let mut text = self.way.delivered(match &self.by {
            By::Http(source) => source.spelling.as_deref().unwrap_or(&asked.resource),
            By::Other(made) => &made.path,
        });
        if !asked.query.is_empty() {
            text.push('?');
            text.push_str(asked.query.spelling());
        }
        Uri::try_from(text).map_err(|error| Box::new(Denial::new(&code::PATH_AMBIGUOUS).internal(error)))
    }

    async fn send(
        &self,
        shown: Option<&Shown>,
        request: Request<OutBody>,
    ) -> Result<Response<PooledBody>, Box<Denial>> {
        let (target, exchange) = (&self.way.target, self.cleared.exchange());
        let principal = exchange.principal.as_ref();
        let holder =
            principal.map(|principal| Holder { account: &principal.account().name, most: target.share });
        let sent = if self.by.upgrades() {
            timeout_at(self.deadline, Box::pin(self.pool.send_upgrade(request, holder))).await
        } else {
            let idempotent = !exchange.acts_once() && is_idempotent(self.by.method());
            let again = || self.request(shown, self.body()?).ok();
            let repeatable = Repeatable { idempotent, again: &again };
            timeout_at(self.deadline, self.pool.send_repeatable(request, repeatable, holder)).await
        };
        let unsent = matches!(&sent, Ok(Err(error)) if error.is_unsent());
        self.sent.set(self.sent.get() || !unsent);
        match sent {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) => Err(self.failed(&error)),
            Err(_) if self.by.is_awaited() => Err((&code::REQUEST_TIMEOUT).into()),
            Err(_) => Err((&code::TARGET_TIMEOUT).into()),
        }
    }

    fn failed(&self, error: &SendError) -> Box<Denial> {
        self.by.body_fault().unwrap_or_else(|| refusal(error))
    }

    /// What the target's reply must be before any of it is passed on, whether a control reads it or it streams.
    fn checked(&self, reply: Response<PooledBody>) -> Result<Response<Watched>, Box<Denial>> {
        if let Err(denial) = judge_status(&reply, self.by.upgrades()) {
            reply.into_body().discard();
            return Err(denial);
        }
        if reply.status() == StatusCode::SWITCHING_PROTOCOLS {
            websocket::judge_reply(self.by.headers(), reply.headers())
                .map_err(|why| Box::new(Denial::new(&code::REPLY_MALFORMED).internal(why)))?;
        }
        let announced = reply.body().size_hint().lower();
        if !reply.status().is_client_error() && announced > self.cleared.max_reply() {
            return Err((&code::REPLY_TOO_LARGE).into());
        }
        if self.is_packed(&reply) {
            let internal = "it is compressed although nobody asked for that, so that it cannot be searched for the \
                            bridge's credential; request.headers: [Accept-Encoding] lets it pass unsearched";
            return Err(Denial::new(&code::REPLY_REFUSED).internal(internal).into());
        }
        // Not asked for, it would be judged as if it were the whole.
        if self.way.reply_is_read && reply.status() == StatusCode::PARTIAL_CONTENT {
            return Err(Denial::new(&code::REPLY_REFUSED).internal("a part that nobody asked for").into());
        }
        Ok(reply.map(|body| Watched::new(body, Arc::clone(&self.way.passes.reply_trailers))))
    }

    /// Compressed, unasked, by a target that could put the bridge's credential inside.
    fn is_packed<B: Body>(&self, reply: &Response<B>) -> bool {
        let passes = !reply.status().is_client_error() && !reply.status().is_redirection();
        let asked =
            self.way.passes.request.pass(&ACCEPT_ENCODING) && self.by.headers().contains_key(ACCEPT_ENCODING);
        passes
            && !asked
            && !fields::is_plain(reply.headers())
            && !reply.body().is_end_stream()
            && self.way.target.credential.presented().is_some()
    }
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
