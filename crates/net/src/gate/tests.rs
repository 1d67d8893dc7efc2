//! The gate against hyper, however a connection's bytes are cut.

use super::head::Framing;
use super::judge::{Judge, Judged, Then};
use super::*;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use ironbridge_core::Code;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::sync::Mutex;
use tokio::io::AsyncWriteExt;

/// What came of a run of bytes, however they were split.
#[derive(Debug, PartialEq)]
struct Outcome {
    passed: Vec<u8>,
    /// Which request was refused, and why.
    refused: Option<(usize, &'static str)>,
    cut: Option<&'static str>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    send: String,
    /// `[text, times]`: replaces `@@` in `send`.
    fill: Option<(String, usize)>,
    /// Requests whose heads pass.
    #[serde(default)]
    pass: usize,
    /// The code with which the next is refused.
    refused: Option<String>,
    /// The code with which the body in hand is cut off.
    cut: Option<String>,
    /// Whether something is held back at the end: a head that is not complete.
    #[serde(default)]
    held: bool,
}

#[test]
fn every_hostile_sequence_meets_its_code() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/cases/framing.yaml")).unwrap();
    let cases: Vec<Case> = serde_saphyr::from_str(&text).unwrap();
    for case in &cases {
        let fill = case.fill.as_ref().map(|(text, times)| text.repeat(*times)).unwrap_or_default();
        let bytes = case.send.replace("@@", &fill).into_bytes();
        let (messages, judged) = messages(&bytes);
        let (refused, cut) = match judged.then {
            Then::Refuse(code) => (Some(code.id), None),
            Then::Fault(code) => (None, Some(code.id)),
            Then::More | Then::Upgrade => (None, None),
        };
        assert_eq!(messages.len(), case.pass, "{}: requests that passed", case.name);
        assert_eq!(refused, case.refused.as_deref(), "{}: refusal", case.name);
        assert_eq!(cut, case.cut.as_deref(), "{}: cut", case.name);
        if refused.is_none() && cut.is_none() {
            assert_eq!(judged.passed < bytes.len(), case.held, "{}: held", case.name);
        }
        for split in [1, 2, 3, 7, 64, 1000] {
            let whole = run(&[&bytes]);
            let pieces: Vec<&[u8]> = bytes.chunks(split).collect();
            let split = run(&pieces);
            assert_eq!(split.refused, whole.refused, "{}", case.name);
            assert_eq!(split.cut, whole.cut, "{}", case.name);
            assert_eq!(split.refused, refused.map(|code| (case.pass, code)), "{}", case.name);
        }
    }
    assert!(cases.len() >= 50, "only {} cases", cases.len());
}

/// The bytes in pieces of these lengths, again and again.
pub(super) fn pieces<'b>(bytes: &'b [u8], cuts: &[usize]) -> Vec<&'b [u8]> {
    let (mut pieces, mut rest) = (Vec::new(), bytes);
    for cut in cuts.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, later) = rest.split_at((*cut).min(rest.len()));
        pieces.push(piece);
        rest = later;
    }
    pieces
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_split_changes_the_verdict(bytes in traffic(), cuts in prop::collection::vec(1_usize..40, 1..60)) {
        let whole = run(&[&bytes]);
        let split = run(&pieces(&bytes, &cuts));
        prop_assert_eq!(split.refused, whole.refused);
        prop_assert_eq!(split.cut, whole.cut);
        if whole.cut.is_none() {
            prop_assert_eq!(split.passed, whole.passed);
        }
    }

    #[test]
    fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        run(&[&bytes]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn hyper_reads_what_passes_as_the_gate_does(bytes in traffic()) {
        let (ours, judged) = messages(&bytes);
        let theirs = hyper_reads(&bytes[..judged.passed]);
        let once = ours.iter().any(|message| message.closes);
        let ours: Vec<_> = ours.into_iter().map(|message| message.target).collect();
        prop_assert!(ours.starts_with(&theirs), "hyper {theirs:?}, gate {ours:?}");
        prop_assert!(once || theirs.len() == ours.len(), "hyper {theirs:?}, gate {ours:?}");
    }

    #[test]
    fn httparse_reads_the_same_head(bytes in traffic()) {
        let mut head = super::head::Head::default();
        if let super::head::Verdict::Complete(complete) = head.scan(&bytes, &Limits::default()) {
            let mut fields = [httparse::EMPTY_HEADER; 128];
            let mut request = httparse::Request::new(&mut fields);
            let parsed = request.parse(&bytes).unwrap();
            prop_assert_eq!(parsed, httparse::Status::Complete(complete.length));
            let of = |name: &str| {
                request.headers.iter().filter(|f| f.name.eq_ignore_ascii_case(name)).collect::<Vec<_>>()
            };
            match complete.framing {
                Framing::Chunked => prop_assert!(of("transfer-encoding").len() == 1 && of("content-length").is_empty()),
                Framing::Length(_) => prop_assert!(of("transfer-encoding").is_empty() && of("content-length").len() == 1),
                Framing::None => prop_assert!(of("transfer-encoding").is_empty() && of("content-length").is_empty()),
            }
        }
    }
}

