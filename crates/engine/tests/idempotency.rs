//! A retried write acts once: the same key gets the same answer, another body under it is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use bytes::Bytes;
use ironbridge_engine::{Actor, Home};
use ironbridge_seal::hash;
use ironbridge_testkit::{CurlReply, Reply};
use serde_json::json;
use world::{Declared, World, eventually};

const OPERATIONS: &str = r#"pay: { match: POST /pay, permission: orders.write, timeout: 5s, response: { headers: [X-Receipt] }, replay: { idempotency_key: required, window: 1h } }
    tenant: { match: POST /tenant, permission: orders.write, request: { headers: [x-tenant, x-request-id] }, replay: { idempotency_key: required } }
    any: { match: POST /any, permission: orders.write, request: { headers: all }, replay: { idempotency_key: required } }
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
        vec![
            ("content-type", "text/csv; charset=utf-8".into()),
            ("location", "/pay".into()),
            ("x-receipt", "7".into()),
            ("x-receipt", "8".into()),
            ("x-internal", "erp-7".into()),
            ("set-cookie", "a=b".into()),
        ],
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
    // What else it said, as it was given first, and nothing that was not.
    for reply in [&first, &again] {
        assert_eq!((reply.header("location"), reply.header("x-internal")), (Some("/erp/v1/pay"), None));
        let receipts = reply.headers.iter().filter(|(name, _)| name == "x-receipt");
        assert_eq!(receipts.map(|(_, value)| value.as_str()).collect::<Vec<_>>(), ["7", "8"]);
        assert_eq!(reply.header("set-cookie"), None);
    }
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
fn what_is_kept_to_be_repeated_has_a_bound_of_bytes() {
    let declared =
        Declared { operations: OPERATIONS, bridge: "limits: { replay: 100KiB }", ..Declared::default() };
    let (world, key) = World::with_key(&declared, |_, _| Ok(())).unwrap();
    let key = format!("X-API-Key: {key}");
    world.target.on("POST /pay", Reply::Raw(200, Vec::new(), vec![b'x'; 30_000].into()));
    let refused = eventually(|| {
        let number = world.target.seen_on("POST /pay").len();
        let reply = post(&world, &key, "/pay", &format!("k{number}"), "{}");
        (reply.status != 200).then_some(reply)
    });
    let asked = world.target.seen_on("POST /pay").len();
    assert!((2..5).contains(&asked), "{asked} of 30 kB each in half of 100 KiB");
    assert_eq!((refused.status, &refused.json().unwrap()["code"]), (503, &json!("idempotency-full")));
    assert_eq!(refused.header("retry-after"), Some("60"));
    let again = post(&world, &key, "/pay", "k0", "{}");
    assert_eq!((again.status, again.header("idempotency-replayed")), (200, Some("true")));
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

/// A server error may have acted; only a 503 that says when to come back has not (RFC 9110 §15.6.4).
#[test]
fn a_target_that_says_when_to_come_back_costs_no_key() {
    let (world, key) = world();
    let later = |value: &str| vec![("retry-after", value.to_owned())];
    let taken = (409, json!("idempotency-unknown-outcome"));
    let refused = |reply: &CurlReply| (reply.status, reply.json().unwrap()["code"].clone());
    for (number, (status, fields, first, again)) in [
        (503, later("1"), (503, json!("target-unavailable")), None),
        (503, later("Fri, 27 Nov 2026 12:00:00 GMT"), (503, json!("target-unavailable")), None),
        (429, later("1"), (429, json!("target-declined")), None),
        (503, Vec::new(), (502, json!("target-failed")), Some(&taken)),
        (503, later("soon"), (502, json!("target-failed")), Some(&taken)),
        (500, later("1"), (502, json!("target-failed")), Some(&taken)),
        (502, later("1"), (502, json!("target-failed")), Some(&taken)),
        (504, later("1"), (502, json!("target-failed")), Some(&taken)),
    ]
    .into_iter()
    .enumerate()
    {
        let idempotency_key = format!("k{number}");
        world.target.on("POST /pay", Reply::Raw(status, fields, Bytes::new()));
        assert_eq!(refused(&post(&world, &key, "/pay", &idempotency_key, "{}")), first, "{number}");
        world.target.on("POST /pay", Reply::Json(201, json!({ "receipt": 1 })));
        let asked = eventually(|| {
            let asked = post(&world, &key, "/pay", &idempotency_key, "{}");
            (!asked.text().contains("idempotency-in-progress")).then_some(asked)
        });
        match again {
            Some(again) => assert_eq!(refused(&asked), *again, "{number}"),
            None => assert_eq!((asked.status, asked.header("idempotency-replayed")), (201, None), "{number}"),
        }
    }
}

/// Nothing was sent, so that the key is as fresh as before.
#[test]
fn a_connection_that_never_came_about_costs_no_key() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let http = format!(
        "url: \"https://localhost:{}\", ca: ./erp-ca.pem, connect_timeout: 1s",
        silent.local_addr().unwrap().port()
    );
    let operation =
        "pay: { match: POST /pay, permission: orders.write, replay: { idempotency_key: required } }";
    let (world, key) =
        World::with_key(&Declared { operations: OPERATIONS, ..Declared::default() }, |dir, _| {
            Ok(std::fs::write(dir.join("raw.yaml"), world::system("raw", &http, operation))?)
        })
        .unwrap();
    let key = format!("X-API-Key: {key}");
    for _ in 0..2 {
        let reply = world.curl("/raw/pay", &["-H", &key, "-H", "Idempotency-Key: k", "-d", "{}"]).unwrap();
        assert_eq!(
            (reply.status, &reply.json().unwrap()["code"]),
            (502, &json!("target-unreachable")),
            "{}",
            reply.text()
        );
    }
}

