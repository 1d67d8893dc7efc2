//! What a target did not process, or did not answer, is sent again where that does no harm.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use ironbridge_net::tls::Roots;
use ironbridge_net::upstream::{
    Holder, OutBody, Pool, PooledBody, Protocol, Repeatable, SendError, Settings, Upstream, is_idempotent,
};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Sleep, sleep};

fn on_core<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, test);
}

fn settings(port: u16, protocol: Protocol) -> Settings {
    Settings {
        danger_plaintext: true,
        roots: Roots::System,
        protocol,
        ..Settings::new(format!("http://127.0.0.1:{port}"))
    }
}

fn pool(port: u16, protocol: Protocol) -> Rc<Pool> {
    Pool::new(Upstream::new(settings(port, protocol)).unwrap())
}

/// Of so many HTTP/2 connections at most, for which a caller waits as long as it takes.
fn narrow_pool(port: u16, max_connections: usize) -> Rc<Pool> {
    let queue_timeout = Duration::from_secs(60);
    let settings = Settings { max_connections, queue_timeout, ..settings(port, Protocol::Http2) };
    Pool::new(Upstream::new(settings).unwrap())
}

/// Sends as the bridge does: with the request at hand for another time.
async fn send(pool: &Rc<Pool>, method: Method) -> Result<Response<PooledBody>, SendError> {
    let request = || {
        let body =
            if method == Method::GET { OutBody::Empty } else { OutBody::Full(Bytes::from_static(b"x")) };
        Request::builder().method(&method).uri("/").body(body).unwrap()
    };
    let again = || Some(request());
    let repeatable = Repeatable { idempotent: is_idempotent(&method), again: &again };
    pool.send_repeatable(request(), repeatable, None).await
}

/// A server that handles every connection with the next of these; the last one stays.
async fn serve<S, F>(handlers: Vec<S>) -> (u16, Rc<Cell<usize>>)
where
    S: Fn(TcpStream) -> F + 'static,
    F: Future<Output = ()> + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Rc::new(Cell::new(0));
    let count = connections.clone();
    let mut handlers = VecDeque::from(handlers);
    spawn_local(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            count.set(count.get() + 1);
            let handler = if handlers.len() > 1 { handlers.pop_front() } else { None };
            spawn_local(match handler {
                Some(handler) => handler(stream),
                None => handlers[0](stream),
            });
        }
    });
    (port, connections)
}

/// What an HTTP/2 target does with each request of a connection.
#[derive(Clone, Copy, PartialEq)]
enum Does {
    Answer,
    /// Says that it allows no stream, and answers.
    Drain,
    /// REFUSED_STREAM.
    Refuse,
    /// GOAWAY that leaves this stream out, and the end.
    GoAway,
    /// Resets the stream for another reason: it may have acted.
    Cancel,
    /// Answers with two lengths, or with one that is not that of its body.
    TwoLengths,
    WrongLength,
    /// Sends half an answer and resets the stream without an error.
    Half,
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

async fn http2(mut stream: TcpStream, script: Vec<Does>) {
    stream.write_all(&frame(4, 0, 0, &[])).await.unwrap();
    let mut script = script.into_iter();
    let mut last = Does::Answer;
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).await.unwrap();
    let mut head = [0; 9];
    while stream.read_exact(&mut head).await.is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).await.unwrap();
        let out = match head[3] {
            4 if head[4] == 0 => frame(4, 1, 0, &[]),
            6 if head[4] == 0 => frame(6, 1, 0, &payload),
            1 => {
                last = script.next().unwrap_or(last);
                let lengths: &[u8] = &[0x88, 0x0f, 0x0d, 1, b'2', 0x0f, 0x0d, 1, b'3'];
                match last {
                    Does::Answer => frame(1, 5, id, &[0x88]),
                    Does::Drain => [frame(4, 0, 0, &[0, 3, 0, 0, 0, 0]), frame(1, 5, id, &[0x88])].concat(),
                    Does::Refuse => frame(3, 0, id, &7_u32.to_be_bytes()),
                    Does::Cancel => frame(3, 0, id, &8_u32.to_be_bytes()),
                    Does::GoAway => frame(7, 0, 0, &[0; 8]),
                    Does::TwoLengths => [frame(1, 4, id, lengths), frame(0, 1, id, b"{}")].concat(),
                    Does::Half => {
                        let reset = frame(3, 0, id, &[0; 4]);
                        [frame(1, 4, id, &[0x88]), frame(0, 0, id, b"half"), reset].concat()
                    }
                    Does::WrongLength => [frame(1, 4, id, &lengths[..5]), frame(0, 1, id, b"{}!")].concat(),
                }
            }
            _ => continue,
        };
        stream.write_all(&out).await.unwrap();
        if last == Does::GoAway && head[3] == 1 {
            return;
        }
    }
}

