//! Toward the target: what it does wrong, what of its replies crosses, and which credentials it is shown.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use bytes::Bytes;
use ironbridge_testkit::{Authority, CurlReply, FakeTarget, Protocols, Reply, curl, free_port};
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;
use world::{Declared, World, eventually, expires_soon, in_home, set_secret, system};

const OPERATIONS: &str = r#"list-orders: { match: GET /orders, permission: orders.read, response: { keep: [/items/*/id] } }
    any: { match: "GET /any/{id}", permission: orders.read, response: { headers: [X-Order] } }
    quick: { match: "GET /quick/{id}", permission: orders.read, timeout: 300ms }
    kept: { match: GET /kept, permission: orders.read, response: { keep: [/a] } }
    small: { match: "GET /small/{id}", permission: orders.read, response: { max_body: 1KiB } }
    small-kept: { match: GET /small-kept, permission: orders.read, response: { max_body: 1KiB, keep: [/a] } }
    echo: { match: POST /echo, permission: orders.write }
    small-echo: { match: POST /small-echo, permission: orders.write, request: { max_body: 1KiB } }"#;

struct Scene {
    world: World,
    key: String,
}

impl Scene {
    fn new(
        declared: &Declared,
        prepare: impl FnOnce(&std::path::Path, &Authority) -> anyhow::Result<()>,
    ) -> Scene {
        let (world, key) = World::with_key(declared, prepare).unwrap();
        Scene { world, key }
    }

    fn get(&self, path: &str) -> CurlReply {
        self.curl(path, &[]).unwrap()
    }

    fn curl(&self, path: &str, arguments: &[&str]) -> anyhow::Result<CurlReply> {
        let key = format!("X-API-Key: {}", self.key);
        let all: Vec<&str> = ["-H", &key].into_iter().chain(arguments.iter().copied()).collect();
        self.world.curl(path, &all)
    }

    /// Status and code of a refusal; its record says the same.
    fn refused(&self, path: &str) -> (u16, String) {
        let reply = self.get(path);
        let problem = reply.json().unwrap_or_else(|_| panic!("{path}: {} {}", reply.status, reply.text()));
        let code = problem["code"].as_str().unwrap().to_owned();
        let record = self.world.record_of(&reply);
        if code != "target-declined" {
            assert_eq!(record["code"], json!(code), "{path}: {record}");
            assert_eq!(record["outcome"], "failed", "{path}: {record}");
        }
        let target = self.world.target.port().to_string();
        for internal in [&*target, "127.0.0.1:", "secret", "NullPointer", "erp-ca"] {
            assert!(!reply.text().contains(internal), "{path}: {}", reply.text());
        }
        (reply.status, code)
    }
}

fn operations() -> Declared {
    Declared { operations: OPERATIONS, ..Declared::default() }
}

const GET_AND_POST: &str = r#"get: { match: "GET /{id}", permission: orders.read }, post: { match: "POST /{id}", permission: orders.write }"#;

