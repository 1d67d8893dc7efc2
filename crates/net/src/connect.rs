//! The guarded outbound connector: every connection the bridge makes goes through here. Names are resolved,
//! every address is checked against the policy, and the connection is made to an address that was checked.

use crate::address::Policy;
use crate::descriptors;
use crate::resolver::{Answer, Asked, Resolver};
use crate::tls::words;
use crate::wire::Wire;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpSocket;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// How long resolved addresses are reused; only new connections ask.
const ADDRESSES_KEPT: Duration = Duration::from_secs(10);

/// How long they are used beyond that while the name's look-up fails or does not end (RFC 8767 §5 allows days).
const KEPT_WITHOUT_ANSWER: Duration = Duration::from_secs(300);

/// How long a look-up may take before addresses that were known before are used (RFC 8767 §5 recommends 1.8 s, within
/// whatever the caller waits).
const PATIENCE: Duration = Duration::from_secs(1);

/// How long it is not tried again after a failure.
const FAILURE_KEPT: Duration = Duration::from_secs(1);

/// What one address gets at least when several share the time to connect.
const SHARE: Duration = Duration::from_millis(250);

/// Why there is no connection. Nothing was sent; the texts are for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The name is unknown, or nobody who knows it answers.
    #[error("name resolution failed: {0}")]
    Resolve(String),
    /// [`Policy`] allows none of the name's addresses.
    #[error("address refused: {0}")]
    AddressRefused(String),
    /// None of the addresses takes a TCP connection.
    #[error("no connection: {0}")]
    Unreachable(String),
    /// The handshake failed, mostly over the other side's certificate.
    #[error("TLS: {0}")]
    Tls(String),
    /// It answers, in another version of HTTP than it was offered.
    #[error("protocol: {0}")]
    Protocol(String),
    /// Within what the caller of this waits.
    #[error("no connection in time")]
    Timeout,
    /// The last are the audit trail's and the store's.
    #[error("no file descriptor is left for a connection")]
    NoDescriptor,
}

/// A host and port to connect to, and which of its addresses may be used.
pub(crate) struct Endpoint {
    host: Box<str>,
    port: u16,
    policy: Policy,
    resolver: Arc<Resolver>,
    known: Mutex<Known>,
}

/// What is known of a name.
#[derive(Default)]
struct Known {
    addresses: Option<(Instant, Arc<[SocketAddr]>)>,
    /// They did not answer, so they are not used without asking again.
    doubtful: bool,
    failure: Option<(Instant, ConnectError)>,
    /// A look-up whose answer nobody has looked at.
    asked: Option<Asked>,
}

impl Endpoint {
    /// `host` as in a URL: a name, an IPv4 address, or an IPv6 address in brackets.
    pub fn new(host: &str, port: u16, policy: Policy) -> Endpoint {
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let resolver = Resolver::system();
        Endpoint { host: bare.into(), port, policy, resolver, known: Mutex::default() }
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    /// A TCP connection to the first address that answers.
    pub async fn connect(&self, timeout: Duration) -> Result<Wire, ConnectError> {
        let deadline = Instant::now() + timeout;
        let addresses = tokio::time::timeout(timeout, self.addresses(timeout))
            .await
            .map_err(|_| ConnectError::Resolve("no answer in time".to_owned()))??;
        let mut failure = ConnectError::Timeout;
        for (index, address) in addresses.iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            let others = u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
            let share = (left / others).max(SHARE).min(left);
            let socket = socket_to(address)?;
            match tokio::time::timeout(share, socket.connect(*address)).await {
                Ok(Ok(stream)) => match stream.set_nodelay(true) {
                    Ok(()) => return Ok(Wire::new(stream)),
                    Err(error) => failure = ConnectError::Unreachable(format!("{address}: {error}")),
                },
                Ok(Err(error)) => failure = ConnectError::Unreachable(format!("{address}: {error}")),
                Err(_) => {}
            }
        }
        self.known().doubtful = true;
        Err(failure)
    }