/// Every request goes to a fresh pool; the result for GET and for POST.
async fn outcomes(script: &[&[Does]]) -> Vec<Result<StatusCode, SendError>> {
    let mut outcomes = Vec::new();
    for method in [Method::GET, Method::POST] {
        let handlers = script.iter().map(|script| {
            let script = script.to_vec();
            move |stream| http2(stream, script.clone())
        });
        let (port, _) = serve(handlers.collect()).await;
        outcomes.push(send(&pool(port, Protocol::Http2), method).await.map(|response| response.status()));
    }
    outcomes
}

#[test]
fn what_an_http2_target_did_not_process_goes_to_another_connection() {
    on_core(async {
        use Does::{Answer, Cancel, GoAway, Refuse};
        for script in [
            &[&[Refuse][..], &[Answer]][..],
            &[&[GoAway], &[Answer]],
            &[&[Refuse], &[GoAway], &[Refuse], &[Answer]],
        ] {
            for outcome in outcomes(script).await {
                assert_eq!(outcome, Ok(StatusCode::OK));
            }
        }
        // Not for ever, and not what it may have acted on.
        for script in [&[&[Refuse][..]][..], &[&[GoAway]], &[&[Cancel], &[Answer]]] {
            for outcome in outcomes(script).await {
                assert!(matches!(outcome, Err(SendError::BrokeOff { .. })), "{outcome:?}");
            }
        }
    });
}

/// Answers the first of three requests and closes without a word; the first connection only.
async fn closes_on_three(mut stream: TcpStream, closes: bool) {
    stream.write_all(&frame(4, 0, 0, &[])).await.unwrap();
    stream.read_exact(&mut [0; 24]).await.unwrap();
    let (mut head, mut asked) = ([0; 9], Vec::new());
    while stream.read_exact(&mut head).await.is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        stream.read_exact(&mut vec![0; length]).await.unwrap();
        match head[3] {
            4 if head[4] == 0 => stream.write_all(&frame(4, 1, 0, &[])).await.unwrap(),
            1 => asked.push(u32::from_be_bytes([head[5], head[6], head[7], head[8]])),
            _ => continue,
        }
        if !closes {
            for id in asked.drain(..) {
                stream.write_all(&frame(1, 5, id, &[0x88])).await.unwrap();
            }
        } else if asked.len() == 3 {
            stream.write_all(&frame(1, 5, asked[0], &[0x88])).await.unwrap();
            return;
        }
    }
}

/// What was on a connection beside others, and got nothing of an answer when it ended, is sent again if it is harmless.
#[test]
fn a_shared_connection_that_ends_costs_an_idempotent_request_nothing() {
    on_core(async {
        for (method, answered) in [(Method::GET, 3), (Method::PUT, 3), (Method::POST, 1)] {
            let handlers = [true, false].map(|closes| move |stream| closes_on_three(stream, closes));
            let (port, _) = serve(handlers.to_vec()).await;
            let pool = pool(port, Protocol::Http2);
            let (one, two, three) = tokio::join!(
                send(&pool, method.clone()),
                send(&pool, method.clone()),
                send(&pool, method.clone())
            );
            let outcomes = [one, two, three].map(|it| it.map(|reply| reply.status()));
            let ok = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
            assert_eq!(ok, answered, "{method}: {outcomes:?}");
        }
    });
}

/// Answers the first request of a connection, and says nothing any more: what lies between has forgotten it.
async fn falls_silent(mut stream: TcpStream) {
    stream.write_all(&frame(4, 0, 0, &[])).await.unwrap();
    stream.read_exact(&mut [0; 24]).await.unwrap();
    let (mut head, mut answered) = ([0; 9], false);
    while stream.read_exact(&mut head).await.is_ok() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        stream.read_exact(&mut vec![0; length]).await.unwrap();
        let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        match head[3] {
            _ if answered => {}
            4 if head[4] == 0 => stream.write_all(&frame(4, 1, 0, &[])).await.unwrap(),
            1 => {
                stream.write_all(&frame(1, 5, id, &[0x88])).await.unwrap();
                answered = true;
            }
            _ => {}
        }
    }
}