#[test]
fn a_key_is_read_in_two_forms_and_no_third() {
    let (world, key) = world();
    let ask = |fields: &[&str]| {
        let fields = fields.iter().flat_map(|field| ["-H", field]);
        let arguments: Vec<&str> = ["-H", &key, "-d", "{}"].into_iter().chain(fields).collect();
        let reply = world.curl("/erp/v1/pay", &arguments).unwrap();
        (reply.status, reply.json().unwrap()["code"].clone())
    };
    for fields in [
        &["Idempotency-Key: a, b"][..],
        &["Idempotency-Key: \"a"],
        &["Idempotency-Key: a", "Idempotency-Key: a"],
        &["Idempotency-Key;"],
        &["Idempotency-Key: \u{e9}"],
    ] {
        assert_eq!(ask(fields), (400, json!("idempotency-key-malformed")), "{fields:?}");
    }
    assert!(world.target.seen().is_empty());
    world.target.on("POST /pay", Reply::Json(200, json!({ "code": "paid" })));
    for field in ["Idempotency-Key: \"a\"", "Idempotency-Key: a"] {
        eventually(|| {
            let (status, code) = ask(&[field]);
            (status != 409).then(|| assert_eq!((status, code), (200, json!("paid")), "{field}"))
        });
    }
    assert_eq!(world.target.seen().len(), 1);
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
    // The first caller went away while the target was at it, which never answered: nobody knows whether it acted.
    let code = eventually(|| {
        let code = post(&world, &key, "/pay", "k", "{}").json().unwrap()["code"].clone();
        (code != "idempotency-in-progress").then_some(code)
    });
    assert_eq!(code, "idempotency-unknown-outcome");
    assert_eq!(world.target.seen().len(), 1);
}

#[test]
fn an_exchange_goes_on_when_its_caller_leaves_and_the_answer_is_kept() {
    let (world, key) = world();
    let wait = std::time::Duration::from_secs(2);
    let answer = Reply::Json(201, json!({ "receipt": 1 }));
    world.target.on("POST /pay", Reply::After(wait, Box::new(answer)));
    for version in ["--http1.1", "--http2"] {
        let idempotency_key = format!("Idempotency-Key: {}", &version[2..]);
        assert!(
            world
                .curl("/erp/v1/pay", &[version, "-m", "1", "-H", &key, "-H", &idempotency_key, "-d", "{}"])
                .is_err()
        );
        let again = eventually(|| {
            let again = world.curl("/erp/v1/pay", &["-H", &key, "-H", &idempotency_key, "-d", "{}"]).unwrap();
            (again.status != 409).then_some(again)
        });
        assert_eq!((again.status, again.json().unwrap()), (201, json!({ "receipt": 1 })), "{version}");
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
    }
    assert_eq!(world.target.seen_on("POST /pay").len(), 2);
    let records = world.records().unwrap();
    assert!(records.iter().all(|record| record["code"] != "caller-gone"));
}

