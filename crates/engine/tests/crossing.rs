//! What crosses besides bodies, and what does not: fields and trailers, in both directions and both protocols.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

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
    let scene = Scene::new("", "none: { match: POST /none, permission: orders.write }");
    let mut trailers: Vec<(&str, &str)> = FORBIDDEN.iter().map(|name| (*name, "1")).collect();
    trailers.extend([("x-in", "1"), ("x-other", "2"), ("grpc-status", "0")]);
    // HTTP/2 on both sides, so that nothing has to be announced.
    let sent = frames::with_trailers(
        &[
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", "localhost"),
            (":path", "/erp/v1/echo"),
            ("x-api-key", &scene.key),
            ("te", "trailers"),
        ],
        b"abc",
        &trailers,
    );
    scene
        .world
        .edit(|text| text.replace("ca: ./erp-ca.pem", "ca: ./erp-ca.pem\n      protocol: http2"))
        .unwrap();
    scene.world.reload().unwrap();
    let mut raw = scene.world.raw_http2().unwrap();
    raw.send(sent);
    let seen = eventually(|| scene.world.target.seen_on("POST /echo").pop());
    assert_eq!((seen.body.as_ref(), seen.trailers), (&b"abc"[..], vec![("x-in".into(), "1".into())]));
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
