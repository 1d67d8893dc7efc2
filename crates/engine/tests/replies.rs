//! How a target's reply is framed, and how what the caller gets is: one and the same, whatever controls read it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use serde_json::json;
use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use world::{Declared, World, eventually, expires_soon, system};

/// Each way in which a reply may be handled: streamed, kept for a replay, checked against a schema, filtered.
const OPERATIONS: &str = r#"streamed: { match: "POST /streamed", permission: orders.write, request: { headers: [X-Which] } },
    replayed: { match: "POST /replayed", permission: orders.write, request: { headers: [X-Which] }, replay: { idempotency_key: optional } },
    checked: { match: "POST /checked", permission: orders.write, request: { headers: [X-Which] }, response: { schema: ./any.json } },
    kept: { match: "POST /kept", permission: orders.write, request: { headers: [X-Which] }, response: { keep: [/a] } },
    read: { match: "GET /streamed", permission: orders.read, request: { headers: [X-Which] } },
    head: { match: "HEAD /streamed", permission: orders.read, request: { headers: [X-Which] } },
    patient: { match: "GET /patient", permission: orders.read, request: { headers: [X-Which] }, timeout: 1s },
    impatient: { match: "GET /impatient", permission: orders.read, request: { headers: [X-Which] }, idle_timeout: 300ms },
    whole: { match: "GET /whole", permission: orders.read, request: { headers: [X-Which] }, timeout: 1s, response: { keep: [/a] } }"#;

/// The target of its own that every world has.
const OTHERS: &str = r#"any: { match: "GET /any/{id}", permission: orders.read }"#;

const WAYS: [&str; 4] = ["streamed", "replayed", "checked", "kept"];

/// Stands in a reply where the target pauses.
const PAUSE: &str = "~";
const SLOW: &str = "event\r\n";

struct Scene {
    world: World,
    key: String,
}

/// A target that answers every connection's first request with what `reply` says of the request's head, and then
/// keeps the connection open.
fn scene(reply: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Scene {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let reply = std::sync::Arc::new(reply);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let reply = std::sync::Arc::clone(&reply);
            std::thread::spawn(move || {
                let mut request = vec![0; 64 * 1024];
                while let Ok(length @ 1..) = stream.read(&mut request) {
                    let head = String::from_utf8_lossy(&request[..length]).into_owned();
                    for part in String::from_utf8(reply(&head)).unwrap().split(PAUSE) {
                        if stream.write_all(part.as_bytes()).is_err() {
                            return;
                        }
                        if part.ends_with(SLOW) {
                            std::thread::sleep(Duration::from_secs(3));
                        }
                    }
                }
            });
        }
    });
    let (world, key) = World::with_key(&Declared { operations: OTHERS, ..Declared::default() }, |dir, _| {
        std::fs::write(dir.join("any.json"), "{}")?;
        let plain = format!("danger_plaintext: {{ reason: a test, expires: {} }}", expires_soon());
        let http = format!("url: \"http://127.0.0.1:{port}\", {plain}");
        Ok(std::fs::write(dir.join("raw.yaml"), system("raw", &http, OPERATIONS))?)
    })
    .unwrap();
    Scene { world, key }
}

impl Scene {
    fn request(&self, method: &str, way: &str, which: &str) -> String {
        let key = &self.key;
        format!(
            "{method} /raw/{way} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {key}\r\nX-Which: {which}\r\n\
             Content-Length: 0\r\n\r\n"
        )
    }
}

/// Which reply the request asks for.
fn which(head: &str) -> usize {
    let line =
        head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("x-which: ").map(str::to_owned));
    line.and_then(|text| text.parse().ok()).unwrap_or(usize::MAX)
}

#[derive(serde::Deserialize)]
struct Case {
    name: String,
    reply: String,
    body: Option<String>,
    fill: Option<(String, usize)>,
}

fn cases() -> Vec<Case> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../net/cases/replies.yaml");
    let mut cases: Vec<Case> = serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    for case in &mut cases {
        let fill = case.fill.as_ref().map(|(text, times)| text.repeat(*times)).unwrap_or_default();
        case.reply = case.reply.replace("@@", &fill);
    }
    cases
}

fn replying(cases: &[Case]) -> Scene {
    let replies: Vec<Vec<u8>> = cases.iter().map(|case| case.reply.clone().into_bytes()).collect();
    scene(move |head| replies.get(which(head)).cloned().unwrap_or_default())
}