#[test]
fn an_imitated_stand_in_is_an_ordinary_request() {
    let (mut gate, state) = Gate::new(Script::new(&[STAND_IN]), Limits::default());
    assert_eq!(read_all(&mut gate).0, STAND_IN);
    assert!(matches!(state.arrival(), Arrival::Request(_)));
}

#[test]
fn nothing_passes_between_an_upgrade_and_its_decision() {
    let ask = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let early = b"\x81\x05hello";
    for accept in [true, false] {
        let (mut gate, state) =
            Gate::new(Script::new(&[&[&ask[..], &early[..]].concat()]), Limits::default());
        assert_eq!(read_all(&mut gate).0, ask);
        let Arrival::Upgrade(_service, upgrade) = state.arrival() else { panic!("no upgrade") };
        assert_eq!(read_all(&mut gate).0, b"");
        if accept {
            upgrade.accept();
            assert_eq!(read_all(&mut gate).0, early);
        } else {
            drop(upgrade);
            // Frames are not a request.
            assert_eq!(read_all(&mut gate).0, b"");
            let next = b"\x81\x05hello\r\n\r\n";
            gate.io.pieces.push_back(next[early.len()..].to_vec());
            assert_eq!(read_all(&mut gate).0, STAND_IN);
            assert!(matches!(state.arrival(), Arrival::Refused(_, code) if code.id == "framing-refused"));
        }
    }
}

#[test]
fn ordinary_requests_follow_a_declined_upgrade() {
    let ask = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let next = b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n";
    let (mut gate, state) = Gate::new(Script::new(&[&[&ask[..], &next[..]].concat()]), Limits::default());
    assert_eq!(read_all(&mut gate).0, ask);
    drop(state.arrival());
    assert_eq!(read_all(&mut gate).0, next);
    assert!(matches!(state.arrival(), Arrival::Request(_)));
}

#[tokio::test(start_paused = true)]
async fn a_head_that_dawdles_is_refused() {
    let (mut client, server) = tokio::io::duplex(1024);
    let (mut gate, state) = Gate::new(server, Limits::default());
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n").await.unwrap();
    let mut buf = vec![0; 1024];
    let read = tokio::io::AsyncReadExt::read(&mut gate, &mut buf).await.unwrap();
    assert_eq!(&buf[..read], STAND_IN);
    assert!(matches!(state.arrival(), Arrival::Refused(_, code) if code.id == "request-timeout"));
}

#[tokio::test(start_paused = true)]
async fn a_connection_closes_when_it_rests_but_not_while_it_is_served() {
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let (mut client, server) = tokio::io::duplex(1024);
    let (mut gate, state) = Gate::new(server, Limits::default());
    client.write_all(request).await.unwrap();
    let mut buf = vec![0; 1024];
    assert_eq!(tokio::io::AsyncReadExt::read(&mut gate, &mut buf).await.unwrap(), request.len());
    let Arrival::Request(service) = state.arrival() else { panic!("not a request") };
    let mut reading = Box::pin(tokio::io::AsyncReadExt::read(&mut gate, &mut buf));
    assert!(tokio::time::timeout(Duration::from_secs(600), &mut reading).await.is_err());
    drop(service);
    assert_eq!(reading.await.unwrap(), 0);
}