#[test]
fn a_shared_connection_on_which_nothing_is_heard_is_given_up_for_another() {
    on_core(async {
        let (port, connections) = serve(vec![falls_silent]).await;
        let pool = pool(port, Protocol::Http2);
        assert!(send(&pool, Method::GET).await.is_ok());
        // Who goes away at once says nothing of the target.
        let waits = async |millis| {
            tokio::time::timeout(Duration::from_millis(millis), send(&pool, Method::GET)).await
        };
        assert!(waits(20).await.is_err() && waits(1100).await.is_err());
        assert_eq!(connections.get(), 1);
        assert!(send(&pool, Method::GET).await.is_ok());
        assert_eq!(connections.get(), 2);
    });
}

/// A slow target is silent, too: where there is no place for another connection, it is asked on.
#[test]
fn a_silent_connection_serves_where_there_is_no_other() {
    on_core(async {
        let handler = |stream| async move {
            let mut server = h2::server::handshake(stream).await.unwrap();
            let mut held: Vec<Box<dyn std::any::Any>> = Vec::new();
            for number in 0.. {
                let Some(Ok((_, mut respond))) =
                    h2::server::Connection::<_, Bytes>::accept(&mut server).await
                else {
                    return;
                };
                match number {
                    // Begins to answer, and goes on for as long as it likes.
                    0 => held.push(Box::new(respond.send_response(Response::new(()), false).unwrap())),
                    1 => held.push(Box::new(respond)),
                    _ => drop(respond.send_response(Response::new(()), true).unwrap()),
                }
            }
        };
        let (port, connections) = serve(vec![handler]).await;
        let settings = Settings { max_connections: 1, ..settings(port, Protocol::Http2) };
        let pool = Pool::new(Upstream::new(settings).unwrap());
        let _quiet = send(&pool, Method::GET).await.unwrap();
        let waits = tokio::time::timeout(Duration::from_millis(1100), send(&pool, Method::GET));
        assert!(waits.await.is_err());
        assert!(send(&pool, Method::GET).await.is_ok());
        assert_eq!(connections.get(), 1);
    });
}

/// Where the other one is taken, a request waits for its place on that one.
#[test]
fn a_silent_connection_is_the_last_that_is_asked() {
    on_core(async {
        let handlers = [true, false].map(|is_silent| {
            move |stream| async move {
                let most = if is_silent { 100 } else { 1 };
                let mut server =
                    h2::server::Builder::new().max_concurrent_streams(most).handshake(stream).await.unwrap();
                let mut held: Vec<Box<dyn std::any::Any>> = Vec::new();
                while let Some(Ok((_, mut respond))) =
                    h2::server::Connection::<_, Bytes>::accept(&mut server).await
                {
                    if !is_silent {
                        spawn_local(async move {
                            sleep(Duration::from_millis(30)).await;
                            drop(respond.send_response(Response::new(()), true));
                        });
                    } else if held.is_empty() {
                        held.push(Box::new(respond.send_response(Response::new(()), false).unwrap()));
                    } else {
                        held.push(Box::new(respond));
                    }
                }
            }
        });
        let (port, connections) = serve(handlers.to_vec()).await;
        let pool = narrow_pool(port, 2);
        let _quiet = send(&pool, Method::GET).await.unwrap();
        let waits = tokio::time::timeout(Duration::from_millis(1100), send(&pool, Method::GET));
        assert!(waits.await.is_err());
        // The other tells how many streams it takes.
        assert!(send(&pool, Method::GET).await.is_ok());
        let all = async {
            tokio::join!(
                send(&pool, Method::GET),
                send(&pool, Method::GET),
                send(&pool, Method::GET),
                send(&pool, Method::GET)
            )
        };
        let (one, two, three, four) = tokio::time::timeout(Duration::from_secs(20), all)
            .await
            .expect("one waits on the silent connection");
        assert!([one, two, three, four].iter().all(Result::is_ok));
        assert_eq!(connections.get(), 2);
    });
}

