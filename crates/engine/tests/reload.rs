//! Change while it runs: reloads under traffic, listeners that move, certificates that follow, a stop that waits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use bytes::Bytes;
use ironbridge_testkit::{Authority, Reply, curl, free_port};
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use world::{Declared, Raw, World, eventually};

const ONE: &str = "read: { match: \"GET /read/{id}\", permission: orders.read }";
const TWO: &str = "read: { match: \"GET /read/{id}\", permission: orders.read, response: { keep: [/path] } }
    more: { match: GET /more, permission: orders.read }";

fn declared(operations: &'static str) -> Declared {
    Declared { operations, ..Declared::default() }
}

fn status(world: &World, key: &str, path: &str) -> u16 {
    world.curl(path, &["-H", &format!("X-API-Key: {key}")]).unwrap().status
}

#[test]
fn no_exchange_fails_while_the_manifest_changes() {
    let (world, key) = World::with_key(&declared(ONE), |_, _| Ok(())).unwrap();
    let (done, passed) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (ca, url, header) = (world.ca(), world.url("/erp/v1/read/[1-100]"), format!("X-API-Key: {key}"));
    std::thread::scope(|threads| {
        for version in ["--http1.1", "--http2", "--http1.1"] {
            let (ca, url, header, done, passed) = (&ca, &url, &header, &done, &passed);
            threads.spawn(move || {
                // One connection for a hundred requests, again and again.
                while !done.load(Ordering::Relaxed) {
                    let output = Command::new("curl")
                        .args(["-q", "-sS", version, "--cacert", ca.to_str().unwrap(), "-H", header])
                        .args(["-o", "/dev/null", "-w", "%{http_code} %{num_connects}\n", url])
                        .output()
                        .unwrap();
                    let text = String::from_utf8_lossy(&output.stdout).into_owned();
                    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                    assert!(text.lines().all(|line| line.starts_with("200 ")), "{text}");
                    assert_eq!(text.lines().filter(|line| line.ends_with(" 1")).count(), 1, "{text}");
                    passed.fetch_add(text.lines().count(), Ordering::Relaxed);
                }
            });
        }
        for round in 0..20 {
            world.rewrite(&declared(if round % 2 == 0 { TWO } else { ONE })).unwrap();
            let reloaded = world.reload().unwrap();
            assert_eq!(reloaded.generation, round + 2);
            std::thread::sleep(Duration::from_millis(50));
        }
        done.store(true, Ordering::Relaxed);
    });
    let passed = passed.into_inner();
    assert!(passed >= 300, "{passed}");
    let records = eventually(|| Some(world.records().unwrap()).filter(|records| records.len() >= passed));
    assert!(records.iter().all(|record| record["outcome"] == "success"));
    let generations: std::collections::BTreeSet<u64> =
        records.iter().map(|record| record["generation"].as_u64().unwrap()).collect();
    assert!(generations.len() > 5, "{generations:?}");
}

#[test]
fn what_is_declared_anew_holds_at_once_and_what_is_broken_never() {
    let (world, key) = World::with_key(&declared(ONE), |_, _| Ok(())).unwrap();
    let statuses = || ["/erp/v1/read/1", "/erp/v1/more"].map(|path| status(&world, &key, path));
    assert_eq!(statuses(), [200, 404]);
    world.rewrite(&declared(TWO)).unwrap();
    assert_eq!(statuses(), [200, 404]);
    world.reload().unwrap();
    assert_eq!(statuses(), [200, 200]);

    // Each of these is refused with its reason, and nothing changes.
    let good = std::fs::read_to_string(world.dir.path().join("ironbridge.yaml")).unwrap();
    for (from, to, reason) in [
        ("permission: orders.read", "permision: orders.read", "permision"),
        ("roles: [writer]", "roles: [admiral]", "admiral"),
        ("keep: [/path]", "keep: [path]", "path"),
        ("ca: ./erp-ca.pem", "ca: ./nowhere.pem", "nowhere.pem"),
        ("name: test-bridge", "name: other-bridge", "bridge.name"),
        ("workers: 1", "workers: 2", "bridge.workers"),
        ("data_dir: ./data", "data_dir: ./elsewhere", "bridge.data_dir"),
        ("127.0.0.1:", "192.0.2.1:", "192.0.2.1"),
    ] {
        assert!(good.contains(from), "{from}");
        world.edit(|text| text.replace(from, to)).unwrap();
        let refused = world.reload().unwrap_err();
        assert!(refused.contains(reason), "{to}: {refused}");
        assert_eq!(statuses(), [200, 200], "{to}");
        world.edit(|_| good.clone()).unwrap();
    }
    std::fs::write(world.dir.path().join("second.yaml"), "bridge: { name: twice }\n").unwrap();
    assert!(world.reload().is_err());
    std::fs::remove_file(world.dir.path().join("second.yaml")).unwrap();
    assert!(!world.dir.path().join("elsewhere").exists());

    world.rewrite(&declared(ONE)).unwrap();
    world.reload().unwrap();
    assert_eq!(statuses(), [200, 404]);
    let refused = world.curl("/erp/v1/more", &["-H", &format!("X-API-Key: {key}")]).unwrap();
    assert_eq!(refused.json().unwrap()["code"], "operation-unknown");
}

