//! A target, as one identity.

use super::share;
use crate::address::Policy;
use crate::connect::{self, Endpoint};
use crate::tls::client::client_config;
use crate::tls::{self, Identity, Roots, TlsError};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Uri};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// How a target is reached, and as whom.
pub struct Settings {
    /// `https://host[:port][/base]`, without query or credentials.
    pub url: String,
    /// Who may have issued the target's certificate.
    pub roots: Roots,
    /// The certificate the bridge shows to the target.
    pub identity: Option<Identity>,
    /// The name the target's certificate must carry, where it differs from the URL's host.
    pub server_name: Option<String>,
    /// Which version of HTTP it is spoken to in.
    pub protocol: Protocol,
    /// Most connections of the whole bridge to this target.
    pub max_connections: usize,
    /// For resolution and TCP together, and again for TLS.
    pub connect_timeout: Duration,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// How long a request waits for a connection when all are taken.
    pub queue_timeout: Duration,
    /// Which of its name's addresses may be used.
    pub addresses: Policy,
    /// Accepts an `http` URL: exchanges cross in the clear.
    pub danger_plaintext: bool,
}

impl Settings {
    /// The defaults: system roots, ALPN, 1,024 connections, 5 s to connect, 60 s idle, 1 s in the queue.
    pub fn new(url: impl Into<String>) -> Settings {
        Settings {
            url: url.into(),
            roots: Roots::System,
            identity: None,
            server_name: None,
            protocol: Protocol::Auto,
            max_connections: 1024,
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(60),
            queue_timeout: Duration::from_secs(1),
            addresses: Policy::Declared,
            danger_plaintext: false,
        }
    }
}

/// Which version of HTTP a target is spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// What ALPN chooses; HTTP/1 in the clear.
    #[default]
    Auto,
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2 only: a target that does not speak it is an error.
    Http2,
}

/// One target as one identity. Pools are kept per `Upstream` value, so two identities never share a connection;
/// keep the same `Arc` across reloads to keep connections warm.
pub struct Upstream {
    /// Tells pools apart.
    pub(super) id: u64,
    pub(super) endpoint: Endpoint,
    pub(super) scheme: Scheme,
    pub(super) authority: Authority,
    pub(super) host: HeaderValue,
    pub(super) base_path: Box<str>,
    pub(super) tls: Option<Tls>,
    pub(super) protocol: Protocol,
    pub(super) max_connections: usize,
    pub(super) connect_timeout: Duration,
    pub(super) idle_timeout: Duration,
    pub(super) queue_timeout: Duration,
    pub(super) open: Arc<AtomicUsize>,
    /// Tells every core that a place is wanted.
    pub(super) wanted: Notify,
    pub(super) shares: share::Shares,
}

/// How TLS is spoken to it.
pub(super) struct Tls {
    pub config: Arc<ClientConfig>,
    /// The same, offering HTTP/1 only: upgrades need it.
    pub http1: Arc<ClientConfig>,
    pub name: ServerName<'static>,
}

impl Upstream {
    /// Checks all that can be checked without a connection.
    ///
    /// # Errors
    /// When the URL is none of a target, or TLS cannot be set up as asked.
    pub fn new(settings: Settings) -> Result<Arc<Upstream>, UpstreamError> {
        let wrong = |reason| UpstreamError::Url { url: settings.url.clone(), reason };
        let url: Uri = settings.url.parse().map_err(|_| wrong("it cannot be read as a URL"))?;
        let plain = match url.scheme_str() {
            Some("https") => false,
            Some("http") if settings.danger_plaintext => true,
            _ => return Err(wrong("it must begin with https://")),
        };
        let authority = url.authority().ok_or_else(|| wrong("it names no host"))?.clone();
        if authority.as_str().contains('@') {
            return Err(wrong("it holds credentials; name them as a secret instead"));
        }
        if url.query().is_some() {
            return Err(wrong("it has a query"));
        }
        let default_port = if plain { 80 } else { 443 };
        let endpoint =
            Endpoint::new(authority.host(), authority.port_u16().unwrap_or(default_port), settings.addresses);
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| wrong("its host is malformed"))?;
        let tls = if plain {
            None
        } else {
            let name = settings.server_name.as_deref().unwrap_or(endpoint.host());
            let name =
                connect::server_name(name).ok_or_else(|| wrong("its host cannot be in a certificate"))?;
            Some(tls_toward(&settings.roots, settings.identity.clone(), settings.protocol, name)?)
        };
        static IDS: AtomicU64 = AtomicU64::new(0);
        Ok(Arc::new(Upstream {
            id: IDS.fetch_add(1, Ordering::Relaxed),
            endpoint,
            scheme: if plain { Scheme::HTTP } else { Scheme::HTTPS },
            authority,
            host,
            base_path: url.path().trim_end_matches('/').into(),
            tls,
            protocol: settings.protocol,
            max_connections: settings.max_connections,
            connect_timeout: settings.connect_timeout,
            idle_timeout: settings.idle_timeout,
            queue_timeout: settings.queue_timeout,
            open: Arc::default(),
            wanted: Notify::new(),
            shares: share::Shares::default(),
        }))
    }

    /// `host[:port]` as it stands in Host and `:authority`.
    pub fn authority(&self) -> &str {
        self.authority.as_str()
    }

    /// Path prefix of the URL, without a trailing slash; empty when there is none.
    pub fn base_path(&self) -> &str {
        &self.base_path
    }

    /// The origin-form URI of a path and query below the base path.
    pub fn target(&self, path_and_query: PathAndQuery) -> Result<Uri, UpstreamError> {
        if self.base_path.is_empty() {
            return Ok(Uri::from(path_and_query));
        }
        let joined = format!("{}{path_and_query}", self.base_path);
        match PathAndQuery::try_from(joined.as_str()) {
            Ok(path_and_query) => Ok(Uri::from(path_and_query)),
            Err(_) => Err(UpstreamError::Url { url: joined, reason: "the path is too long" }),
        }
    }

    /// Connections of the whole bridge that are open now.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// A place for one more connection, if there is one.
    pub(super) fn permit(&self) -> Option<Permit> {
        let more = |open| (open < self.max_connections).then_some(open + 1);
        self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Permit { open: self.open.clone(), _held: None })
    }
}

/// One connection's place among `max_connections`.
pub(super) struct Permit {
    open: Arc<AtomicUsize>,
    /// Whose the whole connection is, for as long as it exists: it leaves HTTP and is nobody else's again.
    pub _held: Option<share::Held>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

fn tls_toward(
    roots: &Roots,
    identity: Option<Identity>,
    protocol: Protocol,
    name: ServerName<'static>,
) -> Result<Tls, TlsError> {
    let offered: &[tls::Protocol] = match protocol {
        Protocol::Auto => &[tls::Protocol::Http2, tls::Protocol::Http1],
        Protocol::Http1 => &[tls::Protocol::Http1],
        Protocol::Http2 => &[tls::Protocol::Http2],
    };
    let config = client_config(roots, identity, offered)?;
    let mut http1 = config.clone();
    http1.alpn_protocols = tls::Protocol::alpn(&[tls::Protocol::Http1]);
    Ok(Tls { config: Arc::new(config), http1: Arc::new(http1), name })
}

/// Why a target cannot be reached as declared. The operator's to mend.
#[derive(Debug, Clone, thiserror::Error)]
pub enum UpstreamError {
    /// It is no `https` URL with a host, or holds what does not belong there.
    #[error("`{url}` is not a target URL: {reason}")]
    Url {
        /// As declared.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Its roots, or the bridge's certificate for it.
    #[error(transparent)]
    Tls(#[from] TlsError),
}