    /// `time` is what there is in all; some of it is left where old addresses may still do.
    async fn addresses(&self, time: Duration) -> Result<Arc<[SocketAddr]>, ConnectError> {
        if let Ok(address) = self.host.parse::<IpAddr>() {
            return self.allowed(&[SocketAddr::new(address, self.port)]);
        }
        let (old, asked) = {
            let mut known = self.known();
            if let Some(answer) = known.asked.as_ref().and_then(Asked::ready) {
                let _ = self.learn(&mut known, answer);
            }
            if let Some(known) = known.now() {
                return known;
            }
            let asked = self.resolver.ask(&self.host, self.port);
            known.asked = Some(asked.clone());
            (known.old(), asked)
        };
        let Some(old) = old else { return self.learnt(asked.answer().await) };
        let patience = PATIENCE.min(time / 2).saturating_sub(asked.since.elapsed());
        match tokio::time::timeout(patience, asked.answer()).await {
            Err(_) => Ok(old),
            Ok(answer) => match self.learnt(answer) {
                Err(ConnectError::Resolve(_)) => Ok(old),
                learnt => learnt,
            },
        }
    }

    fn learnt(&self, answer: Answer) -> Result<Arc<[SocketAddr]>, ConnectError> {
        self.learn(&mut self.known(), answer)
    }

    fn learn(&self, known: &mut Known, (at, found): Answer) -> Result<Arc<[SocketAddr]>, ConnectError> {
        let found = found.map_err(|why| ConnectError::Resolve(format!("{}: {why}", self.host)));
        let addresses = found.and_then(|found| self.allowed(&found));
        match &addresses {
            Ok(addresses) => {
                *known = Known { addresses: Some((at, Arc::clone(addresses))), ..Known::default() };
            }
            Err(error) => {
                // A name that leads elsewhere by now does not lead where it did.
                if !matches!(error, ConnectError::Resolve(_)) {
                    known.addresses = None;
                }
                (known.failure, known.asked) = (Some((at, error.clone())), None);
            }
        }
        addresses
    }

