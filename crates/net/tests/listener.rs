//! Listeners, TLS and the gate, driven by curl and openssl.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod authority;

use authority::{Authority, Issued};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ironbridge_net::cores::{self, Cores};
use ironbridge_net::gate::{Arrival, Gate, Limits};
use ironbridge_net::listen::{self, Connection, Handler, Listener, Options, Serving};
use ironbridge_net::protocol::{http1_server, http2_server};
use ironbridge_net::tls::server::{
    ClientAuth, ListenerTls, Protocol, Secured, ServerIdentity, Turns, server_config,
};
use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::num::NonZeroUsize;
use std::process::{Command, Output};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// A server that says what it saw.
struct Bridge {
    cores: Cores,
    serving: Serving,
    tls: Arc<ListenerTls>,
    identity: Arc<ServerIdentity>,
    authority: Authority,
    files: tempfile::TempDir,
}

impl Bridge {
    fn start(client_auth: impl FnOnce(&Authority) -> ClientAuth) -> Bridge {
        Bridge::with(client_auth, bounds(100, 100))
    }

    fn with(client_auth: impl FnOnce(&Authority) -> ClientAuth, limits: listen::Limits) -> Bridge {
        let authority = Authority::new("bridge");
        let identity = ServerIdentity::new(authority.issue(&["localhost"]).identity());
        let tls = Arc::new(ListenerTls::new(config(&identity, &client_auth(&authority))));
        let cores = Cores::start(NonZeroUsize::new(2).unwrap(), "test").unwrap();
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let shared = tls.clone();
        let handler = Arc::new(move |core| {
            assert_eq!(cores::current(), Some(core));
            let tls = shared.clone();
            let handler: Handler = Rc::new(move |connection| Box::pin(talk(connection, tls.clone(), core)));
            handler
        });
        let serving = listener.serve(&cores.handle(), Options { limits, handler });
        let files = tempfile::tempdir().unwrap();
        std::fs::write(files.path().join("ca.pem"), &authority.pem).unwrap();
        Bridge { cores, serving, tls, identity, authority, files }
    }

    fn curl(&self, arguments: &[&str]) -> Output {
        let port = self.serving.address().port();
        Command::new("curl")
            .args(["-sS", "--max-time", "20", "--cacert"])
            .arg(self.files.path().join("ca.pem"))
            .args(["--resolve", &format!("localhost:{port}:127.0.0.1")])
            .args(arguments)
            .arg(format!("https://localhost:{port}/thing?x=1"))
            .output()
            .unwrap()
    }

    fn curl_with(&self, issued: &Issued, arguments: &[&str]) -> Output {
        let (chain, key) = issued.files(&self.files, "client");
        let mut all = vec!["--cert", chain.to_str().unwrap(), "--key", key.to_str().unwrap()];
        all.extend(arguments);
        self.curl(&all)
    }

    fn openssl(&self, arguments: &[&str]) -> String {
        let output = Command::new("openssl")
            .args(["s_client", "-connect", &self.serving.address().to_string(), "-servername", "localhost"])
            .args(arguments)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }

    async fn end(self) {
        self.serving.drain();
        self.serving.idle().await;
        self.cores.stop();
    }
}

fn bounds(max: usize, per_address: usize) -> listen::Limits {
    listen::Limits { max, per_address, exempt: Arc::new(|_| false) }
}

fn config(identity: &Arc<ServerIdentity>, client_auth: &ClientAuth) -> Arc<rustls::ServerConfig> {
    server_config(identity.clone(), client_auth, &[Protocol::Http2, Protocol::Http1]).unwrap()
}