#[test]
fn what_the_target_does_wrong_is_told_in_our_words() {
    let other = Authority::new("nobody trusts it").unwrap();
    let untrusted = FakeTarget::start(&other).unwrap();
    let speaking = |protocols| FakeTarget::builder(&other).unwrap().protocols(protocols).start().unwrap();
    let (older, newer) = (speaking(Protocols::Http1), speaking(Protocols::Http2));
    let (down, untrusted_url) = (free_port().unwrap(), untrusted.url());
    let scene = Scene::new(&operations(), |dir, _| {
        let http = format!("url: \"https://localhost:{down}\", ca: ./erp-ca.pem");
        std::fs::write(dir.join("down.yaml"), system("down", &http, GET_AND_POST))?;
        let http = format!("url: \"{untrusted_url}\", ca: ./erp-ca.pem");
        std::fs::write(dir.join("untrusted.yaml"), system("untrusted", &http, GET_AND_POST))?;
        other.write(dir.join("other-ca.pem"))?;
        for (name, target, protocol) in [("older", &older, "http2"), ("newer", &newer, "http1")] {
            let http = format!("url: \"{}\", ca: ./other-ca.pem, protocol: {protocol}", target.url());
            std::fs::write(dir.join(format!("{name}.yaml")), system(name, &http, GET_AND_POST))?;
        }
        let http = format!("url: \"{untrusted_url}\", ca: ./erp-ca.pem, server_name: other.example");
        Ok(std::fs::write(dir.join("misnamed.yaml"), system("misnamed", &http, GET_AND_POST))?)
    });
    let trace = "java.lang.NullPointerException at com.acme.Secret(secret.java:7)";
    let failure = |status| Reply::Raw(status, vec![("server", "ERP/1".into())], Bytes::from(trace));
    let target = &scene.world.target;
    target
        .on("GET /quick/hang", Reply::Hang)
        .on("GET /any/close", Reply::Close)
        .on("GET /kept", Reply::BreakOff(1000, 10))
        .on("GET /any/500", failure(500))
        .on("GET /any/503", Reply::Raw(503, vec![("retry-after", "7".into())], Bytes::from(trace)))
        .on(
            "GET /any/401",
            Reply::Raw(401, vec![("www-authenticate", "Basic realm=erp".into())], Bytes::new()),
        )
        .on("GET /any/421", failure(421))
        .on("GET /any/426", failure(426))
        .on("GET /any/404", failure(404))
        .on("GET /any/409", failure(409))
        .on("GET /small-kept", Reply::Oversize(2000));
    for (path, status, code) in [
        ("/down/x", 502, "target-unreachable"),
        ("/untrusted/x", 502, "target-tls-failed"),
        ("/misnamed/x", 502, "target-tls-failed"),
        ("/older/x", 502, "target-protocol-unspoken"),
        ("/newer/x", 502, "target-protocol-unspoken"),
        ("/erp/v1/quick/hang", 504, "target-timeout"),
        ("/erp/v1/any/close", 502, "target-broke-off"),
        ("/erp/v1/kept", 502, "target-broke-off"),
        ("/erp/v1/any/500", 502, "target-failed"),
        ("/erp/v1/any/503", 503, "target-unavailable"),
        ("/erp/v1/any/401", 502, "target-refused-us"),
        ("/erp/v1/any/421", 502, "target-misdirected"),
        ("/erp/v1/any/426", 502, "target-protocol-unspoken"),
        ("/erp/v1/any/404", 404, "target-declined"),
        ("/erp/v1/any/409", 409, "target-declined"),
        ("/erp/v1/small-kept", 502, "reply-too-large"),
    ] {
        assert_eq!(scene.refused(path), (status, code.to_owned()), "{path}");
    }
    // Where no connection came about, the record tells of no byte that the target got.
    for (system, code) in [
        ("down", "target-unreachable"),
        ("untrusted", "target-tls-failed"),
        ("misnamed", "target-tls-failed"),
        ("newer", "target-protocol-unspoken"),
    ] {
        let reply = scene.curl(&format!("/{system}/x"), &["-d", "personal"]).unwrap();
        let record = scene.world.record_of(&reply);
        assert_eq!((&record["code"], &record["bytes_in"]), (&json!(code), &json!(0)), "{record}");
        assert_ne!(record["direction"], "to_target", "{record}");
    }
    assert_eq!(scene.get("/erp/v1/any/503").header("retry-after"), Some("7"));
    let dated = vec![
        ("retry-after", "Fri, 27 Nov 2026 12:01:30 GMT".into()),
        ("date", "Fri, 27 Nov 2026 12:00:00 GMT".into()),
    ];
    target.on("GET /any/dated", Reply::Raw(503, dated, Bytes::new()));
    assert_eq!(scene.get("/erp/v1/any/dated").header("retry-after"), Some("90"));
    // What no reader may be able to hold is told as the longest that all can.
    let long = || vec![("retry-after", "99999999999999999999".to_owned())];
    for (status, path) in
        [(503, "GET /any/503"), (429, "GET /any/429"), (302, "GET /any/302"), (200, "GET /any/200")]
    {
        target.on(path, Reply::Raw(status, long(), Bytes::new()));
        let reply = scene.get(&format!("/erp/v1{}", path.trim_start_matches("GET ")));
        assert_eq!((reply.status, reply.header("retry-after")), (status, Some("2147483647")));
    }
    let declined = scene.get("/erp/v1/any/404");
    assert_eq!(declined.header("server"), None);
    let record = scene.world.record_of(&declined);
    assert_eq!((&record["outcome"], &record["status"]), (&json!("success"), &json!(404)));
    assert_eq!(record["code"], json!("target-declined"), "one name for the caller and the trail");
    assert!(untrusted.seen().is_empty());
    // All of it over, the next exchange is as good as ever.
    assert_eq!(scene.get("/erp/v1/any/1").status, 200);
}

