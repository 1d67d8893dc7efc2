//! Listening sockets and their TLS, kept across reloads where the address stays.

use super::offer;
use crate::material::{self, MaterialError};
use crate::services::Services;
use crate::transport::{BuildError, Ingress, Prepared, Preparing};
use ironbridge_core::{Action, BoxFuture, PeerCertificate, Timestamp};
use ironbridge_http::hosts::Hosts;
use ironbridge_http::{Front, Offer, Shared};
use ironbridge_identity::authority::{IssuedCertificate, SERVER_LIFETIME, Validity};
use ironbridge_identity::certificate;
use ironbridge_manifest::{ClientCertificates, Listener, Manifest};
use ironbridge_net::gate;
use ironbridge_net::listen::{self, Serving};
use ironbridge_net::tls::server::{
    ClientAuth, ListenerTls, Protocol, ServerConfig, ServerIdentity, server_config,
};
use ironbridge_net::tls::{Identity, Roots};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The bridge's HTTP listeners.
#[derive(Default)]
pub struct Listeners {
    running: BTreeMap<Arc<str>, Running>,
    /// Removed or moved by a reload, with exchanges that may still end.
    leaving: Vec<Running>,
}

/// A listener at work.
struct Running {
    declared: SocketAddr,
    front: Arc<Front>,
    serving: Serving,
    issued: Option<Issued>,
    /// The file that its certificate comes from, where that is declared.
    chain: Option<PathBuf>,
}

/// A certificate of the internal CA's, and the names it is for.
#[derive(Clone)]
struct Issued {
    names: Vec<String>,
    identity: Identity,
    validity: Validity,
}

/// What a listener is to become.
struct Next {
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

impl Ingress for Listeners {
    fn prepare<'a>(
        &'a mut self,
        from: &'a Preparing<'a>,
    ) -> BoxFuture<'a, Result<Box<dyn Prepared + 'a>, BuildError>> {
        Box::pin(async move {
            let offers = offer::build(from).await?;
            let building = Building { from, running: &self.running, renewed: Vec::new() };
            let (next, renewed) = building.listeners(offers).await?;
            Ok(Box::new(Change { from, listeners: self, next, renewed }) as Box<dyn Prepared + 'a>)
        })
    }

    fn drain(&self) {
        self.running.values().for_each(Running::drain);
    }

    fn leave(&self, time: Duration) {
        self.all().for_each(|running| running.leave(time));
    }

    fn idle(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            for running in self.all() {
                running.idle().await;
            }
        })
    }

    fn open(&self) -> usize {
        self.all().map(Running::open).sum()
    }

    fn addresses(&self) -> Vec<(Arc<str>, SocketAddr)> {
        self.running.iter().map(|(name, running)| (Arc::clone(name), running.address())).collect()
    }

    fn chains(&self) -> BTreeMap<Arc<str>, PathBuf> {
        let running = self.running.iter();
        running.filter_map(|(name, running)| Some((Arc::clone(name), running.chain.clone()?))).collect()
    }

    fn renewal_due(&self, now: Timestamp) -> bool {
        let issued = self.running.values().filter_map(|running| running.issued.as_ref());
        issued.into_iter().any(|issued| issued.validity.due(now))
    }
}

impl Listeners {
    fn all(&self) -> impl Iterator<Item = &Running> {
        self.running.values().chain(&self.leaving)
    }
}

/// The listeners of the next snapshot.
struct Change<'a> {
    from: &'a Preparing<'a>,
    listeners: &'a mut Listeners,
    next: BTreeMap<Arc<str>, Next>,
    renewed: Vec<Action>,
}

impl Prepared for Change<'_> {
    /// Listeners that are not declared any more take nothing more; what they hold open may end within the drain time.
    fn apply(self: Box<Self>) -> Vec<Action> {
        let Change { from, listeners, next, renewed } = *self;
        let mut before = std::mem::take(&mut listeners.running);
        for (name, Next { socket, then }) in next {
            let running = match socket {
                Socket::New(socket) => Running::start(socket, then, from),
                Socket::Of(called) => match before.remove(&called) {
                    Some(known) => known.become_(then),
                    // Each address has one listener, so none is taken twice.
                    None => continue,
                },
            };
            listeners.running.insert(name, running);
        }
        let drain = from.plan.manifest.bridge.timeouts.drain;
        before.values().for_each(|running| running.leave(drain));
        listeners.leaving.retain(|running| running.open() > 0);
        listeners.leaving.extend(before.into_values());
        renewed
    }
}

