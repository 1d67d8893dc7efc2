//! WebSocket passed through, between npm's client and npm's server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use ironbridge_testkit::{Authority, NodeServer, Reply, call};
use serde_json::{Value, json};
use world::{Declared, World, eventually, system};

const CHAT: &str = "chat: { match: GET /chat, permission: orders.read, upgrade: websocket }";

const OPERATIONS: &str = "echo: { match: GET /echo, permission: orders.read, upgrade: websocket }
    plain: { match: GET /plain, permission: orders.read }";

struct Scene {
    world: World,
    key: String,
    _server: NodeServer,
}

impl Scene {
    fn new() -> Scene {
        let authority = Authority::new("chat authority").unwrap();
        let files = tempfile::tempdir().unwrap();
        let identity = authority.server(&["localhost"]).unwrap();
        let server = NodeServer::start("websocket.mjs", &identity, files.path(), json!({})).unwrap();
        let declared =
            Declared { operations: OPERATIONS, bridge: "timeouts: { drain: 1s }", ..Declared::default() };
        let (world, key) = World::with_key(&declared, |dir, _| {
            authority.write(dir.join("chat-ca.pem"))?;
            let http = format!("url: \"{}\", ca: ./chat-ca.pem", server.url());
            Ok(std::fs::write(dir.join("chat.yaml"), system("ws", &http, CHAT))?)
        })
        .unwrap();
        Scene { world, key, _server: server }
    }

    fn talk(&self, path: &str, more: Value) -> Value {
        let mut wish = json!({
            "url": self.world.url(path), "ca": self.world.ca(), "headers": { "X-API-Key": self.key },
        });
        wish.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        call("websocket.mjs", &wish).unwrap()
    }
}

#[test]
fn messages_pass_both_ways_and_the_record_counts_them() {
    let scene = Scene::new();
    let long = "x".repeat(40_000);
    let told =
        scene.talk("/ws/chat", json!({ "messages": ["hello", long, "bye"], "protocols": ["chat.v1"] }));
    assert_eq!(told["messages"], json!(["hello", long, "bye"]));
    assert_eq!((&told["protocol"], &told["close"]), (&json!("chat.v1"), &json!(1000)));
    let record = eventually(|| scene.world.records().unwrap().pop());
    assert_eq!((&record["outcome"], &record["status"]), (&json!("success"), &json!(101)), "{record}");
    assert!(record["bytes_out"].as_u64().unwrap() > 40_000, "{record}");

    // The target's own close arrives as it was sent; the target sees the caller's fields, and no credential.
    let headers =
        json!({ "X-API-Key": scene.key, "Origin": "https://app.example", "User-Agent": "a browser" });
    let told = scene.talk("/ws/chat", json!({ "messages": ["headers", "close"], "headers": headers }));
    assert_eq!(told["close"], 4001, "{told}");
    let headers: Value = serde_json::from_str(told["messages"][0].as_str().unwrap()).unwrap();
    assert_eq!((&headers["upgrade"], &headers["via"]), (&json!("websocket"), &json!("1.1 test-bridge")));
    assert!(headers["x-api-key"].is_null() && headers["user-agent"].is_null(), "{headers}");
    // Whose pages may talk to it is the target's to judge (RFC 6455 §10.2).
    assert_eq!(headers["origin"], "https://app.example", "{headers}");
}

