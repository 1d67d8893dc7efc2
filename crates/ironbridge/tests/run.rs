//! The whole way with the real binary: from `init` to a verified trail, with curl calling and a TLS target behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod stage;

use ironbridge_testkit::{Authority, CurlReply, FakeTarget, Process, Reply, curl};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use serde_json::json;
use stage::{BINARY, Stage};
use std::fs;
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(60);

struct World {
    stage: Stage,
    bridge: Process,
    target: FakeTarget,
    port: String,
}

/// What `init` writes, with the target's address and CA, a secret, and a port that the system chooses.
fn world(arguments: &[&str]) -> World {
    let stage = Stage::new();
    let authority = Authority::new("ERP CA").unwrap();
    authority.write(stage.path("erp.pem")).unwrap();
    let target = FakeTarget::start(&authority).unwrap();
    stage.edit("ironbridge.yaml", "127.0.0.1:8443", "127.0.0.1:0");
    stage.edit("parties.yaml", "https://localhost:9443", &target.url());
    stage.edit("parties.yaml", "# ca: ./ca/erp.pem ", "ca: ./erp.pem ");
    stage.edit("parties.yaml", "# auth:", "auth:");
    stage.edit("parties.yaml", "#   bearer: {", "  bearer: {");
    let set = stage.run_with_input(&["secret", "set", "erp-token"], b"the-targets-own\n");
    assert_eq!(set.code, 0, "{}", set.err);
    let mut bridge = Process::start(&mut stage.command(&[&["run"], arguments].concat())).unwrap();
    let line = bridge.wait_for_line("127.0.0.1:", LONG).unwrap();
    let port = line.rsplit("127.0.0.1:").next().unwrap();
    let port = port.chars().take_while(char::is_ascii_digit).collect();
    World { stage, bridge, target, port }
}

impl World {
    fn call(&self, arguments: &[&str]) -> CurlReply {
        let ca = self.stage.path("data/ca.pem");
        let url = format!("https://localhost:{}/erp/orders", self.port);
        curl([&["--cacert", ca.to_str().unwrap(), &url], arguments].concat()).unwrap()
    }