/// What is declared to cross is part of the request; what names the attempt is not.
#[test]
fn a_declared_field_makes_another_request() {
    let (world, key) = world();
    let post = |path: &str, idempotency_key: &str, fields: &[&str]| {
        let idempotency_key = format!("Idempotency-Key: {idempotency_key}");
        let mut arguments = vec!["-H", &key, "-H", &idempotency_key, "-d", "{}"];
        arguments.extend(fields.iter().flat_map(|field| ["-H", field]));
        let reply = world.curl(&format!("/erp/v1{path}"), &arguments).unwrap();
        let replayed = reply.header("idempotency-replayed").is_some();
        (reply.status, replayed)
    };
    for path in ["/tenant", "/any"] {
        let first = ["X-Tenant: a", "X-Request-Id: 1", "User-Agent: one", "Accept: text/plain"];
        assert_eq!(post(path, "k", &first), (200, false));
        let again = ["x-request-id: 2", "x-tenant: a", "User-Agent: two", "Accept: */*"];
        eventually(|| Some(post(path, "k", &again)).filter(|(status, _)| *status != 409));
        assert_eq!(post(path, "k", &again), (200, true));
        for other in [
            &["X-Tenant: b"][..],
            &[],
            &["X-Tenant: a", "X-Tenant: a"],
            &["X-Tenant: a", "X-Tenant: b"],
            &["X-Tenant: A"],
        ] {
            assert_eq!(post(path, "k", other), (422, false), "{path} {other:?}");
        }
    }
    // A field that does not cross makes no difference to the target.
    assert_eq!(post("/tenant", "k", &["X-Tenant: a", "X-Other: 1"]), (200, true));
    assert_eq!(post("/any", "k", &["X-Tenant: a", "X-Other: 1"]), (422, false));
    assert_eq!(world.target.seen().len(), 2);
}

/// Nobody who has the store can try whether a request was made, and an erased person's requests are gone from it.
#[test]
fn what_is_remembered_of_a_request_is_keyed_and_erased() {
    let declared = Declared {
        operations: OPERATIONS,
        integration: "data: { subjects: [customers], categories: [orders], retention: 400d, subject_id: /customer }",
        ..Declared::default()
    };
    let (world, key) = World::with_key(&declared, |_, _| Ok(())).unwrap();
    let key = format!("X-API-Key: {key}");
    world.target.on("POST /pay", Reply::Json(200, json!({ "customer": "ben" })));
    for (idempotency_key, customer) in [("k1", "ada"), ("k2", "eve")] {
        let body = format!("{{\"customer\":\"{customer}\"}}");
        assert_eq!(post(&world, &key, "/pay", idempotency_key, &body).status, 200);
        let lengths = ["POST".len(), "/pay".len(), 0, body.len()].map(usize::to_be_bytes);
        let [method, path, query, of_body] = &lengths;
        let plain =
            hash::sha256_parts(&[method, b"POST", path, b"/pay", query, b"", of_body, body.as_bytes()]);
        for file in ["store.sqlite", "store.sqlite-wal"] {
            let bytes = std::fs::read(world.data_dir().join(file)).unwrap_or_default();
            assert!(!bytes.windows(32).any(|part| part == plain), "{file}");
        }
    }
    let erase = |person: &'static str| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let home = Home::open(&world.data_dir(), Actor::new("command:auditor")).unwrap();
            assert!(home.owners().await.unwrap().erase_subject(person).await.unwrap().is_some());
        });
    };
    let code = |idempotency_key: &str, customer: &str| {
        let again =
            || post(&world, &key, "/pay", idempotency_key, &format!("{{\"customer\":\"{customer}\"}}"));
        eventually(|| {
            let problem = again();
            let code = problem.json().unwrap()["code"].as_str().unwrap_or_default().to_owned();
            (code != "idempotency-in-progress").then_some((problem.status, code))
        })
    };
    assert_eq!(code("k1", "ada"), (200, String::new()));
    erase("ada");
    assert_eq!(code("k1", "ada"), (409, "idempotency-unknown-outcome".into()));
    assert_eq!(code("k2", "eve"), (200, String::new()), "she was not asked for");
    erase("ben");
    assert_eq!(code("k2", "eve"), (409, "idempotency-unknown-outcome".into()), "his id was in the answer");
    assert_eq!(world.target.seen_on("POST /pay").len(), 2);
}

