//! A TLS session that breaks once the request is there says nothing of whether the target acted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod authority;

use authority::Authority;
use http::{Method, Request};
use http_body_util::BodyExt;
use ironbridge_net::tls::server::{ClientAuth, ServerIdentity, server_config};
use ironbridge_net::tls::{Protocol, Roots};
use ironbridge_net::upstream::{OutBody, Pool, SendError, Settings, Upstream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::{LocalSet, spawn_local};
use tokio_rustls::TlsAcceptor;

/// An HTTP/2 SETTINGS frame without any.
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
/// A record that no key opens (RFC 8446 §5.2), and what says that the port speaks something else by now.
const BROKEN: &[&[u8]] = &[
    &[
        0x17, 3, 3, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0,
    ],
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
];

/// Reads a request, answers with this over TLS, and then breaks the session.
async fn breaks(protocol: Protocol, answers: &'static [u8], broken: &'static [u8]) -> (Roots, u16) {
    let authority = Authority::new("target");
    let identity = ServerIdentity::new(authority.issue(&["localhost"]).identity());
    let offered: &[Protocol] =
        if protocol == Protocol::Http1 { &[Protocol::Http1] } else { &[Protocol::Http2] };
    let config = server_config(identity, &ClientAuth::Off, offered).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    spawn_local(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut tls = TlsAcceptor::from(config).accept(stream).await.unwrap();
        let mut read = Vec::new();
        // HTTP/1: the head; HTTP/2: the preface, SETTINGS, WINDOW_UPDATE and HEADERS.
        while !read.windows(4).any(|end| end == b"\r\n\r\n") || read.len() < 100 {
            assert_ne!(tls.read_buf(&mut read).await.unwrap(), 0);
        }
        tls.write_all(answers).await.unwrap();
        tls.flush().await.unwrap();
        let (mut stream, _) = tls.into_inner();
        stream.write_all(broken).await.unwrap();
        drop(stream.read(&mut [0; 1]).await);
    });
    (authority.roots(), port)
}

#[test]
fn tls_that_breaks_after_the_request_may_have_acted() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
        for (protocol, answers) in
            [(Protocol::Http1, &b""[..]), (Protocol::Http1, head), (Protocol::Http2, SETTINGS)]
        {
            for broken in BROKEN {
                let (roots, port) = breaks(protocol, answers, broken).await;
                let settings = Settings { roots, ..Settings::new(format!("https://localhost:{port}/")) };
                let pool = Pool::new(Upstream::new(settings).unwrap());
                let body = OutBody::Full(bytes::Bytes::from(vec![b'x'; 200]));
                let request = Request::builder().method(Method::POST).uri("/").body(body).unwrap();
                let error = match pool.send(request).await {
                    Ok(response) => response.into_body().collect().await.err().unwrap(),
                    Err(error) => error,
                };
                assert!(
                    matches!(error, SendError::BrokeOff { maybe_sent: true, .. }),
                    "{protocol:?}, {answers:?}: {error:?}"
                );
            }
        }
    });
}
