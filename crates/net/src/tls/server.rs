//! TLS toward callers.

pub use super::Protocol;
pub use super::refused::HandshakeError;
use super::{Identity, Roots, TlsError, VERSIONS, provider, refused};
use crate::wire::Wire;
use arc_swap::ArcSwap;
use ironbridge_core::PeerCertificate;
pub use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{Acceptor, ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

/// The certificate a listener shows, replaceable while it serves.
#[derive(Debug)]
pub struct ServerIdentity(ArcSwap<CertifiedKey>);

impl ServerIdentity {
    /// Shared by every configuration of the listener, so that one call replaces it everywhere.
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

/// Whether callers show certificates.
#[derive(Debug, Clone)]
pub enum ClientAuth {
    /// None is asked for.
    Off,
    /// A certificate is asked for, and verified if given.
    Optional(Roots),
    /// No handshake without one that these verify.
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
    if protocols.contains(&Protocol::Http1) {
        // Whoever offers nothing else is refused in the handshake otherwise (RFC 7301 §3.2), as `curl --http1.0` is.
        config.alpn_protocols.push(b"http/1.0".to_vec());
    }
    config.max_early_data_size = 0;
    config.ticketer = Ticketer::new().map_err(|error| failed(&error))?;
    Ok(Arc::new(config))
}

/// A listener's TLS, replaceable as a whole (client CAs included) while it serves.
pub struct ListenerTls(ArcSwap<ServerConfig>);

impl ListenerTls {
    /// With the configuration to begin with.
    pub fn new(config: Arc<ServerConfig>) -> ListenerTls {
        ListenerTls(ArcSwap::new(config))
    }

    /// New handshakes go by this from now on; connections that are open stay.
    pub fn replace(&self, config: Arc<ServerConfig>) {
        self.0.store(config);
    }

    /// The handshake, within `patience` as a whole: slow clients hold a descriptor no longer.
    pub async fn accept(
        &self,
        stream: TcpStream,
        patience: Duration,
        turns: &Turns,
    ) -> Result<Secured, HandshakeError> {
        let stream = tokio::time::timeout(patience, self.shake(stream, turns))
            .await
            .map_err(|_| HandshakeError::too_slow(patience))??;
        let session = stream.get_ref().1;
        let protocol = Protocol::chosen(session.alpn_protocol());
        let server_name = session.server_name().map(Into::into);
        let certificate = session.peer_certificates().map(|chain| {
            let chain = chain.iter().map(|certificate| certificate.to_vec()).collect();
            Arc::new(PeerCertificate { chain, facts: OnceLock::new() })
        });
        Ok(Secured { stream, protocol, certificate, server_name })
    }

    async fn shake(&self, mut stream: TcpStream, turns: &Turns) -> Result<TlsStream<Wire>, HandshakeError> {
        refused::look(&mut stream).await?;
        // Whoever has not said hello waits for nobody, and nobody for them.
        let hello = LazyConfigAcceptor::new(Acceptor::default(), Wire::new(stream)).await;
        let hello = hello.map_err(|error| refused::because(&error))?;
        let mut accepting = pin!(hello.into_stream(self.0.load_full()));
        let done = match turns.take(accepting.as_mut()).await {
            Poll::Ready(done) => done,
            Poll::Pending => accepting.await,
        };
        done.map_err(|error| refused::because(&error))
    }
}

/// Handshakes of one core take turns. Answering a hello is a millisecond of arithmetic, a hundred times an exchange: with
/// one of them between any two turns of everything else, a thousand callers that connect at once delay nobody's exchange
/// by more than that.
pub struct Turns(Semaphore);

impl Default for Turns {
    fn default() -> Turns {
        Turns(Semaphore::new(1))
    }
}

impl Turns {
    /// Polls once when it is its turn; the next may be as soon as all that is ready to run has run.
    async fn take<F: Future>(&self, mut answering: Pin<&mut F>) -> Poll<F::Output> {
        // A closed semaphore would be no reason to refuse; this one is never closed.
        let _turn = self.0.acquire().await;
        let polled = poll_fn(|cx| Poll::Ready(answering.as_mut().poll(cx))).await;
        tokio::task::yield_now().await;
        polled
    }
}

/// A connection after its handshake.
pub struct Secured {
    /// What is spoken within.
    pub stream: TlsStream<Wire>,
    /// What ALPN chose; HTTP/1 when the caller did not say.
    pub protocol: Protocol,
    /// The verified client chain, if one was given.
    pub certificate: Option<Arc<PeerCertificate>>,
    /// The name the caller asked for (SNI).
    pub server_name: Option<Box<str>>,
}
