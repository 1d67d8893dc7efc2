//! Connections to targets: one [`Upstream`] per identity, one [`Pool`] per core and upstream.

mod body;
mod error;
mod pool;

pub use body::{BodyFault, BoxError, OutBody, PooledBody, StreamedBody};
pub use error::SendError;
pub use pool::{Pool, Pools};

use crate::address::Policy;
use crate::tls::{Identity, Roots, TlsError};
use http::Uri;
use std::sync::Arc;
use std::time::Duration;

pub struct Settings {
    /// `https://host[:port][/base]`, without query or credentials.
    pub url: String,
    pub roots: Roots,
    /// The certificate the bridge shows to the target.
    pub identity: Option<Identity>,
    /// The name the target's certificate must carry, where it differs from the URL's host.
    pub server_name: Option<String>,
    pub protocol: Protocol,
    /// Most connections of the whole bridge to this target.
    pub max_connections: usize,
    /// For resolution, TCP and TLS together.
    pub connect_timeout: Duration,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// How long a request waits for a connection when all are taken.
    pub queue_timeout: Duration,
    pub addresses: Policy,
    /// Accepts an `http` URL: the exchange crosses in the clear.
    pub danger_plaintext: bool,
}

impl Settings {
    /// The defaults: system roots, ALPN, 1,024 connections, 5 s to connect, 60 s idle, 1 s in the queue.
    pub fn new(_url: impl Into<String>) -> Settings {
        todo!()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// What ALPN chooses.
    #[default]
    Auto,
    Http1,
    Http2,
}

/// One target as one identity. Pools are kept per `Upstream` value, so two identities never share a connection;
/// reuse the same `Arc` across reloads to keep connections warm.
pub struct Upstream {}

impl Upstream {
    pub fn new(_settings: Settings) -> Result<Arc<Upstream>, UpstreamError> {
        todo!()
    }
    /// `host[:port]` as it stands in Host and `:authority`.
    pub fn authority(&self) -> &str {
        todo!()
    }
    /// Path prefix of the URL, without a trailing slash; empty when there is none.
    pub fn base_path(&self) -> &str {
        todo!()
    }
    /// The origin-form URI of a path and query below the base path.
    pub fn target(&self, _path_and_query: http::uri::PathAndQuery) -> Result<Uri, UpstreamError> {
        todo!()
    }
    /// Connections of the whole bridge that are open now.
    pub fn open(&self) -> usize {
        todo!()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    #[error("`{url}` is not a target URL: {reason}")]
    Url { url: String, reason: &'static str },
    #[error(transparent)]
    Tls(#[from] TlsError),
}