    /// Calls until the running bridge has noticed what a command changed in its store.
    fn call_until(&self, status: u16, arguments: &[&str]) -> CurlReply {
        for _ in 0..100 {
            let reply = self.call(arguments);
            if reply.status == status {
                return reply;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("never {status}: {:?}", self.call(arguments));
    }
}

#[test]
fn from_init_to_a_verified_trail() {
    let mut world = world(&["--no-watch"]);
    world.target.on(
        "GET /orders",
        Reply::Json(
            200,
            json!({ "items": [{ "id": 7, "status": "open", "phone": "+49 1" }], "debug": true }),
        ),
    );
    for _ in 0..3 {
        assert_eq!(world.call(&[]).json().unwrap()["code"], "credentials-missing");
    }
    // The operator learns of it, and is not flooded.
    world.bridge.wait_for_line("explain credentials-missing", LONG).unwrap();
    let lines = world.bridge.output();
    let lines: Vec<&str> = lines.lines().filter(|line| line.contains("credentials-missing")).collect();
    assert!(lines.len() == 1 && lines[0].contains("INFO") && lines[0].contains("list-orders"), "{lines:?}");

    let issued = world.stage.good(&["key", "issue", "shop", "--format", "json"]).json();
    let header = format!("X-API-Key: {}", issued["key"].as_str().unwrap());
    let reply = world.call_until(200, &["-H", &header]);
    assert_eq!(reply.json().unwrap(), json!({ "items": [{ "id": 7, "status": "open" }] }));
    let seen = world.target.seen_on("GET /orders");
    assert_eq!(seen[0].header("authorization"), Some("Bearer the-targets-own"));
    assert_eq!(seen[0].header("x-api-key"), None);

    world.stage.good(&["key", "revoke", issued["id"].as_str().unwrap()]);
    let refused = world.call_until(401, &["-H", &header]).json().unwrap();
    assert_eq!(refused["code"], "api-key-revoked");

    // What is running can be read and verified from outside, with a key kept elsewhere.
    let tail = world.stage.good(&["audit", "tail", "-n", "5"]).out;
    assert!(
        tail.contains("denied") && tail.contains("api-key-revoked") && tail.contains("orders.list-orders"),
        "{tail}"
    );
    let id = refused["correlation_id"].as_str().unwrap();
    let found = world.stage.good(&["audit", "query", "--id", id, "--since", "1h", "--format", "json"]).json();
    assert_eq!((&found["outcome"], &found["id"]), (&json!("denied"), &json!(id)));
    let none = world.stage.good(&["audit", "query", "--code", "replayed"]);
    assert!(none.out.is_empty() && none.err.contains("No record matches"));

    // A broken manifest changes nothing; a mended one is in force without a restart.
    world.stage.edit("integrations/orders.yaml", "GET /orders", "GET orders");
    world.bridge.signal("HUP").unwrap();
    world.bridge.wait_for_line("the one before stays in force", LONG).unwrap();
    assert!(world.bridge.output().contains("error[IB"), "{}", world.bridge.output());
    assert_eq!(world.call(&[]).json().unwrap()["code"], "credentials-missing");
    world.stage.edit("integrations/orders.yaml", "GET orders", "GET /open-orders");
    world.bridge.signal("HUP").unwrap();
    world.bridge.wait_for_line("in force why=\"SIGHUP\" generation=2", LONG).unwrap();
    assert_eq!(world.call(&[]).json().unwrap()["code"], "operation-unknown");

    world.bridge.signal("TERM").unwrap();
    assert!(world.bridge.wait(LONG).unwrap().success(), "{}", world.bridge.output());
    assert!(!world.bridge.output().contains("the-targets-own"));

    // What administrators and the bridge did is recorded too, and who it was.
    for (action, object) in [
        ("bridge.start", ""),
        ("key.issue", issued["id"].as_str().unwrap()),
        ("key.revoke", issued["id"].as_str().unwrap()),
        ("secret.set", "erp-token"),
        ("bridge.reload", ""),
        ("bridge.stop", ""),
    ] {
        let done = world.stage.good(&["audit", "query", "--action", action, "--details"]).out;
        assert!(
            done.contains(action) && done.contains(object) && done.contains("actor="),
            "{action}: {done}"
        );
    }

    let key = world.stage.good(&["audit", "key"]).out;
    let verified = world.stage.good(&["audit", "verify", "--key", key.trim(), "--format", "json"]).json();
    assert_eq!((&verified["verified"], &verified["own_key"]), (&json!(true), &json!(false)), "{verified}");
    assert_eq!(verified["pending"], 0);
    let own = world.stage.good(&["audit", "verify"]);
    assert!(own.out.contains("is whole") && own.err.contains("not a forger"), "{}{}", own.out, own.err);
    tampering_is_detected(&world.stage, key.trim());
}

fn tampering_is_detected(stage: &Stage, key: &str) {
    let other = Stage::new().good(&["audit", "key"]).out;
    let foreign = stage.bad(&["audit", "verify", "--key", other.trim()]);
    assert!(foreign.err.contains("did not sign"), "{}", foreign.err);

    let query = ["audit", "query", "--outcome", "denied", "--limit", "1", "--format", "json"];
    let denied = stage.good(&query).json();
    let shown = stage.good(&["audit", "show", denied["id"].as_str().unwrap(), "--format", "json"]).json();
    let entry = format!("entry {}", shown["records"][0]["index"]);
    let entries = fs::read_dir(stage.path("data/audit/log/tile/entries/000.p")).unwrap();
    let bundle = entries.map(|entry| entry.unwrap().path()).max().unwrap();
    let bytes = fs::read(&bundle).unwrap();
    let at = bytes.windows(6).position(|part| part == b"denied").unwrap();
    let mut file = fs::OpenOptions::new().write(true).open(&bundle).unwrap();
    file.seek(SeekFrom::Start(at.try_into().unwrap())).unwrap();
    file.write_all(b"passed").unwrap();
    let tampered = stage.bad(&["audit", "verify", "--key", key]);
    assert!(tampered.err.contains("does not verify") && tampered.err.contains(&entry), "{}", tampered.err);
    let report = stage.bad(&["audit", "verify", "--trail", "data/audit", "--format", "json"]).json();
    assert_eq!(
        (&report["verified"], &report["fault"]["kind"]),
        (&json!(false), &json!("altered")),
        "{report}"
    );
}

#[test]
fn a_changed_file_is_enough() {
    let mut world = world(&["--log-format", "json"]);
    world.stage.edit("integrations/orders.yaml", "GET /orders", "GET /open-orders");
    let line = world.bridge.wait_for_line("its files changed", LONG).unwrap();
    let event: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&event["level"], &event["generation"]), (&json!("INFO"), &json!(2)), "{event}");
    assert_eq!(world.call(&[]).json().unwrap()["code"], "operation-unknown");
    world.bridge.signal("INT").unwrap();
    assert!(world.bridge.wait(LONG).unwrap().success());
}

