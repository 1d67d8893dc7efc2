use super::error::Refused;
use super::open::{Http1, Opened};
use super::share::{self, Held, Holder, Known};
use super::streams::{STREAMS, Stream, Streams};
use super::{OutBody, Permit, PooledBody, Protocol, SendError, Upstream};
use crate::framing;
use crate::gate::{Malformed, REPLY_FIELDS, TOO_MANY_FIELDS};
use http::{Method, Request, Response};
use hyper::client::conn::http2;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, Notify};
use tokio::task::AbortHandle;

/// How often idle connections are looked through.
const SWEEP: Duration = Duration::from_secs(10);

/// A pool without connections is forgotten after this.
const FORGET: Duration = Duration::from_secs(600);

/// How often a waiting request looks whether another core gave a connection up.
const RECHECK: Duration = Duration::from_millis(25);

/// How often one request is sent at most. Each further try is on another connection, and only of what the target did
/// not process; a target that closes every connection at once must not keep a caller for ever.
const TRIES: usize = 8;

/// So many of them on connections that others use, too, each of which the target may be about to end.
const ON_SHARED: usize = 3;

/// How often it is looked whether a place that was given up is free.
const LOOKS: usize = 8;

/// Every pool of one core. Make one per core and keep it there.
pub struct Pools {
    pools: RefCell<HashMap<u64, Rc<Pool>, ahash::RandomState>>,
}

impl Pools {
    /// Must be called on a core: starts the task that closes idle connections, which ends with the value.
    pub fn new() -> Rc<Pools> {
        let pools = Rc::new(Pools { pools: RefCell::default() });
        let swept = Rc::downgrade(&pools);
        tokio::task::spawn_local(async move {
            loop {
                tokio::time::sleep(SWEEP).await;
                match swept.upgrade() {
                    Some(pools) => pools.sweep(Instant::now()),
                    None => return,
                }
            }
        });
        pools
    }

    /// The core's pool for this upstream, made at first use and forgotten when long unused.
    pub fn of(&self, upstream: &Arc<Upstream>) -> Rc<Pool> {
        if let Some(pool) = self.pools.borrow().get(&upstream.id) {
            return pool.clone();
        }
        let pool = Pool::new(upstream.clone());
        let gives = tokio::task::spawn_local(give_when_wanted(Arc::clone(upstream), Rc::downgrade(&pool)));
        pool.gives.replace(Some(gives.abort_handle()));
        self.pools.borrow_mut().insert(upstream.id, pool.clone());
        pool
    }

    fn sweep(&self, now: Instant) {
        self.pools.borrow_mut().retain(|_, pool| {
            pool.sweep(now);
            Rc::strong_count(pool) > 1 || !pool.is_empty() || now.duration_since(pool.used.get()) < FORGET
        });
    }
}

/// One core's connections to one upstream.
pub struct Pool {
    upstream: Arc<Upstream>,
    /// HTTP/1 connections at rest, the longest resting first.
    idle: RefCell<Vec<Idle>>,
    /// HTTP/2 connections.
    shared: RefCell<Vec<Shared>>,
    /// What the target spoke last.
    speaks_http2: Cell<Option<bool>>,
    /// Held while a connection is opened that others could share.
    opening: Mutex<()>,
    waiting: Cell<usize>,
    returned: Notify,
    used: Cell<Instant>,
    shares: Known,
    gives: RefCell<Option<AbortHandle>>,
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Some(gives) = self.gives.take() {
            gives.abort();
        }
    }
}

/// Gives up a connection at rest whenever another core wants a place.
async fn give_when_wanted(upstream: Arc<Upstream>, pool: Weak<Pool>) {
    loop {
        upstream.wanted.notified().await;
        let Some(pool) = pool.upgrade() else { return };
        pool.give_up();
    }
}

struct Idle {
    http1: Http1,
    since: Instant,
}

struct Shared {
    sender: http2::SendRequest<OutBody>,
    streams: Rc<Streams>,
}

/// A connection (or a stream on one) taken for one request.
enum Taken {
    Http1(Http1),
    Http2(http2::SendRequest<OutBody>, Stream),
}

/// What a response body holds of its connection.
pub(super) enum Lease {
    Http1 {
        http1: Http1,
        pool: Rc<Pool>,
    },
    Http2 {
        _stream: Stream,
    },
    /// Not to be reused; held so that the connection lives as long as the body.
    Once {
        _http1: Http1,
    },
}

