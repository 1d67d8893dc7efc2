//! Refusals that are the bridge's own fault: it is full, it is going away, its store does not answer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use ironbridge_testkit::{CurlReply, Reply};
use serde_json::json;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use world::{Declared, World, eventually};

const OPERATIONS: &str = r#"read: { match: GET /read, permission: orders.read, timeout: 20s }
    pay: { match: POST /pay, permission: orders.write, replay: { idempotency_key: required, window: 1h } }"#;

fn world(bridge: &'static str) -> (World, String) {
    let declared = Declared { operations: OPERATIONS, bridge, ..Declared::default() };
    let (world, key) = World::with_key(&declared, |_, _| Ok(())).unwrap();
    (world, format!("X-API-Key: {key}"))
}

/// A call whose answer the target withholds.
fn pending(world: &World, key: &str) -> Child {
    world.target.on("GET /read", Reply::Hang);
    let before = world.target.seen_on("GET /read").len();
    let child = Command::new("curl")
        .args(["-q", "-s", "--cacert", world.ca().to_str().unwrap(), "-H", key, &world.url("/erp/v1/read")])
        .spawn()
        .unwrap();
    eventually(|| (world.target.seen_on("GET /read").len() > before).then_some(()));
    world.target.on("GET /read", Reply::Echo);
    child
}

fn is_refused(world: &World, reply: &CurlReply, code: &str) {
    let problem = reply.json().unwrap();
    assert_eq!((reply.status, &problem["code"]), (503, &json!(code)), "{problem}");
    assert!(reply.header("retry-after").is_some() || code == "store-unavailable", "{code}");
    let record = world.record_of(reply);
    assert_eq!((&record["outcome"], &record["code"]), (&json!("denied"), &json!(code)), "{record}");
}

#[test]
fn more_exchanges_than_may_be_open_are_told_to_come_back() {
    let (world, key) = world("limits: { max_exchanges: 1 }");
    let mut first = pending(&world, &key);
    let refused = world.curl("/erp/v1/read", &["-H", &key]).unwrap();
    is_refused(&world, &refused, "bridge-busy");
    first.kill().unwrap();
    first.wait().unwrap();
    let reply = eventually(|| {
        let reply = world.curl("/erp/v1/read", &["-H", &key]).unwrap();
        (reply.status != 503).then_some(reply)
    });
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// However many cores there are, and whatever shares a connection.
#[test]
fn exchanges_are_counted_over_all_cores() {
    let (world, key) = world("workers: 3\n  limits: { max_exchanges: 3 }");
    world.target.on("GET /read", Reply::Hang);
    let mut together = Command::new("curl");
    together.args([
        "-q",
        "-s",
        "-Z",
        "--no-progress-meter",
        "--http2",
        "--cacert",
        world.ca().to_str().unwrap(),
        "-H",
        &key,
    ]);
    together.args([world.url("/erp/v1/read"), world.url("/erp/v1/read"), world.url("/erp/v1/read")]);
    let mut together = together.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    eventually(|| (world.target.seen_on("GET /read").len() == 3).then_some(()));
    let refused = world.curl("/erp/v1/read", &["-H", &key]).unwrap();
    is_refused(&world, &refused, "bridge-busy");
    together.kill().unwrap();
    together.wait().unwrap();
}

/// RFC 9110 §15.5.6, and the operator sees which method it was.
#[test]
fn a_method_that_is_not_declared_is_named_in_answer_and_record() {
    let (world, key) = world("");
    for (method, path, allowed) in
        [("DELETE", "/erp/v1/read", "GET"), ("PUT", "/erp/v1/pay", "POST"), ("BREW", "/erp/v1/pay", "POST")]
    {
        let reply = world.curl(path, &["-X", method, "-H", &key]).unwrap();
        assert_eq!(reply.status, 405, "{method}");
        assert!(
            reply.header("allow").is_some_and(|list| list.contains(allowed)),
            "{:?}",
            reply.header("allow")
        );
        let record = world.record_of(&reply);
        assert_eq!(
            (&record["code"], &record["method"]),
            (&json!("method-refused"), &json!(method)),
            "{record}"
        );
    }
}

/// What the developer of a page sees in the browser's console.
#[test]
fn a_browsers_preflight_is_told_where_it_stands() {
    let (world, _) = world("");
    let origin = ["-H", "Origin: https://app.example", "-H", "Access-Control-Request-Method: GET"];
    let reply = world.curl("/erp/v1/read", &[&["-X", "OPTIONS"][..], &origin].concat()).unwrap();
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (405, None));
    assert!(reply.text().contains("ironbridge explain cors"), "{}", reply.text());
    for other in [&["-X", "OPTIONS"][..], &[&["-X", "DELETE"][..], &origin].concat()] {
        let reply = world.curl("/erp/v1/read", other).unwrap();
        assert!(reply.status == 405 && !reply.text().contains("cors"), "{}", reply.text());
    }
}

