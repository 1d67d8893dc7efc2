//! How often: 429 with Retry-After and the RateLimit fields, by account, address and operation.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use ironbridge_testkit::CurlReply;
use std::time::{Duration, Instant};
use world::{Declared, World, eventually, issue_key};

const OPERATIONS: &str = r#"free: { match: GET /free, permission: orders.read, request: { query: all } }
    tight: { match: GET /tight, permission: orders.read, limits: { per_operation: 2/h } }
    other: { match: GET /other, permission: orders.read, limits: { per_account: 1/h } }
    quick: { match: GET /quick, permission: orders.read, limits: { per_account: 2/s } }"#;

const BEHIND_A_PROXY: &str = ", trusted_proxies: [127.0.0.0/8]";

fn world(integration: &'static str) -> (World, String, String) {
    let declared =
        Declared { operations: OPERATIONS, integration, listener: BEHIND_A_PROXY, ..Declared::default() };
    let mut reader = String::new();
    let (world, writer) = World::with_key(&declared, |dir, _| {
        reader = issue_key(dir, "order-reader")?;
        Ok(())
    })
    .unwrap();
    (world, writer, reader)
}

fn get(world: &World, key: &str, path: &str, from: &str) -> CurlReply {
    let (key, from) = (format!("X-API-Key: {key}"), format!("X-Forwarded-For: {from}"));
    world.curl(&format!("/erp/v1{path}"), &["-H", &key, "-H", &from]).unwrap()
}

fn is_limited(reply: &CurlReply) -> bool {
    match reply.status {
        200 => false,
        429 => {
            assert_eq!(reply.json().unwrap()["code"], "rate-limited");
            assert!(reply.header("retry-after").is_some());
            true
        }
        other => panic!("{other}: {}", reply.text()),
    }
}

#[test]
fn an_accounts_limit_is_its_own_and_is_told_in_numbers() {
    let (world, writer, reader) = world("limits: { per_account: 3/h }");
    for left in ["2", "1", "0"] {
        let reply = get(&world, &writer, "/free", "192.0.2.1");
        assert!(!is_limited(&reply));
        assert_eq!(reply.header("ratelimit-policy"), Some("\"account\";q=3;w=3600"));
        let state = reply.header("ratelimit").unwrap();
        assert!(state.starts_with(&format!("\"account\";r={left};t=")), "{state}");
    }
    // From another address too, and for another operation; but not for another account.
    let reply = get(&world, &writer, "/free", "192.0.2.2");
    assert!(is_limited(&reply));
    let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((1100..=1200).contains(&wait), "one of three an hour comes back in 20 minutes: {wait}");
    assert_eq!(reply.header("ratelimit"), Some(format!("\"account\";r=0;t={wait}").as_str()));
    assert!(is_limited(&get(&world, &writer, "/quick", "192.0.2.1")));
    assert!(!is_limited(&get(&world, &reader, "/free", "192.0.2.1")));
    let record = world.record_of(&reply);
    assert_eq!((&record["outcome"], &record["account"]), (&"denied".into(), &"order-service".into()));
    // Nothing that was refused reached the target.
    assert_eq!(world.target.seen().len(), 4);
}

#[test]
fn an_addresss_limit_counts_before_it_is_known_who_calls() {
    let (world, writer, reader) = world("limits: { per_address: 2/h }");
    assert!(!is_limited(&get(&world, &writer, "/free", "192.0.2.1")));
    assert!(!is_limited(&get(&world, &reader, "/free", "192.0.2.1")));
    assert!(is_limited(&get(&world, &writer, "/free", "192.0.2.1")));
    assert!(is_limited(&get(&world, "no key at all", "/free", "192.0.2.1")));
    assert!(!is_limited(&get(&world, &writer, "/free", "192.0.2.2")));
    // One /64 of IPv6 is one subscriber.
    assert!(!is_limited(&get(&world, &writer, "/free", "2001:db8::1")));
    assert!(!is_limited(&get(&world, &writer, "/free", "2001:db8::2")));
    assert!(is_limited(&get(&world, &writer, "/free", "2001:db8::3:3")));
    assert!(!is_limited(&get(&world, &writer, "/free", "2001:db8:0:1::1")));
}

