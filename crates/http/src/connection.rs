//! One listener's connections: handshake, HTTP version, drain.

use crate::desk::Caller;
use crate::rarely::rarely;
use crate::service::serve;
use crate::unseen;
use crate::worker::{Front, Worker};
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ironbridge_core::{Parting, code};
use ironbridge_net::frames::{FrameState, Frames};
use ironbridge_net::gate::{self, Gate, GateState};
use ironbridge_net::listen::{Connection, Handler};
use ironbridge_net::protocol::{http1_server, http2_server, took_nothing};
use ironbridge_net::tls::server::{Protocol, Turns};
use std::cell::RefCell;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep_until, timeout};

impl Front {
    /// What serves the connections of one core. Call it on that core.
    pub fn handler(self: &Arc<Self>) -> Handler {
        let worker = Rc::new(Worker {
            front: Arc::clone(self),
            ids: RefCell::default(),
            turns: Turns::default(),
            streams: Rc::default(),
        });
        Rc::new(move |connection| Box::pin(Rc::clone(&worker).connection(connection)))
    }
}

impl Worker {
    async fn connection(self: Rc<Self>, connection: Connection) {
        let front = Arc::clone(&self.front);
        let parting = Arc::<Parting>::default();
        let mut serving = pin!(self.serve(connection, Arc::clone(&parting)));
        tokio::select! {
            biased;
            () = serving.as_mut() => {}
            // Before what is open on it is dropped.
            () = rarely(front.over()) => parting.because(&code::DRAIN_OVER),
        }
    }

    async fn serve(self: Rc<Self>, connection: Connection, parting: Arc<Parting>) {
        let Connection { stream, peer, permit, local: listener } = connection;
        let local = stream.local_addr().ok().map(|local| local.ip().to_canonical());
        let counted = Rc::new(permit);
        let patience = self.front.limits.load().head_timeout;
        let accepting = self.front.tls.accept(stream, patience, &self.turns);
        let secured = tokio::select! {
            accepted = accepting => accepted,
            () = counted.asked_to_leave() => return,
        };
        let mut secured = match secured {
            Ok(secured) => secured,
            Err(error) => return self.front.handshakes.refused(&error, listener, peer.ip()),
        };
        secured.stream.get_mut().0.be_patient(self.offer().body_timeout);
        let (address, certificate) = (peer.ip(), secured.certificate);
        let caller =
            |gate, frames| Rc::new(Caller { address, local, certificate, gate, frames, counted, parting });
        let ended = match secured.protocol {
            Protocol::Http1 => self.serve_http1(secured.stream, caller).await,
            Protocol::Http2 => self.serve_http2(secured.stream, caller).await,
        };
        if let Err(error) = ended {
            tracing::debug!(address = %address, %error, "connection broke off");
        }
    }

