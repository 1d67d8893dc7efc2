//! What crosses besides bodies, and what does not: fields and trailers, in both directions and both protocols.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use ironbridge_seal::hash::base64;
use serde_json::json;
use std::path::Path;
use world::{Declared, PlainTarget, World, eventually, frames, set_secret, system};

/// A world with a system `raw` whose target a test writes byte for byte, and whose operations it declares.
struct Scene {
    world: World,
    key: String,
    target: PlainTarget,
}

impl Scene {
    fn new(more: &str, operations: &str) -> Scene {
        Scene::with(more, operations, |_| Ok(()))
    }

    fn with(more: &str, operations: &str, prepare: impl FnOnce(&Path) -> anyhow::Result<()>) -> Scene {
        let target = PlainTarget::start();
        let declared = Declared {
            operations: "echo: { match: POST /echo, permission: orders.write, request: { trailers: [X-In] } }",
            ..Declared::default()
        };
        let (world, key) = World::with_key(&declared, |dir, _| {
            prepare(dir)?;
            Ok(std::fs::write(dir.join("raw.yaml"), system("raw", &target.http(more), operations))?)
        })
        .unwrap();
        Scene { world, key, target }
    }

    fn get(&self, path: &str) -> world::RawReply {
        self.send(&format!("GET {path}"), "\r\n")
    }

    /// One HTTP/1.1 request with these further lines, and what the caller got.
    fn send(&self, request: &str, more: &str) -> world::RawReply {
        let mut raw = self.world.raw().unwrap();
        raw.send(format!("{request} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {}\r\n{more}", self.key));
        raw.reply()
    }
}

/// What a header may not say, no trailer says either.
const FORBIDDEN: [&str; 14] = [
    "x-real-ip",
    "x_real_ip",
    "x-forwarded-for",
    "client-cert",
    "x-http-method-override",
    "range",
    "if-match",
    "content-type",
    "host",
    "authorization",
    "x-api-key",
    "cookie",
    "proxy-status",
    "cf-connecting-ip",
];

const HEADER_AUTH: &str = ", auth: { header: { name: X-Erp-Key, value: secret://sealed/erp } }";

#[test]
fn trailers_of_a_request_are_those_that_are_declared() {
    let scene = Scene::with(
        HEADER_AUTH,
        "some: { match: POST /some, permission: orders.write, request: { trailers: [X-In] } }, \
         all: { match: POST /all, permission: orders.write, request: { trailers: all } }, \
         none: { match: POST /none, permission: orders.write }",
        |dir| set_secret(dir, "erp", "the-erps-own-key"),
    );
    scene.target.answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let declared = "X-In: 1\r\nX-Other: 2\r\nX-Erp-Key: 3\r\nx_erp_key: 4\r\n";
    let chunked = |trailers: &str| {
        format!(
            "TE: trailers\r\nTrailer: X-In, X-Other, X-Erp-Key, x_erp_key, Range\r\nTransfer-Encoding: chunked\r\n\r\n\
             3\r\nabc\r\n0\r\n{trailers}\r\n"
        )
    };
    for (path, announced, follows) in [
        ("some", Some("trailer: x-in\r\n"), "0\r\nx-in: 1\r\n\r\n"),
        ("all", Some("trailer: x-in, x-other\r\n"), "0\r\nx-in: 1\r\nx-other: 2\r\n\r\n"),
        ("none", None, "0\r\n\r\n"),
    ] {
        scene.target.answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        let reply = scene.send(&format!("POST /raw/{path}"), &chunked(declared));
        assert_eq!(reply.status, 200, "{path}");
        let seen = scene.target.seen();
        assert!(seen.ends_with(follows), "{path}: {seen}");
        match announced {
            Some(line) => assert!(seen.contains(line), "{path}: {seen}"),
            None => assert!(!seen.contains("trailer:"), "{path}: {seen}"),
        }
    }
    // Over HTTP/1.1 the framing gate refuses what no operation can declare, before it knows the operation.
    for name in FORBIDDEN {
        let reply = scene.send("POST /raw/all", &chunked(&format!("{name}: 1\r\n")));
        assert_eq!((reply.status, &reply.json()["code"]), (400, &"header-refused".into()), "{name}");
    }
}