#[test]
fn an_operations_limit_is_everyones_and_survives_a_reload() {
    let (world, writer, reader) = world("");
    assert!(!is_limited(&get(&world, &writer, "/tight", "192.0.2.1")));
    world.reload().unwrap();
    assert!(!is_limited(&get(&world, &reader, "/tight", "192.0.2.2")));
    world.reload().unwrap();
    assert!(is_limited(&get(&world, &writer, "/tight", "192.0.2.3")));
    assert!(!is_limited(&get(&world, &writer, "/free", "192.0.2.1")));
    assert!(!is_limited(&get(&world, &writer, "/other", "192.0.2.1")));
    assert!(is_limited(&get(&world, &writer, "/other", "192.0.2.1")));
}

#[test]
fn an_integrations_limit_of_operations_is_counted_by_each_of_them() {
    let (world, writer, reader) = world("limits: { per_operation: 3/h }");
    for key in [&writer, &reader, &writer] {
        let reply = get(&world, key, "/free", "192.0.2.1");
        assert!(!is_limited(&reply));
        assert_eq!(reply.header("ratelimit-policy"), Some("\"operation\";q=3;w=3600"));
    }
    assert!(is_limited(&get(&world, &reader, "/free", "192.0.2.2")));
    // Another operation counts for itself, and the tighter one of two is what holds.
    assert!(!is_limited(&get(&world, &reader, "/tight", "192.0.2.1")));
    assert!(!is_limited(&get(&world, &reader, "/tight", "192.0.2.1")));
    assert!(is_limited(&get(&world, &reader, "/tight", "192.0.2.1")));
}

#[test]
fn who_waits_as_told_is_let_in() {
    let (world, writer, _) = world("");
    let limited = eventually(|| Some(get(&world, &writer, "/quick", "192.0.2.1")).filter(is_limited));
    let wait: u64 = limited.header("retry-after").unwrap().parse().unwrap();
    assert_eq!(wait, 1);
    let told = Instant::now();
    while told.elapsed() < Duration::from_secs(wait) {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(!is_limited(&get(&world, &writer, "/quick", "192.0.2.1")));
}

#[test]
fn a_credential_that_keeps_failing_is_not_looked_at_for_a_while() {
    let (world, writer, _) = world("");
    let url = world.url("/erp/v1/free?[1-60]");
    let ca = world.ca();
    let arguments = |key: &str| -> Vec<String> {
        ["-q", "-s", "--cacert", ca.to_str().unwrap(), "-H", "X-Forwarded-For: 192.0.2.66", "-H"]
            .into_iter()
            .map(str::to_owned)
            .chain([
                format!("X-API-Key: {key}"),
                "-o".into(),
                "/dev/null".into(),
                "-w".into(),
                "%{http_code}\n".into(),
            ])
            .chain([url.clone()])
            .collect()
    };
    let statuses = |key: &str| -> Vec<String> {
        let output = std::process::Command::new("curl").args(arguments(key)).output().unwrap();
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    };
    // What succeeds is never counted.
    assert_eq!(statuses(&writer), vec!["200"; 60]);
    assert!(statuses("ibk_guess").iter().filter(|status| *status == "401").count() >= 59);
    // The wrong one is not even looked at now, from there; the right one is, wherever it comes from.
    assert!(is_limited(&eventually(|| {
        Some(get(&world, "ibk_guess", "/free", "192.0.2.66")).filter(|reply| reply.status == 429)
    })));
    assert_eq!(get(&world, "ibk_guess", "/free", "192.0.2.67").status, 401);
    assert!(!is_limited(&get(&world, &writer, "/free", "192.0.2.66")));
}

/// Who keeps failing to authenticate is refused before it counts at its address: others call from there too.
#[test]
fn refused_attempts_to_authenticate_use_up_nobodys_quota() {
    let (world, writer, _) = world("limits: { per_address: 100/h }");
    let wrong = format!("{}x", writer.get(..writer.len() - 1).unwrap());
    let statuses: Vec<u16> = (0..120).map(|_| get(&world, &wrong, "/free", "192.0.2.1").status).collect();
    assert_eq!((statuses[0], statuses.contains(&429)), (401, true), "{statuses:?}");
    assert!(!is_limited(&get(&world, &writer, "/free", "192.0.2.1")));
}
