//! A guarded TLS connection, for protocols of the bridge's own that are not HTTP.

use crate::address::Policy;
pub use crate::connect::ConnectError;
use crate::connect::{self, Endpoint};
use crate::tls::client::client_config;
use crate::tls::{Roots, TlsError};
use crate::wire::Wire;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use std::sync::Arc;
use std::time::Duration;

/// An open connection. Whatever is written goes out when it is flushed.
pub type Session = tokio_rustls::client::TlsStream<Wire>;

/// Opens connections to one host and port: addresses checked after resolution, the certificate verified for the
/// host's name. Must run within a tokio runtime.
pub struct Dialer {
    endpoint: Endpoint,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Dialer {
    /// `host` is a name, an IPv4 address, or an IPv6 address in brackets.
    ///
    /// # Errors
    /// When the host is neither, or the roots cannot be read.
    pub fn new(host: &str, port: u16, roots: &Roots, policy: Policy) -> Result<Dialer, TlsError> {
        let endpoint = Endpoint::new(host, port, policy);
        let name = connect::server_name(endpoint.host())
            .ok_or_else(|| TlsError(format!("{host} is neither a host name nor an address")))?;
        Ok(Dialer { endpoint, config: Arc::new(client_config(roots, None, &[])?), name })
    }

    /// A new connection. `timeout` counts for TCP and for the handshake, each.
    pub async fn connect(&self, timeout: Duration) -> Result<Session, ConnectError> {
        let stream = self.endpoint.connect(timeout).await?;
        connect::secure(stream, self.config.clone(), self.name.clone(), timeout).await
    }
}
