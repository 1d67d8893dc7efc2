use super::{Identity, Roots, TlsError};
use ironbridge_core::PeerCertificate;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// The certificate a listener shows, replaceable while it serves.
pub struct ServerIdentity {}

impl ServerIdentity {
    pub fn new(_identity: Identity) -> Result<Arc<ServerIdentity>, TlsError> {
        todo!()
    }
    /// New handshakes show the new certificate from now on.
    pub fn replace(&self, _identity: Identity) -> Result<(), TlsError> {
        todo!()
    }
}

#[derive(Debug, Clone)]
pub enum ClientAuth {
    Off,
    /// A certificate is asked for and verified if given.
    Optional(Roots),
    Required(Roots),
}

pub fn server_config(
    _identity: Arc<ServerIdentity>,
    _client_auth: &ClientAuth,
    _protocols: &[Protocol],
) -> Result<Arc<rustls::ServerConfig>, TlsError> {
    todo!()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2,
}

/// A listener's TLS, replaceable as a whole (client CAs included) while it serves.
pub struct ListenerTls {}

impl ListenerTls {
    pub fn new(_config: Arc<rustls::ServerConfig>) -> ListenerTls {
        todo!()
    }
    pub fn replace(&self, _config: Arc<rustls::ServerConfig>) {
        todo!()
    }
    /// The handshake, within 10 s.
    pub async fn accept(&self, _stream: TcpStream) -> Result<Secured, HandshakeError> {
        todo!()
    }
}

/// A connection after its handshake.
pub struct Secured {
    pub stream: TlsStream<TcpStream>,
    /// What ALPN chose; HTTP/1 when the caller did not say.
    pub protocol: Protocol,
    /// The verified client chain, if one was given.
    pub certificate: Option<Arc<PeerCertificate>>,
    /// The name the caller asked for (SNI).
    pub server_name: Option<Box<str>>,
}

#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    #[error("no handshake within 10 s")]
    TooSlow,
    #[error("TLS handshake failed: {0}")]
    Failed(std::io::Error),
}
