//! Who calls: what trusted proxies say of it, and what becomes of calls whose caller nobody knows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use ironbridge_audit::detail::DetailKind;
use ironbridge_testkit::CurlReply;
use serde_json::json;
use world::{Declared, World};

const OPERATIONS: &str = "read: { match: GET /read, permission: orders.read }";

/// Behind a proxy on this machine; the account may call only from this machine.
fn world(listener: &'static str) -> (World, String) {
    let declared = Declared { operations: OPERATIONS, listener, ..Declared::default() };
    let (world, key) = World::with_key(&declared, |_, _| Ok(())).unwrap();
    world
        .edit(|text| text.replace("roles: [writer]", "roles: [writer]\n    addresses: [127.0.0.0/8]"))
        .unwrap();
    world.reload().unwrap();
    (world, format!("X-API-Key: {key}"))
}

fn get(world: &World, key: &str, fields: &[&str]) -> CurlReply {
    let fields = fields.iter().flat_map(|field| ["-H", field]);
    let arguments: Vec<&str> = ["-H", key].into_iter().chain(fields).collect();
    world.curl("/erp/v1/read", &arguments).unwrap()
}

fn code(reply: &CurlReply) -> String {
    reply.json().unwrap()["code"].as_str().unwrap_or_default().to_owned()
}

/// The address in the record of a call, where it has one.
fn recorded(world: &World, reply: &CurlReply) -> Option<String> {
    let id = world.record_of(reply)["id"].as_str().unwrap().to_owned();
    let opened = world.opened().unwrap();
    let (_, details) = opened.iter().find(|(stored, _)| stored.entry.id == id).unwrap();
    let address = details.iter().find(|detail| detail.kind == DetailKind::Address)?;
    Some(address.value.as_str().to_owned())
}

#[test]
fn a_caller_never_passes_for_its_proxy() {
    let (world, key) = world(", trusted_proxies: [127.0.0.1/32]");
    for field in [
        "X-Forwarded-For: 203.0.113.9",
        "X-Forwarded-For: 203.0.113.9:51234",
        "X-Forwarded-For: \"203.0.113.9:51234\"",
        "X-Forwarded-For: 127.0.0.1, [2001:db8::1]:443",
        "Forwarded: for=\"203.0.113.9:51234\"",
        "Forwarded: proto=https;for=\"[2001:db8::1]:443\"",
    ] {
        let reply = get(&world, &key, &[field]);
        assert_eq!((reply.status, code(&reply).as_str()), (403, "account-address-refused"), "{field}");
        let address = if field.contains("2001") { "2001:db8::1" } else { "203.0.113.9" };
        assert_eq!(recorded(&world, &reply).as_deref(), Some(address), "{field}");
    }
    for field in [
        "X-Forwarded-For: 203.0.113.9,",
        "X-Forwarded-For: unknown",
        "X-Forwarded-For;",
        "X-Forwarded-For: 203.0.113.9, _hidden, 127.0.0.1",
        "Forwarded: for=_hidden",
        "Forwarded: proto=https",
        "X-Real-IP: 203.0.113.9",
    ] {
        let reply = get(&world, &key, &[field]);
        assert_eq!((reply.status, code(&reply).as_str()), (400, "forwarded-unreadable"), "{field}");
        assert_eq!(recorded(&world, &reply), None, "{field}");
    }
    let reply = get(&world, &key, &["X-Forwarded-For: 203.0.113.9", "Forwarded: for=198.51.100.1"]);
    assert_eq!(code(&reply), "forwarded-unreadable");
    // The proxy's own call, and one through it from an address that is listed.
    assert_eq!(get(&world, &key, &[]).status, 200);
    assert_eq!(get(&world, &key, &["X-Forwarded-For: 203.0.113.9, 127.0.0.7:80"]).status, 200);
    assert_eq!(world.target.seen().last().unwrap().header("x-forwarded-for"), Some("127.0.0.7"));
    assert_eq!(world.target.seen().len(), 2);
}

#[test]
fn a_target_that_has_no_need_to_know_is_not_told_who_calls() {
    let (world, key) = world("");
    world.edit(|text| text.replacen("http:\n", "http:\n      caller_address: false\n", 1)).unwrap();
    world.reload().unwrap();
    let reply = get(&world, &key, &[]);
    assert_eq!((reply.status, recorded(&world, &reply).as_deref()), (200, Some("127.0.0.1")));
    let seen = world.target.seen();
    let request = seen.last().unwrap();
    assert!(request.header("via").is_some());
    assert_eq!(request.header("x-forwarded-proto"), Some("https"));
    assert_eq!((request.header("forwarded"), request.header("x-forwarded-for")), (None, None));
    assert!(!format!("{request:?}").contains("127.0.0.1"), "{request:?}");
}

