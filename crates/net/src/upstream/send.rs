//! Sending one request over a pool's connections, as often as that is harmless.

use super::body::{OutBody, Source};
use super::error::{Refused, SendError, is_reset};
use super::open::Http1;
use super::pool::{Lease, Pool, Taken};
use super::reply::PooledBody;
use super::share::{self, Holder};
use super::streams::{Stream, Streams};
use crate::framing;
use crate::gate::{Malformed, REPLY_FIELDS, TOO_MANY_FIELDS};
use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http2};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Instant;

/// How often one request is sent at most. Each further try is on another connection, and only of what the target did
/// not process; a target that closes every connection at once must not keep a caller for ever.
const TRIES: usize = 8;

/// So many of them on connections that others use, too, each of which the target may be about to end.
const ON_SHARED: usize = 3;

/// A request that got no response.
struct Failed {
    error: SendError,
    /// The request itself, if it never left.
    unsent: Option<Request<OutBody>>,
    /// The target cannot have acted on it: nothing was written, or it says so (RFC 9113 §6.8, §8.7).
    unprocessed: bool,
    /// The connection ended before anything of an answer came, and had been used before: it was about to end, and would
    /// have ended without this request.
    ended: bool,
    /// The shared connection it was on.
    on: Option<Rc<Streams>>,
}

impl Failed {
    fn whole(error: SendError, unsent: Option<Request<OutBody>>) -> Failed {
        Failed { error, unsent, unprocessed: false, ended: false, on: None }
    }
}

/// A request that can be made a second time.
pub struct Repeatable<'r> {
    /// Whether sending it twice is the same as sending it once, also where the target may have acted on it (RFC 9110
    /// §9.2.2).
    pub idempotent: bool,
    /// Makes it once more; `None` where its body is gone.
    pub again: &'r dyn Fn() -> Option<Request<OutBody>>,
}

/// Methods that may be repeated without asking (RFC 9110 §9.2.2).
pub fn is_idempotent(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS, Method::TRACE].contains(method)
}

impl Pool {
    /// Sends a request whose URI is in origin form ([`super::Upstream::target`]). Host or `:authority`, the version and
    /// the framing fields are set here; the other connection fields are the caller's to remove.
    ///
    /// Dropping the future drops the connection (HTTP/2: the stream).
    pub async fn send(self: &Rc<Self>, request: Request<OutBody>) -> Result<Response<PooledBody>, SendError> {
        self.send_repeatable(request, Repeatable { idempotent: false, again: &|| None }, None).await
    }

    /// The same, and on another connection once more
    /// - what never left the bridge, or what the target says it did not process, a few times;
    /// - what met a connection that the target was just closing, once, if it is idempotent and nothing was answered
    ///   (RFC 9112 §9.3.1).
    pub async fn send_repeatable(
        self: &Rc<Self>,
        request: Request<OutBody>,
        repeatable: Repeatable<'_>,
        holder: Option<Holder<'_>>,
    ) -> Result<Response<PooledBody>, SendError> {
        let now = Instant::now();
        self.used.set(now);
        let held = match holder {
            Some(holder) => Some(self.hold(holder).await?),
            None => None,
        };
        let taken = match self.take_open(now).await {
            Some(taken) => taken,
            None => Box::pin(self.open(&[])).await?,
        };
        let response = match self.exchange(taken, request).await {
            Ok(response) => response,
            Err(failed) => Box::pin(self.send_again(failed, repeatable)).await?,
        };
        Ok(response.map(|body| body.held(held)))
    }

    async fn send_again(
        self: &Rc<Self>,
        mut failed: Box<Failed>,
        repeatable: Repeatable<'_>,
    ) -> Result<Response<PooledBody>, SendError> {
        // An automatic repetition that fails is not repeated (RFC 9110 §9.2.2).
        let mut may_repeat = repeatable.idempotent;
        let mut avoided = Vec::new();
        for tried in 1..TRIES {
            if matches!(failed.error, SendError::Body(_)) {
                break;
            }
            let request = match failed.unsent.take() {
                Some(request) => request,
                None => {
                    let harmless = failed.unprocessed || (may_repeat && failed.ended);
                    if !harmless {
                        break;
                    }
                    may_repeat &= failed.unprocessed;
                    let Some(request) = (repeatable.again)() else { break };
                    request
                }
            };
            avoided.extend(failed.on.take());
            let taken = if tried > ON_SHARED { self.connect().await } else { self.open(&avoided).await };
            // What went out before is what there is to say.
            let Ok(taken) = taken else { break };
            match self.exchange(taken, request).await {
                Ok(response) => return Ok(response),
                Err(again) => failed = again,
            }
        }
        Err(failed.error)
    }