#[test]
fn a_reply_whose_framing_is_doubtful_reaches_nobody() {
    let cases: Vec<Case> = cases().into_iter().filter(|case| case.body.is_none()).collect();
    let scene = replying(&cases);
    for (index, Case { name, .. }) in cases.iter().enumerate() {
        for way in WAYS {
            let mut caller = scene.world.raw().unwrap();
            caller.send(scene.request("POST", way, &index.to_string()));
            let got = caller.reply();
            let code = got.json()["code"].clone();
            assert_eq!((got.status, &code), (502, &json!("reply-malformed")), "{name}, {way}: {got:?}");
            // Nothing of it is left over for the next.
            caller.send("GET /.ironbridge/health HTTP/1.1\r\nHost: localhost\r\n\r\n");
            let both = caller.replies(2);
            assert_eq!((both.len(), both[1].body.as_slice()), (2, &b"ready\n"[..]), "{name}, {way}");
        }
    }
    eventually(|| {
        let records = scene.world.records().unwrap();
        assert!(records.iter().all(|record| record["code"] != "delivered"), "{records:?}");
        let failed = records.iter().filter(|record| record["code"] == "reply-malformed").count();
        (failed == cases.len() * WAYS.len()).then_some(())
    });
}

#[test]
fn what_the_caller_gets_is_framed_by_what_it_is() {
    let cases: Vec<Case> = cases().into_iter().filter(|case| case.body.is_some()).collect();
    let scene = replying(&cases);
    for (index, case) in cases.iter().enumerate() {
        let (name, body) = (&case.name, case.body.clone().unwrap_or_default());
        for way in WAYS {
            let held = way != "streamed";
            if held && body.is_empty() {
                continue;
            }
            let mut caller = scene.world.raw().unwrap();
            caller.send(scene.request("POST", way, &index.to_string()));
            let got = caller.reply();
            assert_eq!(String::from_utf8_lossy(&got.body), body, "{name}, {way}: {got:?}");
            let told = (got.header("content-length"), got.header("transfer-encoding"));
            let length = body.len().to_string();
            match got.status {
                204 => assert_eq!(told, (None, None), "{name}, {way}"),
                304 => assert_eq!(told.1, None, "{name}, {way}"),
                _ if held || !case.reply.contains("hunked") => {
                    assert_eq!(told, (Some(&*length), None), "{name}, {way}");
                }
                _ => assert_eq!(told, (None, Some("chunked")), "{name}, {way}"),
            }
            caller.send("GET /.ironbridge/health HTTP/1.1\r\nHost: localhost\r\n\r\n");
            assert_eq!(caller.replies(2).len(), 2, "{name}, {way}");
            // curl holds HTTP/2 to its lengths.
            let which = format!("X-Which: {index}");
            let key = format!("X-API-Key: {}", scene.key);
            let path = format!("/raw/{way}");
            let got = scene.world.curl(&path, &["--http2", "-H", &key, "-H", &which, "-d", ""]).unwrap();
            assert_eq!(got.text(), body, "{name}, {way}");
        }
    }
}

