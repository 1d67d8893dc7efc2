//! Where an exchange came from: a connection, the spool, or a question of the bridge's own. It knows addresses and what a
//! handshake proved, and neither sockets nor who is allowed to call from where.

use crate::{Code, ExchangeId, Timestamp};
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

/// Where an exchange came from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// Somebody connected and sent it.
    Connection(Peer),
    /// It was accepted before, laid down, and is taken up again.
    Spool(Spooled),
    /// The bridge asked the source for it.
    Poll,
}

impl Origin {
    /// The address that whoever sent it called from. `None` where there is none, or nobody can tell which: a control that
    /// judges by the address refuses then.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Origin::Connection(peer) => peer.address,
            Origin::Spool(spooled) => spooled.address,
            Origin::Poll => None,
        }
    }

    /// What the connection proved of its other end.
    pub fn certificate(&self) -> Option<&Arc<PeerCertificate>> {
        match self {
            Origin::Connection(peer) => peer.certificate.as_ref(),
            Origin::Spool(_) | Origin::Poll => None,
        }
    }

    /// Why the bridge itself ended the connection, where it did.
    pub fn parting(&self) -> Option<&'static Code> {
        match self {
            Origin::Connection(peer) => peer.parting.code(),
            Origin::Spool(_) | Origin::Poll => None,
        }
    }
}

impl From<Peer> for Origin {
    fn from(peer: Peer) -> Origin {
        Origin::Connection(peer)
    }
}

/// The least that one subscriber gets, which share its counters: an IPv4 address, or a /64 of IPv6 (RFC 6177). An IPv4
/// address that is mapped into IPv6 is the one that it stands for.
pub fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            [a, b, c, d, 0, 0, 0, 0].into()
        }
        v4 => v4,
    }
}

/// What is known of an exchange that was laid down.
#[derive(Debug, Clone)]
pub struct Spooled {
    /// Under which it was accepted, and has a record.
    pub accepted: ExchangeId,
    /// From where it came then.
    pub address: Option<IpAddr>,
}

/// The other end of the connection.
#[derive(Debug, Clone, Default)]
pub struct Peer {
    /// The caller's address: the connection's, or what a trusted proxy said of it. `None` where nobody can tell, because
    /// the proxy said nothing that can be read; never an address that stands for that.
    pub address: Option<IpAddr>,
    /// What the other end proved of itself when the connection was made.
    pub certificate: Option<Arc<PeerCertificate>>,
    /// Why the bridge ended the connection, once it has.
    pub parting: Arc<Parting>,
}

impl Peer {
    /// At an address, of which nothing else is known.
    pub fn at(address: IpAddr) -> Peer {
        Peer { address: Some(address), ..Peer::default() }
    }
}

/// Why the bridge itself ended a connection, for what was still open on it; the first reason counts.
#[derive(Debug, Default)]
pub struct Parting(OnceLock<&'static Code>);

impl Parting {
    /// Call it before the connection is dropped.
    pub fn because(&self, code: &'static Code) {
        let _ = self.0.set(code);
    }

    /// The reason, once there is one.
    pub fn code(&self) -> Option<&'static Code> {
        self.0.get().copied()
    }
}

/// The certificate chain that the TLS handshake verified, leaf first, in DER.
#[derive(Debug, Default)]
pub struct PeerCertificate {
    /// Leaf first, each in DER.
    pub chain: Vec<Vec<u8>>,
    /// Read once per connection, by `identity`; `None` inside means the leaf could not be read.
    pub facts: OnceLock<Option<CertificateFacts>>,
}

/// What a leaf certificate says that identity is judged by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Lower-case hex SHA-256 of the leaf's DER.
    pub thumbprint: Arc<str>,
    /// Subject alternative names as `dns:…`, `uri:…`, `email:…`, `ip:…`.
    pub names: Vec<Box<str>>,
    /// From when it is good.
    pub not_before: Timestamp,
    /// Until when it is good.
    pub not_after: Timestamp,
    /// Whether its extended key usage lets it authenticate a client (RFC 5280 §4.2.1.12); true without one.
    pub client_auth: bool,
}
