//! Listening sockets and their TLS, kept across reloads where the address stays.

use crate::material::{self, MaterialError};
use crate::preparing::BuildError;
use crate::services::Services;
use ironbridge_core::{Action, PeerCertificate};
use ironbridge_http::hosts::Hosts;
use ironbridge_http::{Front, Offer, Shared};
use ironbridge_identity::authority::{IssuedCertificate, SERVER_LIFETIME, Validity};
use ironbridge_identity::certificate;
use ironbridge_manifest::{ClientCertificates, Listener, Manifest};
use ironbridge_net::cores;
use ironbridge_net::gate;
use ironbridge_net::listen::{self, Serving};
use ironbridge_net::tls::server::{
    ClientAuth, ListenerTls, Protocol, ServerConfig, ServerIdentity, server_config,
};
use ironbridge_net::tls::{Identity, Roots, TlsError};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// A listener at work.
pub struct Running {
    declared: SocketAddr,
    front: Arc<Front>,
    serving: Serving,
    issued: Option<Issued>,
    /// The file that its certificate comes from, where that is declared.
    pub chain: Option<PathBuf>,
}

/// A certificate of the internal CA's, and the names it is for.
#[derive(Clone)]
struct Issued {
    names: Vec<String>,
    identity: Identity,
    validity: Validity,
}

/// What a listener is to become; nothing of it is in force yet.
pub struct Prepared {
    socket: Socket,
    then: Then,
}

/// What is served on its socket.
struct Then {
    listener: Listener,
    offer: Arc<Offer>,
    tls: Arc<ServerConfig>,
    limits: gate::Limits,
    issued: Option<Issued>,
    connections: listen::Limits,
}

enum Socket {
    /// Bound already, as the address is new, so that a reload fails before anything changed.
    New(listen::Listener),
    /// That of a running listener, which is called so.
    Of(Arc<str>),
}