/// Its time begins with the end of the last answer, whenever the timer was set.
#[tokio::test(start_paused = true)]
async fn a_connection_rests_for_its_idle_time_and_no_longer() {
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for (idle, answers) in
        [(3, [0, 0]), (3, [2, 1]), (3, [7, 0]), (75, [0, 0]), (75, [40, 70]), (75, [0, 100])]
    {
        let limits = Limits { idle_timeout: Duration::from_secs(idle), ..Limits::default() };
        let (mut client, server) = tokio::io::duplex(1024);
        let (mut gate, state) = Gate::new(server, limits);
        let mut buf = vec![0; 1024];
        let mut rested = Instant::now();
        for answer in answers {
            client.write_all(request).await.unwrap();
            assert_eq!(tokio::io::AsyncReadExt::read(&mut gate, &mut buf).await.unwrap(), request.len());
            let Arrival::Request(service) = state.arrival() else { panic!("not a request") };
            // hyper asks for more while it serves.
            let more = tokio::io::AsyncReadExt::read(&mut gate, &mut buf);
            assert!(tokio::time::timeout(Duration::from_secs(answer), more).await.is_err());
            drop(service);
            rested = Instant::now();
        }
        assert_eq!(tokio::io::AsyncReadExt::read(&mut gate, &mut buf).await.unwrap(), 0);
        let waited = rested.elapsed().as_millis();
        assert!(
            (idle * 1000..idle * 1000 + 10).contains(&u64::try_from(waited).unwrap()),
            "{idle} {answers:?}: {waited}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_sends_no_more_is_answered_before_its_end_is_told() {
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let (mut client, server) = tokio::io::duplex(1024);
    let (mut gate, state) = Gate::new(server, Limits::default());
    client.write_all(request).await.unwrap();
    client.shutdown().await.unwrap();
    let mut buf = vec![0; 1024];
    assert_eq!(tokio::io::AsyncReadExt::read(&mut gate, &mut buf).await.unwrap(), request.len());
    let Arrival::Request(service) = state.arrival() else { panic!("not a request") };
    let reading =
        tokio::spawn(async move { tokio::io::AsyncReadExt::read(&mut gate, &mut buf).await.unwrap() });
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(!reading.is_finished());
    drop(service);
    assert_eq!(reading.await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_closes() {
    let (_client, server) = tokio::io::duplex(64);
    let (mut gate, _state) = Gate::new(server, Limits::default());
    assert_eq!(tokio::io::AsyncReadExt::read(&mut gate, &mut [0; 8]).await.unwrap(), 0);
}

#[tokio::test]
async fn the_answer_to_a_refusal_reaches_a_caller_that_keeps_sending() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (gate, state) = Gate::new(stream, Limits::default());
        let service = hyper::service::service_fn(move |_| {
            let Arrival::Refused(..) = state.arrival() else { panic!("not refused") };
            std::future::ready(http::Response::builder().status(400).body(Empty::<bytes::Bytes>::new()))
        });
        crate::protocol::http1_server().serve_connection(TokioIo::new(gate), service).await.unwrap();
    });
    let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
    client.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n").await.unwrap();
    // All of it is written before anything is read, as many clients do.
    client.write_all(&vec![b'x'; 5_000_000]).await.unwrap();
    let mut answer = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut client, &mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    drop(client);
    server.await.unwrap();
}

/// One request as the gate sees it.
struct Message {
    target: String,
    closes: bool,
}

/// Judges the whole, noting where heads begin.
fn messages(bytes: &[u8]) -> (Vec<Message>, Judged) {
    let mut judge = Judge::new(Limits::default());
    let mut found = Vec::new();
    let (mut start, mut passed) = (0, 0);
    // Ever longer prefixes: the judge sees each head grow from its start, as it does behind the gate.
    for end in 1..=bytes.len() {
        let heads = judge.heads();
        let judged = judge.judge(&bytes[passed..end]);
        passed += judged.passed;
        if judge.heads() > heads {
            let head = String::from_utf8_lossy(&bytes[start..end]).to_ascii_lowercase();
            found.push(Message {
                target: head.split(' ').nth(1).unwrap().to_owned(),
                closes: head.contains("http/1.0") || head.contains("close"),
            });
        }
        if judge.is_between_requests() {
            start = passed;
        }
        if judged.then != Then::More {
            return (found, Judged { passed, then: judged.then });
        }
    }
    (found, Judged { passed, then: Then::More })
}

/// Targets of the requests that bare hyper reads to the end.
fn hyper_reads(bytes: &[u8]) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        client.write_all(bytes).await.unwrap();
        client.shutdown().await.unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let notes = seen.clone();
        let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
            notes.lock().unwrap().push(request.uri().to_string().to_ascii_lowercase());
            async move {
                drop(request.into_body().collect().await);
                Ok::<_, std::convert::Infallible>(http::Response::new(Empty::<bytes::Bytes>::new()))
            }
        });
        let mut builder = crate::protocol::http1_server();
        drop(builder.half_close(true).serve_connection(TokioIo::new(server), service).await);
        drop(client);
        std::mem::take(&mut *seen.lock().unwrap())
    })
}

fn run(pieces: &[&[u8]]) -> Outcome {
    let (mut gate, state) = Gate::new(Script::new(pieces), Limits::default());
    let (mut passed, failed) = read_all(&mut gate);
    let mut refused = None;
    for index in 0..64 {
        match state.arrival() {
            Arrival::Refused(_service, code) => refused = Some((index, code.id)),
            Arrival::Request(_) | Arrival::Upgrade(..) => {}
        }
    }
    if refused.is_some() {
        assert!(passed.ends_with(STAND_IN));
        passed.truncate(passed.len() - STAND_IN.len());
    }
    let cut = state.body_fault().map(|code: &Code| code.id);
    assert_eq!(cut.is_some(), failed);
    Outcome { passed, refused, cut }
}