    /// Sends an HTTP/1.1 request that asks for an upgrade, on a connection of its own. After a 101,
    /// `hyper::upgrade::on(&mut response)` gives the raw connection.
    pub async fn send_upgrade(
        self: &Rc<Self>,
        mut request: Request<OutBody>,
        holder: Option<Holder<'_>>,
    ) -> Result<Response<PooledBody>, SendError> {
        let held = holder.map(|holder| {
            let held = self
                .shares
                .hold(&self.upstream.shares, holder.account, |count| count.connection(holder.most));
            held.ok_or_else(|| share::taken(holder))
        });
        let held = held.transpose()?;
        let mut permit = self.place().await.ok_or(SendError::Busy)?;
        permit._held = held;
        let mut http1 = self.upstream.connect_upgradable(permit).await?;
        self.upstream.address_http1(&mut request);
        http1.expected.ask_upgrade();
        match http1.sender.send_request(request).await {
            Ok(response) => {
                Ok(response.map(|body| PooledBody::new(body, Some(Lease::Once { _http1: http1 }))))
            }
            Err(error) => Err(SendError::of(&error, true)),
        }
    }

    async fn exchange(
        self: &Rc<Self>,
        taken: Taken,
        request: Request<OutBody>,
    ) -> Result<Response<PooledBody>, Box<Failed>> {
        match taken {
            Taken::Http1(mut http1) => {
                let answered = self.ask_http1(&mut http1, request).await;
                self.over_http1(http1, answered)
            }
            Taken::Http2(mut sender, stream) => {
                let source = request.body().source();
                let answered = self.ask_http2(&mut sender, request).await;
                self.over_http2(stream, source, answered)
            }
        }
    }

    /// The request goes to hyper before there is a future, which then has no room for it.
    fn ask_http1(
        &self,
        http1: &mut Http1,
        mut request: Request<OutBody>,
    ) -> impl Future<Output = Answered> + use<> {
        self.upstream.address_http1(&mut request);
        http1.expected.ask(request.method());
        http1.sender.try_send_request(request)
    }

    fn ask_http2(
        &self,
        sender: &mut http2::SendRequest<OutBody>,
        mut request: Request<OutBody>,
    ) -> impl Future<Output = Answered> + use<> {
        self.upstream.address_http2(&mut request);
        sender.try_send_request(request)
    }

    fn over_http1(
        self: &Rc<Self>,
        http1: Http1,
        answered: Answered,
    ) -> Result<Response<PooledBody>, Box<Failed>> {
        match answered {
            Ok(response) => {
                let lease = Lease::Http1 { http1, pool: self.clone() };
                Ok(response.map(|body| PooledBody::new(body, Some(lease))))
            }
            Err(mut failure) => {
                let unsent = failure.take_message();
                let (written, answered) = http1.expected.progress();
                let mut error = SendError::of(failure.error(), unsent.is_none() && written);
                if http1.used || answered {
                    error = error.on_used();
                }
                Err(Box::new(Failed {
                    unprocessed: !written,
                    ended: !answered && http1.used,
                    ..Failed::whole(error, unsent)
                }))
            }
        }
    }

    /// `source` is where the request's body says why it failed.
    fn over_http2(
        &self,
        stream: Stream,
        source: Option<Rc<RefCell<Source>>>,
        answered: Answered,
    ) -> Result<Response<PooledBody>, Box<Failed>> {
        match answered {
            Ok(response) => {
                stream.connection().answered();
                check_http2(&response).map_err(|fault| Box::new(Failed::whole(fault.into(), None)))?;
                let lease = Lease::Http2 { _stream: stream };
                Ok(response.map(|body| PooledBody::new(body, Some(lease))))
            }
            Err(mut failure) => {
                let unsent = failure.take_message();
                let why = Refused::of(failure.error());
                let error = match source.and_then(|source| source.borrow_mut().fault.take()) {
                    Some(fault) => SendError::Body(fault),
                    None => SendError::of(failure.error(), unsent.is_none() && why.is_none()),
                };
                let on = Rc::clone(stream.connection());
                let error = if on.has_answered() { error.on_used() } else { error };
                if why != Some(Refused::Stream) {
                    self.retire(&on);
                }
                Err(Box::new(Failed {
                    unprocessed: why.is_some(),
                    // A reset is the target's word on this request.
                    ended: on.used() && !is_reset(failure.error()),
                    on: Some(on),
                    ..Failed::whole(error, unsent)
                }))
            }
        }
    }
}

/// What hyper makes of a request; of one that never left, the request comes back.
type Answered = Result<Response<Incoming>, TrySendError<Request<OutBody>>>;

/// What the gate checks for HTTP/1 and h2 leaves open: it counts DATA against the first Content-Length, and knows no
/// bound of a status (RFC 9110 §15), nor of the number of fields.
fn check_http2<B>(response: &Response<B>) -> Result<(), Malformed> {
    if response.status().as_u16() > 599 {
        return Err(Malformed("its status is not between 100 and 599"));
    }
    if response.headers().len() > REPLY_FIELDS {
        return Err(TOO_MANY_FIELDS);
    }
    framing::announced(response.headers()).map(|_| ())
}