#[test]
fn a_streamed_reply_that_breaks_off_is_recorded_as_partial() {
    let scene = Scene::new(&operations(), |_, _| Ok(()));
    let target = &scene.world.target;
    target.on("GET /any/broken", Reply::BreakOff(1000, 10));
    target.on("GET /small/oversize", Reply::Oversize(5000));
    target.on("GET /small/announced", Reply::Raw(200, vec![], Bytes::from(vec![b' '; 5000])));
    for (path, why) in
        [("/erp/v1/any/broken", "target-broke-off"), ("/erp/v1/small/oversize", "reply-too-large")]
    {
        let before = scene.world.records().unwrap().len();
        let failed = scene.curl(path, &[]);
        assert!(failed.is_err(), "{path}");
        let record = eventually(|| scene.world.records().unwrap().into_iter().nth(before));
        assert_eq!(
            (&record["outcome"], &record["code"], &record["status"]),
            (&json!("partial"), &json!(why), &json!(200)),
            "{record}"
        );
    }
    // Where the length is announced, nothing of it is passed on.
    assert_eq!(scene.refused("/erp/v1/small/announced"), (502, "reply-too-large".to_owned()));
}

#[test]
fn a_request_body_larger_than_declared_is_refused_while_it_streams() {
    let scene = Scene::new(&operations(), |_, _| Ok(()));
    let file = scene.world.dir.path().join("body");
    std::fs::write(&file, vec![b'x'; 5000]).unwrap();
    let data = format!("@{}", file.display());
    for more in [&["-H", "Transfer-Encoding: chunked"][..], &[], &["--http1.1"]] {
        let arguments: Vec<&str> = ["--data-binary", &data].into_iter().chain(more.iter().copied()).collect();
        let reply = scene.curl("/erp/v1/small-echo", &arguments).unwrap();
        assert_eq!(
            (reply.status, reply.json().unwrap()["code"].as_str()),
            (413, Some("body-too-large")),
            "{more:?}"
        );
    }
    assert!(scene.world.target.seen().is_empty());
    let reply = scene.curl("/erp/v1/small-echo", &["-d", "x"]).unwrap();
    assert_eq!(reply.status, 200);
}

#[test]
fn what_names_or_binds_the_target_stays_there() {
    let scene = Scene::new(&operations(), |_, _| Ok(()));
    let url = scene.world.target.url();
    let location = |to: String| Reply::Raw(302, vec![("location", to)], Bytes::new());
    scene
        .world
        .target
        .on(
            "GET /any/1",
            Reply::Raw(
                200,
                vec![
                    ("set-cookie", "session=1".into()),
                    ("server", "ERP/1".into()),
                    ("x-powered-by", "COBOL".into()),
                    ("connection", "x-internal".into()),
                    ("x-internal", "10.0.0.7".into()),
                    ("x-order", "7".into()),
                    ("x-backend", "erp-7".into()),
                    ("etag", "\"v1\"".into()),
                ],
                Bytes::from("{}"),
            ),
        )
        .on("GET /any/absolute", location(format!("{url}/any/2")))
        .on("GET /any/relative", location("/any/3".to_owned()))
        .on("GET /any/elsewhere", location("https://10.0.0.7/admin".to_owned()));
    let reply = scene.get("/erp/v1/any/1");
    assert_eq!((reply.header("x-order"), reply.header("etag")), (Some("7"), Some("\"v1\"")));
    assert_eq!(reply.header("via"), Some("1.1 test-bridge"));
    for gone in ["set-cookie", "server", "x-powered-by", "x-internal", "x-backend", "connection"] {
        assert_eq!(reply.header(gone), None, "{gone}");
    }
    for (path, to) in [
        ("/erp/v1/any/absolute", Some("/erp/v1/any/2")),
        ("/erp/v1/any/relative", Some("/erp/v1/any/3")),
        ("/erp/v1/any/elsewhere", None),
    ] {
        let reply = scene.get(path);
        assert_eq!((reply.status, reply.header("location")), (302, to), "{path}");
    }
}

