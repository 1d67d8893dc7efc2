//! What a record says of how much crossed: counted where it can be, and where it cannot, not 0.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use bytes::Bytes;
use ironbridge_testkit::Reply;
use serde_json::{Value, json};
use world::{Declared, World};

const OPERATIONS: &str = r#"named: { match: GET /named, permission: orders.read, response: { records: "/items/*" } }
    kept: { match: GET /kept, permission: orders.read, response: { keep: ["/items/*/id"] } }
    unread: { match: GET /unread, permission: orders.read }
    gone: { match: GET /gone, permission: orders.read, response: { records: [/items] } }
    stored: { match: POST /stored, permission: orders.write, replay: { idempotency_key: optional } }
    batch: { match: POST /batch, permission: orders.write, request: { records: /items } }
    answered: { match: POST /answered, permission: orders.write, response: { keep: [/id] } }"#;

#[test]
fn unknown_is_not_nothing() {
    let declared = Declared { operations: OPERATIONS, ..Declared::default() };
    let (world, key) = World::with_key(&declared, |_, _| Ok(())).unwrap();
    let key = format!("X-API-Key: {key}");
    let raw = |kind: &'static str, body: &'static str| {
        Reply::Raw(200, vec![("content-type", kind.into())], Bytes::from_static(body.as_bytes()))
    };
    let items = r#"{"items":[{"id":1},{"id":2},{"id":3}],"total":9}"#;
    let json = "application/json";
    let key_field = "Idempotency-Key: k1";
    for (name, reply, path, arguments, expected) in [
        ("a named place", raw(json, items), "/named", &[][..], json!(3)),
        ("an empty one", raw(json, r#"{"items":[]}"#), "/named", &[], json!(0)),
        ("one that is not there", raw(json, r#"{"rows":[1]}"#), "/named", &[], Value::Null),
        ("a keep list", raw(json, items), "/kept", &[], json!(3)),
        ("what nobody reads", raw(json, "[1,2,3]"), "/unread", &[], Value::Null),
        ("no body", Reply::Raw(204, vec![], Bytes::new()), "/unread", &[], json!(0)),
        ("no body where one is named", Reply::Raw(204, vec![], Bytes::new()), "/gone", &[], json!(0)),
        ("what is declined", Reply::Json(404, json!({ "items": [1] })), "/gone", &[], json!(0)),
        ("no JSON", raw("text/csv", "a;b"), "/gone", &[], json!(0)),
        ("an array that is read", raw(json, "[1,2]"), "/stored", &["-H", key_field, "-d", "[1]"], json!(2)),
        ("the same again", raw(json, "[]"), "/stored", &["-H", key_field, "-d", "[1]"], Value::Null),
        ("text that is read", raw("text/csv", "a;b"), "/stored", &["-d", "a"], Value::Null),
        ("a batch", raw(json, r#"{"ok":true}"#), "/batch", &["-d", r#"{"items":[1,2]}"#], json!(2)),
        ("a refused batch", raw(json, "{}"), "/batch", &["-d", r#"{"items":[1,2}"#], json!(0)),
        ("an unread request", raw(json, r#"{"id":1}"#), "/answered", &["-d", "[1,2]"], Value::Null),
        ("no request", raw(json, r#"{"id":1}"#), "/answered", &["-X", "POST"], json!(1)),
    ] {
        let method = if arguments.is_empty() { "GET" } else { "POST" };
        world.target.on(&format!("{method} {path}"), reply);
        let arguments = [&["-H", &key, "-H", "Content-Type: application/json"], arguments].concat();
        let answer = world.curl(&format!("/erp/v1{path}"), &arguments).unwrap();
        let record = world.record_of(&answer);
        assert_eq!(record.get("records").unwrap_or(&Value::Null), &expected, "{name}: {record}");
    }
}
