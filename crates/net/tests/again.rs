//! A body that streams past is sent again where the target did not take it up, as long as all of it is at hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ironbridge_net::protocol::http1_server;
use ironbridge_net::tls::Roots;
use ironbridge_net::upstream::{OutBody, Pool, Protocol, Repeatable, SendError, Settings, Upstream};
use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};

/// When an HTTP/2 target refuses the first request of a connection (RFC 9113 §8.7).
#[derive(Debug, Clone, Copy, PartialEq)]
enum Refuses {
    AtOnce,
    /// Once it has read so many bytes.
    After(usize),
    Never,
}

/// Refuses the first request of all, and answers the others with how much came.
async fn target(refuses: Refuses) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let first = Rc::new(Cell::new(true));
    spawn_local(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let first = first.clone();
            spawn_local(async move {
                let mut server = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((request, mut respond))) =
                    h2::server::Connection::<_, Bytes>::accept(&mut server).await
                {
                    let refuses = if first.replace(false) { refuses } else { Refuses::Never };
                    spawn_local(async move {
                        let (mut came, mut body) = (Vec::new(), request.into_body());
                        let enough = |came: &[u8]| match refuses {
                            Refuses::AtOnce => true,
                            Refuses::After(bytes) => came.len() >= bytes,
                            Refuses::Never => false,
                        };
                        while !enough(&came) {
                            let Some(data) = body.data().await else { break };
                            let Ok(data) = data else { return };
                            body.flow_control().release_capacity(data.len()).unwrap();
                            came.extend_from_slice(&data);
                        }
                        if refuses != Refuses::Never {
                            return respond.send_reset(h2::Reason::REFUSED_STREAM);
                        }
                        let sum: usize = came.iter().map(|byte| usize::from(*byte)).sum();
                        let reply = Response::builder().header("x-came", format!("{} {sum}", came.len()));
                        respond.send_response(reply.body(()).unwrap(), true).unwrap();
                    });
                }
            });
        }
    });
    port
}

/// Sends everything on to the target, and keeps what it may send again.
async fn bridge(target: u16) -> u16 {
    let settings = Settings {
        danger_plaintext: true,
        roots: Roots::System,
        protocol: Protocol::Http2,
        ..Settings::new(format!("http://127.0.0.1:{target}"))
    };
    let pool = Pool::new(Upstream::new(settings).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    spawn_local(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let pool = pool.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let pool = pool.clone();
                async move { Ok::<_, Infallible>(cross(request, pool).await) }
            });
            spawn_local(http1_server().serve_connection(TokioIo::new(stream), service));
        }
    });
    port
}

async fn cross(request: Request<Incoming>, pool: Rc<Pool>) -> Response<OutBody> {
    let counted = Arc::new(AtomicU64::new(0));
    let body = OutBody::stream(
        request.into_body(),
        1 << 20,
        Duration::from_secs(10),
        Arc::clone(&counted),
        Arc::default(),
    );
    let once_more = body.again(pool.room()).unwrap();
    let made = |body| Request::builder().method(Method::POST).uri("/").body(body).unwrap();
    let again = || once_more.body().map(made);
    let repeatable = Repeatable { idempotent: false, again: &again };
    let text = match pool.send_repeatable(made(body), repeatable, None).await {
        Ok(reply) => {
            drop(once_more);
            let came = reply.headers()["x-came"].to_str().unwrap().to_owned();
            drop(reply.into_body().collect().await);
            format!("{came}, counted {}", counted.load(Ordering::Relaxed))
        }
        Err(SendError::BrokeOff { maybe_sent: false, .. }) => "not taken".to_owned(),
        Err(error) => panic!("{error:?}"),
    };
    Response::new(OutBody::Full(text.into()))
}

/// The answer to a body that comes in these pieces, with a pause after each.
async fn asked(bridge: u16, pieces: &[usize], announced: bool) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", bridge)).await.unwrap();
    let length: usize = pieces.iter().sum();
    let framing = match announced {
        true => format!("Content-Length: {length}"),
        false => "Transfer-Encoding: chunked".to_owned(),
    };
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{framing}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    for (number, length) in (1_u8..).zip(pieces) {
        let bytes = vec![number; *length];
        let piece = match announced {
            true => bytes,
            false => [format!("{length:x}\r\n").as_bytes(), &bytes, b"\r\n"].concat(),
        };
        stream.write_all(&piece).await.unwrap();
        stream.flush().await.unwrap();
        // What is more than may be kept comes once it is sent again.
        let pause = if pieces.len() == 2 { 500 } else { 20 };
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    if !announced {
        stream.write_all(b"0\r\n\r\n").await.unwrap();
    }
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    said.split("\r\n\r\n").nth(1).unwrap().to_owned()
}

#[test]
fn what_was_not_taken_up_is_sent_again_as_it_was_and_counted_once() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        for announced in [true, false] {
            for (pieces, refuses) in [
                (&[2][..], Refuses::AtOnce),
                (&[2], Refuses::After(2)),
                (&[15_000], Refuses::After(15_000)),
                (&[1, 2, 3, 4], Refuses::AtOnce),
                (&[1, 2, 3, 4], Refuses::After(3)),
                (&[1, 2, 3, 4], Refuses::After(10)),
                // More comes once it is sent again than may be kept.
                (&[1000, 200_000], Refuses::After(1000)),
                (&[30_000], Refuses::Never),
            ] {
                let bridge = bridge(target(refuses).await).await;
                let length: usize = pieces.iter().sum();
                let sum: usize = pieces.iter().enumerate().map(|(at, length)| (at + 1) * length).sum();
                assert_eq!(
                    asked(bridge, pieces, announced).await,
                    format!("{length} {sum}, counted {length}"),
                    "{pieces:?} {refuses:?} {announced}"
                );
            }
            // What is longer than what is kept is sent once.
            for (pieces, refuses) in
                [(&[40_000][..], Refuses::After(40_000)), (&[10_000, 10_000, 5], Refuses::After(20_005))]
            {
                let bridge = bridge(target(refuses).await).await;
                assert_eq!(asked(bridge, pieces, announced).await, "not taken", "{pieces:?}");
            }
        }
    });
}