/// As Kubernetes mounts a ConfigMap: everything behind one link, which is exchanged by a rename.
#[test]
fn a_mounted_directory_that_is_exchanged_is_read_again() {
    let stage = Stage::new();
    stage.edit("ironbridge.yaml", "127.0.0.1:8443", "127.0.0.1:0");
    let mount = stage.path("mount");
    let copy = |version: &str, path: &str| {
        fs::create_dir_all(mount.join("..v1/integrations")).unwrap();
        for file in ["ironbridge.yaml", "parties.yaml", "integrations/orders.yaml", "schemas/shipment.json"] {
            let to = mount.join(version).join(file);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            let text = fs::read_to_string(stage.path(file)).unwrap();
            let text = text.replace("./data", stage.path("state").to_str().unwrap());
            fs::write(to, text.replace("GET /orders", path)).unwrap();
        }
    };
    let link = |to: &str, from: &str| std::os::unix::fs::symlink(to, mount.join(from)).unwrap();
    copy("..v1", "GET /orders");
    link("..v1", "..data");
    for name in ["ironbridge.yaml", "parties.yaml", "integrations", "schemas"] {
        link(&format!("..data/{name}"), name);
    }
    let checked = stage.good(&["check", "mount"]).out;
    assert!(checked.contains("1 integration, 2 operations"), "{checked}");
    std::os::unix::fs::symlink("mount", stage.path("current")).unwrap();
    let mut bridge = Process::start(&mut stage.command(&["run", "current"])).unwrap();
    bridge.wait_for_line("https://127.0.0.1:", LONG).unwrap();

    copy("..v2", "GET /open-orders");
    link("..v2", "..data_tmp");
    fs::rename(mount.join("..data_tmp"), mount.join("..data")).unwrap();
    bridge.wait_for_line("its files changed\" generation=2", LONG).unwrap();

    // And the directory itself, which is a link.
    copy("../other", "GET /other-orders");
    std::os::unix::fs::symlink("other", stage.path("new")).unwrap();
    fs::rename(stage.path("new"), stage.path("current")).unwrap();
    bridge.wait_for_line("its files changed\" generation=3", LONG).unwrap();
    bridge.signal("TERM").unwrap();
    assert!(bridge.wait(LONG).unwrap().success());
}