#[derive(Debug, thiserror::Error)]
pub enum ListenerError {
    #[error("listener {name} cannot listen on {address}: {reason}")]
    Bind { name: String, address: SocketAddr, reason: std::io::Error },
    #[error("listener {name}: {reason}")]
    Tls { name: String, reason: TlsError },
    #[error("listener {name}: its certificate cannot be issued: {reason}")]
    Issue { name: String, reason: String },
    #[error(transparent)]
    Material(#[from] MaterialError),
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// Prepares every declared listener. `running` says which sockets are there already.
pub async fn prepare(
    manifest: &Manifest,
    services: &Services,
    mut offers: BTreeMap<Arc<str>, Offer>,
    running: &BTreeMap<Arc<str>, Running>,
    renewed: &mut Vec<Action>,
) -> Result<BTreeMap<Arc<str>, Prepared>, ListenerError> {
    let roots = client_roots(manifest, services)?;
    let mut prepared = BTreeMap::new();
    for (name, listener) in &manifest.bridge.listeners {
        let Some(offer) = offers.remove(&name.shared()) else { continue };
        let refused = |reason| ListenerError::Tls { name: name.to_string(), reason };
        let (identity, issued) = match &listener.certificate {
            // Whoever declares a certificate renews it; the bridge takes the new file up when it is there.
            Some(declared) => (material::server_identity(declared, &services.home.secrets()).await?, None),
            None => {
                let names = names(manifest, listener);
                let in_use = at(running, name, listener).and_then(|(_, running)| running.issued.clone());
                let now = services.clock.now();
                let issued = match in_use.filter(|issued| issued.names == names && !issued.validity.due(now))
                {
                    Some(issued) => issued,
                    None => {
                        let certificate = issue(services, name, &names)?;
                        renewed.push(services.renewal("listener", name, &certificate));
                        let identity = material::issued(&certificate).map_err(refused)?;
                        Issued { names, identity, validity: certificate.validity }
                    }
                };
                (issued.identity.clone(), Some(issued))
            }
        };
        let offer = Arc::new(Offer { hosts: hosts(manifest, listener, &identity), ..offer });
        let client_auth = match listener.client_certificates {
            ClientCertificates::Off => ClientAuth::Off,
            ClientCertificates::Optional => ClientAuth::Optional(roots.clone()),
            ClientCertificates::Required => ClientAuth::Required(roots.clone()),
        };
        let identity = ServerIdentity::new(identity);
        let tls =
            server_config(identity, &client_auth, &[Protocol::Http2, Protocol::Http1]).map_err(refused)?;
        let socket = match at(running, name, listener) {
            Some((called, _)) => Socket::Of(Arc::clone(called)),
            None => Socket::New(bind(name, listener.address)?),
        };
        let timeouts = &manifest.bridge.timeouts;
        let limits = gate::Limits {
            head_timeout: timeouts.header,
            idle_timeout: timeouts.idle,
            ..gate::Limits::default()
        };
        let connections = connection_limits(manifest, listener, &offer);
        let listener = listener.clone();
        let then = Then { listener, offer, tls, limits, connections, issued };
        prepared.insert(name.shared(), Prepared { socket, then });
    }
    Ok(prepared)
}

/// Puts what was prepared into force: exchanges under way keep what they started with. Cannot fail. Returns the
/// listeners that are leaving: they take nothing more, and what they hold open may end within `drain`.
pub fn apply(
    prepared: BTreeMap<Arc<str>, Prepared>,
    running: &mut BTreeMap<Arc<str>, Running>,
    cores: &cores::Handle,
    services: &Services,
    drain: Duration,
) -> Vec<Running> {
    let mut before = std::mem::take(running);
    for (name, Prepared { socket, then }) in prepared {
        let next = match socket {
            Socket::New(socket) => Running::start(socket, then, cores, services),
            Socket::Of(called) => match before.remove(&called) {
                Some(known) => known.become_(then),
                // Nobody changes what is running between the two steps of a reload.
                None => continue,
            },
        };
        running.insert(name, next);
    }
    let leaving: Vec<Running> = before.into_values().collect();
    leaving.iter().for_each(|running| running.leave(drain));
    leaving
}

/// Who has the socket for a listener: whoever listens on its address, by whatever name; where the system chooses the port,
/// the one of its name.
fn at<'r>(
    running: &'r BTreeMap<Arc<str>, Running>,
    name: &str,
    listener: &Listener,
) -> Option<(&'r Arc<str>, &'r Running)> {
    let chosen = listener.address.port() == 0;
    let has_it =
        |called: &str, running: &Running| running.declared == listener.address && (!chosen || called == name);
    running.iter().find(|(called, running)| has_it(called, running))
}

impl Running {
    fn start(
        socket: listen::Listener,
        prepared: Then,
        cores: &cores::Handle,
        services: &Services,
    ) -> Running {
        let shared = Shared {
            trail: services.recorder(),
            clock: Arc::clone(&services.clock),
            entropy: Arc::clone(&services.entropy),
            exchanges: Arc::clone(&services.exchanges),
        };
        let front = Front::new(shared, prepared.offer, ListenerTls::new(prepared.tls), prepared.limits);
        let handling = Arc::clone(&front);
        let serving = socket.serve(
            cores,
            listen::Options {
                // Address lists are a control, so that their refusals are answered and recorded.
                limits: prepared.connections,
                handler: Arc::new(move |_core| handling.handler()),
            },
        );
        let Then { listener, issued, .. } = prepared;
        let chain = chain(&listener);
        Running { declared: listener.address, front, serving, issued, chain }
    }

    fn become_(self, prepared: Then) -> Running {
        self.front.replace(prepared.offer, prepared.limits);
        self.front.tls.replace(prepared.tls);
        self.serving.set_limits(prepared.connections);
        Running { issued: prepared.issued, chain: chain(&prepared.listener), ..self }
    }