#[test]
fn what_may_not_change_its_protocol_does_not() {
    let scene = Scene::new();
    // Declared without `upgrade`, it opens none, and says so. What is no handshake is an ordinary request there.
    let told = scene.talk("/erp/v1/plain", json!({}));
    assert_eq!(told["status"], 400, "{told}");
    let problem: Value = serde_json::from_str(told["body"].as_str().unwrap()).unwrap();
    assert_eq!(problem["code"], "websocket-refused");
    assert!(problem["detail"].as_str().unwrap().contains("opens no WebSocket"), "{problem}");
    assert!(scene.world.target.seen().is_empty());
    let header = format!("X-API-Key: {}", scene.key);
    for protocol in ["websocket", "h2c", "TLS/1.2", "websocket, h2c"] {
        let upgrade = format!("Upgrade: {protocol}");
        let more = ["-H", &header, "-H", &upgrade, "-H", "Connection: Upgrade"];
        let reply = scene.world.curl("/erp/v1/plain", &more).unwrap();
        let echo = reply.json().unwrap();
        assert!(reply.status == 200 && echo["headers"]["upgrade"].is_null(), "{protocol}: {echo}");
    }
    // Without a credential, and where nothing is declared.
    let told = scene.talk("/ws/chat", json!({ "headers": {} }));
    assert_eq!(told["status"], 401);
    let told = scene.talk("/ws/none", json!({}));
    assert_eq!(told["status"], 404);
    // What is no handshake would pass an operation for WebSockets unread: also where a proxy took it for HTTP.
    scene.world.target.forget();
    for more in [&[][..], &["-H", "Upgrade: websocket"], &["-H", "Connection: Upgrade"], &["--http2"]] {
        let header = format!("X-API-Key: {}", scene.key);
        let reply = scene.world.curl("/erp/v1/echo", &[&["-H", header.as_str()], more].concat()).unwrap();
        assert_eq!(reply.status, 400, "{more:?}: {}", reply.text());
        assert_eq!(reply.json().unwrap()["code"], "websocket-refused");
    }
    assert!(scene.world.target.seen().is_empty());
    // A target that does not switch answers as ever.
    let told = scene.talk("/erp/v1/echo", json!({}));
    assert_eq!(told["status"], 200);
    let echo: Value = serde_json::from_str(told["body"].as_str().unwrap()).unwrap();
    assert_eq!(echo["headers"]["upgrade"], json!(["websocket"]));
}

#[test]
fn a_switched_connection_still_counts_as_one() {
    let declared =
        Declared { operations: OPERATIONS, listener: ", max_connections: 1", ..Declared::default() };
    let (world, key) = World::with_key(&declared, |_, _| Ok(())).unwrap();
    world.target.on("GET /echo", Reply::UpgradeEcho);
    let header = format!("X-API-Key: {key}");
    let plain = || world.curl("/erp/v1/plain", &["-H", &header]);
    let mut raw = world.raw().unwrap();
    raw.send(format!(
        "GET /erp/v1/echo HTTP/1.1\r\nHost: a\r\n{header}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ));
    assert_eq!(raw.reply().status, 101);
    assert!(plain().is_err());
    raw.send("still there");
    eventually(|| raw.received().ends_with(b"still there").then_some(()));
    drop(raw);
    assert_eq!(eventually(|| plain().ok()).status, 200);
}

#[test]
fn bytes_sent_ahead_are_not_taken_for_the_next_request() {
    let scene = Scene::new();
    let request = |path: &str| {
        format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            scene.key
        )
    };
    // Not switched: what follows is the next request.
    let mut raw = scene.world.raw().unwrap();
    raw.send([request("/erp/v1/echo"), request("/erp/v1/echo")].concat());
    let statuses: Vec<u16> = raw.replies(2).iter().map(|reply| reply.status).collect();
    assert_eq!(statuses, [200, 200]);
    // Switched: what follows belongs to the new protocol, whatever it looks like.
    scene.world.target.on("GET /echo", Reply::UpgradeEcho);
    scene.world.target.forget();
    let mut raw = scene.world.raw().unwrap();
    let sent = request("/erp/v1/echo");
    raw.send([&*sent, "GET /erp/v1/none HTTP/1.1\r\n\r\n"].concat());
    let reply = raw.reply();
    assert_eq!(
        (reply.status, reply.header("upgrade"), reply.header("connection")),
        (101, Some("websocket"), Some("upgrade"))
    );
    raw.send("more");
    eventually(|| raw.received().ends_with(b"GET /erp/v1/none HTTP/1.1\r\n\r\nmore").then_some(()));
    assert_eq!(scene.world.target.seen().len(), 1);
    // A drain does not wait for it for ever.
    let mut world = scene.world;
    assert_eq!(world.stop().unwrap(), 1);
    raw.wait_until_closed();
}