impl Lease {
    /// The response ended well.
    pub fn release(self) {
        if let Lease::Http1 { http1, pool } = self {
            pool.give_back(http1);
        }
    }
}

/// A request that got no response.
struct Failed {
    error: SendError,
    /// The request itself, if it never left.
    unsent: Option<Request<OutBody>>,
    /// The target cannot have acted on it: nothing was written, or it says so (RFC 9113 §6.8, §8.7).
    unprocessed: bool,
    /// Nothing of an answer came.
    unanswered: bool,
    /// The shared connection it was on.
    on: Option<Rc<Streams>>,
}

impl Failed {
    fn whole(error: SendError, unsent: Option<Request<OutBody>>) -> Failed {
        Failed { error, unsent, unprocessed: false, unanswered: false, on: None }
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
    pub fn new(upstream: Arc<Upstream>) -> Rc<Pool> {
        Rc::new(Pool {
            upstream,
            idle: RefCell::default(),
            shared: RefCell::default(),
            speaks_http2: Cell::new(None),
            opening: Mutex::new(()),
            waiting: Cell::new(0),
            returned: Notify::new(),
            used: Cell::new(Instant::now()),
            shares: Known::default(),
            gives: RefCell::default(),
        })
    }

    /// Sends a request whose URI is in origin form ([`Upstream::target`]). Host or `:authority`, the version and
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
        let (taken, reused) = match self.take_open(now).await {
            Some(taken) => (taken, true),
            None => (self.open(&[]).await?, false),
        };
        let response = match self.exchange(taken, request).await {
            Ok(response) => response,
            Err(failed) => Box::pin(self.send_again(failed, reused, repeatable)).await?,
        };
        Ok(response.map(|body| body.held(held)))
    }

    /// The account's part in the target. Where it has taken all of it, it waits for its own exchanges as one waits for
    /// connections; others pass by.
    async fn hold(&self, holder: Holder<'_>) -> Result<Held, SendError> {
        match self.try_hold(holder) {
            Some(held) => Ok(held),
            None => Box::pin(self.wait_to_hold(holder)).await,
        }
    }

    fn try_hold(&self, holder: Holder<'_>) -> Option<Held> {
        self.shares.hold(&self.upstream, holder.account, |count| {
            if self.speaks_http2.get() == Some(true) {
                count.stream(holder.most.saturating_mul(self.streams_each()))
            } else {
                count.connection(holder.most)
            }
        })
    }

    /// Streams that one shared connection takes.
    fn streams_each(&self) -> usize {
        let shared = self.shared.borrow();
        shared.iter().map(|shared| shared.streams.most()).min().unwrap_or(STREAMS)
    }

    async fn wait_to_hold(&self, holder: Holder<'_>) -> Result<Held, SendError> {
        let _waiting = Waiting::new(&self.waiting);
        let deadline = Instant::now() + self.upstream.queue_timeout;
        while Instant::now() < deadline {
            drop(tokio::time::timeout(RECHECK, self.returned.notified()).await);
            if let Some(held) = self.try_hold(holder) {
                return Ok(held);
            }
        }
        Err(share::taken(holder))
    }