#[test]
fn http2_replies_are_held_to_one_length() {
    on_core(async {
        for outcome in outcomes(&[&[Does::TwoLengths]]).await {
            assert!(matches!(outcome, Err(SendError::Malformed(_))), "{outcome:?}");
        }
        let ended = async |does| {
            let (port, _) = serve(vec![move |stream| http2(stream, vec![does])]).await;
            match send(&pool(port, Protocol::Http2), Method::GET).await {
                Ok(response) => response.into_body().collect().await.map(|body| body.to_bytes()),
                Err(error) => Err(error),
            }
        };
        let wrong = ended(Does::WrongLength).await;
        assert!(matches!(wrong, Err(SendError::Malformed(_))), "{wrong:?}");
        // hyper takes it for the end (RFC 9113 §8.1 lets servers say so of requests only).
        let half = ended(Does::Half).await;
        assert!(matches!(half, Err(SendError::BrokeOff { maybe_sent: true, .. })), "{half:?}");
    });
}

/// One stream at a time on a connection: further connections are opened, as many as may be.
#[test]
fn a_limit_of_streams_is_met_with_further_connections() {
    on_core(async {
        let handler = |stream| async move {
            let mut server =
                h2::server::Builder::new().max_concurrent_streams(1).handshake(stream).await.unwrap();
            while let Some(Ok((_, mut respond))) =
                h2::server::Connection::<_, Bytes>::accept(&mut server).await
            {
                spawn_local(async move {
                    tokio::time::sleep(Duration::from_millis(30)).await;
                    drop(respond.send_response(Response::new(()), true));
                });
            }
        };
        let (port, connections) = serve(vec![handler]).await;
        for (max_connections, least) in [(1024, 4), (3, 1)] {
            connections.set(0);
            let pool = narrow_pool(port, max_connections);
            let statuses = Rc::new(RefCell::new(Vec::new()));
            let callers: Vec<_> = (0..8)
                .map(|_| {
                    let (pool, statuses) = (pool.clone(), statuses.clone());
                    spawn_local(async move {
                        for _ in 0..3 {
                            let status = send(&pool, Method::POST).await.map(|response| response.status());
                            statuses.borrow_mut().push(status);
                        }
                    })
                })
                .collect();
            for caller in callers {
                caller.await.unwrap();
            }
            assert!(statuses.borrow().iter().all(|status| *status == Ok(StatusCode::OK)), "{statuses:?}");
            let opened = connections.get();
            assert!((least..=max_connections.min(8)).contains(&opened), "{opened} of {max_connections}");
        }
    });
}

