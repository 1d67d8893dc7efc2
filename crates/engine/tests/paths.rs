//! One reading of every path and authority, by what matches, by what judges, by what is delivered and recorded.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use ironbridge_testkit::Reply;
use world::{Declared, World, issue_key};

/// `order-reader` may read, and nothing else.
const OPERATIONS: &str = r#"moved: { match: "GET /moved/{id}", permission: orders.read, target_path: "/m/{id}/z" }
    moved-export: { match: GET /moved/export, permission: orders.write, target_path: /m/export/z }
    item: { match: "GET /items/{id}", permission: orders.read, request: { query: all } }
    export: { match: GET /items/export, permission: orders.write }
    act: { match: "GET /acts/{id}", permission: orders.read, target_path: "/v2/acts/{id}" }
    lists: { match: "GET /{area}/list", permission: orders.read }
    secrets: { match: GET /secret/list, permission: orders.write }
    ruled: { match: "GET /ruled/{area}/{page}", permission: orders.read, request: { rules: [{ check: "!request.path.startsWith('/ruled/secret')", otherwise: not there }, { check: "request.params.area != 'secret'", otherwise: not there }] } }
    root: { match: GET /, permission: orders.read }"#;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    path: String,
    status: u16,
    /// The code, or the path that the target saw.
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    seen: Option<String>,
}

#[test]
fn what_is_matched_is_what_is_judged_and_delivered() {
    let declared = Declared { operations: OPERATIONS, ..Declared::default() };
    let mut key = String::new();
    let (world, _) = World::with_key(&declared, |dir, _| {
        key = issue_key(dir, "order-reader")?;
        Ok(())
    })
    .unwrap();
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases/paths.yaml")).unwrap();
    let cases: Vec<Case> = serde_saphyr::from_str(&text).unwrap();
    let key = format!("X-API-Key: {key}");
    let mut wrong = Vec::new();
    for version in ["--http1.1", "--http2"] {
        for case in &cases {
            world.target.forget();
            let path = format!("/erp/v1{}", case.path);
            let reply = world.curl(&path, &[version, "--path-as-is", "--globoff", "-H", &key]).unwrap();
            let code = reply.json().ok().and_then(|body| Some(body["code"].as_str()?.to_owned()));
            let seen = world.target.seen().first().map(|seen| seen.path.clone());
            if (reply.status, &code, &seen) != (case.status, &case.code, &case.seen) {
                wrong.push(format!("{version} {}: {} {code:?} {seen:?}", case.path, reply.status));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn redirects_lead_to_declared_operations_or_nowhere() {
    let operations = r#"create: { match: POST /things, permission: orders.write, target_path: /api/v2/things }
    thing: { match: "GET /things/{id}", permission: orders.read, target_path: "/api/v2/things/{id}", request: { query: [a] } }
    plain: { match: "GET /plain/{id}", permission: orders.read }"#;
    let (world, key) =
        World::with_key(&Declared { operations, ..Declared::default() }, |_, _| Ok(())).unwrap();
    let key = format!("X-API-Key: {key}");
    let url = world.target.url();
    for (status, ask, location, located) in [
        (201, "POST /things", "/api/v2/things/7", Some("/erp/v1/things/7")),
        (201, "POST /things", "things/7?a=%7e", Some("/erp/v1/things/7?a=~")),
        (302, "GET /things/1", "2", Some("/erp/v1/things/2")),
        (
            302,
            "GET /things/1",
            &format!("{}/api/v2/things/3", url.replace("localhost", "LocalHost")),
            Some("/erp/v1/things/3"),
        ),
        (302, "GET /things/1", "/things/4", None),
        (302, "GET /things/1", "//10.0.0.7/api/v2/things/4", None),
        (302, "GET /things/1", "https://idp.example/login?next=x", None),
        (308, "GET /plain/1", "../plain/%32", Some("/erp/v1/plain/2")),
        // Whoever follows is not refused.
        (302, "GET /plain/1", "2?a=1", None),
        (302, "GET /things/1", "?a=1&b=2", None),
        (302, "GET /things/1", "?a=1&%61=2", None),
        (302, "GET /plain/1", "/plain/..%2Fx", None),
    ] {
        let (method, path) = ask.split_once(' ').unwrap();
        let at_target = if path.starts_with("/plain") { path.to_owned() } else { format!("/api/v2{path}") };
        let reply = Reply::Raw(status, vec![("location", location.to_owned())], bytes::Bytes::new());
        world.target.on(&format!("{method} {at_target}"), reply);
        let reply = world.curl(&format!("/erp/v1{path}"), &["-X", method, "-H", &key]).unwrap();
        assert_eq!((reply.status, reply.header("location")), (status, located), "{ask} {location}");
    }
}

/// A page of a list leads to the next one, wherever the target is.
#[test]
fn links_lead_to_declared_operations_or_are_left_out() {
    let operations = r#"things: { match: GET /things, permission: orders.read, target_path: /api/v2/things, request: { query: [page] } }
    kept: { match: GET /kept, permission: orders.read, target_path: /api/v2/kept, response: { keep: [/a] } }"#;
    let (world, key) =
        World::with_key(&Declared { operations, ..Declared::default() }, |_, _| Ok(())).unwrap();
    let key = format!("X-API-Key: {key}");
    let url = world.target.url();
    for (links, crosses) in [
        ("</api/v2/things?page=2>; rel=next", Some("</erp/v1/things?page=2>; rel=next")),
        ("<things?page=2>; rel=\"next\"", Some("</erp/v1/things?page=2>; rel=\"next\"")),
        (
            &format!("<{url}/api/v2/things?page=2>; rel=next; x-node=erp-7"),
            Some("</erp/v1/things?page=2>; rel=next"),
        ),
        ("<https://erp.internal/2>; rel=next, <things>; rel=self", Some("</erp/v1/things>; rel=self")),
        ("<https://erp.internal/2>; rel=next", None),
        ("<//erp.internal/api/v2/things>; rel=next", None),
        ("</api/v2/things>; rel=next; anchor=\"https://erp.internal/\"", None),
        ("</admin>; rel=next", None),
        (
            "<things?page=2&debug=1>; rel=next, <things?page=1>; rel=prev",
            Some("</erp/v1/things?page=1>; rel=prev"),
        ),
        ("<things?cursor=x>; rel=next", None),
        ("</style.css>; rel=preload", None),
        ("/api/v2/things; rel=next", None),
    ] {
        for path in ["/things", "/kept"] {
            let fields = vec![("link", links.to_owned()), ("content-type", "application/json".to_owned())];
            world
                .target
                .on(&format!("GET /api/v2{path}"), Reply::Raw(200, fields, bytes::Bytes::from_static(b"{}")));
            let reply = world.curl(&format!("/erp/v1{path}"), &["-H", &key]).unwrap();
            let expected = crosses.map(|links| links.to_owned());
            assert_eq!(
                (reply.status, reply.header("link").map(str::to_owned)),
                (200, expected),
                "{path} {links}"
            );
        }
    }
}