    async fn send_again(
        self: &Rc<Self>,
        mut failed: Failed,
        reused: bool,
        repeatable: Repeatable<'_>,
    ) -> Result<Response<PooledBody>, SendError> {
        // An automatic repetition that fails is not repeated (RFC 9110 §9.2.2).
        let mut may_repeat = reused && repeatable.idempotent;
        let mut avoided = Vec::new();
        for tried in 1..TRIES {
            if matches!(failed.error, SendError::Body(_)) {
                break;
            }
            let request = match failed.unsent.take() {
                Some(request) => request,
                None => {
                    let harmless = failed.unprocessed || (may_repeat && failed.unanswered);
                    if !harmless {
                        break;
                    }
                    may_repeat &= failed.unprocessed;
                    let Some(request) = (repeatable.again)() else { break };
                    request
                }
            };
            avoided.extend(failed.on.take());
            let taken = if tried > ON_SHARED { self.connect().await? } else { self.open(&avoided).await? };
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
            let held =
                self.shares.hold(&self.upstream, holder.account, |count| count.connection(holder.most));
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

    /// A place for a connection of its own: one that rests makes room, on whichever core.
    async fn place(&self) -> Option<Permit> {
        if let Some(permit) = self.upstream.permit() {
            return Some(permit);
        }
        for _ in 0..LOOKS {
            self.want();
            tokio::time::sleep(RECHECK).await;
            if let Some(permit) = self.upstream.permit() {
                return Some(permit);
            }
        }
        None
    }

    fn want(&self) {
        if !self.give_up() {
            self.upstream.wanted.notify_waiters();
        }
    }

    /// Closes a connection that rests, if there is one.
    fn give_up(&self) -> bool {
        let mut idle = self.idle.borrow_mut();
        if !idle.is_empty() {
            drop(idle.remove(0));
            return true;
        }
        let mut shared = self.shared.borrow_mut();
        let resting = shared.iter().position(|shared| shared.streams.at_rest_since().is_some());
        resting.map(|resting| drop(shared.remove(resting))).is_some()
    }

    /// Connections that wait for a request.
    pub fn idle(&self) -> usize {
        self.idle.borrow().len()
    }

    /// An open connection.
    async fn take_open(&self, now: Instant) -> Option<Taken> {
        loop {
            let popped = self.idle.borrow_mut().pop();
            let Some(Idle { http1, since }) = popped else { break };
            let rested = now.saturating_duration_since(since);
            if http1.sender.is_closed() || rested > self.upstream.idle_timeout {
                continue;
            }
            if !http1.sender.is_ready() {
                // Its task has not yet seen the last response's end.
                tokio::task::yield_now().await;
            }
            if !http1.sender.is_ready() || !http1.expected.is_at_rest() {
                continue;
            }
            return Some(Taken::Http1(http1));
        }
        self.take_stream(&[])
    }

    /// A stream on the least busy shared connection that has room, other than `avoided`.
    fn take_stream(&self, avoided: &[Rc<Streams>]) -> Option<Taken> {
        self.least_busy(|streams| {
            streams.has_room() && !avoided.iter().any(|avoided| Rc::ptr_eq(avoided, streams))
        })
    }

    fn least_busy(&self, may: impl Fn(&Rc<Streams>) -> bool) -> Option<Taken> {
        let mut shared = self.shared.borrow_mut();
        if shared.is_empty() {
            return None;
        }
        shared.retain(|shared| !shared.sender.is_closed());
        let may = shared.iter().filter(|shared| may(&shared.streams));
        may.min_by_key(|shared| shared.streams.open()).map(Shared::stream)
    }

    /// A fresh connection, or one other than `avoided` that became free while we waited for our turn to open one.
    async fn open(self: &Rc<Self>, avoided: &[Rc<Streams>]) -> Result<Taken, SendError> {
        if !self.may_share() {
            return self.connect().await;
        }
        let turn = tokio::time::timeout(self.upstream.connect_timeout, self.opening.lock());
        let turn = turn.await.map_err(|_| SendError::Timeout)?;
        if let Some(taken) = self.take_stream(avoided) {
            return Ok(taken);
        }
        // The one before us may have learnt that the target speaks HTTP/1; then there is no queueing.
        let _turn = self.may_share().then_some(turn);
        self.connect().await
    }

    /// Whether the next connection may be one to share.
    fn may_share(&self) -> bool {
        match self.upstream.protocol {
            Protocol::Http1 => false,
            Protocol::Http2 => true,
            Protocol::Auto => self.upstream.tls.is_some() && self.speaks_http2.get() != Some(false),
        }
    }

    async fn connect(self: &Rc<Self>) -> Result<Taken, SendError> {
        let permit = match self.upstream.permit() {
            Some(permit) => permit,
            None => match self.queue().await? {
                Turn::Connect(permit) => permit,
                Turn::Use(taken) => return Ok(taken),
            },
        };
        match self.upstream.connect(permit).await? {
            Opened::Http1(http1) => {
                self.speaks_http2.set(Some(false));
                Ok(Taken::Http1(http1))
            }
            Opened::Http2(sender, streams) => {
                self.speaks_http2.set(Some(true));
                let shared = Shared { sender, streams };
                let taken = shared.stream();
                self.shared.borrow_mut().push(shared);
                Ok(taken)
            }
        }
    }

    /// All connections are taken: waits until one returns to this core, or a place becomes free.
    async fn queue(&self) -> Result<Turn, SendError> {
        // A stream beyond the target's limit waits within its connection.
        if let Some(taken) = self.least_busy(|_| true) {
            return Ok(Turn::Use(taken));
        }
        let _waiting = Waiting::new(&self.waiting);
        let deadline = Instant::now() + self.upstream.queue_timeout;
        loop {
            let now = Instant::now();
            if now >= deadline {
                return Err(SendError::Busy);
            }
            // This core has none at rest.
            self.upstream.wanted.notify_waiters();
            let nap = RECHECK.min(deadline - now);
            // Whether notified or not, look again.
            drop(tokio::time::timeout(nap, self.returned.notified()).await);
            if let Some(taken) = self.take_open(Instant::now()).await {
                return Ok(Turn::Use(taken));
            }
            if let Some(permit) = self.upstream.permit() {
                return Ok(Turn::Connect(permit));
            }
        }
    }

    async fn exchange(
        self: &Rc<Self>,
        taken: Taken,
        mut request: Request<OutBody>,
    ) -> Result<Response<PooledBody>, Failed> {
        match taken {
            Taken::Http1(mut http1) => {
                self.upstream.address_http1(&mut request);
                http1.expected.ask(request.method());
                match http1.sender.try_send_request(request).await {
                    Ok(response) => {
                        let lease = Lease::Http1 { http1, pool: self.clone() };
                        Ok(response.map(|body| PooledBody::new(body, Some(lease))))
                    }
                    Err(mut failure) => {
                        let unsent = failure.take_message();
                        let (written, answered) = http1.expected.progress();
                        let error = SendError::of(failure.error(), unsent.is_none() && written);
                        Err(Failed {
                            unprocessed: !written,
                            unanswered: !answered,
                            ..Failed::whole(error, unsent)
                        })
                    }
                }
            }
            Taken::Http2(mut sender, stream) => {
                self.upstream.address_http2(&mut request);
                let fault = request.body().fault();
                match sender.try_send_request(request).await {
                    Ok(response) => {
                        stream.connection().answered();
                        check_http2(&response).map_err(|fault| Failed::whole(fault.into(), None))?;
                        let lease = Lease::Http2 { _stream: stream };
                        Ok(response.map(|body| PooledBody::new(body, Some(lease))))
                    }
                    Err(mut failure) => {
                        let unsent = failure.take_message();
                        let why = Refused::of(failure.error());
                        let error = match fault.and_then(|fault| fault.borrow_mut().take()) {
                            Some(fault) => SendError::Body(fault),
                            None => SendError::of(failure.error(), unsent.is_none() && why.is_none()),
                        };
                        let on = Rc::clone(stream.connection());
                        if why != Some(Refused::Stream) {
                            self.retire(&on);
                        }
                        Err(Failed {
                            unprocessed: why.is_some(),
                            unanswered: true,
                            on: Some(on),
                            ..Failed::whole(error, unsent)
                        })
                    }
                }
            }
        }
    }

    /// Takes no further stream on this connection; those that are open go on.
    fn retire(&self, streams: &Rc<Streams>) {
        self.shared.borrow_mut().retain(|shared| !Rc::ptr_eq(&shared.streams, streams));
    }

    fn give_back(&self, http1: Http1) {
        if http1.sender.is_closed() || !http1.expected.is_at_rest() {
            return;
        }
        self.idle.borrow_mut().push(Idle { http1, since: Instant::now() });
        if self.waiting.get() > 0 {
            self.returned.notify_one();
        }
    }

    fn sweep(&self, now: Instant) {
        self.shares.sweep(&self.upstream);
        let timeout = self.upstream.idle_timeout;
        let rests_too_long = |since: Instant| now.saturating_duration_since(since) > timeout;
        self.idle.borrow_mut().retain(|idle| !idle.http1.sender.is_closed() && !rests_too_long(idle.since));
        self.shared.borrow_mut().retain(|shared| {
            let unused = shared.streams.at_rest_since().is_some_and(rests_too_long);
            !shared.sender.is_closed() && !unused
        });
    }

    fn is_empty(&self) -> bool {
        self.idle.borrow().is_empty() && self.shared.borrow().is_empty()
    }
}

impl Shared {
    fn stream(&self) -> Taken {
        Taken::Http2(self.sender.clone(), Stream::on(&self.streams))
    }
}

enum Turn {
    Connect(Permit),
    Use(Taken),
}

/// Counts a waiting request for as long as it waits, also when it is dropped.
struct Waiting<'a>(&'a Cell<usize>);

impl<'a> Waiting<'a> {
    fn new(waiting: &'a Cell<usize>) -> Waiting<'a> {
        waiting.set(waiting.get() + 1);
        Waiting(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

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
