//! Pools against servers that behave, and servers that don't.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod authority;

use authority::Authority;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ironbridge_net::address::Policy;
use ironbridge_net::gate::{Arrival, Gate, Limits};
use ironbridge_net::protocol::{http1_server, http2_server};
use ironbridge_net::tls::server::{ClientAuth, ListenerTls, ServerIdentity, Turns, server_config};
use ironbridge_net::tls::{self, Roots};
use ironbridge_net::upstream::{
    BodyFault, Holder, OutBody, Pool, PooledBody, Pools, Protocol, Repeatable, SendError, Settings, Upstream,
};
use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::{LocalSet, spawn_local};

type PeerBody = BoxBody<Bytes, Infallible>;

/// A target that counts its connections.
struct Peer {
    authority: Authority,
    port: u16,
    connections: Rc<Cell<usize>>,
    /// Ends every HTTP/2 connection gracefully.
    goaway: Rc<Notify>,
}

impl Peer {
    async fn start(protocols: &'static [tls::Protocol]) -> Peer {
        Peer::asking(protocols, ClientAuth::Optional).await
    }

    async fn asking(protocols: &'static [tls::Protocol], auth: fn(Roots) -> ClientAuth) -> Peer {
        let authority = Authority::new("target");
        let identity = ServerIdentity::new(authority.issue(&["localhost"]).identity());
        let config = server_config(identity, &auth(authority.roots()), protocols).unwrap();
        let tls = Rc::new(ListenerTls::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Rc::new(Cell::new(0));
        let goaway = Rc::new(Notify::new());
        let (count, stop) = (connections.clone(), goaway.clone());
        spawn_local(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                count.set(count.get() + 1);
                let (tls, stop, number) = (tls.clone(), stop.clone(), count.get());
                spawn_local(async move {
                    let Ok(secured) = tls.accept(stream, Duration::from_secs(10), &Turns::default()).await
                    else {
                        return;
                    };
                    let shown = secured.certificate.is_some();
                    let service = service_fn(move |request| answer(request, number, shown));
                    let io = TokioIo::new(secured.stream);
                    if secured.protocol == tls::Protocol::Http1 {
                        drop(http1_server().serve_connection(io, service).with_upgrades().await);
                        return;
                    }
                    let serving = http2_server().serve_connection(io, service);
                    tokio::pin!(serving);
                    tokio::select! {
                        _ = &mut serving => {}
                        () = stop.notified() => {
                            serving.as_mut().graceful_shutdown();
                            drop(serving.await);
                        }
                    }
                });
            }
        });
        Peer { authority, port, connections, goaway }
    }

    fn settings(&self) -> Settings {
        Settings {
            roots: self.authority.roots(),
            ..Settings::new(format!("https://localhost:{}/base/", self.port))
        }
    }

    fn pool(&self) -> Rc<Pool> {
        Pool::new(Upstream::new(self.settings()).unwrap())
    }
}

async fn answer(
    request: Request<Incoming>,
    connection: usize,
    shown: bool,
) -> Result<Response<PeerBody>, Infallible> {
    let path = request.uri().path().to_owned();
    let (mut response, endless) =
        (Response::new(Full::new(Bytes::new()).boxed()), path.ends_with("/endless"));
    response.headers_mut().insert("x-connection", connection.into());
    response.headers_mut().insert("x-shown", HeaderValue::from_static(if shown { "yes" } else { "no" }));
    if path.ends_with("/hang") {
        std::future::pending::<()>().await;
    }
    if path.ends_with("/switch") {
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().insert("connection", HeaderValue::from_static("upgrade"));
        response.headers_mut().insert("upgrade", HeaderValue::from_static("echo"));
        spawn_local(async move {
            let Ok(upgraded) = hyper::upgrade::on(request).await else { return };
            let (mut read, mut write) = tokio::io::split(TokioIo::new(upgraded));
            drop(tokio::io::copy(&mut read, &mut write).await);
        });
        return Ok(response);
    }
    if endless {
        *response.body_mut() = Endless.boxed();
        return Ok(response);
    }
    let host = request.headers().get("host").map(|host| host.as_bytes().to_vec()).unwrap_or_default();
    let authority = request.uri().authority().map(|authority| authority.to_string()).unwrap_or_default();
    let said =
        format!("{} {path} host={} authority={authority} ", request.method(), String::from_utf8_lossy(&host));
    let http1 = request.version() == http::Version::HTTP_11;
    let body = request.into_body().collect().await;
    let Ok(body) = body else { return Ok(response) };
    let mut trailers = body.trailers().cloned().unwrap_or_default();
    let data = [said.as_bytes(), &body.to_bytes()].concat();
    if path.ends_with("/trailers") {
        if http1 {
            response.headers_mut().insert("transfer-encoding", HeaderValue::from_static("chunked"));
        }
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        response.headers_mut().insert("trailer", HeaderValue::from_static("grpc-status, x-sum"));
        *response.body_mut() =
            Full::new(Bytes::from(data)).with_trailers(async move { Some(Ok(trailers)) }).boxed();
    } else {
        *response.body_mut() = Full::new(Bytes::from(data)).boxed();
    }
    Ok(response)
}

