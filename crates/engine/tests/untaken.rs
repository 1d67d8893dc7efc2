//! A caller that takes nothing of its answer holds neither memory nor a place for longer than is declared.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use ironbridge_testkit::Reply;
use serde_json::{Value, json};
use world::{Beside, Declared, eventually, frames, long_answer};

const OPERATIONS: &str = "kept: { match: GET /kept, permission: orders.read, response: { keep: [/id] } }
    declined: { match: GET /declined, permission: orders.read }";
/// Reading 60 MB takes a slow machine a while.
const RAW: &str = "whole: { match: GET /whole, permission: orders.read, timeout: 60s, response: { max_body: 64MiB }, \
                            replay: { idempotency_key: optional } }, \
                   stream: { match: GET /stream, permission: orders.read, timeout: 60s, idle_timeout: 5s }";

fn scene() -> Beside {
    let declared = Declared {
        operations: OPERATIONS,
        bridge: "limits: { memory: 256MiB }\n  timeouts: { body: 1s, idle: 2s }",
        ..Declared::default()
    };
    let scene = Beside::new(&declared, "raw", RAW);
    scene.world.target.on("GET /kept", Reply::Json(200, json!({ "id": 7 })));
    scene.world.target.on("GET /declined", Reply::Json(404, json!({})));
    scene
}

/// Waits for the record of each of these operations.
fn recorded(scene: &Beside, operations: &[&str]) {
    let records: Vec<Value> = eventually(|| {
        let records = scene.world.records().unwrap().into_iter();
        let records: Vec<Value> =
            records.filter(|record| operations.iter().any(|name| record["operation"] == *name)).collect();
        let are_all = operations.iter().all(|name| records.iter().any(|record| record["operation"] == *name));
        are_all.then_some(records)
    });
    for record in records {
        let (code, outcome) = (&record["code"], &record["outcome"]);
        assert_eq!((code, outcome), (&json!("answer-untaken"), &json!("partial")), "{record}");
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
    recorded(&scene, &["kept", "declined", "stream"]);
    raw.wait_until_closed();
}

#[test]
fn over_http1_an_answer_that_nobody_takes_is_cut() {
    let scene = scene();
    scene.target.answer(long_answer());
    for (operation, fields) in [("whole", "Idempotency-Key: k\r\n"), ("stream", "")] {
        let _caller = scene.takes_nothing(&format!("/raw/{operation}"), fields);
        recorded(&scene, &[operation]);
    }
}