    async fn serve_http1<Io: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        self: &Rc<Self>,
        stream: Io,
        caller: impl FnOnce(Arc<GateState>, Option<Rc<FrameState>>) -> Rc<Caller>,
    ) -> hyper::Result<()> {
        let (gate, state) = Gate::new(stream, **self.front.limits.load());
        let caller = caller(Arc::clone(&state), None);
        caller.counted.serves(&state);
        let service = service_fn(|request: Request<Incoming>| serve(self, &caller, request));
        let server = http1_server().serve_connection(TokioIo::new(gate), service).with_upgrades();
        let mut server = pin!(server);
        let ended = tokio::select! {
            biased;
            ended = drive(server.as_mut(), |server| server.graceful_shutdown(), self.drains()) => ended,
            () = rarely(caller.counted.asked_to_leave()) => {
                server.as_mut().graceful_shutdown();
                leave(server, LEAVING, || caller.counted.is_idle()).await.unwrap_or(Ok(()))
            }
        };
        caller.parts(&ended);
        ended
    }

    async fn serve_http2<Io: AsyncRead + AsyncWrite + Unpin + 'static>(
        self: &Rc<Self>,
        stream: Io,
        caller: impl FnOnce(Arc<GateState>, Option<Rc<FrameState>>) -> Rc<Caller>,
    ) -> hyper::Result<()> {
        let (stream, seen) = Frames::new(stream);
        let (limits, state) = (**self.front.limits.load(), GateState::ungated());
        let caller = caller(Arc::clone(&state), Some(Rc::clone(&seen)));
        caller.counted.serves(&state);
        let service = service_fn(|request: Request<Incoming>| serve(self, &caller, request));
        let server = http2_server().serve_connection(TokioIo::new(stream), service);
        let mut server = pin!(server);
        let served = async {
            tokio::select! {
                biased;
                ended = drive(server.as_mut(), |server| { seen.leaves(); server.graceful_shutdown() }, self.drains()) => ended,
                () = rarely(caller.counted.asked_to_leave()) => {
                    // GOAWAY, so that nobody sends into a closed connection (RFC 9113 §6.8).
                    seen.leaves();
                    server.as_mut().graceful_shutdown();
                    leave(server, LEAVING, || caller.counted.is_idle()).await.unwrap_or(Ok(()))
                }
                () = rarely(silence(&state, limits)) => {
                    seen.leaves();
                    server.as_mut().graceful_shutdown();
                    let left = leave(server, limits.head_timeout, || state.idle_since().is_some()).await;
                    left.unwrap_or_else(|| {
                        caller.parting.because(&code::ANSWER_UNTAKEN);
                        Ok(())
                    })
                }
            }
        };
        let ended = tokio::select! {
            biased;
            ended = served => ended,
            // After hyper's turn, whenever it had one, to its last.
            () = unseen::watch(self, &caller, &seen) => Ok(()),
        };
        caller.parts(&ended);
        unseen::ended(self, &caller, &seen, &ended);
        ended
    }

    /// Resolves when no further request is to be taken.
    fn drains(&self) -> impl Future<Output = ()> + use<> {
        let mut draining = self.front.draining.subscribe();
        async move {
            let _ = draining.wait_for(|draining| *draining).await;
        }
    }
}

impl Caller {
    /// Says why, before what is still open on the connection is dropped.
    fn parts(&self, ended: &hyper::Result<()>) {
        if ended.as_ref().is_err_and(took_nothing) {
            self.parting.because(&code::ANSWER_UNTAKEN);
        }
    }
}

/// Resolves when an HTTP/2 caller has nothing to ask: hyper waits for the preface without end, and then keeps
/// whoever answers its pings.
async fn silence(state: &GateState, limits: gate::Limits) {
    let begun = Instant::now();
    loop {
        let now = Instant::now();
        let due = match state.idle_since() {
            // One is being served: the time begins with the end of its answer.
            None => now + limits.idle_timeout,
            Some(None) => begun + limits.head_timeout,
            Some(Some(rested)) => Instant::from(rested) + limits.idle_timeout,
        };
        if due <= now {
            return;
        }
        sleep_until(due).await;
    }
}

/// How long a connection without a request is kept that was told to go.
const LEAVING: Duration = Duration::from_secs(1);

/// Sees a connection off that was told to go: what is under way is answered, and nobody is waited for.
/// `None` where it rested and still did not go within this time.
async fn leave<C: Future<Output = hyper::Result<()>>>(
    mut server: Pin<&mut C>,
    within: Duration,
    rests: impl Fn() -> bool,
) -> Option<hyper::Result<()>> {
    loop {
        match timeout(within, server.as_mut()).await {
            Ok(ended) => return Some(ended),
            Err(_) if rests() => return None,
            Err(_) => {}
        }
    }
}

/// Serves until the connection ends; once the listener drains, no further request is taken.
async fn drive<C: Future<Output = hyper::Result<()>>>(
    mut server: Pin<&mut C>,
    shut_down: impl FnOnce(Pin<&mut C>),
    drains: impl Future<Output = ()>,
) -> hyper::Result<()> {
    tokio::select! {
        biased;
        ended = server.as_mut() => return ended,
        () = rarely(drains) => {}
    }
    shut_down(server.as_mut());
    server.await
}
