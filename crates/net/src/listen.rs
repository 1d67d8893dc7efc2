//! Listeners: one accepting task each, which hands every connection to the least loaded core.

use crate::cores::{self, Load};
use crate::descriptors;
use crate::gate::GateState;
pub use crate::seats::Limits;
use crate::seats::{Full, Seat, Seats};
use socket2::{Domain, Protocol, Socket, Type};
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

/// Connections the kernel holds for us between two rounds of the accepting core (bounded by `somaxconn`).
const BACKLOG: i32 = 4096;

/// How long to leave off accepting when the process or the system is out of descriptors or memory.
const OUT_OF_RESOURCES_PAUSE: Duration = Duration::from_millis(100);

/// A bound socket that nobody accepts from yet.
pub struct Listener {
    socket: std::net::TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Listens at once, before anything is served: a reload that cannot bind changes nothing.
    ///
    /// # Errors
    /// As the operating system says, such as when the address is taken.
    pub fn bind(address: SocketAddr) -> io::Result<Listener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // Lets a restarted bridge bind while connections of the old one are in TIME_WAIT.
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        let socket = std::net::TcpListener::from(socket);
        let address = socket.local_addr()?;
        Ok(Listener { socket, address })
    }

    /// The address as bound, with the port the system chose if 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts accepting; every connection goes to the core with the fewest open ones.
    pub fn serve(self, cores: &cores::Handle, options: Options) -> Serving {
        let shared = Arc::new(Shared {
            address: self.address,
            seats: Seats::new(options.limits),
            refused_by_address: AtomicU64::new(0),
            refused_by_limit: AtomicU64::new(0),
            draining: watch::channel(false).0,
        });
        let inboxes =
            (0..cores.count()).map(|core| hand_over(cores, core, options.handler.clone())).collect();
        let acceptor =
            Acceptor { inboxes, cores: cores.clone(), shared: shared.clone(), told: Told::default() };
        let socket = self.socket;
        cores.spawn_on(0, move || acceptor.run(socket));
        Serving { shared }
    }
}

/// How a listener serves.
pub struct Options {
    /// Connections above these are closed unheard.
    pub limits: Limits,
    /// Called once on every core; what it makes is called for every connection of that core.
    pub handler: Arc<dyn Fn(usize) -> Handler + Send + Sync>,
}

/// What is done with a connection, on the core that it was given to.
pub type Handler = Rc<dyn Fn(Connection) -> LocalBoxFuture>;
/// What stays on one core.
pub type LocalBoxFuture = Pin<Box<dyn Future<Output = ()>>>;

/// An accepted connection.
pub struct Connection {
    /// Plain; a handshake is the handler's.
    pub stream: TcpStream,
    /// Who connected.
    pub peer: SocketAddr,
    /// The listener's address.
    pub local: SocketAddr,
    /// Keep it to the connection's end: it counts as open until this is dropped.
    pub permit: Permit,
}

/// A connection's place among those that may be open.
pub struct Permit {
    shared: Arc<Shared>,
    seat: Arc<Seat>,
    load: Load,
}

impl Permit {
    /// After the handshake: what knows of this connection's requests. Until then it counts as idle.
    pub fn serves(&self, requests: &Arc<GateState>) {
        self.seat.serves(Arc::clone(requests));
    }

    /// Somebody authenticated on this connection: its address is known for a while, and a share of the connections is
    /// kept for those.
    pub fn authenticated(&self) {
        self.shared.seats.authenticated(&self.seat);
    }

    /// Resolves when the connection must close, to make room for another. What came meanwhile can still be answered.
    pub async fn asked_to_leave(&self) {
        self.seat.asked_to_leave().await;
    }

    /// Whether somebody authenticated on this connection.
    pub fn is_known(&self) -> bool {
        self.seat.is_known()
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.seat.idle_since().is_some()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shared.seats.give_back(&self.seat);
    }
}

/// A listener at work. Dropping it drains it.
pub struct Serving {
    shared: Arc<Shared>,
}

impl Serving {
    /// Where it listens; see [`Listener::address`].
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// Changes how many connections may be open; those that are stay.
    pub fn set_limits(&self, limits: Limits) {
        self.shared.seats.set_limits(limits);
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.shared.seats.open()
    }

    /// Connections closed unheard since the start.
    pub fn refused(&self) -> Refused {
        Refused {
            by_address: self.shared.refused_by_address.load(Ordering::Relaxed),
            by_limit: self.shared.refused_by_limit.load(Ordering::Relaxed),
        }
    }

    /// Stops accepting and closes the socket; open connections go on.
    pub fn drain(&self) {
        self.shared.draining.send_replace(true);
    }

    /// Becomes `true` when the listener drains. Connections watch it to finish early.
    pub fn draining(&self) -> watch::Receiver<bool> {
        self.shared.draining.subscribe()
    }

    /// Resolves when no connection is open.
    pub async fn idle(&self) {
        self.shared.seats.empty().await;
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.drain();
    }
}

/// Connections that were closed unheard, since the listener began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Refused {
    /// Their address had as many open as one may.
    pub by_address: u64,
    /// As many were open as may be, or no file descriptor was left.
    pub by_limit: u64,
}

