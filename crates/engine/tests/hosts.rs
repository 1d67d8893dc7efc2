//! Requests for hosts, schemes and authorities that a listener is not for (RFC 9110 §7.4), in both protocols.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use world::{Declared, World, eventually, frames};

const OPERATIONS: &str = r#"item: { match: "GET /items/{id}", permission: orders.read }"#;

/// For which authorities, and what comes of it.
const AUTHORITIES: [(&str, &str); 22] = [
    ("localhost", "delivered"),
    ("LocalHost:8443", "delivered"),
    ("localhost.", "delivered"),
    ("127.0.0.1", "delivered"),
    ("127.0.0.1:1", "delivered"),
    ("[::ffff:127.0.0.1]:443", "delivered"),
    ("declared.example", "delivered"),
    ("any.declared.example:8443", "delivered"),
    ("public.example", "delivered"),
    ("one.any.declared.example", "misdirected"),
    ("evil.example", "misdirected"),
    ("localhost.evil.example", "misdirected"),
    ("127.0.0.2", "misdirected"),
    ("[::2]", "misdirected"),
    ("10.0.0.1", "misdirected"),
    ("user@localhost", "host-refused"),
    ("user:password@localhost", "host-refused"),
    ("localhost:", "delivered"),
    ("localhost:123456", "host-refused"),
    ("local%68ost", "host-refused"),
    ("localhost/x", "host-refused"),
    ("localhost,evil", "host-refused"),
];

/// Fields of a header section, and the codes that may come of them.
type Expected<'f> = (Vec<(&'f str, &'f str)>, &'static [&'static str]);

fn world() -> (World, String) {
    let declared = Declared {
        operations: OPERATIONS,
        bridge: "public_url: https://public.example:9443",
        ..Declared::default()
    };
    World::with_key(&declared, |_, _| Ok(())).unwrap()
}

/// Code of the record that the next exchange leaves.
fn next_code(world: &World, before: usize) -> String {
    eventually(|| Some(world.records().ok()?.get(before)?["code"].as_str()?.to_owned()))
}

#[test]
fn over_http1() {
    let (world, key) = world();
    let get = |line: &str, host: &str| {
        format!("GET {line} HTTP/1.1\r\nHost: {host}\r\nX-API-Key: {key}\r\nConnection: close\r\n\r\n")
    };
    let mut wrong = Vec::new();
    let absolute = |scheme: &str| format!("{scheme}://localhost/erp/v1/items/1");
    let lines = [
        (absolute("https"), "delivered"),
        (absolute("HTTPS"), "delivered"),
        (absolute("http"), "misdirected"),
        (absolute("file"), "framing-refused"),
        ("https://evil.example/erp/v1/items/1".to_owned(), "host-refused"),
        ("https://u@localhost/erp/v1/items/1".to_owned(), "host-refused"),
    ];
    let by_host = AUTHORITIES.iter().map(|(host, code)| (get("/erp/v1/items/1", host), *code));
    let by_line = lines.iter().map(|(line, code)| (get(line, "localhost"), *code));
    for (number, (request, expected)) in by_host.chain(by_line).enumerate() {
        let mut raw = world.raw().unwrap();
        raw.send(&request);
        let reply = raw.reply();
        let code = next_code(&world, number);
        let told = reply.json()["code"].as_str().unwrap_or("delivered").to_owned();
        if code != expected || told != expected || (code == "misdirected") != (reply.status == 421) {
            wrong.push(format!("{} {code} {told}: {request:?}", reply.status));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn over_http2() {
    let (world, key) = world();
    let fields = |scheme: &'static str, authority: &'static str, path: &'static str| {
        [(":method", "GET"), (":scheme", scheme), (":authority", authority), (":path", path)]
    };
    let mut requests: Vec<Expected> = Vec::new();
    for (authority, code) in &AUTHORITIES {
        // What hyper cannot read as an authority it refuses itself.
        let codes: &'static [&'static str] = match *code {
            "delivered" => &["delivered"],
            "misdirected" => &["misdirected"],
            _ => &["host-refused", "http2-refused"],
        };
        requests.push((fields("https", authority, "/erp/v1/items/1").to_vec(), codes));
    }
    for scheme in ["http", "file", "ftp", "HTTP", "x"] {
        requests.push((fields(scheme, "localhost", "/erp/v1/items/1").to_vec(), &["misdirected"]));
    }
    for authority in ["a b", "a b/c@d", "local host", "localhost\t"] {
        requests.push((
            fields("https", authority, "/erp/v1/items/1").to_vec(),
            &["host-refused", "http2-refused"],
        ));
    }
    for path in [
        "/erp/v1/items/a b",
        "/erp/v1/items/a\tb",
        "/erp/v1/items/\u{7f}",
        "/erp/v1/items/\"",
        "/erp/v1/items/ä",
        "erp",
    ] {
        requests.push((fields("https", "localhost", path).to_vec(), &["path-ambiguous", "http2-refused"]));
    }
    let with_host = |authority: Option<&'static str>, host: &'static str| {
        let mut both = fields("https", authority.unwrap_or("x"), "/erp/v1/items/1").to_vec();
        both.push(("host", host));
        both.retain(|(name, _)| *name != ":authority" || authority.is_some());
        both
    };
    requests.push((with_host(Some("localhost"), "evil.example"), &["host-refused"]));
    requests.push((with_host(Some("localhost"), "localhost:443"), &["delivered"]));
    // RFC 9113 §8.3.1: what comes from HTTP/1.1 may have Host in its place.
    requests.push((with_host(None, "localhost"), &["delivered"]));
    requests.push((with_host(None, "evil.example"), &["misdirected"]));
    requests.push((with_host(None, "user@localhost"), &["host-refused"]));
    requests.push((fields("https", "localhost", "*").to_vec(), &["path-ambiguous"]));
    for (name, value) in [("x-a", " 1"), ("x-a", "1 "), ("x-a", "\t1"), ("accept", "*/* ")] {
        let mut padded = fields("https", "localhost", "/erp/v1/items/1").to_vec();
        padded.push((name, value));
        requests.push((padded, &["header-refused"]));
    }
    requests.push((vec![(":method", "CONNECT"), (":authority", "localhost:443")], &["method-refused"]));
    let mut extended = fields("https", "localhost", "/erp/v1/items/1").to_vec();
    extended[0] = (":method", "CONNECT");
    extended.push((":protocol", "websocket"));
    requests.push((extended, &["method-refused", "http2-refused"]));
    let mut wrong = Vec::new();
    for (number, (mut headers, codes)) in requests.into_iter().enumerate() {
        headers.push(("x-api-key", &key));
        let mut raw = world.raw_http2().unwrap();
        raw.send(frames::without_body(&headers));
        let code = next_code(&world, number);
        if !codes.contains(&code.as_str()) {
            wrong.push(format!("{code}, not {codes:?}: {:?}", &headers[..headers.len() - 1]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let delivered = AUTHORITIES.iter().filter(|(_, code)| *code == "delivered").count();
    assert_eq!(world.target.seen().len(), delivered + 2);
}