/// RFC 9110 §8.6: the length that an answer to HEAD speaks of is that of the answer to GET.
#[test]
fn an_answer_to_head_has_no_body_whatever_it_announces() {
    let scene = scene(|head| {
        let fields = match which(head) {
            0 => "Content-Length: 90\r\n\r\n",
            1 => "Transfer-Encoding: chunked\r\n\r\n",
            2 => "\r\n",
            3 => "Content-Length: 2\r\n\r\n{}",
            4 => return b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n".to_vec(),
            _ => "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        };
        format!("HTTP/1.1 200 OK\r\n{fields}").into_bytes()
    });
    let key = format!("X-API-Key: {}", scene.key);
    for (index, status, length) in
        [(0, 200, Some("90")), (1, 200, None), (2, 200, None), (3, 502, None), (4, 404, None), (5, 502, None)]
    {
        for version in ["--http1.1", "--http2"] {
            let which = format!("X-Which: {index}");
            let got = scene.world.curl("/raw/streamed", &[version, "-I", "-H", &key, "-H", &which]).unwrap();
            assert_eq!(got.status, status, "{index} {version}");
            if status == 404 {
                assert_eq!(scene.world.record_of(&got)["outcome"], "success", "{version}");
            }
            if status == 200 {
                assert_eq!(got.header("content-length"), length, "{index} {version}");
                assert_eq!(got.header("transfer-encoding"), None, "{index} {version}");
                assert_eq!(scene.world.record_of(&got)["outcome"], "success", "{index} {version}");
            }
        }
    }
}

/// An event stream may be quiet for longer than its first event may take; one that is read must come whole in time.
#[test]
fn a_stream_has_an_idle_limit_of_its_own() {
    let scene = scene(|_| {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        format!("{head}7\r\nevent\r\n{PAUSE}\r\n7\r\nevent\r\n\r\n0\r\n\r\n").into_bytes()
    });
    let ask = |path: &str| scene.world.curl(path, &["-H", &format!("X-API-Key: {}", scene.key)]);
    let patient = ask("/raw/patient").unwrap();
    assert_eq!(patient.text(), "event\r\nevent\r\n");
    assert_eq!(scene.world.record_of(&patient)["outcome"], "success");
    let whole = ask("/raw/whole").unwrap();
    assert_eq!((whole.status, whole.json().unwrap()["code"].as_str()), (504, Some("target-timeout")));
    assert!(ask("/raw/impatient").is_err());
    eventually(|| {
        let records = scene.world.records().unwrap();
        records
            .iter()
            .any(|record| record["outcome"] == "partial" && record["code"] == "stream-idle")
            .then_some(())
    });
}

/// An error page must not cost the connection it came on; one that is long, or does not end, may.
#[test]
fn a_body_that_nobody_wants_leaves_its_connection_usable() {
    let threads = Arc::new(Mutex::new(HashSet::new()));
    let seen = Arc::clone(&threads);
    let words = ["x".repeat(20_000), "x".repeat(80_000)];
    let scene = scene(move |head| {
        // Each connection has a thread of its own.
        seen.lock().unwrap().insert(std::thread::current().id());
        let (status, words) = match which(head) {
            0 => ("302 Found", &words[0]),
            1 => ("404 Not Found", &words[0]),
            2 => ("503 Busy", &words[0]),
            3 => ("401 Who?", &words[0]),
            4 => ("404 Not Found", &words[1]),
            5 => return b"HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nx".to_vec(),
            _ => {
                return format!(
                    "HTTP/1.1 404 X\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n{PAUSE}0\r\n\r\n"
                )
                .into_bytes();
            }
        };
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{PAUSE}{words}", words.len()).into_bytes()
    });
    let key = format!("X-API-Key: {}", scene.key);
    let ask =
        |which: usize| scene.world.curl("/raw/streamed", &["-H", &key, "-H", &format!("X-Which: {which}")]);
    let connections = || threads.lock().unwrap().len();
    // It is read on after the answer, which takes no longer than some answers do.
    let patiently = |which| {
        let begun = Instant::now();
        let status = ask(which).unwrap().status;
        std::thread::sleep(Duration::from_millis(100) + begun.elapsed() * 3);
        status
    };
    for _ in 0..3 {
        for (which, status) in [(0, 302), (1, 404), (2, 502), (3, 502), (6, 404)] {
            assert_eq!(patiently(which), status, "{which}");
        }
    }
    let few = connections();
    assert!(few <= 3, "{few} connections for 15 requests");
    // The bound: neither is read on, and nothing waits for it.
    for which in [4, 5, 4, 5] {
        assert_eq!(patiently(which), 404, "{which}");
    }
    assert_eq!(ask(1).unwrap().status, 404);
    assert!(connections() >= few + 3, "{}", connections());
}

#[test]
fn a_reply_without_a_body_does_not_pass_for_one_that_fits() {
    let scene = scene(|head| {
        let reply = match which(head) {
            0 => "200 OK\r\nContent-Length: 0\r\n\r\n",
            1 => "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            2 => "201 Created\r\nContent-Length: 0\r\nLocation: /checked\r\n\r\n",
            3 => "202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n",
            4 => "200 OK\r\nContent-Length: 1\r\n\r\n ",
            5 => "203 X\r\nContent-Length: 0\r\n\r\n",
            6 => "204 No Content\r\n\r\n",
            7 => "205 Reset Content\r\nContent-Length: 0\r\n\r\n",
            8 => "304 Not Modified\r\n\r\n",
            9 => "205 Reset Content\r\nContent-Length: 2\r\n\r\n{}",
            _ => "205 Reset Content\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n",
        };
        format!("HTTP/1.1 {reply}").into_bytes()
    });
    let key = format!("X-API-Key: {}", scene.key);
    for version in ["--http1.1", "--http2"] {
        for number in 0..=10 {
            let which = format!("X-Which: {number}");
            let got =
                scene.world.curl("/raw/checked", &[version, "-H", &key, "-H", &which, "-d", ""]).unwrap();
            if number <= 5 {
                let code = got.json().unwrap()["code"].clone();
                assert_eq!((got.status, code), (502, json!("reply-refused")), "{number} {version}");
            } else {
                let status = [204, 205, 304, 205, 205][number - 6];
                assert_eq!((got.status, got.text().as_str()), (status, ""), "{number} {version}");
                assert_eq!(scene.world.record_of(&got)["outcome"], "success", "{number} {version}");
            }
        }
    }
}
