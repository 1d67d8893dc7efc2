//! The guarded outbound connector: every connection the bridge makes goes through here. Names are resolved,
//! every address is checked against the policy, and the connection is made to an address that was checked.

use crate::address::Policy;
use crate::descriptors;
use crate::tls::words;
use crate::wire::Wire;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpSocket;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How long resolved addresses are reused; only new connections ask.
const ADDRESSES_KEPT: Duration = Duration::from_secs(10);

/// What one address gets at least when several share the time to connect.
const SHARE: Duration = Duration::from_millis(250);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    #[error("name resolution failed: {0}")]
    Resolve(String),
    #[error("address refused: {0}")]
    AddressRefused(String),
    #[error("no connection: {0}")]
    Unreachable(String),
    #[error("TLS: {0}")]
    Tls(String),
    /// It answers, in another version of HTTP than it was offered.
    #[error("protocol: {0}")]
    Protocol(String),
    #[error("no connection in time")]
    Timeout,
    /// The last are the audit trail's and the store's.
    #[error("no file descriptor is left for a connection")]
    NoDescriptor,
}

/// A host and port to connect to, and which of its addresses may be used.
pub(crate) struct Endpoint {
    host: Box<str>,
    port: u16,
    policy: Policy,
    known: Mutex<Option<(Instant, Arc<[SocketAddr]>)>>,
}

impl Endpoint {
    /// `host` as in a URL: a name, an IPv4 address, or an IPv6 address in brackets.
    pub fn new(host: &str, port: u16, policy: Policy) -> Endpoint {
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        Endpoint { host: bare.into(), port, policy, known: Mutex::new(None) }
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    /// A TCP connection to the first address that answers.
    pub async fn connect(&self, timeout: Duration) -> Result<Wire, ConnectError> {
        let deadline = Instant::now() + timeout;
        let addresses = tokio::time::timeout(timeout, self.addresses())
            .await
            .map_err(|_| ConnectError::Resolve("no answer in time".to_owned()))??;
        let mut failure = ConnectError::Timeout;
        for (index, address) in addresses.iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            let others = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
            let share = (left / others).max(SHARE).min(left);
            let socket = socket_to(address)?;
            match tokio::time::timeout(share, socket.connect(*address)).await {
                Ok(Ok(stream)) => match stream.set_nodelay(true) {
                    Ok(()) => return Ok(Wire::new(stream)),
                    Err(error) => failure = ConnectError::Unreachable(format!("{address}: {error}")),
                },
                Ok(Err(error)) => failure = ConnectError::Unreachable(format!("{address}: {error}")),
                Err(_) => {}
            }
        }
        self.forget();
        Err(failure)
    }

    async fn addresses(&self) -> Result<Arc<[SocketAddr]>, ConnectError> {
        if let Ok(address) = self.host.parse::<IpAddr>() {
            return self.allowed([SocketAddr::new(address, self.port)].into_iter());
        }
        if let Some((since, addresses)) = &*self.known()
            && since.elapsed() < ADDRESSES_KEPT
        {
            return Ok(addresses.clone());
        }
        let resolved = tokio::net::lookup_host((&*self.host, self.port))
            .await
            .map_err(|error| ConnectError::Resolve(format!("{}: {error}", self.host)))?;
        let addresses = self.allowed(resolved)?;
        *self.known() = Some((Instant::now(), addresses.clone()));
        Ok(addresses)
    }

    fn allowed(&self, resolved: impl Iterator<Item = SocketAddr>) -> Result<Arc<[SocketAddr]>, ConnectError> {
        let (allowed, refused): (Vec<_>, Vec<_>) =
            resolved.partition(|address| self.policy.allows(address.ip()));
        match (allowed.first(), refused.first()) {
            (Some(_), _) => Ok(allowed.into()),
            (None, Some(address)) => Err(ConnectError::AddressRefused(format!("{}: {address}", self.host))),
            (None, None) => Err(ConnectError::Resolve(format!("{}: no address", self.host))),
        }
    }

    fn forget(&self) {
        *self.known() = None;
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Option<(Instant, Arc<[SocketAddr]>)>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket that takes none of the reserved descriptors.
fn socket_to(address: &SocketAddr) -> Result<TcpSocket, ConnectError> {
    let made = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    match made {
        Ok(socket) if descriptors::is_reserved(&socket) => Err(ConnectError::NoDescriptor),
        Ok(socket) => Ok(socket),
        Err(error) if descriptors::are_spent(&error) => Err(ConnectError::NoDescriptor),
        Err(error) => Err(ConnectError::Unreachable(format!("{address}: {error}"))),
    }
}

/// The TLS handshake over a connection; the certificate must carry `name`.
pub(crate) async fn secure(
    stream: Wire,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    timeout: Duration,
) -> Result<TlsStream<Wire>, ConnectError> {
    let handshake = TlsConnector::from(config).connect(name, stream);
    match tokio::time::timeout(timeout, handshake).await {
        Err(_) => Err(ConnectError::Timeout),
        Ok(Ok(stream)) => Ok(stream),
        // rustls reports what it rejects as invalid data; the rest is the network's doing.
        Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => Err(match words::protocol(&error) {
            Some(words) => ConnectError::Protocol(words.to_owned()),
            None => ConnectError::Tls(words::words(&error)),
        }),
        Ok(Err(error)) => Err(ConnectError::Unreachable(words::of_network(&error))),
    }
}

/// The name a certificate must carry for a host.
pub(crate) fn server_name(host: &str) -> Option<ServerName<'static>> {
    ServerName::try_from(host.to_owned()).ok()
}