/// Prepares every declared listener. `running` says which sockets are there already.
struct Building<'a> {
    from: &'a Preparing<'a>,
    running: &'a BTreeMap<Arc<str>, Running>,
    /// Certificates that were issued for it.
    renewed: Vec<Action>,
}

impl Building<'_> {
    async fn listeners(
        mut self,
        mut offers: BTreeMap<Arc<str>, Offer>,
    ) -> Result<(BTreeMap<Arc<str>, Next>, Vec<Action>), BuildError> {
        let manifest = &self.from.plan.manifest;
        let roots = client_roots(manifest, self.from.services)?;
        let mut next = BTreeMap::new();
        for (name, listener) in &manifest.bridge.listeners {
            let Some(offer) = offers.remove(&name.shared()) else { continue };
            next.insert(name.shared(), self.listener(name, listener, offer, &roots).await?);
        }
        Ok((next, self.renewed))
    }

    async fn listener(
        &mut self,
        name: &str,
        listener: &Listener,
        offer: Offer,
        roots: &Roots,
    ) -> Result<Next, BuildError> {
        let (manifest, services) = (&self.from.plan.manifest, self.from.services);
        let (identity, issued) = match &listener.certificate {
            // Whoever declares a certificate renews it; the bridge takes the new file up when it is there.
            Some(declared) => (material::server_identity(declared, &services.home.secrets()).await?, None),
            None => {
                let issued = self.issued(name, listener)?;
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
        let tls = server_config(identity, &client_auth, &[Protocol::Http2, Protocol::Http1])
            .map_err(|error| refused(name, error))?;
        let socket = match at(self.running, name, listener) {
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
        Ok(Next { socket, then: Then { listener, offer, tls, limits, connections, issued } })
    }

    /// A certificate of the internal CA's: the one in use, while it has the right names and is not due.
    fn issued(&mut self, name: &str, listener: &Listener) -> Result<Issued, BuildError> {
        let services = self.from.services;
        let names = names(&self.from.plan.manifest, listener);
        let in_use = at(self.running, name, listener).and_then(|(_, running)| running.issued.clone());
        let now = services.clock.now();
        if let Some(issued) = in_use.filter(|issued| issued.names == names && !issued.validity.due(now)) {
            return Ok(issued);
        }
        let certificate = issue(services, name, &names)?;
        self.renewed.push(services.renewal("listener", name, &certificate));
        let identity = material::issued(&certificate).map_err(|error| refused(name, error))?;
        Ok(Issued { names, identity, validity: certificate.validity })
    }
}

fn refused(name: &str, reason: impl ToString) -> BuildError {
    BuildError::declared(format!("listener {name}"), reason)
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
    fn start(socket: listen::Listener, prepared: Then, from: &Preparing<'_>) -> Running {
        let services = from.services;
        let shared = Shared {
            trail: services.recorder(),
            clock: Arc::clone(&services.clock),
            entropy: Arc::clone(&services.entropy),
            exchanges: Arc::clone(&services.exchanges),
        };
        let front = Front::new(shared, prepared.offer, ListenerTls::new(prepared.tls), prepared.limits);
        let handling = Arc::clone(&front);
        let serving = socket.serve(
            from.cores,
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

    /// The address as bound.
    fn address(&self) -> SocketAddr {
        self.serving.address()
    }

    /// Takes no more connections; open ones finish what is under way.
    fn drain(&self) {
        self.serving.drain();
        self.front.drain();
    }

    /// As [`Running::drain`]; what is still open after this time is cut.
    fn leave(&self, time: Duration) {
        self.serving.drain();
        self.front.drain_within(time);
    }

    /// Resolves when no connection is open.
    async fn idle(&self) {
        self.serving.idle().await;
    }

    fn open(&self) -> usize {
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

fn bind(name: &str, address: SocketAddr) -> Result<listen::Listener, BuildError> {
    listen::Listener::bind(address).map_err(|reason| BuildError::Bind {
        who: format!("listener {name}"),
        key: format!("bridge.listeners.{name}.address"),
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

fn issue(services: &Services, name: &str, names: &[String]) -> Result<IssuedCertificate, BuildError> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let issued = services.authority.issue_server(&names, SERVER_LIFETIME);
    issued.map_err(|error| refused(name, format_args!("its certificate cannot be issued: {error}")))
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
fn client_roots(manifest: &Manifest, services: &Services) -> Result<Roots, MaterialError> {
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
    Roots::from_pem(&pem).map_err(unusable)
}
