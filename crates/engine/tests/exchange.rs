//! Exchanges over real sockets, driven by curl.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use ironbridge_testkit::Reply;
use serde_json::json;
use world::{Declared, World, issue_key};

const ORDERS: &str = r#"
    list-orders: { match: GET /orders, permission: orders.read, response: { keep: [/items/*/id, /items/*/status] } }
    echo: { match: POST /echo, permission: orders.write, request: { headers: [X-Trace], query: [x] } }
    read-one: { match: "GET /orders/{id}", permission: orders.read }
"#;

#[test]
fn fields_that_are_not_listed_stay_behind_and_the_record_says_so() {
    let declared = Declared { operations: ORDERS.trim(), ..Declared::default() };
    let mut key = String::new();
    let (world, _) = World::with_key(&declared, |dir, _| {
        key = issue_key(dir, "order-reader")?;
        Ok(())
    })
    .unwrap();
    let order = json!({ "id": 7, "status": "open", "customer": { "phone": "+49 1" } });
    world.target.on("GET /orders", Reply::Json(200, json!({ "items": [order], "debug": "internal" })));
    let reply = world.curl("/erp/v1/orders", &["-H", &format!("X-API-Key: {key}")]).unwrap();
    assert_eq!((reply.status, reply.text().as_str()), (200, r#"{"items":[{"id":7,"status":"open"}]}"#));

    let refused = world.curl("/erp/v1/orders", &[]).unwrap();
    assert_eq!(refused.status, 401);
    let problem = refused.json().unwrap();
    assert_eq!(problem["code"], "credentials-missing");
    assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    assert_eq!(refused.header("x-correlation-id"), problem["correlation_id"].as_str());

    let written = world.curl("/erp/v1/echo", &["-H", &format!("X-API-Key: {key}"), "-d", "{}"]).unwrap();
    assert_eq!((written.status, written.json().unwrap()["code"].as_str()), (403, Some("permission-missing")));
    assert!(world.target.seen_on("POST /echo").is_empty());
}

#[test]
fn the_callers_credentials_stay_here() {
    let declared = Declared { operations: ORDERS.trim(), ..Declared::default() };
    let (world, key) = World::with_key(&declared, |_, _| Ok(())).unwrap();
    let reply = world
        .curl(
            "/erp/v1/echo?x=1",
            &[
                "-H",
                &format!("X-API-Key: {key}"),
                "-H",
                "Cookie: a=b",
                "-H",
                "X-Trace: t",
                "-H",
                "X-Span: t",
                "-d",
                r#"{"a":1}"#,
            ],
        )
        .unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    let echo = reply.json().unwrap();
    assert_eq!(echo["body"], json!({ "a": 1 }));
    assert_eq!(echo["path"], "/echo?x=1");
    let headers = echo["headers"].as_object().unwrap();
    assert!(headers.contains_key("x-trace") && headers.contains_key("x-forwarded-for"), "{headers:?}");
    assert!(!headers.contains_key("x-span"), "{headers:?}");
    assert!(!headers.contains_key("cookie") && !headers.contains_key("x-api-key"), "{headers:?}");
    assert!(!reply.text().contains(&key));
}