/// Reads until nothing more comes; whether reading failed.
fn read_all(gate: &mut Gate<Script>) -> (Vec<u8>, bool) {
    let mut all = Vec::new();
    let mut cx = Context::from_waker(std::task::Waker::noop());
    loop {
        let mut buf = [0; 777];
        let mut buf = ReadBuf::new(&mut buf);
        match Pin::new(&mut *gate).poll_read(&mut cx, &mut buf) {
            Poll::Ready(Ok(())) if buf.filled().is_empty() => return (all, false),
            Poll::Ready(Ok(())) => all.extend_from_slice(buf.filled()),
            Poll::Ready(Err(_)) => return (all, true),
            Poll::Pending => return (all, false),
        }
    }
}

/// A stream that gives one piece per read, then says it is closed.
struct Script {
    pieces: VecDeque<Vec<u8>>,
}

impl Script {
    fn new(pieces: &[&[u8]]) -> Script {
        Script { pieces: pieces.iter().map(|piece| piece.to_vec()).collect() }
    }
}

impl AsyncRead for Script {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let script = self.get_mut();
        if let Some(mut piece) = script.pieces.pop_front() {
            let rest = piece.split_off(piece.len().min(buf.remaining()));
            buf.put_slice(&piece);
            if !rest.is_empty() {
                script.pieces.push_front(rest);
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Requests as callers and attackers write them: well-formed ones, and ones with a fault in a random place.
fn traffic() -> impl Strategy<Value = Vec<u8>> {
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let body = prop_oneof![Just(String::new()), Just("abc".to_owned()), Just(smuggled.to_owned())];
    let framing = prop_oneof![
        4 => Just("none"), 6 => Just("length"), 6 => Just("chunked"), 1 => Just("both"), 1 => Just("short"),
        1 => Just("extension"), 1 => Just("trailers"), 1 => Just("long")
    ];
    let extra = prop_oneof![
        6 => Just(""), 1 => Just("X-A: b\r\n"), 1 => Just("Transfer-Encoding: gzip\r\n"),
        1 => Just("Content-Length: 3\r\n"), 1 => Just("Content-Length : 3\r\n"), 1 => Just("X: a\r\n b\r\n"),
        1 => Just("Transfer-Encoding:\x0bchunked\r\n"), 1 => Just("X: \u{e9}\r\n"), 1 => Just("X: y\n"),
        1 => Just("Expect: 100-continue\r\n"), 1 => Just("Connection: close\r\n")
    ];
    let target = "/[a-z0-9%?=&;:@!$'()*+,_.~|{}\\[\\]\\\\^/-]{0,12}";
    let version = prop_oneof![12 => Just("HTTP/1.1"), 1 => Just("HTTP/1.0"), 1 => Just("HTTP/1.2")];
    let request =
        (target, version, framing, extra, body).prop_map(|(target, version, framing, extra, body)| {
            let length = body.len();
            let head = |fields: &str| format!("POST {target} {version}\r\nHost: a\r\n{extra}{fields}\r\n");
            match framing {
                "none" => head(""),
                "length" => head(&format!("Content-Length: {length}\r\n")) + &body,
                "short" => head(&format!("Content-Length: {}\r\n", length / 2)) + &body,
                "long" => head(&format!("Content-Length: {}\r\n", length + 9)) + &body,
                "both" => {
                    head(&format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n")) + "0\r\n\r\n"
                }
                "extension" => {
                    head("Transfer-Encoding: chunked\r\n")
                        + &format!("{length:X};a=\"b\"\r\n{body}\r\n0\r\n\r\n")
                }
                "trailers" => head("Transfer-Encoding: chunked\r\n") + "1\r\nx\r\n0\r\nX-T: v\r\n\r\n",
                _ if length == 0 => head("Transfer-Encoding: chunked\r\n") + "0\r\n\r\n",
                _ => head("Transfer-Encoding: chunked\r\n") + &format!("{length:x}\r\n{body}\r\n0\r\n\r\n"),
            }
        });
    let fault = prop_oneof![
        3 => Just(None),
        1 => (any::<prop::sample::Index>(), prop::sample::select(&b"\r\n\0 \t:,;0x\x80A"[..])).prop_map(Some)
    ];
    let faulty = (prop::collection::vec(request, 1..4), fault, any::<bool>());
    faulty.prop_map(|(requests, fault, insert)| {
        let mut bytes = requests.concat().into_bytes();
        if let Some((at, byte)) = fault {
            let at = at.index(bytes.len());
            if insert { bytes.insert(at, byte) } else { bytes[at] = byte }
        }
        bytes
    })
}
