//! A target that answers as it is told.

use crate::certificates::{Authority, Identity};
use crate::reply::{Reply, ReplyBody};
use crate::seen::Seen;
use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use parking_lot::Mutex;
use rustls_pki_types::CertificateDer;
use serde_json::json;
use std::collections::{BTreeMap, HashSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

/// A system behind the bridge: an HTTPS server on its own thread that answers as it is told, remembers what
/// arrived, and stops when dropped. It echoes until told otherwise.
pub struct FakeTarget {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

/// Which versions of HTTP a target speaks; ALPN says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocols {
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2 only.
    Http2,
    /// Whichever the caller likes better.
    Both,
}

#[derive(Default)]
struct State {
    replies: BTreeMap<String, Reply>,
    seen: Vec<Seen>,
    client: Option<TokenClient>,
    tokens: HashSet<String>,
    issued: usize,
}

struct TokenClient {
    id: String,
    secret: String,
    lifetime: u64,
}

/// A target to be started.
pub struct FakeTargetBuilder {
    identity: Identity,
    protocols: Protocols,
    client_authority: Option<CertificateDer<'static>>,
}

impl FakeTargetBuilder {
    /// Both, unless told otherwise.
    pub fn protocols(mut self, protocols: Protocols) -> Self {
        self.protocols = protocols;
        self
    }

    /// Only clients with a certificate of this authority get through the handshake.
    pub fn require_certificates_of(mut self, authority: &Authority) -> Self {
        self.client_authority = Some(authority.der());
        self
    }

    /// Starts it on a free port.
    pub fn start(self) -> Result<FakeTarget> {
        let tls = TlsAcceptor::from(Arc::new(self.tls()?));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State::default()));
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let shared = Arc::clone(&state);
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    _ = accept(listener, tls, shared) => {}
                }
            });
        });
        Ok(FakeTarget { address, state, stop: Some(stop), thread: Some(thread) })
    }

    fn tls(&self) -> Result<rustls::ServerConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let builder = match &self.client_authority {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = rustls::RootCertStore::empty();
                roots.add(authority.clone())?;
                let verifier =
                    rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                        .build()?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let chain = vec![self.identity.certificate.clone()];
        let mut config = builder.with_single_cert(chain, self.identity.key())?;
        config.alpn_protocols = match self.protocols {
            Protocols::Http1 => vec![b"http/1.1".to_vec()],
            Protocols::Http2 => vec![b"h2".to_vec()],
            Protocols::Both => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        };
        Ok(config)
    }
}

impl FakeTarget {
    /// A target with a certificate of this authority for `localhost` and `127.0.0.1`.
    pub fn builder(authority: &Authority) -> Result<FakeTargetBuilder> {
        let identity = authority.server(&["localhost", "127.0.0.1"])?;
        Ok(FakeTargetBuilder { identity, protocols: Protocols::Both, client_authority: None })
    }

    /// One that speaks both versions of HTTP and asks for no certificate.
    pub fn start(authority: &Authority) -> Result<FakeTarget> {
        FakeTarget::builder(authority)?.start()
    }

    /// Where it listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// `https://localhost:PORT`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.port())
    }

    /// Sets the answer to one method and path (without query), as in `on("GET /orders", …)`.
    pub fn on(&self, operation: &str, reply: Reply) -> &FakeTarget {
        self.state.lock().replies.insert(operation.to_owned(), reply);
        self
    }

    /// Sets the answer to everything that has none of its own.
    pub fn otherwise(&self, reply: Reply) -> &FakeTarget {
        self.on("*", reply)
    }

    /// From now on, `POST /token` gives this client bearer tokens (client credentials, Basic or in the form), and
    /// everything else wants one of them.
    pub fn require_token(&self, client_id: &str, client_secret: &str, lifetime: u64) -> &FakeTarget {
        let client = TokenClient { id: client_id.to_owned(), secret: client_secret.to_owned(), lifetime };
        self.state.lock().client = Some(client);
        self
    }

    /// Makes every token issued so far worthless.
    pub fn revoke_tokens(&self) {
        self.state.lock().tokens.clear();
    }

    /// How many tokens were issued.
    pub fn tokens_issued(&self) -> usize {
        self.state.lock().issued
    }

    /// Everything that arrived so far, requests for tokens and refused ones too.
    pub fn seen(&self) -> Vec<Seen> {
        self.state.lock().seen.clone()
    }

    /// The requests that arrived for one method and path (without query).
    pub fn seen_on(&self, operation: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| operation_of(seen) == operation).collect()
    }

    /// Forgets what arrived; answers stay as they were set.
    pub fn forget(&self) {
        self.state.lock().seen.clear();
    }
}

