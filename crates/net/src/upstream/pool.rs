use super::open::{Http1, Opened};
use super::{OutBody, Permit, PooledBody, Protocol, SendError, Upstream};
use crate::framing;
use crate::gate::Malformed;
use http::{Method, Request, Response};
use hyper::client::conn::http2;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, Notify};

/// How often idle connections are looked through.
const SWEEP: Duration = Duration::from_secs(10);

/// A pool without connections is forgotten after this.
const FORGET: Duration = Duration::from_secs(600);

/// Streams on one HTTP/2 connection before another is opened; what servers usually allow.
const STREAMS: usize = 100;

/// How often a waiting request looks whether another core gave a connection up.
const RECHECK: Duration = Duration::from_millis(25);

/// A connection that rested longer may have been closed by the target while our request is under way; then a
/// copy of the request is kept, if it may be repeated. Busy connections don't pay for the copy.
const MAY_BE_STALE: Duration = Duration::from_millis(500);

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
}

struct Idle {
    http1: Http1,
    since: Instant,
}

struct Shared {
    sender: http2::SendRequest<OutBody>,
    streams: Rc<Streams>,
}

struct Streams {
    open: Cell<usize>,
    used: Cell<Instant>,
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

/// One open stream on a shared connection.
pub(super) struct Stream(Rc<Streams>);

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get().saturating_sub(1));
        self.0.used.set(Instant::now());
    }
}