    fn allowed(&self, found: &[SocketAddr]) -> Result<Arc<[SocketAddr]>, ConnectError> {
        let (allowed, refused): (Vec<_>, Vec<_>) =
            found.iter().copied().partition(|address| self.policy.allows(address.ip()));
        match (allowed.first(), refused.first()) {
            (Some(_), _) => Ok(allowed.into()),
            (None, Some(address)) => Err(ConnectError::AddressRefused(format!("{}: {address}", self.host))),
            (None, None) => Err(ConnectError::Resolve(format!("{}: no address", self.host))),
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// What need not be asked.
    fn now(&self) -> Option<Result<Arc<[SocketAddr]>, ConnectError>> {
        let fresh =
            self.addresses.as_ref().filter(|(since, _)| !self.doubtful && since.elapsed() < ADDRESSES_KEPT);
        if let Some((_, addresses)) = fresh {
            return Some(Ok(Arc::clone(addresses)));
        }
        let (_, failure) = self.failure.as_ref().filter(|(since, _)| since.elapsed() < FAILURE_KEPT)?;
        Some(self.old().ok_or_else(|| failure.clone()))
    }

    /// What will do while nobody answers.
    fn old(&self) -> Option<Arc<[SocketAddr]>> {
        let old = self.addresses.as_ref().filter(|(since, _)| since.elapsed() < KEPT_WITHOUT_ANSWER);
        old.map(|(_, addresses)| Arc::clone(addresses))
    }
}

/// A socket that takes none of the reserved descriptors.
fn socket_to(address: &SocketAddr) -> Result<TcpSocket, ConnectError> {
    let made = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    match made {
        Ok(socket) if descriptors::is_reserved(&socket) => Err(ConnectError::NoDescriptor),
        Ok(socket) => Ok(socket),
        Err(error) if descriptors::are_spent(&error) => Err(ConnectError::NoDescriptor),
        Err(error) => Err(ConnectError::Unreachable(format!("{address}: {error}"))),
    }
}

/// The TLS handshake over a connection; the certificate must carry `name`.
pub(crate) async fn secure(
    stream: Wire,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    timeout: Duration,
) -> Result<TlsStream<Wire>, ConnectError> {
    let handshake = TlsConnector::from(config).connect(name, stream);
    match tokio::time::timeout(timeout, handshake).await {
        Err(_) => Err(ConnectError::Timeout),
        Ok(Ok(stream)) => Ok(stream),
        // rustls reports what it rejects as invalid data; the rest is the network's doing.
        Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => Err(match words::protocol(&error) {
            Some(words) => ConnectError::Protocol(words.to_owned()),
            None => ConnectError::Tls(words::words(&error)),
        }),
        Ok(Err(error)) => Err(ConnectError::Unreachable(words::of_network(&error))),
    }
}

/// The name a certificate must carry for a host.
pub(crate) fn server_name(host: &str) -> Option<ServerName<'static>> {
    ServerName::try_from(host.to_owned()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    /// A name whose look-ups are counted, and answered as the test says.
    struct Stage {
        endpoint: Endpoint,
        asked: Arc<AtomicUsize>,
        answer: mpsc::Sender<Option<SocketAddr>>,
    }

    impl Stage {
        fn new() -> Stage {
            let (answer, answers) = mpsc::channel::<Option<SocketAddr>>();
            let (asked, answers) = (Arc::new(AtomicUsize::new(0)), Mutex::new(answers));
            let count = Arc::clone(&asked);
            let resolver = Resolver::of(move |_, _| {
                count.fetch_add(1, Ordering::SeqCst);
                let answer = answers.lock().unwrap().recv().ok().flatten();
                Ok(vec![answer.ok_or_else(|| io::Error::other("nobody answers"))?])
            });
            let endpoint = Endpoint { resolver, ..Endpoint::new("name.example", 443, Policy::Declared) };
            Stage { endpoint, asked, answer }
        }

        async fn addresses(&self, time: Duration) -> Option<Result<Arc<[SocketAddr]>, ConnectError>> {
            tokio::time::timeout(time, self.endpoint.addresses(time)).await.ok()
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::SeqCst)
        }

        /// As if what is known were as old as that.
        fn ages(&self, by: Duration) {
            let mut known = self.endpoint.known();
            let known = &mut *known;
            let times =
                [known.addresses.as_mut().map(|it| &mut it.0), known.failure.as_mut().map(|it| &mut it.0)];
            for since in times.into_iter().flatten() {
                *since = since.checked_sub(by).unwrap();
            }
        }
    }

    const SHORT: Duration = Duration::from_millis(20);
    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_resolver_that_hangs_is_asked_once_for_a_name() {
        let stage = Stage::new();
        for _ in 0..50 {
            assert!(stage.addresses(SHORT).await.is_none(), "nothing is known");
        }
        assert_eq!(stage.asked(), 1);
        let address = SocketAddr::from(([192, 0, 2, 1], 443));
        stage.answer.send(Some(address)).unwrap();
        // Whoever comes now has the answer that the others did not wait for.
        for _ in 0..50 {
            assert_eq!(stage.addresses(LONG).await.unwrap().unwrap()[..], [address]);
        }
        assert_eq!(stage.asked(), 1);
    }

    #[tokio::test]
    async fn what_was_known_does_while_nobody_answers() {
        let stage = Stage::new();
        let address = SocketAddr::from(([192, 0, 2, 1], 443));
        stage.answer.send(Some(address)).unwrap();
        assert!(stage.addresses(LONG).await.unwrap().is_ok());
        stage.ages(ADDRESSES_KEPT);
        // It hangs, and then it fails.
        for _ in 0..3 {
            assert_eq!(stage.addresses(2 * PATIENCE).await.unwrap().unwrap()[..], [address]);
        }
        assert_eq!(stage.asked(), 2);
        stage.answer.send(None).unwrap();
        while stage.endpoint.known().failure.is_none() {
            assert_eq!(stage.addresses(LONG).await.unwrap().unwrap()[..], [address]);
        }
        // Not for ever; and a failure is not asked for again at once.
        stage.ages(KEPT_WITHOUT_ANSWER);
        stage.answer.send(None).unwrap();
        let asked = stage.asked();
        for _ in 0..20 {
            assert!(matches!(stage.addresses(LONG).await, Some(Err(ConnectError::Resolve(_)))));
        }
        assert!(stage.asked() <= asked + 1, "{} after {asked}", stage.asked());
    }

    #[tokio::test]
    async fn a_name_that_leads_where_it_may_not_is_not_used_as_it_was() {
        let stage = Stage::new();
        stage.answer.send(Some(SocketAddr::from(([192, 0, 2, 1], 443)))).unwrap();
        assert!(stage.addresses(LONG).await.unwrap().is_ok());
        stage.ages(ADDRESSES_KEPT);
        stage.answer.send(Some(SocketAddr::from(([169, 254, 169, 254], 443)))).unwrap();
        for _ in 0..3 {
            assert!(matches!(stage.addresses(LONG).await, Some(Err(ConnectError::AddressRefused(_)))));
        }
    }
}
