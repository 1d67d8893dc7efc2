//! A caller that takes nothing of its answer holds neither memory nor a place for longer than is declared.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use ironbridge_testkit::Reply;
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use world::{Declared, PlainTarget, World, frames, system};

const OPERATIONS: &str = "kept: { match: GET /kept, permission: orders.read, response: { keep: [/id] } }
    declined: { match: GET /declined, permission: orders.read }";
const RAW: &str = "whole: { match: GET /whole, permission: orders.read, response: { max_body: 64MiB }, replay: { idempotency_key: optional } }, \
                   stream: { match: GET /stream, permission: orders.read, idle_timeout: 5s }";

struct Scene {
    world: World,
    key: String,
    target: PlainTarget,
}

fn scene() -> Scene {
    let target = PlainTarget::start();
    let declared = Declared {
        operations: OPERATIONS,
        bridge: "limits: { memory: 256MiB }\n  timeouts: { header: 1s, body: 1s, idle: 2s }",
        ..Declared::default()
    };
    let (world, key) = World::with_key(&declared, |dir, _| {
        Ok(std::fs::write(dir.join("raw.yaml"), system("raw", &target.http(""), RAW))?)
    })
    .unwrap();
    world.target.on("GET /kept", Reply::Json(200, json!({ "id": 7 })));
    world.target.on("GET /declined", Reply::Json(404, json!({})));
    Scene { world, key, target }
}

impl Scene {
    /// Waits for the record of each of these operations; on a machine under load, too.
    fn recorded(&self, operations: &[&str]) {
        let begun = Instant::now();
        loop {
            let records = self.world.records().unwrap();
            let of = |name: &str| -> Vec<Value> {
                records.iter().filter(|record| record["operation"] == *name).cloned().collect()
            };
            if operations.iter().all(|name| !of(name).is_empty()) {
                for record in operations.iter().flat_map(|name| of(name)) {
                    assert_eq!(
                        (&record["code"], &record["outcome"]),
                        (&json!("answer-untaken"), &json!("partial")),
                        "{record}"
                    );
                }
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{records:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Its window stays shut, so that not a byte of a body may be sent (RFC 9113 §6.9.2).
#[test]
fn over_http2_an_answer_that_nobody_takes_is_cut_and_its_connection_ends() {
    let scene = scene();
    let mut answer = b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n".to_vec();
    answer.resize(answer.len() + 900_000, b'x');
    scene.target.answer(answer);
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    frames::frame(&mut bytes, 4, 0, 0, &[0, 4, 0, 0, 0, 0]);
    for (stream, path) in [(1, "/erp/v1/kept"), (3, "/erp/v1/declined"), (5, "/raw/stream"), (7, "/erp/none")]
    {
        let fields = [
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", "localhost"),
            (":path", path),
            ("x-api-key", &*scene.key),
        ];
        frames::frame(&mut bytes, 1, 4 | 1, stream, &frames::block(&fields));
    }
    let mut raw = scene.world.raw_http2().unwrap();
    raw.send(bytes);
    scene.recorded(&["kept", "declined", "stream"]);
    let begun = Instant::now();
    while !raw.is_closed() {
        assert!(begun.elapsed() < Duration::from_secs(60), "the connection stays");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn over_http1_an_answer_that_nobody_takes_is_cut() {
    let scene = scene();
    // More than every buffer on the way holds.
    let mut answer =
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 60000000\r\n\r\n".to_vec();
    answer.resize(answer.len() + 60_000_000, b'x');
    scene.target.answer(answer);
    for (operation, key) in [("whole", "Idempotency-Key: k\r\n"), ("stream", "")] {
        let mut caller = Command::new("openssl")
            .args(["s_client", "-quiet", "-ign_eof", "-servername", "localhost", "-alpn", "http/1.1"])
            .args(["-connect", &format!("localhost:{}", scene.world.port), "-CAfile"])
            .arg(scene.world.ca())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let request =
            format!("GET /raw/{operation} HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\n{key}\r\n", scene.key);
        caller.stdin.as_mut().unwrap().write_all(request.as_bytes()).unwrap();
        scene.recorded(&[operation]);
        caller.kill().unwrap();
        caller.wait().unwrap();
    }
}