/// A bridge whose listener just moved, with a slow exchange under way on a connection to where it was.
fn moved_under_way() -> (World, String, Raw, u16) {
    // Without it, the public URL is the listener's own, and that only a restart can change.
    let declared = Declared { bridge: "public_url: https://localhost", ..declared(ONE) };
    let (world, key) = World::with_key(&declared, |_, _| Ok(())).unwrap();
    world.target.on("GET /read/slow", Reply::After(Duration::from_millis(700), Box::new(Reply::Echo)));
    let mut raw = world.raw().unwrap();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n\r\n");
    raw.send(get("/erp/v1/read/1"));
    assert_eq!(raw.reply().status, 200);
    raw.send(get("/erp/v1/read/slow"));
    eventually(|| (!world.target.seen_on("GET /read/slow").is_empty()).then_some(()));
    let (old, new) = (world.port, free_port().unwrap());
    world.edit(|text| text.replace(&old.to_string(), &new.to_string())).unwrap();
    world.reload().unwrap();
    (world, key, raw, new)
}

fn ended_well(raw: &Raw) {
    let replies = raw.replies(2);
    assert_eq!((replies[1].status, replies[1].header("connection")), (200, Some("close")));
    raw.wait_until_closed();
}

#[test]
fn a_listener_that_moves_lets_the_old_one_drain() {
    let (world, key, raw, new) = moved_under_way();
    // The old one takes no more connections, yet ends what it began.
    eventually(|| TcpStream::connect(("127.0.0.1", world.port)).is_err().then_some(()));
    ended_well(&raw);
    let reply = curl([
        "--cacert",
        world.ca().to_str().unwrap(),
        "-H",
        &format!("X-API-Key: {key}"),
        &format!("https://localhost:{new}/erp/v1/read/2"),
    ]);
    assert_eq!(reply.unwrap().status, 200);
}

#[test]
fn a_stop_waits_for_a_listener_that_moved_too() {
    let (mut world, _, raw, _) = moved_under_way();
    assert_eq!(world.stop().unwrap(), 0);
    ended_well(&raw);
}

#[test]
fn a_stop_waits_for_what_is_under_way() {
    for version in ["--http1.1", "--http2"] {
        let (mut world, key) = World::with_key(&declared(ONE), |_, _| Ok(())).unwrap();
        world.target.on("GET /read/slow", Reply::After(Duration::from_millis(700), Box::new(Reply::Echo)));
        let idle = world.raw().unwrap();
        let arguments = [
            version.to_owned(),
            "--cacert".into(),
            world.ca().to_str().unwrap().into(),
            "-H".into(),
            format!("X-API-Key: {key}"),
            world.url("/erp/v1/read/slow"),
        ];
        let slow = std::thread::spawn(move || curl(arguments).unwrap());
        eventually(|| (!world.target.seen_on("GET /read/slow").is_empty()).then_some(()));
        let port = world.port;
        let refused = std::thread::spawn(move || {
            eventually(|| TcpStream::connect(("127.0.0.1", port)).is_err().then_some(()));
        });
        assert_eq!(world.stop().unwrap(), 0, "{version}");
        let reply = slow.join().unwrap();
        assert_eq!(reply.status, 200);
        refused.join().unwrap();
        idle.wait_until_closed();
        assert_eq!(world.record_of(&reply)["outcome"], "success");
    }
}

/// What the kernel still holds for a slow caller is lost with a connection that is closed while the caller speaks, as it
/// does over HTTP/2 while it reads.
#[test]
fn the_end_of_an_answer_reaches_a_slow_caller_across_a_stop() {
    // curl makes room for more once it read half of 32 MiB.
    const BYTES: usize = 19 << 20;
    for version in ["--http1.1", "--http2"] {
        let (mut world, key) = World::with_key(&declared(ONE), |_, _| Ok(())).unwrap();
        let body = Bytes::from(vec![b'x'; BYTES]);
        world
            .target
            .on("GET /read/large", Reply::Raw(200, vec![("content-type", "text/plain".to_owned())], body));
        let mut curl = std::process::Command::new("curl");
        curl.args(["-sS", "--limit-rate", "6M", version, "--cacert", world.ca().to_str().unwrap()]);
        curl.args(["-H", &format!("X-API-Key: {key}"), &world.url("/erp/v1/read/large")]);
        let curl =
            curl.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
        eventually(|| (!world.target.seen_on("GET /read/large").is_empty()).then_some(()));
        let read = std::thread::spawn(move || curl.wait_with_output().unwrap());
        assert_eq!(world.stop().unwrap(), 0, "{version}");
        let read = read.join().unwrap();
        assert_eq!(read.stdout.len(), BYTES, "{version}: {}", String::from_utf8_lossy(&read.stderr));
    }
}

