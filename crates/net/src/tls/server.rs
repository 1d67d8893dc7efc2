pub use super::Protocol;

use super::{Identity, Roots, TlsError, VERSIONS, provider};
use crate::wire::Wire;
use arc_swap::ArcSwap;
use ironbridge_core::PeerCertificate;
pub use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// From the first byte to the handshake's end: slow clients hold a descriptor no longer.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The certificate a listener shows, replaceable while it serves.
#[derive(Debug)]
pub struct ServerIdentity(ArcSwap<CertifiedKey>);

impl ServerIdentity {
    pub fn new(identity: Identity) -> Arc<ServerIdentity> {
        Arc::new(ServerIdentity(ArcSwap::new(identity.0)))
    }

    /// New handshakes show the new certificate from now on.
    pub fn replace(&self, identity: Identity) {
        self.0.store(identity.0);
    }
}

impl ResolvesServerCert for ServerIdentity {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

#[derive(Debug, Clone)]
pub enum ClientAuth {
    Off,
    /// A certificate is asked for, and verified if given.
    Optional(Roots),
    Required(Roots),
}

/// TLS toward callers. Early data is off (it can be replayed); tickets are encrypted under keys that rotate, and
/// every configuration has its own, so a session never outlives a change of the client CAs.
pub fn server_config(
    identity: Arc<ServerIdentity>,
    client_auth: &ClientAuth,
    protocols: &[Protocol],
) -> Result<Arc<ServerConfig>, TlsError> {
    let failed = |error: &dyn std::fmt::Display| TlsError(error.to_string());
    let verifier = match client_auth {
        ClientAuth::Off => WebPkiClientVerifier::no_client_auth(),
        ClientAuth::Optional(roots) | ClientAuth::Required(roots) => {
            let builder = WebPkiClientVerifier::builder_with_provider(roots.store()?, provider());
            let builder = match client_auth {
                ClientAuth::Optional(_) => builder.allow_unauthenticated(),
                _ => builder,
            };
            builder.build().map_err(|error| failed(&error))?
        }
    };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&VERSIONS)
        .map_err(|error| failed(&error))?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(identity);
    config.alpn_protocols = Protocol::alpn(protocols);
    config.max_early_data_size = 0;
    config.ticketer = Ticketer::new().map_err(|error| failed(&error))?;
    Ok(Arc::new(config))
}

/// A listener's TLS, replaceable as a whole (client CAs included) while it serves.
pub struct ListenerTls(ArcSwap<ServerConfig>);

impl ListenerTls {
    pub fn new(config: Arc<ServerConfig>) -> ListenerTls {
        ListenerTls(ArcSwap::new(config))
    }

    pub fn replace(&self, config: Arc<ServerConfig>) {
        self.0.store(config);
    }

    /// The handshake, within 10 s.
    pub async fn accept(&self, stream: TcpStream) -> Result<Secured, HandshakeError> {
        let accepting = TlsAcceptor::from(self.0.load_full()).accept(Wire::new(stream));
        let stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, accepting)
            .await
            .map_err(|_| HandshakeError::TooSlow)?
            .map_err(HandshakeError::Failed)?;
        let session = stream.get_ref().1;
        let protocol = Protocol::chosen(session.alpn_protocol());
        let server_name = session.server_name().map(Into::into);
        let certificate = session.peer_certificates().map(|chain| {
            let chain = chain.iter().map(|certificate| certificate.to_vec()).collect();
            Arc::new(PeerCertificate { chain, facts: OnceLock::new() })
        });
        Ok(Secured { stream, protocol, certificate, server_name })
    }
}

/// A connection after its handshake.
pub struct Secured {
    pub stream: TlsStream<Wire>,
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
    Failed(io::Error),
}