    /// Of the certificate that the internal CA issued for it.
    pub fn validity(&self) -> Option<Validity> {
        self.issued.as_ref().map(|issued| issued.validity)
    }

    /// The address as bound.
    pub fn address(&self) -> SocketAddr {
        self.serving.address()
    }

    /// Takes no more connections; open ones finish what is under way.
    pub fn drain(&self) {
        self.serving.drain();
        self.front.drain();
    }

    /// As [`Running::drain`]; what is still open after this time is cut.
    pub fn leave(&self, time: Duration) {
        self.serving.drain();
        self.front.drain_within(time);
    }

    /// Resolves when no connection is open.
    pub async fn idle(&self) {
        self.serving.idle().await;
    }

    pub fn open(&self) -> usize {
        self.serving.open()
    }
}

fn chain(listener: &Listener) -> Option<PathBuf> {
    listener.certificate.as_ref().map(|declared| declared.chain.to_path_buf())
}

fn connection_limits(manifest: &Manifest, listener: &Listener, offer: &Arc<Offer>) -> listen::Limits {
    let count = |value: u32| usize::try_from(value).unwrap_or(usize::MAX);
    let offer = Arc::clone(offer);
    listen::Limits {
        max: count(listener.max_connections.value()),
        per_address: count(manifest.bridge.limits.connections_per_address.value()),
        exempt: Arc::new(move |address| offer.proxies.trust(address)),
    }
}

fn bind(name: &str, address: SocketAddr) -> Result<listen::Listener, ListenerError> {
    listen::Listener::bind(address).map_err(|reason| ListenerError::Bind {
        name: name.to_owned(),
        address,
        reason,
    })
}

/// Every name the listener may be called by.
fn names(manifest: &Manifest, listener: &Listener) -> Vec<String> {
    let mut names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    names.extend(manifest.bridge.public_url.iter().map(|url| url.host.to_string()));
    names.extend(listener.hosts.iter().map(|host| host.0.to_string()));
    if !listener.address.ip().is_unspecified() {
        names.push(listener.address.ip().to_string());
    }
    names.sort();
    names.dedup();
    names
}

fn issue(services: &Services, name: &str, names: &[String]) -> Result<IssuedCertificate, ListenerError> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let issued = services.authority.issue_server(&names, SERVER_LIFETIME);
    issued.map_err(|error| ListenerError::Issue { name: name.to_owned(), reason: error.to_string() })
}

/// What the listener may be called: as the bridge, its certificate and its declaration say.
fn hosts(manifest: &Manifest, listener: &Listener, identity: &Identity) -> Hosts {
    let certificate = PeerCertificate {
        chain: identity.leaf().map(<[u8]>::to_vec).into_iter().collect(),
        facts: OnceLock::new(),
    };
    let named = certificate::facts(&certificate).map(|facts| &*facts.names).unwrap_or_default();
    let named = named.iter().filter_map(|name| name.strip_prefix("dns:").or(name.strip_prefix("ip:")));
    let declared = listener.hosts.iter().map(|host| &*host.0);
    let public = manifest.bridge.public_url.iter().map(|url| &*url.host);
    Hosts::new(public.chain(named).chain(declared))
}

/// Who may vouch for client certificates: the internal CA, and those that accounts name.
fn client_roots(manifest: &Manifest, services: &Services) -> Result<Roots, ListenerError> {
    let mut pem = services.authority.root_pem().as_bytes().to_vec();
    let declared = manifest
        .accounts
        .values()
        .filter_map(|account| account.credentials.certificate.as_ref()?.ca.as_ref());
    for path in declared.collect::<std::collections::BTreeSet<_>>() {
        pem.push(b'\n');
        pem.extend(material::read(path)?);
    }
    let unusable = |reason| MaterialError::Unusable { path: "client CAs".into(), reason };
    Ok(Roots::from_pem(&pem).map_err(unusable)?)
}