struct Shared {
    address: SocketAddr,
    seats: Seats,
    refused_by_address: AtomicU64,
    refused_by_limit: AtomicU64,
    draining: watch::Sender<bool>,
}

type Accepted = (Arrived, SocketAddr, Permit);

/// A stream belongs to the runtime that registered it; one for another core is registered anew over there.
enum Arrived {
    Here(TcpStream),
    Elsewhere(std::net::TcpStream),
}

struct Acceptor {
    inboxes: Vec<mpsc::UnboundedSender<Accepted>>,
    cores: cores::Handle,
    shared: Arc<Shared>,
    told: Told,
}

/// What the log was told of refused connections.
#[derive(Default)]
struct Told {
    at: Option<Instant>,
    before: Refused,
}

/// Refused connections are told at most this often: whoever floods must not flood the log too.
const TOLD_EVERY: Duration = Duration::from_secs(10);

impl Acceptor {
    async fn run(mut self, socket: std::net::TcpListener) {
        let socket = match TcpListener::from_std(socket) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::error!(address = %self.shared.address, %error, "no connection can be taken here; restart the bridge");
                return;
            }
        };
        let mut draining = self.shared.draining.subscribe();
        let drained = draining.wait_for(|draining| *draining);
        tokio::pin!(drained);
        loop {
            tokio::select! {
                biased;
                _ = &mut drained => return,
                accepted = socket.accept() => match accepted {
                    Ok((stream, peer)) => self.admit(stream, peer),
                    Err(error) => pause_after(&error).await,
                },
            }
        }
    }

    fn admit(&mut self, stream: TcpStream, peer: SocketAddr) {
        let shared = Arc::clone(&self.shared);
        if descriptors::is_reserved(&stream) {
            // The last descriptors are the trail's and the store's.
            shared.seats.make_room();
            shared.refused_by_limit.fetch_add(1, Ordering::Relaxed);
            return self.tell(peer);
        }
        let seat = match shared.seats.take(peer.ip()) {
            Ok(seat) => seat,
            Err(full) => {
                let counter = match full {
                    Full::Address => &shared.refused_by_address,
                    Full::Listener => &shared.refused_by_limit,
                };
                counter.fetch_add(1, Ordering::Relaxed);
                return self.tell(peer);
            }
        };
        let permit = Permit { shared, seat, load: self.cores.take_least_loaded() };
        let core = permit.load.core();
        let arrived = match stream.set_nodelay(true) {
            Ok(()) if cores::current() == Some(core) => Ok(Arrived::Here(stream)),
            Ok(()) => stream.into_std().map(Arrived::Elsewhere),
            Err(error) => Err(error),
        };
        match (arrived, self.inboxes.get(core)) {
            (Ok(arrived), Some(inbox)) => drop(inbox.send((arrived, peer, permit))),
            (Err(error), _) => tracing::debug!(%error, "connection lost before it began"),
            (_, None) => {}
        }
    }

    fn tell(&mut self, peer: SocketAddr) {
        let now = Instant::now();
        if self.told.at.is_some_and(|at| now.saturating_duration_since(at) < TOLD_EVERY) {
            return;
        }
        let shared = &self.shared;
        let by_address = shared.refused_by_address.load(Ordering::Relaxed);
        let by_limit = shared.refused_by_limit.load(Ordering::Relaxed);
        let before = std::mem::replace(
            &mut self.told,
            Told { at: Some(now), before: Refused { by_address, by_limit } },
        )
        .before;
        tracing::warn!(
            listener = %shared.address,
            last = %peer.ip(),
            over_the_limit_of_their_address = by_address - before.by_address,
            with_all_places_taken = by_limit - before.by_limit,
            "connections were closed unheard; see bridge.limits.connections_per_address and max_connections"
        );
    }
}

/// Starts the task that runs a listener's connections on one core; it ends with the acceptor.
fn hand_over(
    cores: &cores::Handle,
    core: usize,
    make: Arc<dyn Fn(usize) -> Handler + Send + Sync>,
) -> mpsc::UnboundedSender<Accepted> {
    let (inbox, mut accepted) = mpsc::unbounded_channel::<Accepted>();
    cores.spawn_on(core, move || async move {
        let handler = make(core);
        while let Some((arrived, peer, permit)) = accepted.recv().await {
            let stream = match arrived {
                Arrived::Here(stream) => Ok(stream),
                Arrived::Elsewhere(stream) => TcpStream::from_std(stream),
            };
            match stream {
                Ok(stream) => {
                    let connection = Connection { stream, peer, local: permit.shared.address, permit };
                    tokio::task::spawn_local(handler(connection));
                }
                Err(error) => tracing::debug!(%error, "connection lost before it began"),
            }
        }
    });
    inbox
}

/// Most errors of accept(2) concern one connection that is already gone; running out of descriptors or memory
/// does not pass by asking again at once.
async fn pause_after(error: &io::Error) {
    const ENOMEM: i32 = 12;
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    const ENOBUFS: i32 = 105;
    if matches!(error.raw_os_error(), Some(ENOMEM | ENFILE | EMFILE | ENOBUFS)) {
        tracing::warn!(%error, "no memory or file descriptor is left for another connection; it is tried again. Raise the limit of open files, or lower max_connections");
        tokio::time::sleep(OUT_OF_RESOURCES_PAUSE).await;
    }
}
