//! What the operator reads of callers that never get as far as a request: OpenSSL and bare sockets call.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod authority;

use authority::{Authority, Issued};
use ironbridge_net::tls::server::{
    ClientAuth, HandshakeError, ListenerTls, Protocol, ServerIdentity, Turns, server_config,
};
use rcgen::{CertificateParams, IsCa, KeyPair};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

/// Far above what a handshake takes on a loaded machine, but where it is to run out.
const PATIENCE: Duration = Duration::from_secs(20);

struct Scene {
    authority: Authority,
    files: tempfile::TempDir,
}

impl Scene {
    fn new() -> Scene {
        Scene { authority: Authority::new("ours"), files: tempfile::tempdir().unwrap() }
    }

    fn tls(&self, auth: ClientAuth) -> ListenerTls {
        let identity = ServerIdentity::new(self.authority.issue(&["localhost"]).identity());
        ListenerTls::new(server_config(identity, &auth, &[Protocol::Http2, Protocol::Http1]).unwrap())
    }

    /// How one call ends, and what the caller received, where it says `bytes` or is OpenSSL with these arguments.
    async fn call(&self, auth: ClientAuth, caller: Caller<'_>, patience: Duration) -> (Outcome, String) {
        let tls = self.tls(auth);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = async {
            let (stream, _) = listener.accept().await.unwrap();
            let turns = Turns::default();
            tls.accept(stream, patience, &turns).await.map(drop)
        };
        let calling = async {
            match caller {
                Caller::Says(bytes) => {
                    let mut stream = TcpStream::connect(address).await.unwrap();
                    stream.write_all(bytes).await.unwrap();
                    let mut received = Vec::new();
                    drop(stream.read_to_end(&mut received).await);
                    String::from_utf8_lossy(&received).into_owned()
                }
                Caller::Leaves(bytes) => {
                    let mut stream = TcpStream::connect(address).await.unwrap();
                    stream.write_all(bytes).await.unwrap();
                    String::new()
                }
                Caller::OpenSsl(arguments) => {
                    let connect = format!("127.0.0.1:{}", address.port());
                    let mut openssl = Command::new("openssl");
                    openssl.args(["s_client", "-connect", &connect]).args(arguments);
                    let output = openssl.stdin(Stdio::null()).output().await.unwrap();
                    String::from_utf8_lossy(&output.stdout).into_owned()
                }
            }
        };
        tokio::join!(accepting, calling)
    }

    /// A certificate that signed itself, as OpenSSL makes one unless told otherwise.
    fn self_signed(&self) -> Issued {
        let mut params = CertificateParams::new(vec!["shop".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Issued { chain: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
    }
}

type Outcome = Result<(), HandshakeError>;

#[derive(Clone, Copy)]
enum Caller<'c> {
    Says(&'c [u8]),
    Leaves(&'c [u8]),
    OpenSsl(&'c [&'c str]),
}

#[tokio::test]
async fn every_refused_handshake_says_why() {
    use Caller::{Leaves, OpenSsl, Says};
    let scene = Scene::new();
    let optional = || ClientAuth::Optional(scene.authority.roots());
    let with = |issued: &Issued, name: &str| {
        let (chain, key) = issued.files(&scene.files, name);
        ["-cert".to_owned(), chain.display().to_string(), "-key".to_owned(), key.display().to_string()]
    };
    let (foreign, own) = (Authority::new("theirs").issue(&["shop"]), scene.self_signed());
    let (foreign, own) = (with(&foreign, "foreign"), with(&own, "own"));
    let foreign: Vec<&str> = foreign.iter().map(String::as_str).collect();
    let own: Vec<&str> = own.iter().map(String::as_str).collect();
    let ca = scene.files.path().join("other.pem");
    std::fs::write(&ca, Authority::new("other").pem).unwrap();
    let distrusting = ["-verify_return_error", "-CAfile", ca.to_str().unwrap()];
    for (kind, words, auth, caller) in [
        (
            "client-certificate",
            "a CA that is not trusted here; name that CA's certificate in ca at the account's",
            optional(),
            OpenSsl(&foreign),
        ),
        ("client-certificate", "its client certificate", optional(), OpenSsl(&own)),
        (
            "client-certificate-missing",
            "showed no client certificate",
            ClientAuth::Required(scene.authority.roots()),
            OpenSsl(&[]),
        ),
        ("distrusted", "data/ca.pem", ClientAuth::Off, OpenSsl(&distrusting)),
        (
            "incompatible",
            "1.2 and 1.3 are spoken here",
            ClientAuth::Off,
            OpenSsl(&["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"]),
        ),
        (
            "incompatible",
            "no cipher suite and group",
            ClientAuth::Off,
            OpenSsl(&["-tls1_2", "-cipher", "AES128-GCM-SHA256"]),
        ),
        ("incompatible", "P-256 or P-384", ClientAuth::Off, OpenSsl(&["-tls1_3", "-groups", "P-521"])),
        ("protocol", "ALPN", ClientAuth::Off, OpenSsl(&["-alpn", "spdy/3"])),
        ("server-name", "host:port", ClientAuth::Off, OpenSsl(&["-servername", "localhost:8443"])),
        ("server-name", "no DNS name", ClientAuth::Off, OpenSsl(&["-servername", "a..b"])),
        ("plain-http", "https", ClientAuth::Off, Says(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")),
        ("plain-http", "https", ClientAuth::Off, Says(b"PROPFIND / HTTP/1.1\r\n\r\n")),
        ("plain-http", "https", ClientAuth::Off, Says(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")),
        ("proxy-protocol", "trusted", ClientAuth::Off, Says(b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n")),
        ("proxy-protocol", "PROXY protocol", ClientAuth::Off, Says(b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0")),
        ("no-tls", "not TLS", ClientAuth::Off, Says(b"SSH-2.0-OpenSSH_9.2\r\n")),
        ("no-tls", "not TLS", ClientAuth::Off, Says(b"\x80\x2e\x01\0\x02\0\x15\0\0\0\x10")),
        ("no-tls", "not TLS", ClientAuth::Off, Says(b"\x16\x03\x01\0\x05hello")),
    ] {
        let (outcome, received) = scene.call(auth, caller, PATIENCE).await;
        let Err(HandshakeError::Refused { kind: told, why }) = outcome else {
            panic!("{kind}: {outcome:?}");
        };
        assert_eq!(told, kind, "{why}");
        assert!(why.contains(words), "{kind}: {why}");
        // Not the library's own names.
        assert!(!why.contains("docs.rs") && !why.contains("PeerMisbehaved"), "{kind}: {why}");
        let in_clear = received.starts_with("HTTP/1.1 400") && received.ends_with("https instead of http.\n");
        assert_eq!(in_clear, kind == "plain-http", "{received}");
    }
    for bytes in [&b""[..], b"\x16", b"\x16\x03\x01\x01\0"] {
        assert_eq!(scene.call(ClientAuth::Off, Leaves(bytes), PATIENCE).await.0, Err(HandshakeError::Gone));
    }
    let (slow, _) = scene.call(ClientAuth::Off, Says(b"\x16"), Duration::from_millis(50)).await;
    assert!(matches!(slow, Err(HandshakeError::Refused { kind: "too-slow", .. })), "{slow:?}");
    let good = scene.call(optional(), OpenSsl(&["-servername", "localhost"]), PATIENCE).await.0;
    assert_eq!(good, Ok(()));
}