async fn talk(connection: Connection, tls: Arc<ListenerTls>, core: usize) {
    let permit = connection.permit;
    let turns = Turns::default();
    let secured = tokio::select! {
        secured = tls.accept(connection.stream, Duration::from_secs(10), &turns) => secured,
        () = permit.asked_to_leave() => return,
    };
    let Ok(secured) = secured else { return };
    let Secured { stream, protocol, certificate, server_name } = secured;
    let group = stream.get_ref().1.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name()));
    let about = format!(
        "core={core} protocol={protocol:?} group={} chain={} name={}",
        group.unwrap_or_default(),
        certificate.map_or(0, |certificate| certificate.chain.len()),
        server_name.unwrap_or_default(),
    );
    match protocol {
        Protocol::Http1 => {
            let (gate, state) = Gate::new(stream, Limits::default());
            let service = service_fn(move |request: Request<Incoming>| {
                let arrival = state.arrival();
                let about = about.clone();
                async move {
                    match arrival {
                        Arrival::Refused(_service, code) => {
                            Ok::<_, Infallible>(reply(400, code.id.to_owned()))
                        }
                        Arrival::Request(_service) | Arrival::Upgrade(_service, _) => {
                            Ok(echo(request, about).await)
                        }
                    }
                }
            });
            drop(http1_server().serve_connection(TokioIo::new(gate), service).with_upgrades().await);
        }
        Protocol::Http2 => {
            let service = service_fn(move |request| {
                let about = about.clone();
                async move { Ok::<_, Infallible>(echo(request, about).await) }
            });
            drop(http2_server().serve_connection(TokioIo::new(stream), service).await);
        }
    }
}

async fn echo(request: Request<Incoming>, about: String) -> Response<Full<Bytes>> {
    let (method, uri) = (request.method().clone(), request.uri().path().to_owned());
    let body = request.into_body().collect().await.unwrap().to_bytes();
    reply(200, format!("{about} {method} {uri} body={}", body.len()))
}

fn reply(status: u16, text: String) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(Full::new(Bytes::from(text))).unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn curl_speaks_both_versions_of_http() {
    let bridge = Bridge::start(|_| ClientAuth::Off);
    let said = text(&bridge.curl(&["--http1.1"]));
    assert!(said.contains("protocol=Http1") && said.contains("GET /thing body=0"), "{said}");
    assert!(said.contains("name=localhost") && said.contains("chain=0"), "{said}");
    let said = text(&bridge.curl(&["--http2"]));
    assert!(said.contains("protocol=Http2"), "{said}");
    let big = bridge.files.path().join("big");
    std::fs::write(&big, vec![b'x'; 300_000]).unwrap();
    for extra in [["-H", "Transfer-Encoding: chunked"], ["-H", "X: y"]] {
        let data = format!("@{}", big.display());
        let said = text(&bridge.curl(&["--http1.1", extra[0], extra[1], "--data-binary", &data]));
        assert!(said.contains("POST /thing body=300000"), "{said}");
    }
    bridge.end().await;
}

#[tokio::test]
async fn only_modern_tls_is_spoken() {
    let bridge = Bridge::start(|_| ClientAuth::Off);
    let modern = bridge.openssl(&["-tls1_3"]);
    assert!(modern.contains("TLSv1.3") && modern.contains("Cipher is TLS_AES"), "{modern}");
    let still = bridge.openssl(&["-tls1_2"]);
    assert!(still.contains("Cipher is ECDHE-"), "{still}");
    for old in [
        &["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"][..],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"],
        &["-tls1_2", "-cipher", "AES128-GCM-SHA256"],
        &["-tls1_3", "-alpn", "spdy/3"],
    ] {
        let refused = bridge.openssl(old);
        assert!(refused.contains("SSL alert number"), "{old:?}: {refused}");
    }
    bridge.end().await;
}

#[tokio::test]
async fn key_exchange_resists_quantum_computers() {
    let bridge = Bridge::start(|_| ClientAuth::Off);
    let config =
        ironbridge_net::tls::client::client_config(&bridge.authority.roots(), None, &[Protocol::Http1])
            .unwrap();
    let stream = tokio::net::TcpStream::connect(bridge.serving.address()).await.unwrap();
    let name = "localhost".try_into().unwrap();
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    let group = stream.get_ref().1.negotiated_key_exchange_group().unwrap();
    assert_eq!(group.name(), rustls::NamedGroup::X25519MLKEM768);
    drop(stream);
    bridge.end().await;
}

#[tokio::test]
async fn client_certificates_are_asked_for_verified_and_required() {
    let bridge = Bridge::start(|authority| ClientAuth::Optional(authority.roots()));
    let known = bridge.authority.issue(&["order-service"]);
    let stranger = Authority::new("stranger").issue(&["order-service"]);
    assert!(text(&bridge.curl(&["--http1.1"])).contains("chain=0"));
    for version in ["--http1.1", "--http2"] {
        let said = text(&bridge.curl_with(&known, &[version]));
        assert!(said.contains("chain=") && !said.contains("chain=0"), "{said}");
    }
    assert!(!bridge.curl_with(&stranger, &["--http1.1"]).status.success());

    bridge.tls.replace(config(&bridge.identity, &ClientAuth::Required(bridge.authority.roots())));
    assert!(!bridge.curl(&["--http1.1"]).status.success());
    assert!(bridge.curl_with(&known, &["--http1.1"]).status.success());
    bridge.end().await;
}

