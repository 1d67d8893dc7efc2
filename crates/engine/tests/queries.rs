//! Which members of a query cross, what is said of those that do not, and what the record keeps of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use world::{Declared, World};

const OPERATIONS: &str = r#"some: { match: GET /some, permission: orders.read, request: { query: [page, tag*, query] } }
    all: { match: GET /all, permission: orders.read, request: { query: all } }
    none: { match: GET /none, permission: orders.read }
    theirs: { match: GET /theirs, permission: orders.delete }"#;

fn world(operations: &'static str) -> (World, String) {
    let (world, key) =
        World::with_key(&Declared { operations, ..Declared::default() }, |_, _| Ok(())).unwrap();
    (world, format!("X-API-Key: {key}"))
}

#[test]
fn a_query_holds_the_members_that_are_declared() {
    let (world, key) = world(OPERATIONS);
    for (path, arrives) in [
        ("/some", "/some"),
        ("/some?page=2&tag=a&tag=b", "/some?page=2&tag=a&tag=b"),
        ("/some?query=%7B%0A%09orders%0D%0A%7D", "/some?query=%7B%0A%09orders%0D%0A%7D"),
        ("/all?x=1&x=2&y", "/all?x=1&x=2&y"),
        ("/all?x=a%0ab", "/all?x=a%0Ab"),
        ("/none?", "/none"),
    ] {
        world.target.forget();
        let reply = world.curl(&format!("/erp/v1{path}"), &["--globoff", "-H", &key]).unwrap();
        assert_eq!(reply.status, 200, "{path}");
        assert_eq!(world.target.seen()[0].path, arrives, "{path}");
    }
    world.target.forget();
    for (path, code, named, recorded) in [
        ("/some?page=1&debug=s3cret", "query-undeclared", "`debug`", "query member `debug`"),
        ("/some?page=1&page=2", "query-repeated", "`page`", "query member `page`"),
        ("/some?PAGE=1", "query-undeclared", "`PAGE`", "query member `PAGE`"),
        ("/none?a=1&b7=1&somebody", "query-undeclared", "`b7`, `somebody`", "query members `a`, 2, 3"),
        (
            "/some?page=%00",
            "query-ambiguous",
            "`page`",
            "query member `page`: a value in the query holds a NUL",
        ),
        (
            "/all?a=1&x%0a=2",
            "query-ambiguous",
            "member 2",
            "member 2: a name in the query holds a control character",
        ),
        // Who may not call at all does not learn what is declared.
        ("/theirs?a=1", "permission-missing", "", ""),
    ] {
        let reply = world.curl(&format!("/erp/v1{path}"), &["--globoff", "-H", &key]).unwrap();
        let problem = reply.json().unwrap();
        assert_eq!(problem["code"], code, "{path}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(named) && !detail.contains("s3cret"), "{path}: {detail}");
        let record = world.record_of(&reply);
        assert_eq!(record["code"], code, "{path}");
        let by = record["refused_by"].as_str().unwrap_or_default();
        assert!(by.contains(recorded) && by.is_empty() == recorded.is_empty(), "{path}: {by}");
    }
    assert!(world.target.seen().is_empty());
}

/// Where every member crosses, a rule's member must not reach the target under a name that only the target knows.
#[test]
fn a_rules_member_has_one_name() {
    let (world, key) = world(
        r#"all: { match: GET /all, permission: orders.read, request: { query: all, rules: [{ check: "!has(request.query.limit) || int(request.query.limit) <= 100", otherwise: at most 100 }, { check: "!('debug' in request.query)", otherwise: no debugging }] } }"#,
    );
    let ask = |query: &str| world.curl(&format!("/erp/v1/all?{query}"), &["--globoff", "-H", &key]).unwrap();
    for query in ["limit=7", "page=1", "limits=1000", "filter[limit]=1000", "max_limit=1000"] {
        assert_eq!(ask(query).status, 200, "{query}");
    }
    world.target.forget();
    for (query, code) in [
        ("limit=1000", "rule-violated"),
        ("limit=7&limit=1000", "rule-undecided"),
        ("%6cimit=1000", "rule-violated"),
        ("limit=7&limit[]=1000", "query-ambiguous"),
        ("limit[]=1000", "query-ambiguous"),
        ("+limit=1000", "query-ambiguous"),
        ("LIMIT=1000", "query-ambiguous"),
        ("limit.=1000", "query-ambiguous"),
        ("limit;x=1000", "query-ambiguous"),
        ("limit%00=1000", "query-ambiguous"),
        ("debug", "rule-violated"),
        ("Debug=1", "query-ambiguous"),
    ] {
        let reply = ask(query);
        assert_eq!(world.record_of(&reply)["code"], code, "{query}");
    }
    assert!(world.target.seen().is_empty());
}

#[test]
fn rules_that_name_no_body_leave_it_unread() {
    let (world, key) = world(
        r#"form: { match: POST /form, permission: orders.read, request: { rules: [{ check: "request.path == '/form'", otherwise: no }] } }
    read: { match: POST /read, permission: orders.read, request: { rules: [{ check: "!has(body.a)", otherwise: no }] } }"#,
    );
    let form = ["-H", &key, "-H", "Content-Type: application/x-www-form-urlencoded", "-d", "a=1&a=2"];
    let reply = world.curl("/erp/v1/form", &form).unwrap();
    assert_eq!(reply.status, 200);
    assert_eq!(world.curl("/erp/v1/read", &form).unwrap().json().unwrap()["code"], "content-type-refused");
}