/// No record would name a person whom nobody looked for when the answer came, and no erasure would reach it.
#[test]
fn an_answer_in_which_persons_were_looked_for_elsewhere_is_not_given_again() {
    const DATA: &str = "data: { subjects: [customers], categories: [orders], retention: 400d }";
    const CUSTOMER: &str = "data: { subjects: [customers], categories: [orders], retention: 400d, subject_id: [/customer, '{id}'] }";
    const OWNER: &str = "data: { subjects: [customers], categories: [orders], retention: 400d, subject_id: ['{id}', /owner] }";
    let declared = |integration| Declared {
        integration,
        operations:
            "pay: { match: POST /pay, permission: orders.write, replay: { idempotency_key: required } }
             other: { match: \"POST /{id}/x\", permission: orders.write }",
        ..Declared::default()
    };
    let (world, key) = World::with_key(&declared(DATA), |_, _| Ok(())).unwrap();
    let key = format!("X-API-Key: {key}");
    let answer = Bytes::from_static(br#"{"customer":"ada","owner":"ben"}"#);
    world.target.on("POST /pay", Reply::Raw(200, vec![("content-type", "application/json".into())], answer));
    let ask = |idempotency_key: &str| {
        eventually(|| {
            let reply = post(&world, &key, "/pay", idempotency_key, "{}");
            let under_way = reply.text().contains("idempotency-in-progress");
            let replayed = reply.header("idempotency-replayed").is_some();
            (!under_way).then_some((reply.status, replayed))
        })
    };
    let (fresh, again, refused) = ((200, false), (200, true), (409, false));
    assert_eq!((ask("k1"), ask("k1")), (fresh, again));
    for (integration, first, second) in [(CUSTOMER, "k1", "k2"), (OWNER, "k2", "k3"), (DATA, "k3", "k4")] {
        world.rewrite(&declared(integration)).unwrap();
        world.reload().unwrap();
        assert_eq!((ask(first), ask(second), ask(second)), (refused, fresh, again), "{integration}");
    }
}

/// Declared when the answers are stored.
const BEFORE: &str = r#"keep: { match: POST /keep, permission: orders.write, response: { headers: [X-Node] }, replay: { idempotency_key: required } }
    same: { match: POST /same, permission: orders.write, response: { keep: [/id], schema: ./any.json, headers: [X-Node] }, replay: { idempotency_key: required } }
    text: { match: POST /text, permission: orders.write, replay: { idempotency_key: required } }
    size: { match: POST /size, permission: orders.write, replay: { idempotency_key: required } }
    shape: { match: POST /shape, permission: orders.write, response: { schema: ./any.json }, replay: { idempotency_key: required } }
    shapes: { match: POST /shapes, permission: orders.write, replay: { idempotency_key: required } }
    refused: { match: POST /refused, permission: orders.write, replay: { idempotency_key: required } }
    role: { match: POST /role, permission: orders.write, replay: { idempotency_key: required } }
    list: { match: POST /list, permission: orders.write, response: { headers: all }, replay: { idempotency_key: required } }
    thing: { match: "GET /things/{id}", permission: orders.read }"#;

/// Declared when they are asked for again.
const AFTER: &str = r#"keep: { match: POST /keep, permission: orders.write, response: { keep: [/id] }, replay: { idempotency_key: required } }
    same: { match: POST /same, permission: orders.write, response: { keep: [/id], schema: ./any.json, headers: [X-Node] }, replay: { idempotency_key: required } }
    text: { match: POST /text, permission: orders.write, response: { keep: [/id] }, replay: { idempotency_key: required } }
    size: { match: POST /size, permission: orders.write, response: { max_body: 16B }, replay: { idempotency_key: required } }
    shape: { match: POST /shape, permission: orders.write, response: { schema: ./id.json }, replay: { idempotency_key: required } }
    shapes: { match: POST /shapes, permission: orders.write, response: { schema: ./id.json }, replay: { idempotency_key: required } }
    refused: { match: POST /refused, permission: orders.write, response: { keep: [/id] }, replay: { idempotency_key: required } }
    role: { match: POST /role, permission: orders.admin, replay: { idempotency_key: required } }
    list: { match: POST /list, permission: orders.write, response: { headers: [X-Kept] }, replay: { idempotency_key: required } }
    other: { match: "GET /others/{id}", permission: orders.read }"#;

/// What a reload declares narrower holds for an answer that was stored before it.
#[test]
fn what_is_given_again_is_what_crosses_now() {
    let declared = |operations| Declared { operations, ..Declared::default() };
    let (world, key) = World::with_key(&declared(BEFORE), |dir, _| {
        std::fs::write(dir.join("any.json"), r#"{ "type": "object" }"#)?;
        let id = r#"{ "type": "object", "properties": { "id": {} }, "additionalProperties": false }"#;
        Ok(std::fs::write(dir.join("id.json"), id)?)
    })
    .unwrap();
    let key = format!("X-API-Key: {key}");
    let (json, person) = ("application/json", r#"{"id":7,"salary":90000}"#);
    let answers = |status, kind: &str, body: &'static str| {
        let fields = vec![
            ("content-type", kind.to_owned()),
            ("location", "/things/7".into()),
            ("link", "</things/8>; rel=next, </others/9>; rel=last".into()),
            ("etag", "\"whole\"".into()),
            ("x-node", "erp-7".into()),
            ("x-kept", "1".into()),
        ];
        Reply::Raw(status, fields, Bytes::from_static(body.as_bytes()))
    };
    let operations = ["keep", "same", "size", "shape", "shapes", "role", "list"];
    for operation in operations {
        world.target.on(&format!("POST /{operation}"), answers(201, json, person));
    }
    world.target.on("POST /text", answers(200, "text/plain", "salary 90000"));
    world.target.on("POST /refused", answers(422, json, person));
    let ask = |operation: &str| {
        eventually(|| {
            let reply = post(&world, &key, &format!("/{operation}"), "k", "{}");
            // The outcome is stored after the answer is given.
            let under_way = reply.text().contains("idempotency-in-progress");
            (!under_way).then_some(reply)
        })
    };
    for operation in operations.iter().chain(&["text", "refused"]) {
        assert!([200, 201, 422].contains(&ask(operation).status), "{operation}");
        let again = ask(operation);
        assert_eq!(again.header("idempotency-replayed"), Some("true"), "{operation}");
        assert_eq!(again.header("location").is_some(), again.status != 422, "{operation}");
    }
    world.rewrite(&declared(AFTER)).unwrap();
    world.reload().unwrap();

    let again = ask("keep");
    assert_eq!((again.status, again.text().as_str()), (201, r#"{"id":7}"#));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.header("content-type"), Some(json));
    // No operation leads to the first two any more; an entity tag tells of the whole body.
    assert_eq!([again.header("location"), again.header("etag"), again.header("x-node")], [None; 3]);
    assert_eq!(again.header("link"), Some("</erp/v1/others/9>; rel=last"));
    let record = world.record_of(&again);
    assert_eq!((&record["code"], &record["bytes_out"]), (&json!("replayed"), &json!(8)), "{record}");

    let same = ask("same");
    assert_eq!(
        (same.status, same.text().as_str(), same.header("x-node")),
        (201, r#"{"id":7}"#, Some("erp-7"))
    );
    let list = ask("list");
    assert_eq!((list.header("x-kept"), list.header("x-node")), (Some("1"), None));
    // A client error has the bridge's own words.
    assert_eq!((ask("refused").status, ask("refused").text().contains("salary")), (422, false));
    assert_eq!(ask("role").json().unwrap()["code"], "permission-missing");
    for operation in ["text", "size", "shape", "shapes"] {
        let refused = ask(operation);
        let code = refused.json().unwrap()["code"].clone();
        assert_eq!((refused.status, code), (409, json!("idempotency-unknown-outcome")), "{operation}");
        assert!(!refused.text().contains("90000"), "{operation}");
        assert_eq!(world.record_of(&refused)["code"], "idempotency-unknown-outcome");
    }
    assert_eq!(world.target.seen().len(), 9, "nothing acted twice");
    // What was declared first gives the first answer again, and nothing has become of it.
    world.rewrite(&declared(BEFORE)).unwrap();
    world.reload().unwrap();
    let first = ask("keep");
    assert_eq!((first.text().as_str(), first.header("x-node")), (person, Some("erp-7")));
    assert_eq!(first.header("location"), Some("/erp/v1/things/7"));
    assert_eq!(world.target.seen().len(), 9);
}
