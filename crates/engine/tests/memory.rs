//! The bridge holds no more of bodies than it may, whoever is slow.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use ironbridge_testkit::Reply;
use std::process::{Child, Command, Stdio};
use world::{Declared, World, eventually};

const OPERATIONS: &str =
    r#"write: { match: POST /write, permission: orders.write, timeout: 60s, request: { keep: [/*/a] } }"#;

fn declared() -> Declared {
    Declared { operations: OPERATIONS, bridge: "limits: { memory: 16MiB }", ..Declared::default() }
}

#[test]
fn what_finds_no_memory_is_told_to_come_back() {
    let (world, key) = World::with_key(&declared(), |_, _| Ok(())).unwrap();
    let key = format!("X-API-Key: {key}");
    let body = format!("[{}]", vec![r#"{"a":0}"#; 60_000].join(","));
    let file = world.dir.path().join("body");
    std::fs::write(&file, &body).unwrap();
    let file = format!("@{}", file.display());
    world.target.on("POST /write", Reply::Hang);
    let slow = |count: usize| -> Vec<Child> {
        let call = || {
            Command::new("curl")
                .args(["-q", "-s", "-i", "--cacert", world.ca().to_str().unwrap(), "-H", &key])
                .args(["-H", "Content-Type: application/json", "--data-binary", &file])
                .arg(world.url("/erp/v1/write"))
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        };
        (0..count).map(|_| call()).collect()
    };
    // One account may hold half: some of these wait for the target, the rest is refused.
    let mut calls = slow(24);
    eventually(|| (!world.target.seen_on("POST /write").is_empty()).then_some(()));
    let refused = eventually(|| calls.iter_mut().position(|call| call.try_wait().unwrap().is_some()));
    let refused = calls.swap_remove(refused).wait_with_output().unwrap();
    let refused = String::from_utf8(refused.stdout).unwrap().to_lowercase();
    assert!(refused.contains("bridge-full") && refused.contains("retry-after: 1"), "{refused}");
    let held = world.target.seen_on("POST /write").len();
    assert!(held <= (8 << 20) / body.len(), "{held}");
    calls.iter_mut().for_each(|call| {
        let _ = call.kill();
        let _ = call.wait();
    });
    // What they held is given back.
    world.target.on("POST /write", Reply::Echo);
    let reply = eventually(|| {
        let arguments = ["-H", &*key, "-H", "Content-Type: application/json", "--data-binary", &*file];
        world.curl("/erp/v1/write", &arguments).ok().filter(|reply| reply.status == 200)
    });
    assert_eq!(reply.status, 200);
}

#[test]
fn a_body_that_could_never_be_held_is_told_when_the_manifest_is_loaded() {
    let operations =
        "write: { match: POST /write, permission: orders.write, request: { keep: [/a], max_body: 5MiB } }";
    let told = World::new(&Declared { operations, ..declared() }).err().unwrap();
    assert!(format!("{told:?}").contains("bridge.limits.memory must be at least 20MiB"), "{told:?}");
}