impl Drop for FakeTarget {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, state: Arc<Mutex<State>>) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (tls, state) = (tls.clone(), Arc::clone(&state));
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(stream).await else { return };
            let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).cloned();
            let certificate = certificate.map(CertificateDer::into_owned);
            let service = hyper::service::service_fn(move |request| {
                serve(request, certificate.clone(), Arc::clone(&state))
            });
            let server = auto::Builder::new(TokioExecutor::new());
            // A connection that breaks is the client's business; what arrived is remembered.
            let _ = server.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
        });
    }
}

/// An error closes the connection.
async fn serve(
    mut request: Request<Incoming>,
    certificate: Option<CertificateDer<'static>>,
    state: Arc<Mutex<State>>,
) -> Result<Response<ReplyBody>> {
    let upgrade = request.headers().contains_key("upgrade").then(|| hyper::upgrade::on(&mut request));
    let seen = read(request, certificate).await?;
    let reply = state.lock().decide(&seen);
    let response = reply.answer(&seen).await.context("closed as asked")?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS
        && let Some(upgrade) = upgrade
    {
        tokio::spawn(async move {
            if let Ok(stream) = upgrade.await {
                let (mut reader, mut writer) = tokio::io::split(TokioIo::new(stream));
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
            }
        });
    }
    Ok(response)
}

async fn read(request: Request<Incoming>, certificate: Option<CertificateDer<'static>>) -> Result<Seen> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?;
    let fields = |map: &hyper::HeaderMap| {
        map.iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect::<Vec<_>>()
    };
    Ok(Seen {
        method: head.method.to_string(),
        path: head.uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
        version: format!("{:?}", head.version),
        headers: fields(&head.headers),
        trailers: body.trailers().map(fields).unwrap_or_default(),
        body: body.to_bytes(),
        certificate,
    })
}

impl State {
    fn decide(&mut self, seen: &Seen) -> Reply {
        self.seen.push(seen.clone());
        let operation = operation_of(seen);
        if self.client.is_some() {
            if operation == "POST /token" {
                return self.token(seen);
            }
            let token = seen.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
            if !token.is_some_and(|token| self.tokens.contains(token)) {
                let challenge = vec![("www-authenticate", "Bearer error=\"invalid_token\"".to_owned())];
                return Reply::Raw(401, challenge, Bytes::new());
            }
        }
        let reply = self.replies.get(&operation).or_else(|| self.replies.get("*")).cloned();
        match reply.unwrap_or(Reply::Echo) {
            // A target that knows whose tokens it takes does not repeat them.
            Reply::Echo if self.client.is_some() => {
                let mut told = seen.clone();
                told.headers.retain(|(name, _)| name != "authorization");
                Reply::Json(200, crate::reply::echo(&told))
            }
            reply => reply,
        }
    }

    fn token(&mut self, seen: &Seen) -> Reply {
        use base64::prelude::{BASE64_STANDARD, Engine};
        let Some(client) = &self.client else { return Reply::Close };
        let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("{}:{}", client.id, client.secret)));
        let form = String::from_utf8_lossy(&seen.body);
        let has = |wanted: &str| form.split('&').any(|pair| pair == wanted);
        let known = seen.header("authorization") == Some(basic.as_str())
            || has(&format!("client_id={}", client.id)) && has(&format!("client_secret={}", client.secret));
        if !known {
            return Reply::Json(401, json!({ "error": "invalid_client" }));
        }
        if !has("grant_type=client_credentials") {
            return Reply::Json(400, json!({ "error": "unsupported_grant_type" }));
        }
        let lifetime = client.lifetime;
        self.issued += 1;
        let token = format!("fake-token-{}", self.issued);
        self.tokens.insert(token.clone());
        Reply::Json(200, json!({ "access_token": token, "token_type": "Bearer", "expires_in": lifetime }))
    }
}

fn operation_of(seen: &Seen) -> String {
    format!("{} {}", seen.method, seen.path.split('?').next().unwrap_or_default())
}