/// A server that drains says that it takes no more on this connection, and goes on elsewhere (RFC 9113 §6.5.2).
#[test]
fn a_connection_that_allows_no_stream_is_given_up_for_another() {
    on_core(async {
        let drains = |stream| http2(stream, vec![Does::Drain]);
        let (port, connections) = serve(vec![drains]).await;
        for (max_connections, account) in [(1024, "a"), (1, "b")] {
            connections.set(0);
            let pool = narrow_pool(port, max_connections);
            for number in 1..=3 {
                let request = Request::builder().uri("/").body(OutBody::Empty).unwrap();
                let repeatable = Repeatable { idempotent: true, again: &|| None };
                let holder = Some(Holder { account, most: 1 });
                let sent = pool.send_repeatable(request, repeatable, holder);
                let sent = tokio::time::timeout(Duration::from_secs(60), sent).await.expect("it waits");
                assert_eq!(sent.unwrap().status(), StatusCode::OK, "{number}");
                assert_eq!(connections.get(), number);
            }
        }
    });
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Answers so many requests, then reads one more and closes, whatever it was.
async fn then_closes(mut stream: TcpStream, answers: usize, partly: &'static [u8]) {
    let mut buf = [0; 4096];
    for _ in 0..answers {
        if stream.read(&mut buf).await.unwrap_or(0) == 0 {
            return;
        }
        stream.write_all(OK).await.unwrap();
    }
    drop(stream.read(&mut buf).await);
    drop(stream.write_all(partly).await);
}

#[test]
fn a_connection_that_the_target_just_closed_costs_an_idempotent_request_nothing() {
    on_core(async {
        for (method, answers, partly, succeeds) in [
            (Method::GET, 1, &b""[..], true),
            (Method::PUT, 1, b"", true),
            (Method::DELETE, 1, b"", true),
            // It may have acted.
            (Method::POST, 1, b"", false),
            (Method::PATCH, 1, b"", false),
            // It began to answer.
            (Method::GET, 1, b"HTTP/1.1 20", false),
            // It answered, and only hyper finds fault with it.
            (Method::GET, 1, b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\nok", false),
            (Method::POST, 1, b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\nok", false),
            (Method::POST, 0, b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n", false),
            // A fresh connection that is closed is no matter of chance.
            (Method::GET, 0, b"", false),
        ] {
            let (port, connections) = serve(vec![move |stream| then_closes(stream, answers, partly)]).await;
            let pool = pool(port, Protocol::Http1);
            if answers > 0 {
                let response = send(&pool, Method::GET).await.unwrap();
                assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ok");
            }
            let outcome = send(&pool, method.clone()).await;
            assert_eq!(outcome.is_ok(), succeeds, "{method} {partly:?}");
            assert_eq!(connections.get(), 1 + usize::from(succeeds));
        }
    });
}

/// RFC 9110 §15.5.14: a target may refuse a body before it has read it, and close.
#[test]
fn an_early_answer_arrives_though_the_target_takes_no_more() {
    on_core(async {
        let answer: &[u8] =
            b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 5\r\n\r\nsmall";
        let handler = move |mut stream: TcpStream| async move {
            drop(stream.read(&mut [0; 1024]).await);
            drop(stream.write_all(answer).await);
            // Closed with bytes unread: the kernel resets the connection.
        };
        let (port, _) = serve(vec![handler]).await;
        let pool = pool(port, Protocol::Http1);
        for _ in 0..30 {
            let body = OutBody::Full(Bytes::from(vec![b'x'; 5_000_000]));
            let request = Request::builder().method(Method::POST).uri("/").body(body).unwrap();
            let response = pool.send(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "small");
        }
    });
}

/// A body that its caller takes time to send.
struct Late {
    pause: Pin<Box<Sleep>>,
    bytes: Vec<u8>,
}

impl Body for Late {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        ready!(self.pause.as_mut().poll(cx));
        let bytes = std::mem::take(&mut self.bytes);
        Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes.into()))))
    }
}

/// Over HTTP/2 the connection ends with the answer in the same read, before the request's body was written.
#[test]
fn an_early_answer_over_http2_arrives_though_the_connection_ends() {
    on_core(async {
        for (late, body) in [(0, 2), (0, 60_000), (10, 2), (10, 60_000)] {
            let handler = |mut stream: TcpStream| async move {
                let mut preface = [0; 24];
                stream.read_exact(&mut preface).await.unwrap();
                stream.write_all(&[frame(4, 0, 0, &[]), frame(4, 1, 0, &[])].concat()).await.unwrap();
                let mut head = [0; 9];
                while stream.read_exact(&mut head).await.is_ok() {
                    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
                    stream.read_exact(&mut vec![0; length]).await.unwrap();
                    if head[3] == 1 {
                        let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
                        let answer = [frame(1, 4, id, &[0x88]), frame(0, 1, id, b"early")].concat();
                        stream.write_all(&answer).await.unwrap();
                        return;
                    }
                }
            };
            let (port, connections) = serve(vec![handler]).await;
            let pool = pool(port, Protocol::Http2);
            for tried in 1..=20 {
                let body =
                    Late { pause: Box::pin(sleep(Duration::from_millis(late))), bytes: vec![b'x'; body] };
                let body = OutBody::Boxed(Box::pin(body));
                let request = Request::builder().method(Method::POST).uri("/").body(body).unwrap();
                let response = pool.send(request).await.unwrap();
                // A reader that takes its time learns of the connection's end before it has read.
                sleep(Duration::from_millis(20)).await;
                assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "early");
                assert_eq!(connections.get(), tried, "nothing more goes to a connection that is over");
            }
        }
    });
}

#[test]
fn a_target_that_takes_no_more_and_says_nothing_broke_off() {
    on_core(async {
        let handler = |mut stream: TcpStream| async move { drop(stream.read(&mut [0; 1024]).await) };
        let (port, _) = serve(vec![handler]).await;
        let body = OutBody::Full(Bytes::from(vec![b'x'; 5_000_000]));
        let request = Request::builder().method(Method::POST).uri("/").body(body).unwrap();
        let error = pool(port, Protocol::Http1).send(request).await.err().unwrap();
        assert!(matches!(error, SendError::BrokeOff { maybe_sent: true, .. }), "{error}");
    });
}