/// Supervisors tell the process and then its group, which is one signal.
#[test]
fn a_second_signal_ends_it_at_once_unless_it_comes_with_the_first() {
    for later in [false, true] {
        let mut world = world(&["--no-watch"]);
        let key = world.stage.good(&["key", "issue", "shop"]).out;
        let header = format!("X-API-Key: {}", key.trim());
        world.call_until(200, &["-H", &header]);
        let answer = Reply::After(Duration::from_secs(3), Box::new(Reply::Json(200, json!({}))));
        world.target.on("GET /orders", if later { Reply::Hang } else { answer });
        std::thread::scope(|scope| {
            let (ca, port) = (world.stage.path("data/ca.pem"), world.port.clone());
            let url = format!("https://localhost:{port}/erp/orders");
            let call = scope.spawn(move || curl(["--cacert", ca.to_str().unwrap(), "-H", &header, &url]));
            while world.target.seen_on("GET /orders").len() < 2 {
                std::thread::sleep(Duration::from_millis(10));
            }
            world.bridge.signal("TERM").unwrap();
            if later {
                world.bridge.wait_for_line("another signal stops at once", LONG).unwrap();
                std::thread::sleep(Duration::from_millis(1100));
            }
            world.bridge.signal("TERM").unwrap();
            assert_eq!(world.bridge.wait(LONG).unwrap().code(), Some(later.into()));
            assert_eq!(call.join().unwrap().is_err(), later);
        });
    }
}

#[test]
fn what_cannot_start_says_why() {
    let world = world(&["--no-watch"]);
    let locked = world.stage.bad(&["run"]);
    assert!(locked.err.contains("another bridge runs on this data directory"), "{}", locked.err);
    let other = Stage::new();
    other.edit("ironbridge.yaml", "127.0.0.1:8443", &format!("127.0.0.1:{}", world.port));
    let taken = other.bad(&["run"]);
    assert!(taken.err.contains("another program listens there"), "{}", taken.err);
    let logged = other.bad(&["run", "--log-format", "json"]);
    let event: serde_json::Value = serde_json::from_str(&logged.err).unwrap();
    assert!(event["message"].as_str().unwrap().contains("another program listens there"), "{event}");
    let level = other.bad(&["run", "--log", "x=y=z"]);
    assert!(level.err.contains("log level"), "{}", level.err);
}

/// It would run, and serve nobody.
#[test]
fn too_few_descriptors_to_serve_anybody_stop_the_start() {
    let mut world = world(&["--no-watch"]);
    world.bridge.signal("TERM").unwrap();
    assert!(world.bridge.wait(LONG).unwrap().success());
    for limit in [24, 32, 40] {
        let started = Command::new("sh")
            .args(["-c", &format!("ulimit -n {limit}; exec \"$0\" run"), BINARY])
            .current_dir(world.stage.dir())
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&started.stderr).into_owned();
        assert!(!started.status.success() && told.contains("open files"), "{limit}: {told}");
    }
}

#[test]
fn status_says_that_the_trail_cannot_be_written() {
    let world = world(&["--no-watch"]);
    assert_eq!(world.call(&[]).status, 401);
    assert!(world.stage.good(&["audit", "status", "--format", "json"]).json()["unwritable"].is_null());
    for part in ["journal", "detail"] {
        let (place, aside) = (world.stage.path(&format!("data/audit/{part}")), world.stage.path("aside"));
        fs::rename(&place, &aside).unwrap();
        let missing = world.stage.bad(&["audit", "status"]);
        assert!(missing.err.contains("audit-unavailable") && missing.err.contains(part), "{}", missing.err);
        fs::write(&place, "").unwrap();
        let json = world.stage.bad(&["audit", "status", "--format", "json"]).json();
        assert!(json["unwritable"].as_str().unwrap().contains("is no directory"), "{json}");
        fs::remove_file(&place).unwrap();
        fs::rename(&aside, &place).unwrap();
    }
}

