//! One account holds a part of a target's connections, and there is always one for the others.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use ironbridge_testkit::Reply;
use std::time::{Duration, Instant};
use world::{Declared, Raw, RawReply, World, eventually, issue_key};

const OPERATIONS: &str = "echo: { match: GET /echo, permission: orders.read, upgrade: websocket }
    brief: { match: GET /brief, permission: orders.read, upgrade: websocket, idle_timeout: 2s }
    slow: { match: GET /slow, permission: orders.read, timeout: 5s }
    plain: { match: GET /plain, permission: orders.read }";

struct Scene {
    world: World,
    keys: [String; 2],
}

fn scene(max_connections: usize) -> Scene {
    let declared = Declared {
        operations: OPERATIONS,
        system: format!("max_connections: {max_connections}"),
        ..Declared::default()
    };
    let mut reader = String::new();
    let (world, key) = World::with_key(&declared, |dir, _| {
        reader = issue_key(dir, "order-reader")?;
        Ok(())
    })
    .unwrap();
    for path in ["/echo", "/brief"] {
        world.target.on(&format!("GET {path}"), Reply::UpgradeEcho);
    }
    world.target.on("GET /slow", Reply::Hang);
    Scene { world, keys: [key, reader] }
}

impl Scene {
    fn open(&self, account: usize, path: &str) -> (Raw, RawReply) {
        let mut raw = self.world.raw().unwrap();
        raw.send(format!(
            "GET /erp/v1{path} HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            self.keys[account]
        ));
        let reply = raw.reply();
        (raw, reply)
    }

    fn get(&self, account: usize, path: &str) -> ironbridge_testkit::CurlReply {
        let key = format!("X-API-Key: {}", self.keys[account]);
        self.world.curl(&format!("/erp/v1{path}"), &["-H", &key]).unwrap()
    }

    /// Sends a request and leaves it open.
    fn hang(&self, account: usize) -> Raw {
        let mut raw = self.world.raw().unwrap();
        let key = &self.keys[account];
        let seen = self.world.target.seen_on("GET /slow").len();
        raw.send(format!("GET /erp/v1/slow HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n\r\n"));
        eventually(|| (self.world.target.seen_on("GET /slow").len() > seen).then_some(()));
        raw
    }
}

#[test]
fn web_sockets_of_one_account_leave_a_target_to_the_others() {
    let scene = scene(4);
    let held: Vec<_> = (0..2).map(|_| scene.open(0, "/echo")).collect();
    assert!(held.iter().all(|(_, reply)| reply.status == 101));
    // Neither another WebSocket nor an ordinary exchange goes beyond the share.
    let refused = scene.open(0, "/echo").1;
    assert_eq!((refused.status, refused.json()["code"].as_str()), (503, Some("target-busy")));
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("This account") && detail.contains(", 2;"), "{detail}");
    assert_eq!(refused.header("retry-after"), Some("1"));
    let refused = scene.get(0, "/plain");
    assert_eq!((refused.status, refused.json().unwrap()["code"].as_str()), (503, Some("target-busy")));
    // The other has its own half.
    assert_eq!(scene.get(1, "/plain").status, 200);
    let other = scene.open(1, "/echo");
    assert_eq!(other.1.status, 101);
    // One that is closed makes room.
    drop(held);
    eventually(|| (scene.get(0, "/plain").status == 200).then_some(()));
}

#[test]
fn slow_replies_of_one_account_leave_a_target_to_the_others() {
    let scene = scene(3);
    // Of three, half is one.
    let held = scene.hang(0);
    let refused = scene.get(0, "/plain");
    assert_eq!((refused.status, refused.json().unwrap()["code"].as_str()), (503, Some("target-busy")));
    assert_eq!(scene.get(1, "/plain").status, 200);
    // When it has ended, be it in a timeout, its place is free again.
    eventually(|| (scene.get(0, "/plain").status == 200).then_some(()));
    drop(held);
}

#[test]
fn an_only_account_has_the_whole_target() {
    let scene = scene(3);
    scene
        .world
        .edit(|text| {
            let (before, rest) = text.split_once("  order-reader:").unwrap();
            let (_, after) = rest.split_once("integrations:").unwrap();
            format!("{before}integrations:{after}")
        })
        .unwrap();
    scene.world.reload().unwrap();
    let held: Vec<_> = (0..2).map(|_| scene.open(0, "/echo")).collect();
    assert!(held.iter().all(|(_, reply)| reply.status == 101));
    assert_eq!(scene.get(0, "/plain").status, 200);
}

/// Connections that nobody uses hold no place against one that wants it, on whichever core they rest.
#[test]
fn connections_at_rest_make_room_for_web_sockets() {
    for protocol in ["http1", "auto"] {
        let scene = scene(2);
        scene
            .world
            .edit(|text| {
                text.replace("max_connections: 2", &format!("max_connections: 2\n      protocol: {protocol}"))
            })
            .unwrap();
        scene.world.reload().unwrap();
        scene.world.target.on("GET /plain", Reply::After(Duration::from_millis(300), Box::new(Reply::Echo)));
        std::thread::scope(|scope| {
            for account in [0, 1] {
                let scene = &scene;
                scope.spawn(move || assert_eq!(scene.get(account, "/plain").status, 200));
            }
        });
        let sockets = [0, 1].map(|account| scene.open(account, "/echo"));
        assert!(sockets.iter().all(|(_, reply)| reply.status == 101), "{protocol}");
    }
}

#[test]
fn a_silent_web_socket_is_closed() {
    let scene = scene(4);
    let begun = Instant::now();
    let (mut raw, reply) = scene.open(0, "/brief");
    assert_eq!(reply.status, 101);
    // What speaks stays, also beyond the idle time.
    for word in [&b"\x81\x04one "[..], b"\x81\x04two ", b"\x81\x06three ", b"\x81\x05four "] {
        raw.send(word);
        eventually(|| raw.received().ends_with(word).then_some(()));
        std::thread::sleep(Duration::from_millis(600));
    }
    raw.wait_until_closed();
    assert!(raw.received().ends_with(b"\x88\x02\x03\xe9"), "{:?}", raw.received());
    assert!(begun.elapsed() >= Duration::from_millis(4 * 600 + 1_000));
    // The record counts what passed, and says that nobody closed it.
    let record = eventually(|| {
        let records = scene.world.records().unwrap();
        records.into_iter().find(|record| record["bytes_out"] == 27)
    });
    assert_eq!((&record["outcome"], &record["bytes_in"]), (&"partial".into(), &27.into()), "{record}");
    assert_eq!(record["code"], "stream-idle", "{record}");
    // The handshake's answer names it, like every other.
    assert_eq!(reply.header("x-correlation-id"), record["id"].as_str());
    assert_eq!(scene.open(0, "/brief").1.status, 101);
}
