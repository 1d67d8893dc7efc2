//! Connections on which bytes are said as they are written.

use anyhow::{Context, Result};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Opens TLS connections to `localhost`, from any loopback address.
#[derive(Clone)]
pub struct Dialer {
    port: u16,
    tls: TlsConnector,
}

/// A TLS connection on which anything may be said, well-formed or not.
pub struct Wire {
    stream: TlsStream<TcpStream>,
    /// What came and was not yet taken.
    pub received: Vec<u8>,
    /// The other end sends no more.
    pub is_closed: bool,
}

/// Most that is kept of what the other end sends, in bytes.
const MOST: usize = 4 << 20;

impl Dialer {
    /// Trusts the CA in this PEM file, and offers one protocol (`http/1.1`, `h2`).
    pub fn new(port: u16, ca: &Path, protocol: &str) -> Result<Dialer> {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(ca)? {
            roots.add(certificate?)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        Ok(Dialer { port, tls: TlsConnector::from(Arc::new(config)) })
    }

    /// From 127.0.0.1.
    pub async fn dial(&self) -> Result<Wire> {
        self.dial_from(Ipv4Addr::LOCALHOST).await
    }

    /// `from` is any address in 127.0.0.0/8.
    pub async fn dial_from(&self, from: Ipv4Addr) -> Result<Wire> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((from, 0)))?;
        let stream = socket.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))).await?;
        stream.set_nodelay(true)?;
        let stream =
            self.tls.connect(ServerName::try_from("localhost")?, stream).await.context("handshake")?;
        Ok(Wire { stream, received: Vec::new(), is_closed: false })
    }
}

impl Wire {
    /// The other end may be gone already; what comes back tells.
    pub async fn send(&mut self, bytes: &[u8]) {
        if self.stream.write_all(bytes).await.is_err() || self.stream.flush().await.is_err() {
            self.is_closed = true;
        }
    }

    /// Reads until `done` says so, the other end closes, or the time is over: whether `done` said so.
    pub async fn read_until(&mut self, within: Duration, done: impl Fn(&[u8]) -> bool) -> bool {
        let deadline = Instant::now() + within;
        let mut chunk = vec![0; 16 * 1024];
        loop {
            if done(&self.received) {
                return true;
            }
            match timeout_at(deadline, self.stream.read(&mut chunk)).await {
                Err(_) => return false,
                Ok(Ok(0) | Err(_)) => {
                    self.is_closed = true;
                    return done(&self.received);
                }
                Ok(Ok(length)) => {
                    let room = MOST.saturating_sub(self.received.len());
                    self.received.extend(chunk.iter().take(length.min(room)));
                }
            }
        }
    }

    /// The status of the first HTTP/1.1 answer, once its head is here.
    pub async fn status(&mut self, within: Duration) -> Option<u16> {
        self.read_until(within, |bytes| bytes.windows(4).any(|window| window == b"\r\n\r\n")).await;
        let text = std::str::from_utf8(self.received.get(..12)?).ok()?;
        text.strip_prefix("HTTP/1.1 ")?.parse().ok()
    }

    /// Waits until the other end closes: whether it did.
    pub async fn ends(&mut self, within: Duration) -> bool {
        self.read_until(within, |_| false).await;
        self.is_closed
    }
}