#[test]
fn the_declared_field_is_the_only_one_that_counts() {
    let (world, key) =
        world(", trusted_proxies: [127.0.0.1/32], addresses: [127.0.0.0/8], forwarded: forwarded");
    let reply = get(&world, &key, &["Forwarded: for=127.0.0.9", "X-Forwarded-For: 203.0.113.9"]);
    assert_eq!(reply.status, 200);
    let reply = get(&world, &key, &["X-Forwarded-For: 127.0.0.9"]);
    assert_eq!(reply.json().unwrap()["code"], json!("forwarded-unreadable"));
    let reply = get(&world, &key, &["Forwarded: for=203.0.113.9"]);
    assert_eq!(code(&reply), "address-refused");
}

/// Whoever sends what cannot be read uses up nobody's share, the proxy's least of all: its health checks would fail.
#[test]
fn what_cannot_be_read_counts_for_nobody() {
    let declared = Declared {
        operations: OPERATIONS,
        listener: ", trusted_proxies: [127.0.0.0/8]",
        bridge: "limits: { per_address: 2/h }",
        ..Declared::default()
    };
    let (world, key) = World::with_key(&declared, |_, _| Ok(())).unwrap();
    let key = format!("X-API-Key: {key}");
    for _ in 0..4 {
        assert!([400, 429].contains(&get(&world, &key, &["X-Forwarded-For: unknown"]).status));
    }
    let large = format!("X-Large: {}", "x".repeat(20_000));
    for _ in 0..4 {
        assert!([431, 429].contains(&get(&world, &key, &["X-Forwarded-For: 203.0.113.9", &large]).status));
    }
    assert_eq!(get(&world, &key, &[]).status, 200);
}

/// A refused caller is told what the operation accepts, and nothing else; what is wrong with a token only if one came.
#[test]
fn challenges_name_what_is_accepted() {
    let operations = "read: { match: GET /read, permission: orders.read }";
    let key = "X-API-Key: ibk_nothing";
    let ours = "Authorization: Bearer ibk_nothing";
    let token = "Authorization: Bearer a.b.c";
    let api_key = "ApiKey realm=\"test-bridge\", name=\"X-API-Key\", in=\"header\"";
    let bearer = "Bearer realm=\"test-bridge\"";
    let invalid = "Bearer realm=\"test-bridge\", error=\"invalid_token\"";
    let certificate = "ClientCertificate realm=\"test-bridge\"";
    for (credentials, sent, challenges) in [
        ("", "X-Other: 1", &[api_key][..]),
        ("", token, &[api_key]),
        ("", ours, &[api_key]),
        ("", key, &[api_key]),
        ("oauth_client: {}", "X-Other: 1", &[bearer, api_key]),
        ("oauth_client: {}", token, &[invalid, api_key]),
        ("oauth_client: {}", key, &[bearer, api_key]),
        (
            "certificate: { san: client.partner.example, ca: ./erp-ca.pem }",
            "X-Other: 1",
            &[api_key, certificate],
        ),
    ] {
        let declared = Declared {
            bridge: "public_url: https://bridge.test",
            credentials,
            operations,
            ..Declared::default()
        };
        let world = World::new(&declared).unwrap();
        let mut raw = world.raw().unwrap();
        raw.send(format!("GET /erp/v1/read HTTP/1.1\r\nHost: bridge.test\r\n{sent}\r\n\r\n"));
        assert_eq!(raw.reply().status, 401, "{credentials} {sent}");
        let received = String::from_utf8(raw.received()).unwrap();
        let told: Vec<&str> =
            received.lines().filter_map(|line| line.strip_prefix("www-authenticate: ")).collect();
        assert_eq!(told.len(), challenges.len(), "{credentials} {sent}: {told:?}");
        for (told, expected) in told.iter().zip(challenges) {
            assert!(told.starts_with(expected), "{credentials} {sent}: {told}");
            assert_eq!(told.contains("error"), expected.contains("error"), "{credentials} {sent}: {told}");
        }
        let told = raw.reply().json()["detail"].as_str().unwrap().to_owned();
        assert!(sent != ours || told.contains("an API key in X-API-Key"), "{told}");
    }
}