/// Where the disk with the data is not mounted, the bridge would be another one under the old name.
#[test]
fn a_data_directory_that_is_begun_anew_is_told() {
    let stage = Stage::new();
    stage.edit("ironbridge.yaml", "127.0.0.1:8443", "127.0.0.1:0");
    for is_new in [true, false] {
        let mut bridge = Process::start(&mut stage.command(&["run", "--no-watch"])).unwrap();
        bridge.wait_for_line("127.0.0.1:", LONG).unwrap();
        bridge.signal("TERM").unwrap();
        // Everything is said before it ends.
        bridge.wait_for_line("stopped", LONG).unwrap();
        assert!(bridge.wait(LONG).unwrap().success());
        assert_eq!(bridge.output().contains("the data directory is new"), is_new, "{}", bridge.output());
    }
}

/// A bridge does not begin anew in silence where its trail was taken away; who accepts that leaves a record.
#[test]
fn a_trail_that_is_not_as_it_was_left_stops_the_start() {
    let mut world = world(&["--no-watch"]);
    assert_eq!(world.call(&[]).status, 401);
    world.bridge.signal("TERM").unwrap();
    assert!(world.bridge.wait(LONG).unwrap().success());
    let stage = &world.stage;
    let (head, aside) = (stage.path("data/audit-head"), stage.path("data/aside"));
    fs::rename(&head, &aside).unwrap();
    let json = stage.run(&["audit", "status", "--format", "json"]);
    assert_eq!(json.code, 1, "{}{}", json.out, json.err);
    assert!(json.json()["not_as_left"].is_object(), "{}", json.out);
    fs::rename(&aside, &head).unwrap();
    stage.good(&["audit", "status"]);
    for part in ["log", "journal", "detail"] {
        fs::remove_dir_all(stage.path("data/audit").join(part)).unwrap();
    }
    let said = "the audit trail is not as it was left: log/checkpoint, entry 0: the log is gone";
    let refused = stage.bad(&["run"]);
    assert!(
        refused.err.contains(said) && refused.err.contains("ironbridge audit accept-loss"),
        "{}",
        refused.err
    );
    assert!(!stage.path("data/audit/log/checkpoint").exists(), "nothing was begun");
    let status = stage.bad(&["audit", "status"]);
    assert!(status.err.contains("not as it was left"), "{}", status.err);
    let unasked = stage.bad(&["audit", "accept-loss"]);
    assert!(unasked.err.contains("the log is gone") && unasked.err.contains("--yes"), "{}", unasked.err);

    let accepted = stage.good(&["audit", "accept-loss", "--yes"]);
    assert!(accepted.out.contains("Accepted"), "{}", accepted.out);
    let records = stage.good(&["audit", "query", "--action", "audit.loss", "--format", "json"]).out;
    assert!(records.contains("lost_below"), "{records}");
    assert!(stage.good(&["audit", "accept-loss"]).out.contains("nothing to accept"));
    let mut bridge = Process::start(&mut stage.command(&["run", "--no-watch"])).unwrap();
    bridge.wait_for_line("127.0.0.1:", LONG).unwrap();
    stage.good(&["audit", "verify"]);
}

/// No file may grow any more: like a full disk, but of this process alone.
#[test]
fn a_stop_with_unwritten_records_is_a_failure() {
    let mut world = world(&["--no-watch"]);
    world.bridge.kill().unwrap();
    // Else the signal of that limit would end it.
    let run = format!("trap '' XFSZ; exec {} run --no-watch", stage::BINARY);
    let mut command = std::process::Command::new("sh");
    let mut bridge = Process::start(command.args(["-c", &run]).current_dir(world.stage.dir())).unwrap();
    let line = bridge.wait_for_line("127.0.0.1:", LONG).unwrap();
    let port = line.rsplit("127.0.0.1:").next().unwrap();
    world.port = port.chars().take_while(char::is_ascii_digit).collect();
    assert_eq!(world.call(&[]).status, 401);
    let nothing = Rlimit { current: Some(0), maximum: Some(0) };
    prlimit(Pid::from_raw(bridge.id().cast_signed()), Resource::Fsize, nothing).unwrap();
    let refused = |status| [401, 503].contains(&status);
    assert!(refused(world.call(&[]).status));
    bridge.signal("TERM").unwrap();
    let status = bridge.wait(LONG).unwrap();
    assert_eq!(status.code(), Some(1), "{}", bridge.output());
    let said = bridge.output();
    assert!(said.contains("stopped, but not in order") && said.contains("not yet on disk"), "{said}");
}

