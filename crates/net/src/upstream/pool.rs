//! One core's connections to targets: those that rest, those that are shared, and places for further ones.

use super::body::OutBody;
use super::error::SendError;
use super::open::{Http1, Opened};
use super::sent::Room;
use super::share::{self, Held, Holder, Known};
use super::streams::{STREAMS, Stream, Streams};
use super::target::{Permit, Protocol, Upstream};
use hyper::client::conn::http2;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::pending;
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

/// How often it is looked whether a place that was given up is free.
const LOOKS: usize = 8;

/// Every pool of one core, whichever listener or transport sends over it.
pub struct Pools {
    pools: RefCell<HashMap<u64, Rc<Pool>, ahash::RandomState>>,
    room: Rc<Room>,
}

thread_local! {
    static HERE: RefCell<Weak<Pools>> = const { RefCell::new(Weak::new()) };
}

impl Pools {
    /// Those of this core, which its runtime keeps for as long as it runs.
    pub fn here() -> Rc<Pools> {
        HERE.with_borrow_mut(|here| {
            here.upgrade().unwrap_or_else(|| {
                let pools = Pools::new();
                *here = Rc::downgrade(&pools);
                let kept = Rc::clone(&pools);
                tokio::task::spawn_local(async move {
                    let _kept = kept;
                    pending::<()>().await;
                });
                pools
            })
        })
    }

    /// Must be called on a core: starts the task that closes idle connections, which ends with the value.
    pub fn new() -> Rc<Pools> {
        let pools = Rc::new(Pools { pools: RefCell::default(), room: Rc::default() });
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
        let pool = Pool::within(upstream.clone(), Rc::clone(&self.room));
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
    pub(super) upstream: Arc<Upstream>,
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
    pub(super) used: Cell<Instant>,
    pub(super) shares: Known,
    gives: RefCell<Option<AbortHandle>>,
    room: Rc<Room>,
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
pub(super) enum Taken {
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

impl Pool {
    /// A pool by itself, which nobody looks through; a bridge asks [`Pools::of`].
    pub fn new(upstream: Arc<Upstream>) -> Rc<Pool> {
        Pool::within(upstream, Rc::default())
    }

    fn within(upstream: Arc<Upstream>, room: Rc<Room>) -> Rc<Pool> {
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
            room,
        })
    }

    /// What this core keeps of bodies to send them again.
    pub fn room(&self) -> &Rc<Room> {
        &self.room
    }

    /// The account's part in the target. Where it has taken all of it, it waits for its own exchanges as one waits for
    /// connections; others pass by.
    pub(super) async fn hold(&self, holder: Holder<'_>) -> Result<Held, SendError> {
        match self.try_hold(holder) {
            Some(held) => Ok(held),
            None => Box::pin(self.wait_to_hold(holder)).await,
        }
    }

    fn try_hold(&self, holder: Holder<'_>) -> Option<Held> {
        self.shares.hold(&self.upstream.shares, holder.account, |count| {
            if self.speaks_http2.get() == Some(true) {
                count.stream(self.streams_on(holder.most))
            } else {
                count.connection(holder.most)
            }
        })
    }

    /// Streams that so many shared connections take, if they are like those that are open. One that takes none is as
    /// good as closed.
    fn streams_on(&self, connections: usize) -> usize {
        let shared = self.shared.borrow();
        let takes = shared.iter().map(|shared| shared.streams.most()).filter(|most| *most > 0);
        let (number, all) = takes.fold((0, 0), |(number, all), most| (number + 1, all + most));
        match number {
            0 => connections.saturating_mul(STREAMS),
            _ => (connections.saturating_mul(all) / number).max(1),
        }
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

    /// A place for a connection of its own: one that rests makes room, on whichever core.
    pub(super) async fn place(&self) -> Option<Permit> {
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
    pub(super) async fn take_open(&self, now: Instant) -> Option<Taken> {
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
        // One that allows nothing is given up: its target drains it, and takes what comes on another.
        // One that is silent and at rest makes room for another.
        shared.retain(|Shared { sender, streams }| {
            let needless = streams.is_silent() && streams.at_rest_since().is_some();
            !sender.is_closed() && streams.most() > 0 && !needless
        });
        let may = shared.iter().filter(|shared| may(&shared.streams));
        // One that is silent may be dead, and a place on another is only a moment away.
        may.min_by_key(|shared| (shared.streams.is_silent(), shared.streams.open())).map(Shared::stream)
    }

    /// A fresh connection, or one other than `avoided` that became free while we waited for our turn to open one.
    pub(super) async fn open(self: &Rc<Self>, avoided: &[Rc<Streams>]) -> Result<Taken, SendError> {
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

    pub(super) async fn connect(self: &Rc<Self>) -> Result<Taken, SendError> {
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

    /// Takes no further stream on this connection; those that are open go on.
    pub(super) fn retire(&self, streams: &Rc<Streams>) {
        self.shared.borrow_mut().retain(|shared| !Rc::ptr_eq(&shared.streams, streams));
    }

    fn give_back(&self, mut http1: Http1) {
        if http1.sender.is_closed() || !http1.expected.is_at_rest() {
            return;
        }
        http1.used = true;
        self.idle.borrow_mut().push(Idle { http1, since: Instant::now() });
        if self.waiting.get() > 0 {
            self.returned.notify_one();
        }
    }

    fn sweep(&self, now: Instant) {
        self.shares.sweep(&self.upstream.shares);
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