struct Endless;

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 8192])))))
    }
}

fn get(path: &'static str) -> Request<OutBody> {
    request(Method::GET, path, OutBody::Empty)
}

fn request(method: Method, path: &'static str, body: OutBody) -> Request<OutBody> {
    Request::builder().method(method).uri(path).header("host", "caller.example").body(body).unwrap()
}

fn connection(response: &Response<PooledBody>) -> usize {
    response.headers()["x-connection"].to_str().unwrap().parse().unwrap()
}

async fn text(response: Response<PooledBody>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

const HTTP1: &[tls::Protocol] = &[tls::Protocol::Http1];
const BOTH: &[tls::Protocol] = &[tls::Protocol::Http2, tls::Protocol::Http1];

/// Runs a test on something like a core.
fn on_core<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, test);
}

#[test]
fn connections_are_reused_and_carry_the_targets_own_name() {
    on_core(async {
        let peer = Peer::start(HTTP1).await;
        let pool = peer.pool();
        for _ in 0..5 {
            let body = OutBody::Full(Bytes::from_static(b"hello"));
            let said = text(pool.send(request(Method::POST, "/base/x?y=1", body)).await.unwrap()).await;
            assert_eq!(said, format!("POST /base/x host=localhost:{} authority= hello", peer.port));
        }
        assert_eq!((peer.connections.get(), pool.idle()), (1, 1));
        let three = [pool.send(get("/a")), pool.send(get("/b")), pool.send(get("/c"))];
        for response in futures_join(three).await {
            drop(text(response.unwrap()).await);
        }
        assert_eq!((peer.connections.get(), pool.idle()), (3, 3));
    });
}

