//! Bytes on the wire: framing, limits, slow callers, and what a proxy in front may say of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use ironbridge_audit::detail::DetailKind;
use ironbridge_testkit::Reply;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use world::{Declared, World};

const OPERATIONS: &str = r#"list-orders: { match: GET /orders, permission: orders.read }
    secret: { match: GET /secret, permission: orders.read }
    read-one: { match: "GET /items/{id}", permission: orders.read }
    echo: { match: POST /echo, permission: orders.write }
    judged: { match: POST /judged, permission: orders.write, request: { keep: [/a] } }"#;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    send: String,
    fill: Option<(String, usize)>,
    replies: Vec<u16>,
    code: Option<String>,
    #[serde(default)]
    open: bool,
    #[serde(default)]
    seen: Vec<String>,
}

#[test]
fn hostile_bytes_are_refused_recorded_and_reach_nobody() {
    let declared = Declared { operations: OPERATIONS, ..Declared::default() };
    let (mut world, key) = World::with_key(&declared, |_, _| Ok(())).unwrap();
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/framing.yaml")).unwrap();
    let cases: Vec<Case> = serde_saphyr::from_str(&text).unwrap();
    let mut wrong = Vec::new();
    let mut codes: BTreeMap<String, usize> = BTreeMap::new();
    for case in &cases {
        world.target.forget();
        let fill = case.fill.as_ref().map(|(text, times)| text.repeat(*times)).unwrap_or_default();
        let mut raw = world.raw().unwrap();
        raw.send(case.send.replace("@KEY@", &key).replace("@@", &fill));
        let replies = raw.replies(case.replies.len());
        let statuses: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
        let problem = replies.last().map(world::RawReply::json).unwrap_or_default();
        let code = problem["code"].as_str().map(str::to_owned);
        if !case.open {
            raw.wait_until_closed();
        }
        let seen: Vec<String> =
            world.target.seen().iter().map(|seen| format!("{} {}", seen.method, seen.path)).collect();
        if (&statuses, &code, &seen) != (&case.replies, &case.code, &case.seen)
            || case.open == raw.is_closed()
        {
            wrong.push(format!("{}: {statuses:?} {code:?} {seen:?} closed={}", case.name, raw.is_closed()));
        }
        if let Some(code) = &case.code {
            *codes.entry(code.clone()).or_default() += 1;
            assert_eq!(
                problem["correlation_id"].as_str(),
                replies.last().unwrap().header("x-correlation-id")
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cases.len() >= 70, "only {} cases", cases.len());
    // What was gathered is written at the latest when the bridge stops.
    world.stop().unwrap();
    let mut recorded: BTreeMap<String, usize> = BTreeMap::new();
    for record in world.records().unwrap() {
        let code = record["code"].as_str().unwrap().to_owned();
        if code != "delivered" {
            *recorded.entry(code).or_default() +=
                usize::try_from(record["count"].as_u64().unwrap_or(1)).unwrap();
        }
    }
    assert_eq!(recorded, codes);
}

#[test]
fn every_version_that_curl_speaks_is_served() {
    let declared = Declared { operations: OPERATIONS, ..Declared::default() };
    let (world, key) = World::with_key(&declared, |_, _| Ok(())).unwrap();
    let key = format!("X-API-Key: {key}");
    for more in [
        &["--http1.0"][..],
        &["--http1.1"],
        &["--http2"],
        &["--http2-prior-knowledge"],
        &["--no-alpn"],
        &["--http1.0", "--no-alpn"],
        &["--http1.1", "-H", "Host: localhost:"],
        &["--http1.1", "-H", "Expect: 200-ok", "-d", "", "-X", "GET"],
    ] {
        let reply = world.curl("/erp/v1/orders", &[more, &["-H", &key]].concat()).unwrap();
        assert_eq!(reply.status, 200, "{more:?}");
    }
}

#[test]
fn slow_and_idle_callers_are_cut() {
    let declared = Declared {
        operations: OPERATIONS,
        bridge: "timeouts: { header: 3s, idle: 2s, body: 1s }",
        ..Declared::default()
    };
    let (world, key) = World::with_key(&declared, |_, _| Ok(())).unwrap();
    let head = |path: &str| format!("POST /erp/v1{path} HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n");
    let mut slow_head = world.raw().unwrap();
    slow_head.send("GET /erp/v1/orders HTTP/1.1\r\nHo");
    let mut slow_body = world.raw().unwrap();
    slow_body.send(format!(
        "{}Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{{\"a\"",
        head("/judged")
    ));
    let mut slow_stream = world.raw().unwrap();
    slow_stream.send(format!("{}Content-Length: 10\r\n\r\nhalf", head("/echo")));
    let silent = world.raw().unwrap();
    // Not even HTTP/2's preface.
    let silent_http2 = world.raw_http2().unwrap();
    let mut idle = world.raw().unwrap();
    idle.send(format!("{}Content-Length: 0\r\n\r\n", head("/echo")));
    assert_eq!(idle.reply().status, 200);
    for (name, raw) in [("head", &slow_head), ("body", &slow_body), ("stream", &slow_stream)] {
        let reply = raw.reply();
        assert_eq!((reply.status, reply.json()["code"].as_str()), (408, Some("request-timeout")), "{name}");
        raw.wait_until_closed();
    }
    silent.wait_until_closed();
    silent_http2.wait_until_closed();
    idle.wait_until_closed();
    assert!(silent.received().is_empty());
    assert!(world.target.seen_on("POST /judged").is_empty());
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let declared = Declared { operations: OPERATIONS, ..Declared::default() };
    let (world, key) = World::with_key(&declared, |_, _| Ok(())).unwrap();
    world.target.on("GET /items/1", Reply::After(Duration::from_millis(200), Box::new(Reply::Echo)));
    let mut raw = world.raw().unwrap();
    let get = |path: &str| format!("GET /erp/v1{path} HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n\r\n");
    raw.send([get("/items/1"), get("/unknown"), get("/items/2"), get("/items/3")].concat());
    let replies = raw.replies(4);
    let told: Vec<_> = replies.iter().map(|reply| (reply.status, reply.json()["path"].clone())).collect();
    assert_eq!(
        told,
        [(200, json!("/items/1")), (404, json!(null)), (200, json!("/items/2")), (200, json!("/items/3"))]
    );
    assert!(!raw.is_closed());
}

#[test]
fn expect_is_answered_when_the_body_is_wanted() {
    let declared = Declared { operations: OPERATIONS, ..Declared::default() };
    let (world, key) = World::with_key(&declared, |_, _| Ok(())).unwrap();
    let head = "POST /erp/v1/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n";
    let mut raw = world.raw().unwrap();
    raw.send(format!("{head}X-API-Key: {key}\r\n\r\n"));
    assert_eq!(raw.reply().status, 100);
    raw.send("abc");
    let replies = raw.replies(2);
    assert_eq!((replies[1].status, &replies[1].json()["body"]), (200, &json!("abc")));
    assert!(world.target.seen()[0].header("expect").is_none());

    // Who may not send it is told so before the body comes.
    let mut raw = world.raw().unwrap();
    raw.send(format!("{head}\r\n"));
    assert_eq!(raw.reply().status, 401);
}

#[test]
fn forwarding_fields_count_only_from_trusted_proxies() {
    let trusting = Declared {
        operations: OPERATIONS,
        listener: ", trusted_proxies: [127.0.0.0/8, 10.0.0.0/8], forwarded: x-forwarded-for",
        ..Declared::default()
    };
    let distrusting = Declared { operations: OPERATIONS, ..Declared::default() };
    for (declared, address) in [(trusting, "203.0.113.7"), (distrusting, "127.0.0.1")] {
        let (world, key) = World::with_key(&declared, |_, _| Ok(())).unwrap();
        let reply = world
            .curl(
                "/erp/v1/echo",
                &[
                    "-H",
                    &format!("X-API-Key: {key}"),
                    "-H",
                    "X-Forwarded-For: 198.51.100.1, 203.0.113.7, 10.1.2.3",
                    "-H",
                    "Forwarded: for=192.0.2.9",
                    "-H",
                    "X-Real-IP: 192.0.2.9",
                    "-H",
                    "X-Forwarded-Host: evil.example",
                    "-H",
                    "X-Forwarded-Client-Cert: By=evil",
                    "-d",
                    "x",
                ],
            )
            .unwrap();
        let headers = &reply.json().unwrap()["headers"];
        assert_eq!(headers["x-forwarded-for"], json!([address]));
        assert_eq!(headers["forwarded"], json!([format!("for={address};proto=https")]));
        assert_eq!(headers["x-forwarded-proto"], json!(["https"]));
        for gone in ["x-real-ip", "x-forwarded-host", "x-forwarded-client-cert"] {
            assert!(headers[gone].is_null(), "{gone}");
        }
        let id = world.record_of(&reply)["id"].as_str().unwrap().to_owned();
        let opened = world.opened().unwrap();
        let (_, details) = opened.iter().find(|(stored, _)| stored.entry.id == id).unwrap();
        assert_eq!((details[0].kind, details[0].value.as_str()), (DetailKind::Address, address));
    }
}

/// RFC 9110 §9.3.1, §9.3.2, §9.3.5: a target that does not expect content may take it for the next request.
#[test]
fn a_method_without_content_brings_none_unless_that_is_declared() {
    let declared = Declared {
        operations: r#"read: { match: GET /read, permission: orders.read }
            search: { match: GET /search, permission: orders.read, request: { max_body: 1KiB } }
            drop: { match: DELETE /drop, permission: orders.write }
            drop-some: { match: DELETE /some, permission: orders.write, request: { keep: [/a] } }
            drop-now: { match: DELETE /now, permission: orders.write, request: { rules: [{ check: request.method == 'DELETE', otherwise: no }] } }
            drop-ruled: { match: DELETE /ruled, permission: orders.write, request: { rules: [{ check: body.a == 1, otherwise: no }] } }"#,
        ..Declared::default()
    };
    let (world, key) = World::with_key(&declared, |_, _| Ok(())).unwrap();
    let key = format!("X-API-Key: {key}");
    for version in ["--http1.1", "--http2"] {
        for (method, path, body, chunked, status) in [
            ("GET", "/read", "GET /other HTTP/1.1\r\n\r\n", false, 413),
            ("GET", "/read", "x", true, 413),
            ("GET", "/read", "", true, 200),
            ("GET", "/read", "", false, 200),
            ("GET", "/search", "{}", false, 200),
            ("DELETE", "/drop", "x", false, 413),
            ("DELETE", "/drop", "", false, 200),
            ("DELETE", "/some", r#"{"a":1}"#, false, 200),
            ("DELETE", "/now", r#"{"a":1}"#, false, 413),
            ("DELETE", "/now", "", false, 200),
            ("DELETE", "/ruled", r#"{"a":1}"#, false, 200),
        ] {
            let mut arguments =
                vec![version, "-H", &key, "-H", "Content-Type: application/json", "-X", method];
            arguments.extend(["--data-binary", body]);
            if chunked && version == "--http1.1" {
                arguments.extend(["-H", "Transfer-Encoding: chunked"]);
            }
            let before = world.target.seen().len();
            let reply = world.curl(&format!("/erp/v1{path}"), &arguments).unwrap();
            assert_eq!(reply.status, status, "{version} {method} {path} {body:?}: {}", reply.text());
            let seen = world.target.seen();
            if status == 413 {
                assert_eq!(reply.json().unwrap()["code"], "body-too-large");
                assert_eq!(world.record_of(&reply)["outcome"], "denied");
                assert_eq!(seen.len(), before, "nothing reached the target");
            } else {
                assert_eq!(seen.last().unwrap().body.len(), body.len(), "{version} {method} {path}");
            }
        }
    }
}