#[test]
fn what_cannot_be_read_is_not_passed_on_where_fields_are_held_back() {
    let scene = Scene::new(&operations(), |_, _| Ok(()));
    let raw = |fields: Vec<(&'static str, String)>, body: &[u8]| {
        Reply::Raw(200, fields, Bytes::from(body.to_vec()))
    };
    let json_type = || ("content-type", "application/json".to_owned());
    for (name, reply) in [
        ("gzip", raw(vec![json_type(), ("content-encoding", "gzip".into())], b"\x1f\x8b\x08secret")),
        ("HTML", raw(vec![("content-type", "text/html".into())], b"<html>secret</html>")),
        ("broken JSON", raw(vec![json_type()], br#"{"items":[{"id":1,"#)),
        ("a name twice", raw(vec![json_type()], br#"{"items":[],"items":[{"id":1,"secret":2}]}"#)),
        ("two documents", raw(vec![json_type()], br#"{"items":[]}{"secret":1}"#)),
        ("not UTF-8", raw(vec![json_type()], b"{\"items\":[{\"id\":\"\xff\"}]}")),
        // It is refused for what it is, whether or not it ends.
        (
            "events",
            raw(vec![("content-type", "Text/Event-Stream; charset=utf-8".into())], br#"{"items":[]}"#),
        ),
    ] {
        scene.world.target.on("GET /orders", reply);
        let reply = scene.get("/erp/v1/orders");
        assert_eq!(reply.status, 502, "{name}: {}", reply.text());
        assert_eq!(scene.refused("/erp/v1/orders"), (502, "reply-refused".to_owned()), "{name}");
    }
    // The target is asked for a reply that can be read.
    let seen = &scene.world.target.seen_on("GET /orders")[0];
    assert_eq!(seen.header("accept-encoding"), None);
    scene.world.target.on("GET /orders", raw(vec![json_type()], br#"{"items":[{"id":1,"secret":2}]}"#));
    let reply =
        scene.curl("/erp/v1/orders", &["-H", "Range: bytes=0-3", "-H", "Accept-Encoding: gzip"]).unwrap();
    assert_eq!(reply.text(), r#"{"items":[{"id":1}]}"#);
    let seen = scene.world.target.seen_on("GET /orders");
    let last = seen.last().unwrap();
    assert_eq!((last.header("range"), last.header("accept-encoding")), (None, None));
}

#[test]
fn a_busy_target_is_not_queued_for_without_end() {
    let declared = Declared { system: "max_connections: 1".into(), ..operations() };
    let scene = Scene::new(&declared, |_, _| Ok(()));
    scene.world.target.on("GET /any/slow", Reply::After(Duration::from_millis(1800), Box::new(Reply::Echo)));
    std::thread::scope(|threads| {
        let slow = threads.spawn(|| scene.get("/erp/v1/any/slow").status);
        eventually(|| (!scene.world.target.seen_on("GET /any/slow").is_empty()).then_some(()));
        let reply = scene.get("/erp/v1/any/1");
        assert_eq!((reply.status, reply.json().unwrap()["code"].as_str()), (503, Some("target-busy")));
        assert_eq!(reply.header("retry-after"), Some("1"));
        assert_eq!(slow.join().unwrap(), 200);
    });
    assert_eq!(scene.get("/erp/v1/any/1").status, 200);
}

#[test]
fn a_reply_nobody_asked_for_reaches_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (wrote, written) = std::sync::mpsc::channel();
    let target = std::thread::spawn(move || {
        let one = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n";
        // The first connection's second reply comes unasked; then come replies whose framing is doubtful.
        for reply in [
            format!("{one}good|HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"),
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnext".to_owned(),
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nevil!".to_owned(),
            "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 4\r\n\r\nevil".to_owned(),
            "ICY 200 OK\r\n\r\nevil".to_owned(),
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nevil".to_owned(),
            format!("HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 4\r\n\r\nevil", "a".repeat(1_000_000)),
        ] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).unwrap();
            for part in reply.split('|') {
                let _ = stream.write_all(part.as_bytes());
                std::thread::sleep(Duration::from_millis(200));
            }
            wrote.send(()).unwrap();
            // Open long enough that the bridge might use it again.
            std::thread::spawn(move || while matches!(stream.read(&mut request), Ok(1..)) {});
        }
    });
    let scene = Scene::new(&operations(), |dir, _| {
        let plain = format!("danger_plaintext: {{ reason: a test, expires: {} }}", expires_soon());
        let http = format!("url: \"http://127.0.0.1:{port}\", {plain}");
        Ok(std::fs::write(dir.join("raw.yaml"), system("raw", &http, GET_AND_POST))?)
    });
    for good in ["good", "next"] {
        let reply = scene.get("/raw/x");
        assert_eq!((reply.status, reply.text().as_str()), (200, good));
        // What nobody asked for is there before it is asked again.
        written.recv().unwrap();
    }
    for case in ["two lengths", "a null byte", "another protocol", "an unwanted upgrade", "an endless field"]
    {
        let reply = scene.curl("/raw/x", &["-X", "POST", "-d", ""]).unwrap();
        assert!(!reply.text().contains("evil"), "{case}: {}", reply.text());
        assert_eq!(
            (reply.status, reply.json().unwrap()["code"].as_str()),
            (502, Some("reply-malformed")),
            "{case}"
        );
    }
    target.join().unwrap();
}

const OAUTH2: &str =
    "client_id: ironbridge, client_secret: secret://sealed/erp#client_secret, scopes: [orders]";

fn oauth2(lifetime: u64, secret: &str) -> (World, String) {
    let authority = Authority::new("erp authority").unwrap();
    let target = FakeTarget::start(&authority).unwrap();
    target.require_token("ironbridge", "s3cret/+ &=", lifetime);
    let declared = Declared {
        system: format!("auth: {{ oauth2: {{ token_url: \"{}/token\", {OAUTH2} }} }}", target.url()),
        ..operations()
    };
    let mut key = String::new();
    let world = World::with(&declared, authority, target, |dir| {
        key = world::issue_key(dir, "order-service")?;
        set_secret(dir, "erp", &json!({ "client_secret": secret }).to_string())
    });
    (world.unwrap(), key)
}

#[test]
fn a_token_is_fetched_once_kept_and_renewed() {
    let (world, key) = oauth2(3600, "s3cret-simple");
    world.target.require_token("ironbridge", "s3cret-simple", 3600);
    let scene = Scene { world, key };
    // Many at once, and one flight.
    std::thread::scope(|threads| {
        let calls: Vec<_> = (0..8).map(|_| threads.spawn(|| scene.get("/erp/v1/any/1").status)).collect();
        for call in calls {
            assert_eq!(call.join().unwrap(), 200);
        }
    });
    let target = &scene.world.target;
    assert_eq!(target.tokens_issued(), 1);
    let form = String::from_utf8(target.seen_on("POST /token")[0].body.to_vec()).unwrap();
    assert_eq!(form, "grant_type=client_credentials&scope=orders");
    for seen in target.seen_on("GET /any/1") {
        assert_eq!(seen.header("authorization"), Some("Bearer fake-token-1"));
        assert_eq!(seen.header("x-api-key"), None);
    }
    // Refused before its time: once more with a fresh one, the caller none the wiser.
    target.revoke_tokens();
    assert_eq!(scene.get("/erp/v1/any/1").status, 200);
    assert_eq!(target.tokens_issued(), 2);
    // So is a small body that streamed past. A larger one cannot be sent twice; the next has the fresh token, once it is
    // there.
    target.revoke_tokens();
    assert_eq!(scene.curl("/erp/v1/echo", &["-d", "x"]).unwrap().json().unwrap()["body"], "x");
    assert_eq!(target.tokens_issued(), 3);
    target.revoke_tokens();
    let large = "x".repeat(20_000);
    let reply = scene.curl("/erp/v1/echo", &["-d", &large]).unwrap();
    assert_eq!((reply.status, reply.json().unwrap()["code"].as_str()), (502, Some("target-refused-us")));
    eventually(|| (scene.curl("/erp/v1/echo", &["-d", "x"]).unwrap().status == 200).then_some(()));
    assert_eq!(target.tokens_issued(), 4);
}

#[test]
fn a_path_that_refuses_every_token_does_not_cost_the_others_theirs() {
    let (world, key) = oauth2(3600, "s3cret-simple");
    world.target.require_token("ironbridge", "s3cret-simple", 3600);
    let scene = Scene { world, key };
    let target = &scene.world.target;
    target.on("GET /any/always", Reply::Raw(401, vec![], Bytes::new()));
    let begun = std::time::Instant::now();
    for _ in 0..30 {
        assert_eq!(scene.refused("/erp/v1/any/always"), (502, "target-refused-us".to_owned()));
        // Of the same operation, and fine.
        assert_eq!(scene.get("/erp/v1/any/1").status, 200);
    }
    // At first, and once for the refusal; then after 15, 30 and 60 seconds on a slow machine.
    let most = 2 + usize::try_from(begun.elapsed().as_secs() / 15).unwrap();
    assert!(target.tokens_issued() <= most, "{}", target.tokens_issued());
}

#[test]
fn the_timeout_covers_the_token_and_the_fetch_goes_on() {
    let authority = Authority::new("erp authority").unwrap();
    let target = FakeTarget::start(&authority).unwrap();
    let token = json!({ "access_token": "late!", "token_type": "BearerToken", "expires_in": "3600.0" });
    target.on("POST /token", Reply::After(Duration::from_secs(2), Box::new(Reply::Json(201, token))));
    let declared = Declared {
        system: format!("auth: {{ oauth2: {{ token_url: \"{}/token\", {OAUTH2} }} }}", target.url()),
        ..operations()
    };
    let mut key = String::new();
    let world = World::with(&declared, authority, target, |dir| {
        key = world::issue_key(dir, "order-service")?;
        set_secret(dir, "erp", &json!({ "client_secret": "s" }).to_string())
    });
    let scene = Scene { world: world.unwrap(), key };
    let reply = scene.get("/erp/v1/quick/1");
    assert_eq!((reply.status, reply.json().unwrap()["code"].as_str()), (503, Some("secret-unavailable")));
    eventually(|| (scene.get("/erp/v1/quick/1").status == 200).then_some(()));
    assert_eq!(scene.world.target.seen_on("POST /token").len(), 1);
    assert_eq!(scene.world.target.seen_on("GET /quick/1")[0].header("authorization"), Some("Bearer late!"));
}

#[test]
fn a_short_lived_token_is_replaced_before_it_expires() {
    let (world, key) = oauth2(2, "s3cret-simple");
    world.target.require_token("ironbridge", "s3cret-simple", 2);
    let scene = Scene { world, key };
    eventually(|| {
        assert_eq!(scene.get("/erp/v1/any/1").status, 200);
        (scene.world.target.tokens_issued() >= 2).then_some(())
    });
}

#[test]
fn a_wrong_client_secret_is_the_operators_trouble() {
    let (world, key) = oauth2(3600, "wrong");
    let scene = Scene { world, key };
    let reply = scene.get("/erp/v1/any/1");
    assert_eq!((reply.status, reply.json().unwrap()["code"].as_str()), (503, Some("secret-unavailable")));
    assert!(reply.header("retry-after").is_some());
    assert!(scene.world.target.seen_on("GET /any/1").is_empty());
    // Characters that form encoding changes count as they are (RFC 6749 section 2.3.1).
    let dir = scene.world.dir.path();
    set_secret(dir, "erp", &json!({ "client_secret": "right" }).to_string()).unwrap();
    scene.world.target.require_token("ironbridge", "right", 3600);
    eventually(|| (scene.get("/erp/v1/any/1").status == 200).then_some(()));
}

#[test]
fn fixed_credentials_come_from_secrets_and_follow_them() {
    let scene = Scene::new(&operations(), |dir, _| {
        set_secret(dir, "bearer", "token-1")?;
        set_secret(dir, "basic", r#"{"password":"pa:ss"}"#)?;
        set_secret(dir, "header", "header-1")?;
        // Both are spoilt below, while it runs: a start or a reload refuses what it cannot use.
        set_secret(dir, "broken", "whole")?;
        set_secret(dir, "missing", "there")
    });
    let url = scene.world.target.url();
    for (name, auth) in [
        ("bearer", "bearer: { token: secret://sealed/bearer }"),
        ("basic", "basic: { username: bridge, password: secret://sealed/basic#password }"),
        ("header", "header: { name: X-Erp-Key, value: secret://sealed/header }"),
        ("broken", "header: { name: X-Erp-Key, value: secret://sealed/broken }"),
        ("missing", "bearer: { token: secret://sealed/missing }"),
    ] {
        let http = format!("url: \"{url}\", ca: ./erp-ca.pem, auth: {{ {auth} }}");
        std::fs::write(
            scene.world.dir.path().join(format!("{name}.yaml")),
            system(name, &http, GET_AND_POST),
        )
        .unwrap();
    }
    scene.world.reload().unwrap();
    scene.world.target.otherwise(Reply::Json(200, json!({})));
    let header = |system: &str, field: &str| {
        scene.world.target.forget();
        let reply = scene.curl(&format!("/{system}/x"), &["-H", "X-Erp-Key: forged"]).unwrap();
        assert_eq!(reply.status, 200, "{system}");
        let seen = scene.world.target.seen().pop().unwrap();
        let values = seen.headers.iter().filter(|(name, _)| name == field).map(|(_, value)| value.clone());
        values.collect::<Vec<_>>()
    };
    assert_eq!(header("bearer", "authorization"), ["Bearer token-1"]);
    assert_eq!(header("basic", "authorization"), ["Basic YnJpZGdlOnBhOnNz"]);
    assert_eq!(header("header", "x-erp-key"), ["header-1"]);
    set_secret(scene.world.dir.path(), "broken", "a\nb").unwrap();
    let removed = in_home(scene.world.dir.path(), async |home| {
        Ok(home.secrets().keeper("sealed")?.remove("missing").await?)
    });
    assert!(removed.unwrap());
    for system in ["broken", "missing"] {
        let reply =
            eventually(|| Some(scene.get(&format!("/{system}/x"))).filter(|reply| reply.status == 503));
        assert_eq!(reply.json().unwrap()["code"], "secret-unavailable", "{system}");
    }
    set_secret(scene.world.dir.path(), "bearer", "token-2").unwrap();
    eventually(|| (header("bearer", "authorization") == ["Bearer token-2"]).then_some(()));
    set_secret(scene.world.dir.path(), "basic", r#"{"password":"other"}"#).unwrap();
    eventually(|| (header("basic", "authorization") == ["Basic YnJpZGdlOm90aGVy"]).then_some(()));
    set_secret(scene.world.dir.path(), "header", "header-2").unwrap();
    eventually(|| (header("header", "x-erp-key") == ["header-2"]).then_some(()));
    // What was presented before a reload changed the system does not come back either.
    let http = format!(
        "url: \"{url}\", ca: ./erp-ca.pem, connect_timeout: 3s, auth: {{ header: {{ name: X-Other, value: secret://sealed/header }} }}"
    );
    for spoilt in ["broken", "missing"] {
        std::fs::remove_file(scene.world.dir.path().join(format!("{spoilt}.yaml"))).unwrap();
    }
    let changed = system("bearer", &http, GET_AND_POST);
    std::fs::write(scene.world.dir.path().join("bearer.yaml"), changed).unwrap();
    scene.world.reload().unwrap();
    let assert_kept_back = |old: &&str| {
        scene.world.target.otherwise(Reply::Json(200, json!({ "said": old })));
        let reply = scene.get("/bearer/x");
        assert_eq!(
            (reply.status, reply.json().unwrap()["code"].as_str()),
            (502, Some("reply-holds-credential"))
        );
    };
    ["token-1", "token-2"].iter().for_each(assert_kept_back);
    // Nor where it shows none any more.
    let http = format!("url: \"{url}\", ca: ./erp-ca.pem");
    std::fs::write(scene.world.dir.path().join("bearer.yaml"), system("bearer", &http, GET_AND_POST))
        .unwrap();
    scene.world.reload().unwrap();
    ["token-1", "token-2"].iter().for_each(assert_kept_back);
    // So it is still asked for what can be searched.
    scene.world.target.otherwise(Reply::Json(200, json!({})));
    assert_eq!(header("bearer", "authorization"), [""; 0]);
    assert_eq!(header("bearer", "accept-encoding"), ["identity"]);
}

#[test]
fn the_bridge_shows_its_own_certificate() {
    let erp = Authority::new("erp authority").unwrap();
    let clients = Authority::new("client authority").unwrap();
    let ours = clients.client(&["bridge.acme.example"], ironbridge_testkit::Validity::Now).unwrap();
    let target = FakeTarget::builder(&erp).unwrap().require_certificates_of(&clients).start().unwrap();
    let url = target.url();
    let mut key = String::new();
    let declared =
        Declared { system: "certificate: { chain: ./bridge.crt, key: ./bridge.key }".into(), ..operations() };
    let world = World::with(&declared, erp, target, |dir| {
        ours.write(dir, "bridge")?;
        // Declared without a certificate, the same target refuses the handshake.
        let http = format!("url: \"{url}\", ca: ./erp-ca.pem");
        std::fs::write(dir.join("bare.yaml"), system("bare", &http, GET_AND_POST))?;
        // And with one of the internal CA, which the target does not trust.
        let http = format!("url: \"{url}\", ca: ./erp-ca.pem, certificate: {{ issued: true }}");
        std::fs::write(dir.join("issued.yaml"), system("issued", &http, GET_AND_POST))?;
        key = world::issue_key(dir, "order-service")?;
        Ok(())
    });
    let scene = Scene { world: world.unwrap(), key };
    assert_eq!(scene.get("/erp/v1/any/1").status, 200);
    let seen = scene.world.target.seen_on("GET /any/1");
    assert_eq!(seen[0].certificate.as_ref(), Some(&ours.certificate));
    for path in ["/bare/x", "/issued/x"] {
        let (status, code) = scene.refused(path);
        assert!(status == 502 && code.starts_with("target-"), "{path}: {status} {code}");
    }
    assert!(scene.world.target.seen_on("GET /x").is_empty());
}

#[test]
fn a_certificate_of_the_internal_ca_serves_toward_a_target_that_trusts_it() {
    let scene = Scene::new(&operations(), |_, _| Ok(()));
    let root = in_home(scene.world.dir.path(), async |home| {
        Ok(home.authority("test-bridge").await?.root_pem().to_owned())
    })
    .unwrap();
    // The bridge's own listener trusts the internal CA: let the bridge call itself.
    std::fs::write(scene.world.dir.path().join("internal-ca.pem"), root).unwrap();
    let http =
        format!("url: \"{}\", ca: ./internal-ca.pem, certificate: {{ issued: true }}", scene.world.url(""));
    std::fs::write(scene.world.dir.path().join("itself.yaml"), system("itself", &http, GET_AND_POST))
        .unwrap();
    scene.world.reload().unwrap();
    // What comes back to where it has been is a loop, and ends there.
    assert_eq!(scene.refused("/itself/x"), (502, "target-failed".to_owned()));
    let looped = eventually(|| {
        scene.world.records().unwrap().into_iter().find(|record| record["code"] == "loop-detected")
    });
    assert_eq!(looped["outcome"], "denied");
    let direct =
        curl(["--cacert", scene.world.ca().to_str().unwrap(), &scene.world.url("/.ironbridge/health")]);
    assert_eq!(direct.unwrap().text(), "ready\n");
}

/// The record is on disk before the answer passes, and an accounting of disclosures depends on it.
#[test]
fn a_durable_record_says_where_data_went_also_without_a_length() {
    let declared = Declared { integration: "audit: durable", operations: OPERATIONS, ..Declared::default() };
    let scene = Scene::new(&declared, |_, _| Ok(()));
    scene.world.target.on("GET /any/streams", Reply::Oversize(8));
    scene.world.target.on("GET /any/empty", Reply::Raw(204, Vec::new(), Bytes::new()));
    for (path, direction) in [("/erp/v1/any/streams", "to_source"), ("/erp/v1/any/empty", "none")] {
        let record = scene.world.record_of(&scene.get(path));
        assert_eq!(
            (&record["direction"], &record["outcome"]),
            (&json!(direction), &json!("success")),
            "{record}"
        );
    }
}