/// Nothing else tells the operator of them: there is no request, so there is no record.
#[test]
fn callers_that_never_get_as_far_as_a_request_are_told_of() {
    let mut world = world(&["--no-watch"]);
    let address = format!("localhost:{}", world.port);
    for _ in 0..3 {
        let in_clear = curl([&*format!("http://{address}/erp/orders")]).unwrap();
        assert_eq!((in_clear.status, in_clear.text().contains("speaks TLS")), (400, true));
    }
    let line = world.bridge.wait_for_line("plain-http", LONG).unwrap();
    assert!(line.contains("INFO") && line.contains("127.0.0.1") && line.contains("https"), "{line}");
    assert!(curl([&*format!("https://{address}/erp/orders")]).is_err(), "the internal CA is not known to it");
    let line = world.bridge.wait_for_line("distrusted", LONG).unwrap();
    assert!(line.contains("data/ca.pem"), "{line}");
    let said = world.bridge.output();
    assert_eq!(said.lines().filter(|line| line.contains("plain-http")).count(), 1, "{said}");
}

/// A full disk is when there is most to say; and whoever reads the log may stop.
#[test]
fn a_log_that_nobody_takes_holds_up_and_ends_nobody() {
    for unread in [false, true] {
        let stage = Stage::new();
        stage.edit("ironbridge.yaml", "127.0.0.1:8443", "127.0.0.1:0");
        stage.edit("parties.yaml", "# ca: ./ca/erp.pem ", "");
        let mut command = stage.command(&["run", "--log", "trace"]);
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        command.stdout(Stdio::piped()).stderr(if unread { Stdio::piped() } else { full.into() });
        let mut bridge = command.spawn().unwrap();
        let mut said = BufReader::new(bridge.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("https://") {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "it ended");
        }
        let url = format!("https{}/erp/orders", line.trim().split_once("https").unwrap().1);
        let ca = stage.path("data/ca.pem");
        // A pipe holds 64 KiB, and each of these says a thousand bytes.
        for _ in 0..150 {
            let reply = curl(["--cacert", ca.to_str().unwrap(), &url]).unwrap();
            assert_eq!(reply.json().unwrap()["code"], "credentials-missing");
        }
        kill_process(Pid::from_child(&bridge), Signal::TERM).unwrap();
        assert!(bridge.wait().unwrap().success());
    }
}

/// What the HTTP/2 library warns of is chosen by whoever connects, without a credential.
#[test]
fn a_flood_of_frames_does_not_fill_the_log() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    const UNASKED: &[u8] = b"\0\0\x08\x06\x01\0\0\0\0unasked!";
    let mut world = world(&["--no-watch"]);
    let connect = format!("127.0.0.1:{}", world.port);
    let mut openssl = Command::new("openssl");
    openssl.args(["s_client", "-connect", &connect, "-alpn", "h2", "-quiet"]);
    openssl.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut openssl = openssl.spawn().unwrap();
    let frames = [PREFACE, &UNASKED.repeat(3000)].concat();
    // The bridge ends the connection before all of it is written.
    drop(openssl.stdin.take().unwrap().write_all(&frames));
    let line = world.bridge.wait_for_line("http2-refused", LONG).unwrap();
    drop(openssl.kill());
    openssl.wait().unwrap();
    assert!(line.contains("INFO"), "{line}");
    let said = world.bridge.output();
    assert!(said.lines().count() < 20 && !said.to_lowercase().contains("ping"), "{said}");
}