/// Polls several futures together.
async fn futures_join<F: Future, const N: usize>(futures: [F; N]) -> Vec<F::Output> {
    let mut futures = futures.map(Box::pin);
    let mut done: Vec<Option<F::Output>> = (0..N).map(|_| None).collect();
    std::future::poll_fn(|cx| {
        for (future, done) in futures.iter_mut().zip(&mut done) {
            if done.is_none()
                && let Poll::Ready(output) = future.as_mut().poll(cx)
            {
                *done = Some(output);
            }
        }
        if done.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[test]
fn identities_never_share_a_connection() {
    on_core(async {
        let peer = Peer::start(BOTH).await;
        let pools = Pools::new();
        let anonymous = Upstream::new(peer.settings()).unwrap();
        let identity = Some(peer.authority.issue(&["bridge"]).identity());
        let known = Upstream::new(Settings { identity, ..peer.settings() }).unwrap();
        for _ in 0..3 {
            let response = pools.of(&anonymous).send(get("/")).await.unwrap();
            assert_eq!((connection(&response), &response.headers()["x-shown"]), (1, &"no".parse().unwrap()));
            drop(text(response).await);
            let response = pools.of(&known).send(get("/")).await.unwrap();
            assert_eq!((connection(&response), &response.headers()["x-shown"]), (2, &"yes".parse().unwrap()));
            drop(text(response).await);
        }
        assert_eq!(peer.connections.get(), 2);
        assert_eq!((anonymous.open(), known.open()), (1, 1));
    });
}

#[test]
fn a_body_or_a_request_dropped_midway_takes_its_connection_along() {
    on_core(async {
        let peer = Peer::start(HTTP1).await;
        let upstream = Upstream::new(peer.settings()).unwrap();
        let pool = Pool::new(upstream.clone());
        let mut response = pool.send(get("/endless")).await.unwrap();
        assert!(response.body_mut().frame().await.unwrap().is_ok());
        drop(response);
        assert_eq!(pool.idle(), 0);
        let hanging = tokio::time::timeout(Duration::from_secs(1), pool.send(get("/hang"))).await;
        assert!(hanging.is_err());
        assert_eq!(pool.idle(), 0);
        assert_eq!(connection(&pool.send(get("/")).await.unwrap()), 3);
        while upstream.open() > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
}

/// A plain server that answers by script: for every connection, what to say to each request; then it closes,
/// when the next request has come or (with `at_once`) right away.
async fn scripted(scripts: Vec<Vec<&'static str>>, at_once: bool) -> (u16, Rc<Cell<usize>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Rc::new(Cell::new(0));
    let count = connections.clone();
    spawn_local(async move {
        for script in scripts {
            let (mut stream, _) = listener.accept().await.unwrap();
            count.set(count.get() + 1);
            spawn_local(async move {
                let mut buf = [0; 4096];
                for answer in script {
                    if stream.read(&mut buf).await.unwrap_or(0) == 0 {
                        return;
                    }
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
                if !at_once {
                    drop(stream.read(&mut buf).await);
                }
            });
        }
        std::future::pending::<()>().await;
    });
    (port, connections)
}

fn plain(port: u16) -> Settings {
    Settings {
        danger_plaintext: true,
        roots: Roots::System,
        ..Settings::new(format!("http://127.0.0.1:{port}"))
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn a_connection_closed_at_rest_is_not_used() {
    on_core(async {
        let (port, connections) = scripted(vec![vec![OK], vec![OK]], true).await;
        let pool = Pool::new(Upstream::new(plain(port)).unwrap());
        for _ in 0..2 {
            let body = OutBody::Full(Bytes::from_static(b"x"));
            assert_eq!(text(pool.send(request(Method::POST, "/", body)).await.unwrap()).await, "ok");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(connections.get(), 2);
        let (port, connections) = scripted(vec![vec![OK, OK], vec![OK]], false).await;
        let settings = Settings { idle_timeout: Duration::from_millis(30), ..plain(port) };
        let pool = Pool::new(Upstream::new(settings).unwrap());
        for _ in 0..2 {
            assert_eq!(text(pool.send(get("/")).await.unwrap()).await, "ok");
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        assert_eq!(connections.get(), 2);
    });
}

#[test]
fn answers_that_break_http_are_told_from_none() {
    on_core(async {
        let (port, _) = scripted(vec![vec![""]], true).await;
        let pool = Pool::new(Upstream::new(plain(port)).unwrap());
        let error = pool.send(get("/")).await.err().unwrap();
        assert!(matches!(error, SendError::BrokeOff { maybe_sent: true, .. }), "{error}");
        for answer in [
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            "HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
            "nonsense\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        ] {
            let (port, _) = scripted(vec![vec![answer]], true).await;
            let pool = Pool::new(Upstream::new(plain(port)).unwrap());
            let error = pool.send(get("/")).await.err().expect(answer);
            assert!(matches!(error, SendError::Malformed(_)), "{answer}: {error}");
        }
    });
}

#[test]
fn a_head_without_end_is_cut_off() {
    on_core(async {
        let long: &'static str =
            Box::leak(format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(1 << 20)).into_boxed_str());
        let (port, _) = scripted(vec![vec![long]], false).await;
        let pool = Pool::new(Upstream::new(plain(port)).unwrap());
        let error = pool.send(get("/")).await.err().unwrap();
        assert!(matches!(error, SendError::Malformed(_)), "{error}");
    });
}

#[test]
fn connections_are_bounded_and_requests_wait_for_them() {
    on_core(async {
        let peer = Peer::start(HTTP1).await;
        let settings =
            Settings { max_connections: 1, queue_timeout: Duration::from_secs(20), ..peer.settings() };
        let pool = Pool::new(Upstream::new(settings).unwrap());
        let first = pool.send(get("/a")).await.unwrap();
        let (second, first) = tokio::join!(pool.send(get("/b")), text(first));
        assert!(first.contains("/a"));
        assert!(text(second.unwrap()).await.contains("/b"));
        assert_eq!(peer.connections.get(), 1);

        let settings =
            Settings { max_connections: 1, queue_timeout: Duration::from_millis(60), ..peer.settings() };
        let pool = Pool::new(Upstream::new(settings).unwrap());
        let held = pool.send(get("/a")).await.unwrap();
        assert_eq!(pool.send(get("/b")).await.err(), Some(SendError::Busy));
        drop(held);
        assert!(pool.send(get("/b")).await.is_ok());
    });
}

/// What one account holds of a target; `most` connections of it.
async fn hold(pool: &Rc<Pool>, account: &str, most: usize) -> Result<Response<PooledBody>, SendError> {
    let repeatable = Repeatable { idempotent: false, again: &|| None };
    pool.send_repeatable(get("/a"), repeatable, Some(Holder { account, most })).await
}

#[test]
fn an_account_holds_no_more_of_a_target_than_its_share() {
    on_core(async {
        let peer = Peer::start(HTTP1).await;
        let settings = Settings { queue_timeout: Duration::from_millis(60), ..peer.settings() };
        let upstream = Upstream::new(settings).unwrap();
        // Two cores' pools count together.
        let (pool, other) = (Pool::new(upstream.clone()), Pool::new(upstream));
        let first = hold(&pool, "a", 2).await.unwrap();
        let second = hold(&other, "a", 2).await.unwrap();
        for pool in [&pool, &other] {
            let refused = hold(pool, "a", 2).await.err();
            assert_eq!(refused, Some(SendError::ShareTaken { account: "a".into(), most: 2 }));
            assert!(hold(pool, "b", 2).await.is_ok());
        }
        let upgrade = pool.send_upgrade(get("/a"), Some(Holder { account: "a", most: 2 })).await;
        assert!(matches!(upgrade.err(), Some(SendError::ShareTaken { .. })));
        // Read to its end or dropped, it is given back, and whoever waits has it.
        let (third, _) = tokio::join!(hold(&pool, "a", 2), text(first));
        assert!(hold(&pool, "a", 2).await.is_err());
        drop(second);
        assert!(hold(&pool, "a", 2).await.is_ok());
        drop(third);

        // Over HTTP/2 by streams: as many as there would be on so many connections.
        let peer = Peer::start(BOTH).await;
        let settings = Settings { queue_timeout: Duration::from_millis(60), ..peer.settings() };
        let pool = Pool::new(Upstream::new(settings).unwrap());
        let first = hold(&pool, "a", 1).await.unwrap();
        let mut held = vec![first];
        while let Ok(response) = hold(&pool, "a", 1).await {
            held.push(response);
        }
        assert!((2..=101).contains(&held.len()), "{}", held.len());
        assert!(hold(&pool, "b", 1).await.is_ok());
        held.clear();
        assert!(hold(&pool, "a", 1).await.is_ok());
    });
}

#[test]
fn http2_shares_one_connection_and_passes_trailers() {
    on_core(async {
        let peer = Peer::start(BOTH).await;
        let pool = peer.pool();
        let together = [(); 20].map(|()| pool.send(get("/base/x")));
        for response in futures_join(together).await {
            let said = text(response.unwrap()).await;
            assert_eq!(said, format!("GET /base/x host= authority=localhost:{} ", peer.port));
        }
        assert_eq!(peer.connections.get(), 1);

        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("42"));
        let body = Full::new(Bytes::from_static(b"message")).with_trailers(async move { Some(Ok(trailers)) });
        let body = OutBody::Boxed(Box::pin(body.map_err(|never: Infallible| match never {})));
        let response = pool.send(request(Method::POST, "/trailers", body)).await.unwrap();
        let body = response.into_body().collect().await.unwrap();
        let trailers = body.trailers().unwrap();
        assert_eq!(
            (trailers["grpc-status"].as_bytes(), trailers["x-sum"].as_bytes()),
            (&b"0"[..], &b"42"[..])
        );
    });
}

#[test]
fn http1_passes_trailers() {
    on_core(async {
        let peer = Peer::start(HTTP1).await;
        let mut request = get("/trailers");
        request.headers_mut().insert("te", HeaderValue::from_static("trailers"));
        let response = peer.pool().send(request).await.unwrap();
        let body = response.into_body().collect().await.unwrap();
        assert_eq!(body.trailers().unwrap()["grpc-status"].as_bytes(), b"0");
    });
}

#[test]
fn http2_goes_on_after_goaway() {
    on_core(async {
        let peer = Peer::start(BOTH).await;
        let pool = peer.pool();
        assert_eq!(connection(&pool.send(get("/")).await.unwrap()), 1);
        peer.goaway.notify_waiters();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(connection(&pool.send(get("/")).await.unwrap()), 2);
    });
}

#[test]
fn a_pool_is_held_to_the_protocol_it_was_given() {
    on_core(async {
        let peer = Peer::start(BOTH).await;
        let pool =
            Pool::new(Upstream::new(Settings { protocol: Protocol::Http1, ..peer.settings() }).unwrap());
        let response = pool.send(get("/")).await.unwrap();
        assert_eq!(response.version(), http::Version::HTTP_11);
        let peer = Peer::start(HTTP1).await;
        let pool =
            Pool::new(Upstream::new(Settings { protocol: Protocol::Http2, ..peer.settings() }).unwrap());
        let error = pool.send(get("/")).await.err().unwrap();
        assert!(matches!(error, SendError::Protocol(_)), "{error}");
        let peer = Peer::start(&[tls::Protocol::Http2]).await;
        let pool =
            Pool::new(Upstream::new(Settings { protocol: Protocol::Http1, ..peer.settings() }).unwrap());
        let error = pool.send(get("/")).await.err().unwrap();
        assert!(matches!(error, SendError::Protocol(_)), "{error}");
    });
}

#[test]
fn upgrades_work_both_ways() {
    on_core(async {
        let peer = Peer::start(BOTH).await;
        let upstream = Upstream::new(peer.settings()).unwrap();
        let bridge = bridge(upstream.clone(), u64::MAX).await;
        let mut client = TcpStream::connect(("127.0.0.1", bridge)).await.unwrap();
        let ask = "GET /switch HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
        client.write_all(format!("{ask}early").as_bytes()).await.unwrap();
        let mut buf = vec![0; 4096];
        let mut said = Vec::new();
        while !said.ends_with(b"early") {
            let read = client.read(&mut buf).await.unwrap();
            assert!(read > 0);
            said.extend_from_slice(&buf[..read]);
        }
        assert!(said.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&said));
        client.write_all(b"\0not\nhttp").await.unwrap();
        let mut echoed = [0; 9];
        client.read_exact(&mut echoed).await.unwrap();
        assert_eq!(&echoed, b"\0not\nhttp");
        assert_eq!(upstream.open(), 1);
        drop(client);
        while upstream.open() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // A target that does not switch answers as usual.
        let pool = Pool::new(upstream);
        let mut request = get("/base/x");
        request.headers_mut().insert("connection", HeaderValue::from_static("upgrade"));
        request.headers_mut().insert("upgrade", HeaderValue::from_static("echo"));
        let response = pool.send_upgrade(request, None).await.unwrap();
        assert_eq!((response.status(), pool.idle()), (StatusCode::OK, 0));
        assert!(text(response).await.contains("/base/x"));
    });
}

#[test]
fn streamed_bodies_are_counted_and_bounded() {
    on_core(async {
        for protocols in [HTTP1, BOTH] {
            let peer = Peer::start(protocols).await;
            let bridge = bridge(Upstream::new(peer.settings()).unwrap(), 1000).await;
            let ask = |body: &str| {
                format!(
                    "POST /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{body}"
                )
            };
            let small = talk(bridge, &ask("5\r\nhello\r\n0\r\n\r\n")).await;
            assert!(
                small.contains(" 200 ") && small.contains("hello") && small.contains("x-count: 5"),
                "{small}"
            );
            let large = talk(bridge, &ask(&format!("3E9\r\n{}\r\n0\r\n\r\n", "x".repeat(1001)))).await;
            assert!(large.contains(" 500 ") && large.contains("TooLarge"), "{large}");
            let broken = talk(bridge, &ask("5\r\nhelloX")).await;
            assert!(broken.contains(" 500 ") || broken.is_empty(), "{broken}");
        }
    });
}

async fn talk(port: u16, bytes: &str) -> String {
    let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    client.write_all(bytes.as_bytes()).await.unwrap();
    let mut said = Vec::new();
    drop(client.read_to_end(&mut said).await);
    String::from_utf8_lossy(&said).into_owned()
}

/// The smallest bridge: everything goes to one target.
async fn bridge(upstream: Arc<Upstream>, max: u64) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let pool = Pool::new(upstream);
    spawn_local(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (gate, state) = Gate::new(stream, Limits::default());
            let pool = pool.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let (arrival, pool) = (state.arrival(), pool.clone());
                async move { Ok::<_, Infallible>(cross(request, arrival, pool, max).await) }
            });
            spawn_local(http1_server().serve_connection(TokioIo::new(gate), service).with_upgrades());
        }
    });
    port
}

async fn cross(request: Request<Incoming>, arrival: Arrival, pool: Rc<Pool>, max: u64) -> Response<OutBody> {
    let count = Arc::new(AtomicU64::new(0));
    match arrival {
        Arrival::Refused(_service, code) => {
            Response::builder().status(400).body(OutBody::Full(code.id.into())).unwrap()
        }
        Arrival::Request(_service) => {
            let (mut parts, body) = request.into_parts();
            parts.headers.remove("transfer-encoding");
            parts.headers.remove("connection");
            let body =
                OutBody::stream(body, max, std::time::Duration::from_secs(10), count.clone(), Arc::default());
            match pool.send(Request::from_parts(parts, body)).await {
                Ok(mut response) => {
                    response.headers_mut().insert("x-count", count.load(Ordering::Relaxed).into());
                    response.map(|body| OutBody::Boxed(Box::pin(body.map_err(Into::into))))
                }
                Err(error) => {
                    assert!(
                        !matches!(error, SendError::Body(BodyFault::TooLarge))
                            || count.load(Ordering::Relaxed) > max
                    );
                    Response::builder().status(500).body(OutBody::Full(format!("{error:?}").into())).unwrap()
                }
            }
        }
        Arrival::Upgrade(service, upgrade) => {
            let mut out = Request::builder().uri(request.uri().clone()).body(OutBody::Empty).unwrap();
            *out.headers_mut() = request.headers().clone();
            let mut response = pool.send_upgrade(out, None).await.unwrap();
            assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
            upgrade.accept();
            let far = hyper::upgrade::on(&mut response);
            spawn_local(async move {
                let _service = service;
                let (mut near, mut far) = (
                    TokioIo::new(hyper::upgrade::on(request).await.unwrap()),
                    TokioIo::new(far.await.unwrap()),
                );
                drop(tokio::io::copy_bidirectional(&mut near, &mut far).await);
            });
            response.map(|_| OutBody::Empty)
        }
    }
}

#[test]
fn failures_say_what_failed() {
    on_core(async {
        let peer = Peer::start(HTTP1).await;
        let send = async |settings: Settings| {
            Pool::new(Upstream::new(settings).unwrap()).send(get("/")).await.err().unwrap()
        };
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let error = send(plain(closed)).await;
        assert!(matches!(error, SendError::Unreachable(_)), "{error}");

        let roots = Authority::new("stranger").roots();
        let error = send(Settings { roots, ..peer.settings() }).await;
        assert!(matches!(error, SendError::Tls(_)), "{error}");
        let server_name = Some("other.example".to_owned());
        let error = send(Settings { server_name, ..peer.settings() }).await;
        assert!(matches!(error, SendError::Tls(_)), "{error}");

        let error = send(Settings { addresses: Policy::Public, ..peer.settings() }).await;
        assert!(matches!(error, SendError::AddressRefused(_)), "{error}");
        let url = "https://169.254.169.254/".to_owned();
        let error = send(Settings { url, ..peer.settings() }).await;
        assert!(matches!(error, SendError::AddressRefused(_)), "{error}");

        let url = "https://no-such-host.invalid/".to_owned();
        let error = send(Settings { url, ..peer.settings() }).await;
        assert!(matches!(error, SendError::Resolve(_)), "{error}");

        for protocols in [HTTP1, BOTH] {
            let strict = Peer::asking(protocols, ClientAuth::Required).await;
            let error = send(strict.settings()).await;
            assert!(matches!(error, SendError::CertificateRefused(_)), "{error}");
        }

        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}/", silent.local_addr().unwrap().port());
        let error =
            send(Settings { url, connect_timeout: Duration::from_millis(50), ..peer.settings() }).await;
        assert_eq!(error, SendError::Timeout);
    });
}

#[test]
fn urls_are_checked_before_anything_connects() {
    let wrong = |url: &str| {
        let roots = Authority::new("a").roots();
        Upstream::new(Settings { roots, ..Settings::new(url) }).err().map(|error| error.to_string())
    };
    assert!(wrong("https://erp.internal:8443/base").is_none());
    for url in [
        "http://erp/",
        "erp",
        "https://",
        "https://user:pw@erp/",
        "https://erp/?a=b",
        "ftp://erp/",
        "https://a b/",
    ] {
        assert!(wrong(url).is_some(), "{url}");
    }
    let roots = Authority::new("a").roots();
    let upstream = Upstream::new(Settings { roots, ..Settings::new("https://erp:8443/base/") }).unwrap();
    assert_eq!((upstream.authority(), upstream.base_path()), ("erp:8443", "/base"));
    assert_eq!(upstream.target("/x?y=1".parse().unwrap()).unwrap(), "/base/x?y=1");
}