#[test]
fn trailers_over_http2_are_those_that_are_declared() {
    let operations = "judged: { match: POST /judged, permission: orders.write, request: { keep: [/a] } }";
    let scene = Scene::new("", operations);
    // HTTP/2 on both sides, so that nothing has to be announced.
    let sent = |path: &str, body: &str, trailers: &[(&str, &str)]| {
        frames::with_trailers(
            &[
                (":method", "POST"),
                (":scheme", "https"),
                (":authority", "localhost"),
                (":path", path),
                ("x-api-key", &scene.key),
                ("content-type", "application/json"),
                ("te", "trailers"),
            ],
            body.as_bytes(),
            trailers,
        )
    };
    scene
        .world
        .edit(|text| text.replace("ca: ./erp-ca.pem", "ca: ./erp-ca.pem\n      protocol: http2"))
        .unwrap();
    scene.world.reload().unwrap();
    let mut raw = scene.world.raw_http2().unwrap();
    raw.send(sent("/erp/v1/echo", "abc", &[("x-in", "1"), ("x-other", "2"), ("grpc-status", "0")]));
    let seen = eventually(|| scene.world.target.seen_on("POST /echo").pop());
    assert_eq!((seen.body.as_ref(), seen.trailers), (&b"abc"[..], vec![("x-in".into(), "1".into())]));
    // What no operation can declare is refused as over HTTP/1.1, whether the body streams or is read.
    eventually(|| (scene.world.records().unwrap().len() == 1).then_some(()));
    for (number, name) in FORBIDDEN.iter().enumerate() {
        let path = if number % 2 == 0 { "/erp/v1/echo" } else { "/raw/judged" };
        let before = scene.world.records().unwrap().len();
        let mut raw = scene.world.raw_http2().unwrap();
        raw.send(sent(path, r#"{"a":1}"#, &[(name, "1")]));
        let record = eventually(|| scene.world.records().unwrap().into_iter().nth(before));
        assert_eq!(record["code"], "header-refused", "{name}: {record}");
    }
}

#[test]
fn trailers_of_a_reply_are_grpcs_and_those_that_are_declared() {
    let operations = "some: { match: GET /some, permission: orders.read, response: { trailers: [X-Sum] } }, \
                      all: { match: GET /all, permission: orders.read, response: { trailers: all } }, \
                      none: { match: GET /none, permission: orders.read }";
    let scene = Scene::with(HEADER_AUTH, operations, |dir| set_secret(dir, "erp", "the-erps-own-key"));
    let forbidden: String = FORBIDDEN.iter().map(|name| format!("{name}: 1\r\n")).collect();
    scene.target.answer(format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, Grpc-Status, X-Erp-Key, X-More, {}\r\n\r\n\
         3\r\nabc\r\n0\r\nX-Sum: 7\r\nGrpc-Status: 0\r\nX-Erp-Key: 8\r\nX-More: 9\r\nSet-Cookie: a=b\r\n{forbidden}\r\n",
        FORBIDDEN.join(", ")
    ));
    for (path, announced, follow) in [
        ("some", "x-sum, grpc-status", "x-sum: 7\r\ngrpc-status: 0"),
        ("all", "x-sum, grpc-status, x-more", "x-sum: 7\r\ngrpc-status: 0\r\nx-more: 9"),
        ("none", "grpc-status", "grpc-status: 0"),
    ] {
        let reply = scene.send(&format!("GET /raw/{path}"), "TE: trailers\r\n\r\n");
        assert_eq!((reply.status, reply.body.as_slice()), (200, &b"abc"[..]), "{path}");
        assert_eq!(reply.header("trailer"), Some(announced), "{path}");
        assert_eq!(reply.trailers.to_lowercase(), follow, "{path}");
    }
}

const READ_AND_STREAMED: &str = "kept: { match: GET /kept, permission: orders.read, response: { keep: [/a], headers: [X-Echo] } }, \
                                 streamed: { match: GET /streamed, permission: orders.read }";

/// A reply of known length.
fn whole(fields: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{fields}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn no_credential_of_the_bridges_comes_back() {
    let secret = "s3cr/t-of-the-bridge";
    for (auth, presented, pieces) in [
        ("bearer: { token: secret://sealed/erp }", format!("bearer {secret}"), vec![secret.to_owned()]),
        (
            "header: { name: X-Erp-Key, value: secret://sealed/erp }",
            secret.to_owned(),
            vec![secret.to_owned()],
        ),
        (
            "basic: { username: bridge, password: secret://sealed/erp }",
            format!("basic {}", base64(format!("bridge:{secret}").as_bytes())).to_lowercase(),
            vec![secret.to_owned(), base64(format!("bridge:{secret}").as_bytes())],
        ),
    ] {
        let more = format!(", auth: {{ {auth} }}");
        let scene = Scene::with(&more, READ_AND_STREAMED, |dir| set_secret(dir, "erp", secret));
        scene.target.answer(whole("", r#"{"a":1}"#));
        for path in ["kept", "streamed"] {
            assert_eq!(scene.get(&format!("/raw/{path}")).status, 200, "{auth} {path}");
        }
        assert!(scene.target.seen().contains(&presented), "{auth}");
        for piece in &pieces {
            let escaped: String = piece.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
            for (name, fields, body) in [
                ("a field", format!("X-Echo: {piece}\r\n"), json!({ "a": 1 }).to_string()),
                (
                    "a field within a text",
                    format!("Content-Disposition: attachment; filename=\"{piece}\"\r\n"),
                    "{}".into(),
                ),
                ("a link", format!("Location: /kept?key={piece}\r\n"), "{}".into()),
                ("a kept member", String::new(), json!({ "a": format!("Bearer {piece}") }).to_string()),
                ("a name", String::new(), json!({ "a": { piece: 1 } }).to_string()),
                ("escaped", String::new(), format!("{{\"a\":\"{escaped}\"}}")),
                ("a slash escaped", String::new(), format!("{{\"a\":\"{}\"}}", piece.replace('/', "\\/"))),
                (
                    "text in text",
                    String::new(),
                    json!({ "a": json!({ "b": piece }).to_string() }).to_string(),
                ),
                ("base64", String::new(), json!({ "a": base64(format!("x{piece}").as_bytes()) }).to_string()),
            ] {
                scene.target.answer(whole(&fields, &body));
                let reply = scene.get("/raw/kept");
                assert_eq!(
                    (reply.status, &reply.json()["code"]),
                    (502, &json!("reply-holds-credential")),
                    "{auth} {name}"
                );
                assert!(!String::from_utf8_lossy(&reply.body).contains(secret), "{auth} {name}");
                let record = scene.world.record(reply.header("x-correlation-id").unwrap());
                assert_eq!(record["code"], "reply-holds-credential", "{record}");
            }
        }
        // What is not kept does not cross, so it is no reason to refuse.
        scene.target.answer(whole("", &json!({ "a": 1, "b": secret }).to_string()));
        let reply = scene.get("/raw/kept");
        assert_eq!((reply.status, reply.body.as_slice()), (200, &br#"{"a":1}"#[..]), "{auth}");
    }
}

#[test]
fn a_stream_is_cut_before_a_credential_of_the_bridges() {
    let secret = "s3cret-of-the-bridge";
    let scene = Scene::with(HEADER_AUTH, READ_AND_STREAMED, |dir| set_secret(dir, "erp", secret));
    let more = "x".repeat(100_000);
    let percent: String = secret.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let unicode: String = secret.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
    let entities: String = secret.bytes().map(|byte| format!("&#{byte};")).collect();
    let utf16: String = secret.chars().map(|c| format!("{c}\0")).collect();
    let lines = base64(format!("bridge:{secret}").as_bytes());
    let lines = format!("{}\r\n{}", &lines[..16], &lines[16..]);
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut cut = 0;
    for written in [secret, &percent, &unicode, &entities, &utf16, &lines, &hex] {
        let body = json!({ "more": more, "headers": { "x-erp-key": "HERE" }, "and": more }).to_string();
        let body = body.replace("HERE", written);
        let (first, second) = body.split_at(body.find(written).unwrap() + 10);
        let chunked = format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{first}\r\n{:x}\r\n{second}\r\n0\r\n\r\n",
            first.len(),
            second.len()
        );
        for answer in [whole("", &body), chunked] {
            scene.target.answer(&answer);
            cut += 1;
            let mut raw = scene.world.raw().unwrap();
            raw.send(format!(
                "GET /raw/streamed HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {}\r\n\r\n",
                scene.key
            ));
            raw.wait_until_closed();
            let received = String::from_utf8_lossy(&raw.received()).into_owned();
            assert!(!received.contains(&written[..written.len() / 2]), "{written}");
            assert!(received.starts_with("HTTP/1.1 200"), "{written}");
            eventually(|| {
                let records = scene.world.records().unwrap();
                let partial = records.iter().filter(|record| record["outcome"] == "partial");
                (partial.filter(|record| record["code"] == "reply-holds-credential").count() == cut)
                    .then_some(())
            });
        }
        // Where it came with the header section, or at once behind it, nothing was sent yet.
        scene.target.answer(whole("", written));
        let reply = scene.get("/raw/streamed");
        assert_eq!(
            (reply.status, &reply.json()["code"]),
            (502, &json!("reply-holds-credential")),
            "{written}"
        );
    }
    let late = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Grpc-Message\r\n\r\n1\r\nx\r\n0\r\nGrpc-Message: {secret}\r\n\r\n"
    );
    scene.target.answer(&late);
    let mut raw = scene.world.raw().unwrap();
    raw.send(format!("GET /raw/streamed HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {}\r\n\r\n", scene.key));
    raw.wait_until_closed();
    let received = String::from_utf8_lossy(&raw.received()).into_owned();
    assert!(!received.contains(&secret[..4]), "{received}");
    let record = eventually(|| scene.world.records().unwrap().pop());
    assert_eq!(record["code"], "reply-holds-credential", "{record}");
    // Whole otherwise, also where it looks like the beginning of one.
    let alike = format!("{} {}", &secret[..9], &secret[..12]);
    scene.target.answer(whole("", &alike));
    assert_eq!(scene.get("/raw/streamed").body, alike.as_bytes());
}

/// Where nothing was sent to the caller yet, it is told; where the header section was on its way, it gets that.
#[test]
fn a_reply_that_breaks_off_before_its_body_begins_is_not_silence() {
    for auth in ["", HEADER_AUTH] {
        let scene = Scene::with(auth, READ_AND_STREAMED, |dir| set_secret(dir, "erp", "the-erps-own-key"));
        for head in
            ["Transfer-Encoding: chunked", "Content-Length: 42", "Content-Length: 42\r\nConnection: close"]
        {
            scene.target.answer_and_close(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n"));
            for path in ["streamed", "streamed", "streamed", "kept"] {
                let before = scene.world.records().unwrap().len();
                let mut raw = scene.world.raw().unwrap();
                let request =
                    format!("GET /raw/{path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {}", scene.key);
                raw.send(format!("{request}\r\nConnection: close\r\n\r\n"));
                raw.wait_until_closed();
                let received = String::from_utf8_lossy(&raw.received()).into_owned();
                let told = received.starts_with("HTTP/1.1 502 ") && received.contains("target-broke-off");
                let begun = path == "streamed" && received.starts_with("HTTP/1.1 200 ");
                assert!(told || begun, "{head}: {received}");
                let record = eventually(|| scene.world.records().unwrap().into_iter().nth(before));
                assert_eq!(record["code"], "target-broke-off", "{record}");
            }
        }
    }
}

/// What hyper has not sent when a body fails, it drops.
#[test]
fn what_came_of_a_reply_before_it_broke_off_arrives() {
    let scene = Scene::with("", READ_AND_STREAMED, |_| Ok(()));
    for (head, body) in [("Transfer-Encoding: chunked", "5\r\nfirst\r\n"), ("Content-Length: 42", "first")] {
        scene.target.answer_and_close(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}"));
        for _ in 0..20 {
            let mut raw = scene.world.raw().unwrap();
            let request =
                format!("GET /raw/streamed HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {}", scene.key);
            raw.send(format!("{request}\r\nConnection: close\r\n\r\n"));
            raw.wait_until_closed();
            let received = String::from_utf8_lossy(&raw.received()).into_owned();
            assert!(
                received.starts_with("HTTP/1.1 200 ") && received.contains("first"),
                "{head}: {received}"
            );
        }
    }
}

#[test]
fn an_older_credential_does_not_come_back_either() {
    let scene = Scene::with(HEADER_AUTH, READ_AND_STREAMED, |dir| set_secret(dir, "erp", "the-first-secret"));
    scene.target.answer(whole("", r#"{"a":"the-first-secret"}"#));
    assert_eq!(scene.get("/raw/kept").status, 502);
    set_secret(scene.world.dir.path(), "erp", "the-second-secret").unwrap();
    eventually(|| {
        scene.target.answer(whole("", r#"{"a":"the-second-secret"}"#));
        (scene.get("/raw/kept").status == 502).then_some(())
    });
    scene.target.answer(whole("", r#"{"a":"the-first-secret"}"#));
    assert_eq!(scene.get("/raw/kept").status, 502);
}

#[test]
fn a_reply_that_is_searched_is_not_compressed() {
    let declared = "asked: { match: GET /asked, permission: orders.read, request: { headers: [Accept-Encoding] } }, \
                    streamed: { match: GET /streamed, permission: orders.read }";
    for auth in [HEADER_AUTH, ""] {
        let scene = Scene::with(auth, declared, |dir| set_secret(dir, "erp", "the-erps-own-key"));
        for (path, searched) in [("streamed", !auth.is_empty()), ("asked", false)] {
            scene.target.answer(whole("", "{}"));
            assert_eq!(scene.send(&format!("GET /raw/{path}"), "Accept-Encoding: gzip\r\n\r\n").status, 200);
            let asks = if searched { "accept-encoding: identity\r\n" } else { "accept-encoding: gzip\r\n" };
            assert!(scene.target.seen().contains(asks), "{auth} {path}");
            for (coding, passes) in [("gzip", !searched), ("Identity", true), ("identity, br", !searched)] {
                scene.target.answer(whole(&format!("Content-Encoding: {coding}\r\n"), "what was packed"));
                let reply = scene.send(&format!("GET /raw/{path}"), "Accept-Encoding: gzip\r\n\r\n");
                assert_eq!(reply.status, if passes { 200 } else { 502 }, "{auth} {path} {coding}");
            }
        }
    }
}

#[test]
fn header_fields_are_those_of_http_and_those_that_are_declared() {
    let scene = Scene::new(
        "",
        "some: { match: GET /some, permission: orders.read, request: { headers: [X-Tenant, X-User-Name] }, response: { headers: [X-Order] } }, \
         all: { match: GET /all, permission: orders.read, request: { headers: all }, response: { headers: all } }",
    );
    let sent = "Accept: application/json\r\nX-Tenant: 1\r\nX-Debug: 2\r\nX-Real-IP: 3\r\nX_Tenant: 4\r\nUser-Agent: x\r\n\
                X-User-Name: 5\r\nx.real.ip: 6\r\nX-Original-Path: 7\r\nX-Auth-Token: 8\r\nX-Middleware-Subrequest: 9\r\n\r\n";
    let answered = "X-Order: 7\r\nX-Backend: erp-7\r\nServer-Timing: db;dur=1\r\nServer: ERP\r\nVia: 1.1 squid\r\nX-Accel-Redirect: /internal\r\n\
                    Set-Cookie: a=b\r\nIdempotency-Replayed: true\r\nRetry-After: http://erp.internal/\r\nETag: \"1\"\r\n";
    for (path, crosses, comes_back) in [
        ("some", &["accept", "x-tenant", "x-user-name"][..], &["etag", "x-order"][..]),
        (
            "all",
            &["accept", "user-agent", "x-debug", "x-tenant", "x_tenant"],
            &["etag", "server-timing", "x-backend", "x-order"],
        ),
    ] {
        scene.target.answer(whole(answered, "{}"));
        let reply = scene.send(&format!("GET /raw/{path}"), sent);
        let seen = scene.target.seen();
        let mut names: Vec<&str> = seen.lines().skip(1).filter_map(|line| line.split(':').next()).collect();
        names.retain(|name| {
            !["", "host", "via", "forwarded", "x-forwarded-for", "x-forwarded-proto"].contains(name)
        });
        names.sort_unstable();
        assert_eq!(names, crosses, "{path}");
        let bridges = [
            "content-length",
            "content-type",
            "date",
            "ratelimit",
            "ratelimit-policy",
            "via",
            "x-correlation-id",
        ];
        let mut names: Vec<&str> = reply.headers.iter().map(|(name, _)| name.as_str()).collect();
        names.retain(|name| !bridges.contains(name));
        names.sort_unstable();
        assert_eq!(names, comes_back, "{path}");
    }
}

#[test]
fn what_is_no_status_is_not_passed_on() {
    let scene = Scene::new("", READ_AND_STREAMED);
    for (status, code) in [
        ("600 Own", "reply-malformed"),
        ("999 Own", "reply-malformed"),
        ("101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket", "reply-malformed"),
    ] {
        for path in ["kept", "streamed"] {
            scene.target.answer(format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\n{{}}"));
            let reply = scene.get(&format!("/raw/{path}"));
            assert_eq!((reply.status, reply.json()["code"].as_str()), (502, Some(code)), "{status} {path}");
        }
    }
    // A part of something, where the whole was asked for and is judged.
    scene.target.answer("HTTP/1.1 206 Partial\r\nContent-Type: application/json\r\nContent-Range: bytes 0-6/90\r\nContent-Length: 7\r\n\r\n{\"a\":1}");
    let reply = scene.get("/raw/kept");
    assert_eq!((reply.status, reply.json()["code"].as_str()), (502, Some("reply-refused")));
}

#[test]
fn the_words_of_a_redirection_stay_at_the_target() {
    let scene = Scene::new("", READ_AND_STREAMED);
    for status in [300, 301, 302, 303, 307, 308, 399] {
        for path in ["kept", "streamed"] {
            let words = "<a href=\"http://erp.internal:8080/x\">moved</a>";
            scene.target.answer(format!(
                "HTTP/1.1 {status} Moved\r\nContent-Type: text/html\r\nLocation: /streamed\r\nContent-Length: {}\r\n\r\n{words}",
                words.len()
            ));
            let reply = scene.get(&format!("/raw/{path}"));
            assert_eq!((reply.status, reply.body.as_slice()), (status, &b""[..]), "{path}");
            assert_eq!(
                (reply.header("content-length"), reply.header("content-type")),
                (Some("0"), None),
                "{status}"
            );
            assert_eq!(reply.header("location"), Some("/raw/streamed"), "{status} {path}");
        }
    }
}

#[test]
fn nothing_tells_of_what_a_keep_list_holds_back() {
    let operations = "kept: { match: GET /kept, permission: orders.read, response: { keep: [/a] } }, \
                      head: { match: HEAD /kept, permission: orders.read, response: { headers: all } }, \
                      other: { match: HEAD /other, target_path: /kept, permission: orders.read }, \
                      put: { match: PUT /put, target_path: /kept, permission: orders.write, response: { headers: all } }, \
                      item: { match: 'GET /items/{id}', permission: orders.read, response: { keep: [/a] } }, \
                      one: { match: DELETE /items/one, permission: orders.write, response: { headers: all } }, \
                      free: { match: HEAD /free, permission: orders.read }";
    let scene = Scene::new("", operations);
    let fields = "ETag: \"whole\"\r\nContent-Digest: sha-256=:x:\r\nAccept-Ranges: bytes\r\nContent-MD5: x\r\nLast-Modified: Fri, 27 Nov 2026 12:00:00 GMT\r\n";
    let of_the_whole = ["etag", "content-digest", "accept-ranges", "content-md5"];
    for (request, answer) in [
        ("GET /raw/kept", whole(fields, r#"{"a":1,"b":2}"#)),
        // Also where nothing was held back this time.
        ("GET /raw/kept", whole(fields, r#"{"a":1}"#)),
        ("GET /raw/kept", format!("HTTP/1.1 304 Not Modified\r\n{fields}Content-Length: 13\r\n\r\n")),
        ("HEAD /raw/kept", format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 13\r\n\r\n")),
        ("HEAD /raw/other", format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 13\r\n\r\n")),
        ("PUT /raw/put", format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\n{{}}")),
        ("DELETE /raw/items/one", format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\n{{}}")),
    ] {
        scene.target.answer(answer);
        let mut raw = scene.world.raw().unwrap();
        raw.send(format!(
            "{request} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {}\r\nConnection: close\r\n\r\n",
            scene.key
        ));
        raw.wait_until_closed();
        let received = String::from_utf8_lossy(&raw.received()).to_lowercase();
        assert!(received.contains("last-modified:"), "{request}: {received}");
        assert!(!received.contains("content-length: 13"), "{request}: {received}");
        for name in of_the_whole {
            assert!(!received.contains(name), "{request}: {received}");
        }
    }
    // Where nothing is filtered, HEAD says what GET would.
    scene.target.answer(format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 13\r\n\r\n"));
    let mut raw = scene.world.raw().unwrap();
    raw.send(format!(
        "HEAD /raw/free HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {}\r\nConnection: close\r\n\r\n",
        scene.key
    ));
    raw.wait_until_closed();
    let received = String::from_utf8_lossy(&raw.received()).to_lowercase();
    assert!(received.contains("content-length: 13") && received.contains("etag: \"whole\""), "{received}");
}

#[test]
fn a_websocket_begins_with_a_whole_handshake_on_both_sides() {
    let scene = Scene::new("", "chat: { match: GET /chat, permission: orders.read, upgrade: websocket }");
    let (key, version) = ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "Sec-WebSocket-Version: 13\r\n");
    let asked = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    let agreed = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n";
    let (to, accept) = ("Upgrade: websocket\r\n", "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n");
    scene.target.answer(format!("{agreed}{to}{accept}\r\n"));
    for (name, lines) in [
        ("no key", version.to_owned()),
        ("no version", key.to_owned()),
        ("another version", format!("{key}Sec-WebSocket-Version: 8\r\n")),
        ("a short key", format!("{version}Sec-WebSocket-Key: c2hvcnQ=\r\n")),
        ("two keys", format!("{key}{key}{version}")),
    ] {
        let reply = scene.send("GET /raw/chat", &format!("{asked}{lines}\r\n"));
        assert_eq!((reply.status, &reply.json()["code"]), (400, &json!("websocket-refused")), "{name}");
    }
    assert!(scene.target.saw_nothing());
    for (name, answer, switches) in [
        ("whole", format!("{agreed}{to}{accept}X-Backend: erp-7\r\n"), true),
        ("without Upgrade", format!("{agreed}{accept}"), false),
        ("another protocol", format!("{agreed}Upgrade: h2c\r\n{accept}"), false),
        ("without accept", format!("{agreed}{to}"), false),
        (
            "a wrong accept",
            format!("{agreed}{to}Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n"),
            false,
        ),
        ("a subprotocol not asked for", format!("{agreed}{to}{accept}Sec-WebSocket-Protocol: x\r\n"), false),
        ("an extension not asked for", format!("{agreed}{to}{accept}Sec-WebSocket-Extensions: x\r\n"), false),
    ] {
        scene.target.answer(format!("{answer}\r\n"));
        let reply = scene.send("GET /raw/chat", &format!("{asked}{key}{version}\r\n"));
        assert_eq!(reply.status, if switches { 101 } else { 502 }, "{name}");
        assert_eq!(reply.header("x-backend"), None, "{name}");
        if !switches {
            let record = scene.world.record(reply.header("x-correlation-id").unwrap());
            assert_eq!(record["outcome"], "failed", "{name}: {record}");
        }
    }
}

/// Each reader would take another one of them.
#[test]
fn a_reply_that_is_read_has_one_type() {
    let scene = Scene::new("", READ_AND_STREAMED);
    for (fields, passes) in [
        ("Content-Type: application/json\r\n", true),
        ("Content-Type: application/json; charset=UTF-8\r\n", true),
        ("Content-Type: application/json\r\nContent-Type: application/json\r\n", false),
        ("Content-Type: application/json\r\nContent-Type: text/html\r\n", false),
        ("Content-Type: application/json, text/html\r\n", false),
        ("Content-Type: application/json; charset=utf-16\r\n", false),
        ("Content-Type: application/json; charset=utf-8; charset=utf-7\r\n", false),
        ("Content-Type: application/json\r\nContent-Encoding: identity\r\nContent-Encoding: gzip\r\n", false),
        ("Content-Type: application/json\r\nContent-Encoding: x-gzip\r\n", false),
        ("Content-Type: text/event-stream\r\n", false),
    ] {
        let body = r#"{"a":1}"#;
        scene
            .target
            .answer(format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len()));
        let reply = scene.get("/raw/kept");
        assert_eq!(reply.status == 200, passes, "{fields}: {}", String::from_utf8_lossy(&reply.body));
    }
    let part = "HTTP/1.1 206 Partial Content\r\nContent-Type: application/json\r\nContent-Range: bytes 0-6/9\r\nContent-Length: 7\r\n\r\n{\"a\":1}";
    scene.target.answer(part);
    assert_eq!(scene.get("/raw/kept").status, 502);
    // A range of nothing that was asked for says nothing here.
    scene.target.answer(whole("Content-Range: bytes 0-6/9\r\n", r#"{"a":1}"#));
    let reply = scene.get("/raw/kept");
    assert_eq!((reply.status, reply.header("content-range")), (200, None));
}

#[test]
fn what_is_declared_of_a_handshakes_answer_crosses() {
    let operations = "ws: { match: GET /ws, permission: orders.read, upgrade: websocket, response: { headers: [X-Node, Location] } }";
    let scene = Scene::new("", operations);
    scene.target.answer(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nX-Node: 7\r\nX-Node: 8\r\nX-Other: 9\r\n\
         Location: /elsewhere\r\nContent-Type: text/html\r\nSet-Cookie: a=b\r\n\r\n",
    );
    let reply = scene.send(
        "GET /raw/ws",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    assert_eq!(reply.status, 101);
    let mut names: Vec<&str> = reply.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.retain(|name| !["date", "ratelimit", "ratelimit-policy"].contains(name));
    names.sort_unstable();
    assert_eq!(
        names,
        ["connection", "sec-websocket-accept", "upgrade", "via", "x-correlation-id", "x-node", "x-node"]
    );
}

/// A target must not be blamed for a body that its caller does not send.
#[test]
fn a_stalled_caller_is_told_that_it_stalled() {
    let scene = Scene::new("", "put: { match: PUT /put, permission: orders.write, timeout: 1s }");
    scene.target.answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let reply = scene.send("PUT /raw/put", "Content-Length: 10\r\n\r\nabc");
    assert_eq!((reply.status, &reply.json()["code"]), (408, &json!("request-timeout")));
}

#[test]
fn a_reply_that_is_read_is_not_compressed() {
    let scene = Scene::new("", READ_AND_STREAMED);
    for (codings, status) in [
        ("Content-Encoding: Identity\r\n", 200),
        ("Content-Encoding: identity\r\nContent-Encoding: IDENTITY\r\n", 200),
        ("Content-Encoding: gzip\r\n", 502),
        ("Content-Encoding: identity\r\nContent-Encoding: gzip\r\n", 502),
    ] {
        scene.target.answer(whole(codings, r#"{"a":1}"#));
        assert_eq!(scene.get("/raw/kept").status, status, "{codings}");
    }
}