/// An HTTP/2 client may send a request after the bridge's GOAWAY, before it has seen it (RFC 9113 §6.8).
#[test]
fn a_draining_bridge_takes_no_more() {
    let (mut world, key) = world("timeouts: { drain: 5s }");
    world.target.on("GET /read", Reply::Hang);
    let mut client = Http2::open(&world);
    client.request(1, "/erp/v1/read", &key);
    eventually(|| (!world.target.seen_on("GET /read").is_empty()).then_some(()));
    std::thread::scope(|scope| {
        let stopping = scope.spawn(|| world.stop().unwrap());
        client.until(|kind, _, _| kind == GOAWAY);
        client.request(3, "/erp/v1/read", &key);
        let answer = client.until(|kind, stream, _| kind == DATA && stream == 3);
        let problem: serde_json::Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!((&problem["code"], &problem["status"]), (&json!("bridge-draining"), &json!(503)));
        // The first exchange is cut when the drain time is over.
        assert_eq!(stopping.join().unwrap(), 1);
    });
    let records = world.records().unwrap();
    let codes: Vec<_> = records.iter().map(|record| &record["code"]).collect();
    assert!(codes.contains(&&json!("bridge-draining")), "{codes:?}");
}

#[test]
fn a_store_that_does_not_answer_refuses_what_depends_on_it() {
    let (world, key) = world("");
    let pay = || {
        let arguments = ["-H", &key, "-H", "Idempotency-Key: \"one\"", "-d", "{}"];
        world.curl("/erp/v1/pay", &arguments).unwrap()
    };
    let other = rusqlite::Connection::open(world.data_dir().join("store.sqlite")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    is_refused(&world, &pay(), "store-unavailable");
    // What needs no store still crosses.
    assert_eq!(world.curl("/erp/v1/read", &["-H", &key]).unwrap().status, 200);
    assert!(world.target.seen_on("POST /pay").is_empty());
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(pay().status, 200);
}

const DATA: u8 = 0;
const GOAWAY: u8 = 7;

/// An HTTP/2 client that answers nothing: neither SETTINGS nor PING.
struct Http2 {
    child: Child,
}

impl Http2 {
    fn open(world: &World) -> Http2 {
        let child = Command::new("openssl")
            .args(["s_client", "-quiet", "-alpn", "h2", "-servername", "localhost", "-connect"])
            .args([&format!("localhost:{}", world.port), "-CAfile", world.ca().to_str().unwrap()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut client = Http2 { child };
        client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        client.frame(4, 0, 0, b"");
        client
    }

    /// GET with literal fields without indexing (RFC 7541 §6.2.2), HEADERS with END_STREAM and END_HEADERS.
    fn request(&mut self, stream: u32, path: &str, field: &str) {
        let (name, value) = field.split_once(": ").unwrap();
        let name = name.to_ascii_lowercase();
        let mut block = Vec::new();
        for (name, value) in [
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", "localhost"),
            (":path", path),
            (&name, value),
        ] {
            block.push(0);
            for text in [name, value] {
                block.push(u8::try_from(text.len()).unwrap());
                block.extend_from_slice(text.as_bytes());
            }
        }
        self.frame(1, 0x5, stream, &block);
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        self.send(&[&head, payload].concat());
    }

    fn send(&mut self, bytes: &[u8]) {
        let input = self.child.stdin.as_mut().unwrap();
        input.write_all(bytes).unwrap();
        input.flush().unwrap();
    }

    /// Reads frames up to one that is wanted; returns its payload.
    fn until(&mut self, wanted: impl Fn(u8, u32, &[u8]) -> bool) -> Vec<u8> {
        let output = self.child.stdout.as_mut().unwrap();
        loop {
            let mut head = [0; 9];
            output.read_exact(&mut head).expect("another frame");
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            output.read_exact(&mut payload).unwrap();
            let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
            if wanted(head[3], stream, &payload) {
                return payload;
            }
        }
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