#[tokio::test]
async fn certificates_are_swapped_while_serving() {
    let bridge = Bridge::start(|_| ClientAuth::Off);
    assert!(bridge.curl(&[]).status.success());
    bridge.identity.replace(Authority::new("another").issue(&["localhost"]).identity());
    assert!(!bridge.curl(&[]).status.success());
    bridge.identity.replace(bridge.authority.issue(&["localhost"]).identity());
    assert!(bridge.curl(&[]).status.success());
    bridge.end().await;
}

#[tokio::test]
async fn refusals_are_answered_in_order_over_tls() {
    let bridge = Bridge::start(|_| ClientAuth::Off);
    let config =
        ironbridge_net::tls::client::client_config(&bridge.authority.roots(), None, &[Protocol::Http1])
            .unwrap();
    let name = "localhost".try_into().unwrap();
    let mut session = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut socket = TcpStream::connect(bridge.serving.address()).unwrap();
    let mut stream = rustls::Stream::new(&mut session, &mut socket);
    let good = "POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    let bad =
        "POST /two HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    stream.write_all(format!("{good}{bad}GET /three HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    let one = answers.find("POST /one body=2").expect("first answer");
    let two = answers.find("framing-refused").expect("second answer");
    assert!(one < two && answers.contains("HTTP/1.1 400 ") && !answers.contains("three"), "{answers}");
    bridge.end().await;
}

#[tokio::test]
async fn connections_are_bounded_listed_and_spread() {
    // The one that has been idle the longest makes room.
    let bridge = Bridge::with(|_| ClientAuth::Off, bounds(2, 100));
    let address = bridge.serving.address();
    let mut held = [TcpStream::connect(address).unwrap(), TcpStream::connect(address).unwrap()];
    while bridge.serving.open() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(bridge.curl(&[]).status.success());
    assert_eq!(bridge.serving.refused().by_limit, 0);
    assert_eq!(held[0].read(&mut [0]).unwrap(), 0);
    drop(held);
    bridge.serving.idle().await;
    bridge.end().await;

    let bridge = Bridge::with(|_| ClientAuth::Off, bounds(10, 1));
    let held = TcpStream::connect(bridge.serving.address()).unwrap();
    assert!(!bridge.curl(&[]).status.success());
    assert_eq!(bridge.serving.refused().by_address, 1);
    drop(held);
    bridge.serving.idle().await;
    assert!(bridge.curl(&[]).status.success());
    bridge.end().await;

    let bridge = Bridge::start(|_| ClientAuth::Off);
    let held = TcpStream::connect(bridge.serving.address()).unwrap();
    while bridge.serving.open() < 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let said = text(&bridge.curl(&[]));
    assert!(said.contains("core=1"), "{said}");
    drop(held);
    bridge.end().await;
}

#[tokio::test]
async fn draining_closes_the_socket_and_spares_connections() {
    let bridge = Bridge::start(|_| ClientAuth::Off);
    let address = bridge.serving.address();
    let held = TcpStream::connect(address).unwrap();
    while bridge.serving.open() < 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut draining = bridge.serving.draining();
    bridge.serving.drain();
    draining.wait_for(|draining| *draining).await.unwrap();
    // Closed in the kernel once the accepting task has gone; then the address is free again.
    while TcpStream::connect(address).is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(Listener::bind(address).unwrap());
    assert_eq!(bridge.serving.open(), 1);
    drop(held);
    bridge.serving.idle().await;
    bridge.cores.stop();
}

#[test]
fn a_key_that_does_not_fit_is_refused_and_not_quoted() {
    use ironbridge_net::tls::{Identity, Roots};
    let authority = Authority::new("a");
    let (one, other) = (authority.issue(&["a"]), authority.issue(&["a"]));
    assert!(Identity::from_pem(one.chain.as_bytes(), other.key.as_bytes()).is_err());
    let error = Identity::from_pem(one.chain.as_bytes(), b"hunter2").unwrap_err();
    assert!(!error.to_string().contains("hunter2"));
    assert!(Identity::from_pem(b"", one.key.as_bytes()).is_err());
    assert!(Roots::from_pem(b"nothing").is_err());
}
