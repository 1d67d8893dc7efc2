use crate::cores;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use tokio::net::TcpStream;

/// A bound socket that nobody accepts from yet.
pub struct Listener {}

impl Listener {
    pub fn bind(_address: SocketAddr) -> io::Result<Listener> {
        todo!()
    }
    /// The address as bound, with the port the system chose if 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        todo!()
    }
    /// Starts accepting; every connection goes to the core with the fewest open ones.
    pub fn serve(self, _cores: &cores::Handle, _options: Options) -> Serving {
        todo!()
    }
}

pub struct Options {
    /// Most connections open at once; further ones are closed unheard.
    pub max_connections: usize,
    /// Asked before the first byte; `false` closes the connection.
    pub admit: Arc<dyn Fn(IpAddr) -> bool + Send + Sync>,
    /// Called once on every core; what it makes is called for every connection of that core.
    pub handler: Arc<dyn Fn(usize) -> Handler + Send + Sync>,
}

pub type Handler = Rc<dyn Fn(Connection) -> LocalBoxFuture>;
pub type LocalBoxFuture = Pin<Box<dyn Future<Output = ()>>>;

/// An accepted connection; it counts as open until it is dropped, so keep it (or `permit`) until the end.
pub struct Connection {
    pub stream: TcpStream,
    pub peer: SocketAddr,
    pub local: SocketAddr,
    pub permit: Permit,
}

pub struct Permit {}

/// A listener at work. Dropping it stops accepting.
pub struct Serving {}

impl Serving {
    pub fn address(&self) -> SocketAddr {
        todo!()
    }
    /// Connections open now.
    pub fn open(&self) -> usize {
        todo!()
    }
    /// Connections closed unheard since the start.
    pub fn refused(&self) -> Refused {
        todo!()
    }
    /// Stops accepting and closes the socket; open connections go on.
    pub fn drain(&self) {
        todo!()
    }
    /// Resolves once `drain` was called (here or elsewhere). Connections select on it to finish early.
    pub async fn draining(&self) {
        todo!()
    }
    /// Resolves when no connection is open.
    pub async fn idle(&self) {
        todo!()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Refused {
    pub by_address: u64,
    pub by_limit: u64,
}