/// A request that got no response, with the request itself if it never left.
struct Failed {
    error: SendError,
    unsent: Option<Request<OutBody>>,
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
        })
    }

    /// Sends a request whose URI is in origin form ([`Upstream::target`]). Host or `:authority`, the version and
    /// the framing fields are set here; the other connection fields are the caller's to remove.
    ///
    /// A request that never left the bridge, or that is idempotent (RFC 9110 §9.2.2) with a body held whole and
    /// met a connection that had rested, is sent once more on a fresh connection.
    ///
    /// Dropping the future drops the connection (HTTP/2: the stream).
    pub async fn send(self: &Rc<Self>, request: Request<OutBody>) -> Result<Response<PooledBody>, SendError> {
        let now = Instant::now();
        self.used.set(now);
        let Some((taken, rested)) = self.take_open(now).await else {
            let taken = self.open().await?;
            return self.exchange(taken, request).await.map_err(|failed| failed.error);
        };
        let spare = if rested > MAY_BE_STALE { replay(&request) } else { None };
        let failed = match self.exchange(taken, request).await {
            Ok(response) => return Ok(response),
            Err(failed) => failed,
        };
        let is_body = matches!(failed.error, SendError::Body(_));
        match failed.unsent.or(spare) {
            Some(request) if !is_body => {
                let taken = self.open().await?;
                self.exchange(taken, request).await.map_err(|failed| failed.error)
            }
            _ => Err(failed.error),
        }
    }

    /// Sends an HTTP/1.1 request that asks for an upgrade, on a connection of its own. After a 101,
    /// `hyper::upgrade::on(&mut response)` gives the raw connection.
    pub async fn send_upgrade(
        self: &Rc<Self>,
        mut request: Request<OutBody>,
    ) -> Result<Response<PooledBody>, SendError> {
        let permit = self.upstream.permit().ok_or(SendError::Busy)?;
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

    /// Connections that wait for a request.
    pub fn idle(&self) -> usize {
        self.idle.borrow().len()
    }

    /// An open connection, and how long it rested.
    async fn take_open(&self, now: Instant) -> Option<(Taken, Duration)> {
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
            return Some((Taken::Http1(http1), rested));
        }
        self.take_stream(STREAMS)
    }

    /// A stream on the least busy shared connection, if that has fewer than `limit`.
    fn take_stream(&self, limit: usize) -> Option<(Taken, Duration)> {
        let mut shared = self.shared.borrow_mut();
        if shared.is_empty() {
            return None;
        }
        shared.retain(|shared| !shared.sender.is_closed());
        let least = shared.iter().min_by_key(|shared| shared.streams.open.get())?;
        let open = least.streams.open.get();
        if open >= limit {
            return None;
        }
        let rested = if open == 0 { least.streams.used.get().elapsed() } else { Duration::ZERO };
        Some((least.stream(), rested))
    }

    /// A fresh connection, or one that became free while we waited for our turn to open one.
    async fn open(self: &Rc<Self>) -> Result<Taken, SendError> {
        if !self.may_share() {
            return self.connect().await;
        }
        let turn = tokio::time::timeout(self.upstream.connect_timeout, self.opening.lock());
        let turn = turn.await.map_err(|_| SendError::Timeout)?;
        if let Some((taken, _)) = self.take_stream(STREAMS) {
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
            Opened::Http2(sender) => {
                self.speaks_http2.set(Some(true));
                let streams = Rc::new(Streams { open: Cell::new(0), used: Cell::new(Instant::now()) });
                let shared = Shared { sender, streams };
                let taken = shared.stream();
                self.shared.borrow_mut().push(shared);
                Ok(taken)
            }
        }
    }

    /// All connections are taken: waits until one returns to this core, or a place becomes free.
    async fn queue(&self) -> Result<Turn, SendError> {
        if let Some((taken, _)) = self.take_stream(usize::MAX) {
            return Ok(Turn::Use(taken));
        }
        let _waiting = Waiting::new(&self.waiting);
        let deadline = Instant::now() + self.upstream.queue_timeout;
        loop {
            let now = Instant::now();
            if now >= deadline {
                return Err(SendError::Busy);
            }
            let nap = RECHECK.min(deadline - now);
            // Whether notified or not, look again.
            drop(tokio::time::timeout(nap, self.returned.notified()).await);
            if let Some((taken, _)) = self.take_open(Instant::now()).await {
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
                        Err(Failed { error: SendError::of(failure.error(), unsent.is_none()), unsent })
                    }
                }
            }
            Taken::Http2(mut sender, stream) => {
                self.upstream.address_http2(&mut request);
                let fault = request.body().fault();
                match sender.try_send_request(request).await {
                    Ok(response) => {
                        check_http2(&response)
                            .map_err(|fault| Failed { error: fault.into(), unsent: None })?;
                        let lease = Lease::Http2 { _stream: stream };
                        Ok(response.map(|body| PooledBody::new(body, Some(lease))))
                    }
                    Err(mut failure) => {
                        let unsent = failure.take_message();
                        let error = match fault.and_then(|fault| fault.borrow_mut().take()) {
                            Some(fault) => SendError::Body(fault),
                            None => SendError::of(failure.error(), unsent.is_none()),
                        };
                        Err(Failed { error, unsent })
                    }
                }
            }
        }
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
        let timeout = self.upstream.idle_timeout;
        let rests_too_long = |since: Instant| now.saturating_duration_since(since) > timeout;
        self.idle.borrow_mut().retain(|idle| !idle.http1.sender.is_closed() && !rests_too_long(idle.since));
        self.shared.borrow_mut().retain(|shared| {
            let unused = shared.streams.open.get() == 0 && rests_too_long(shared.streams.used.get());
            !shared.sender.is_closed() && !unused
        });
    }

    fn is_empty(&self) -> bool {
        self.idle.borrow().is_empty() && self.shared.borrow().is_empty()
    }
}

impl Shared {
    fn stream(&self) -> Taken {
        self.streams.open.set(self.streams.open.get() + 1);
        Taken::Http2(self.sender.clone(), Stream(self.streams.clone()))
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
/// bound of a status (RFC 9110 §15).
fn check_http2<B>(response: &Response<B>) -> Result<(), Malformed> {
    if response.status().as_u16() > 599 {
        return Err(Malformed("its status is not between 100 and 599"));
    }
    framing::announced(response.headers()).map(|_| ())
}

/// The same request once more, if sending it twice does no harm.
fn replay(request: &Request<OutBody>) -> Option<Request<OutBody>> {
    let idempotent = [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS, Method::TRACE];
    if !idempotent.contains(request.method()) {
        return None;
    }
    let mut copy = Request::new(request.body().replay()?);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}