/// A socket belongs to its address, not to what the listener is called.
#[test]
fn listeners_change_their_names_and_swap_addresses() {
    let declared = Declared { bridge: "public_url: https://localhost", ..declared(ONE) };
    let (world, key) = World::with_key(&declared, |_, _| Ok(())).unwrap();
    let (first, second) = (world.port, free_port().unwrap());
    let header = format!("X-API-Key: {key}");
    let status = |port: u16| {
        let url = format!("https://localhost:{port}/erp/v1/read/1");
        curl(["--cacert", world.ca().to_str().unwrap(), "-H", &header, &url]).unwrap().status
    };
    let declare = |listeners: [(&str, u16); 2]| {
        let [one, other] = listeners.map(|(name, port)| format!("{name}: {{ address: 127.0.0.1:{port} }}"));
        world
            .edit(|text| {
                let start = text.find("  listeners:").unwrap();
                let rest = text[start..].find("systems:").unwrap() + start;
                let middle = &text[start..rest];
                let more = middle.find("public_url").map(|at| &middle[at..]).unwrap_or_default();
                format!("{}  listeners:\n    {one}\n    {other}\n  {more}{}", &text[..start], &text[rest..])
            })
            .unwrap();
        world.reload().unwrap();
        // The integration is served by `api`.
        for (name, port) in listeners {
            assert_eq!(status(port), if name == "api" { 200 } else { 404 }, "{name} of {listeners:?}");
        }
    };
    let mut kept = world.raw().unwrap();
    for listeners in [
        [("api", first), ("other", second)],
        [("api", second), ("other", first)],
        [("renamed", first), ("api", second)],
        [("other", second), ("api", first)],
    ] {
        declare(listeners);
    }
    // Nobody who was connected noticed.
    kept.send(format!("GET /erp/v1/read/1 HTTP/1.1\r\nHost: localhost\r\n{header}\r\n\r\n"));
    assert_eq!(kept.reply().status, 200);
}

#[test]
fn what_does_not_end_is_cut_and_recorded() {
    let declared = Declared { bridge: "timeouts: { drain: 1s }", ..declared(ONE) };
    let (mut world, key) = World::with_key(&declared, |_, _| Ok(())).unwrap();
    world.target.on("GET /read/slow", Reply::Hang);
    let mut raw = world.raw().unwrap();
    raw.send(format!("GET /erp/v1/read/slow HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n\r\n"));
    eventually(|| (!world.target.seen_on("GET /read/slow").is_empty()).then_some(()));
    assert_eq!(world.stop().unwrap(), 1);
    raw.wait_until_closed();
    let records = world.records().unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!((&records[0]["outcome"], &records[0]["code"]), (&"failed".into(), &"drain-over".into()));
}

#[test]
fn a_new_certificate_is_shown_to_new_connections_only() {
    let (first, second) = (Authority::new("first").unwrap(), Authority::new("second").unwrap());
    let declared = Declared {
        listener: ", certificate: { chain: ./listener.crt, key: ./listener.key }",
        ..declared(ONE)
    };
    let (world, key) = World::with_key(&declared, |dir, _| {
        first.server(&["localhost"])?.write(dir, "listener")?;
        first.write(dir.join("first.pem"))?;
        second.write(dir.join("second.pem"))?;
        Ok(())
    })
    .unwrap();
    let (old, new) = (world.dir.path().join("first.pem"), world.dir.path().join("second.pem"));
    let get = format!("GET /erp/v1/read/1 HTTP/1.1\r\nHost: a\r\nX-API-Key: {key}\r\n\r\n");
    let mut raw = Raw::open(world.port, &old, "http/1.1").unwrap();
    raw.send(&get);
    assert_eq!(raw.reply().status, 200);

    let trusts = |ca: &std::path::Path| {
        curl([
            "--cacert",
            ca.to_str().unwrap(),
            "-H",
            &format!("X-API-Key: {key}"),
            &world.url("/erp/v1/read/2"),
        ])
    };
    assert_eq!(trusts(&old).unwrap().status, 200);
    // A key that others may read is not used, and what was there stays.
    second.server(&["localhost"]).unwrap().write(world.dir.path(), "listener").unwrap();
    let key_file = world.dir.path().join("listener.key");
    chmod(&key_file, 0o644);
    assert!(world.reload().unwrap_err().contains("chmod 600"));
    assert_eq!(trusts(&old).unwrap().status, 200);
    chmod(&key_file, 0o600);
    world.reload().unwrap();
    assert_eq!(trusts(&new).unwrap().status, 200);
    assert!(trusts(&old).is_err());
    // The connection from before goes on.
    raw.send(&get);
    assert_eq!(raw.replies(2)[1].status, 200);
}

fn chmod(path: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
