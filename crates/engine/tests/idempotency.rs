//! A retried write acts once: the same key gets the same answer, another body under it is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use bytes::Bytes;
use ironbridge_testkit::{CurlReply, Reply};
use serde_json::json;
use world::{Declared, World, eventually};

const OPERATIONS: &str = r#"pay: { match: POST /pay, permission: orders.write, timeout: 20s, replay: { idempotency_key: required, window: 1h } }
    book: { match: POST /book, permission: orders.write, response: { keep: [/id] }, replay: { idempotency_key: required, window: 1h } }"#;

fn world() -> (World, String) {
    let declared = Declared { operations: OPERATIONS, ..Declared::default() };
    let (world, key) = World::with_key(&declared, |_, _| Ok(())).unwrap();
    (world, format!("X-API-Key: {key}"))
}

fn post(world: &World, key: &str, path: &str, idempotency_key: &str, body: &str) -> CurlReply {
    let idempotency_key = format!("Idempotency-Key: \"{idempotency_key}\"");
    let arguments = ["-H", key, "-H", &idempotency_key, "-H", "Content-Type: application/json", "-d", body];
    world.curl(&format!("/erp/v1{path}"), &arguments).unwrap()
}

#[test]
fn a_repetition_gets_the_first_answer() {
    let (world, key) = world();
    let receipt = Reply::Raw(
        201,
        vec![("content-type", "text/csv; charset=utf-8".into())],
        Bytes::from_static(b"receipt;1"),
    );
    world.target.on("POST /pay", receipt);
    let first = post(&world, &key, "/pay", "k1", r#"{"amount":1}"#);
    assert_eq!((first.status, first.header("idempotency-replayed")), (201, None));
    // The target would answer otherwise now, but is not asked.
    world.target.on("POST /pay", Reply::Json(200, json!({ "receipt": 2 })));
    let again = eventually(|| {
        // The outcome is stored after the answer is given.
        let again = post(&world, &key, "/pay", "k1", r#"{"amount":1}"#);
        (again.status != 409).then_some(again)
    });
    assert_eq!((again.status, again.text().as_str()), (201, "receipt;1"));
    assert_eq!(again.header("content-type"), Some("text/csv; charset=utf-8"));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_ne!(again.header("x-correlation-id"), first.header("x-correlation-id"));
    assert_eq!(world.target.seen_on("POST /pay").len(), 1);
    let record = world.record_of(&again);
    assert_eq!((&record["outcome"], &record["status"]), (&json!("success"), &json!(201)), "{record}");

    let other = post(&world, &key, "/pay", "k1", r#"{"amount":2}"#);
    assert_eq!((other.status, &other.json().unwrap()["code"]), (422, &json!("idempotency-mismatch")));
    assert_eq!(post(&world, &key, "/pay", "k2", r#"{"amount":2}"#).status, 200);
    assert_eq!(world.target.seen_on("POST /pay").len(), 2);
}

#[test]
fn a_client_error_is_repeated_in_the_bridges_words() {
    let (world, key) = world();
    world.target.on("POST /pay", Reply::Json(422, json!({ "trace": "OrderService.java:7" })));
    let told = |reply: &CurlReply| {
        let problem = reply.json().unwrap();
        let id = problem["correlation_id"].as_str().unwrap();
        assert_eq!(Some(id), reply.header("x-correlation-id"));
        (reply.status, problem["code"].clone(), reply.header("content-type").map(str::to_owned))
    };
    let first = post(&world, &key, "/pay", "k", "{}");
    let again =
        eventually(|| Some(post(&world, &key, "/pay", "k", "{}")).filter(|again| again.status != 409));
    assert_eq!(told(&first), (422, json!("target-declined"), Some("application/problem+json".into())));
    assert_eq!(told(&again), told(&first));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(world.target.seen_on("POST /pay").len(), 1);
}

#[test]
fn what_was_held_back_stays_held_back() {
    let (world, key) = world();
    world.target.on("POST /book", Reply::Json(200, json!({ "id": 7, "card": "4111" })));
    assert_eq!(post(&world, &key, "/book", "k", "{}").json().unwrap(), json!({ "id": 7 }));
    let again =
        eventually(|| Some(post(&world, &key, "/book", "k", "{}")).filter(|again| again.status != 409));
    assert_eq!(again.json().unwrap(), json!({ "id": 7 }));
    assert_eq!(again.header("content-type"), Some("application/json"));
    assert_eq!(world.target.seen_on("POST /book").len(), 1);
}

#[test]
fn while_the_first_is_under_way_the_second_waits() {
    let (world, key) = world();
    world.target.on("POST /pay", Reply::Hang);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| {
            let _ = world
                .curl("/erp/v1/pay", &["-m", "2", "-H", &key, "-H", "Idempotency-Key: \"k\"", "-d", "{}"]);
        });
        eventually(|| (!world.target.seen().is_empty()).then_some(()));
        let second = post(&world, &key, "/pay", "k", "{}");
        assert_eq!(
            (second.status, &second.json().unwrap()["code"]),
            (409, &json!("idempotency-in-progress"))
        );
        assert_eq!(second.header("retry-after"), Some("1"));
        first.join().unwrap();
    });
    // The first caller went away while the target was at it: nobody knows whether it acted.
    let code = eventually(|| {
        let code = post(&world, &key, "/pay", "k", "{}").json().unwrap()["code"].clone();
        (code != "idempotency-in-progress").then_some(code)
    });
    assert_eq!(code, "idempotency-unknown-outcome");
    assert_eq!(world.target.seen().len(), 1);
}
