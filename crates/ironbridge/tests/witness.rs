//! A bridge and an auditor's laptop: the log is read over the network, and a witness on the laptop is asked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod stage;

use ironbridge_testkit::Process;
use serde_json::Value;
use stage::{Ran, Stage};
use std::fs;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(60);

struct World {
    /// The bridge's machine, and the keys of its log.
    stage: Stage,
    keys: String,
    bridge: Option<Process>,
    url: String,
    laptop: Stage,
    witness: Process,
    witness_key: String,
}

impl World {
    fn new() -> World {
        let (stage, laptop) = (Stage::new(), Stage::empty());
        let keys = stage.good(&["audit", "key"]).out.trim().to_owned();
        let serve = ["audit", "witness", "serve", "w", "--name", "auditor", "--address", "127.0.0.1:0"];
        let serve = [&serve[..], &["--key", &keys]].concat();
        let mut witness = Process::start(&mut laptop.command(&serve)).unwrap();
        let line = witness.wait_for_line("auditor: {", LONG).unwrap();
        let witness_key = line.split('"').nth(1).unwrap().to_owned();

        fs::copy(laptop.path("w/data/ca.pem"), stage.path("auditor-ca.pem")).unwrap();
        stage.edit("ironbridge.yaml", "127.0.0.1:8443", "127.0.0.1:0");
        let manifest = fs::read_to_string(stage.path("ironbridge.yaml")).unwrap();
        let audit = format!("{manifest}  audit:\n    serve: {{}}\n    witnesses:\n    {line}\n");
        fs::write(stage.path("ironbridge.yaml"), audit).unwrap();
        let mut world = World { stage, keys, bridge: None, url: String::new(), laptop, witness, witness_key };
        world.start();
        world
    }

    fn start(&mut self) {
        let mut bridge = Process::start(&mut self.stage.command(&["run", "--no-watch"])).unwrap();
        let line = bridge.wait_for_line("https://127.0.0.1:", LONG).unwrap();
        self.url = format!("{}/log", line.split_whitespace().nth(1).unwrap());
        fs::copy(self.stage.path("data/ca.pem"), self.laptop.path("bridge-ca.pem")).unwrap();
        self.bridge = Some(bridge);
    }

    fn stop(&mut self) {
        let mut bridge = self.bridge.take().unwrap();
        bridge.signal("TERM").unwrap();
        assert!(bridge.wait(LONG).unwrap().success(), "{}", bridge.output());
    }

    /// Does so many things that each leave a record.
    fn act(&self, count: usize) {
        for _ in 0..count {
            let set = self.stage.run_with_input(&["secret", "set", "erp-token"], b"another\n");
            assert_eq!(set.code, 0, "{}", set.err);
        }
    }

    /// On the bridge's machine, until it is as hoped for.
    fn status_until(&self, what: &str, hoped: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..600 {
            // A finding is no good status.
            let status = self.stage.run(&["audit", "status", "--format", "json"]).json();
            if hoped(&status) {
                return status;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("{what}: {}{}", self.stage.good(&["audit", "status"]).out, self.witness.output());
    }

    /// On the laptop, of the served log.
    fn read(&self, command: &[&str], more: &[&str]) -> Ran {
        let served = ["--trail", &self.url, "--ca", "bridge-ca.pem"];
        self.laptop.run(&[&["audit"], command, &served, more].concat())
    }

    fn check(&self) -> Ran {
        let known = ["--state", "seen", "--name", "laptop", "--key", &self.keys];
        self.read(&["witness", "check"], &known)
    }
}

fn complains(words: &str) -> impl Fn(&Value) -> bool {
    move |status| status["destinations"][0]["last_error"].as_str().is_some_and(|error| error.contains(words))
}

fn is_cosigned(at_least: u64) -> impl Fn(&Value) -> bool {
    move |status| status["witnessed"].as_u64().unwrap() >= at_least && status["actions_waiting"] == 0
}

#[test]
fn a_laptop_keeps_a_bridge_honest_over_the_network() {
    let mut world = World::new();
    world.status_until("the witness cosigns", is_cosigned(1));
    world.stop();
    fs::create_dir(world.stage.path("older")).unwrap();
    copy(&world.stage, "data", "older/data");
    let written =
        world.stage.good(&["audit", "status", "--format", "json"]).json()["written"].as_u64().unwrap();
    world.act(6);
    world.start();
    let status = world.status_until("what came since is cosigned", is_cosigned(written + 6));
    assert_eq!(status["destinations"][0]["last_error"], Value::Null, "{status}");
    assert!(world.stage.path("data/audit/log/witnessed").exists());

    let verified = world.read(&["verify"], &["--key", &world.keys, "--witness-key", &world.witness_key]);
    assert!(verified.out.contains("The trail of test-bridge is whole"), "{}{}", verified.out, verified.err);
    assert!(verified.out.contains("auditor/witness has seen its first"), "{}", verified.out);
    let first = world.check();
    assert!(first.code == 0 && first.err.contains("only grew"), "{}", first.err);

    // The whole machine is set back to a backup.
    world.stop();
    fs::rename(world.stage.path("data"), world.stage.path("newer")).unwrap();
    copy(&world.stage, "older/data", "data");
    world.start();
    world.status_until("the bridge is told", complains("was rolled back: the witness cosigned"));
    let rolled_back = world.check();
    assert!(rolled_back.code == 1 && rolled_back.err.contains("was rolled back"), "{}", rolled_back.err);

    // It grows past what was seen, with another history.
    world.act(12);
    world.status_until("the bridge is told", complains("forked"));
    let forked = world.check();
    assert!(forked.code == 1 && forked.err.contains("forked"), "{}", forked.err);
    assert!(forked.out.contains("test-bridge"), "the signed evidence is printed: {}", forked.out);
    world.witness.signal("TERM").unwrap();
    assert!(world.witness.wait(LONG).unwrap().success(), "{}", world.witness.output());
}

#[test]
fn a_served_log_is_read_like_a_copy_and_never_written() {
    let world = World::new();
    world.status_until("the witness cosigns", is_cosigned(1));
    let shown = world.read(&["show", "0"], &[]);
    assert!(shown.out.contains("bridge.start"), "{}{}", shown.out, shown.err);
    let proven = world.read(&["prove", "0"], &["-o", "receipt"]);
    assert_eq!(proven.code, 0, "{}", proven.err);
    world.laptop.good(&["audit", "check-receipt", "receipt", "--key", &world.keys]);
    let status = world.read(&["status"], &[]);
    assert!(status.out.starts_with("test-bridge: ") && !status.err.contains("nowhere"), "{}", status.err);
    let index = world.read(&["reindex"], &[]);
    assert!(index.code == 1 && index.err.contains("can only be read"), "{}", index.err);

    let verify = |more: &[&str]| world.laptop.run(&[&["audit", "verify"], more].concat());
    let nothing = verify(&["--trail", &format!("{}/x", world.url), "--ca", "bridge-ca.pem"]);
    assert!(nothing.code == 1 && nothing.err.contains("no log is served at"), "{}", nothing.err);
    let stranger = verify(&["--trail", &world.url, "--ca", "w/data/ca.pem"]);
    assert!(stranger.code == 1 && stranger.err.contains("--ca"), "{}", stranger.err);
    for (url, reason) in
        [(world.url.replace("https", "http"), "over https only"), (format!("{}?x", world.url), "no query")]
    {
        let wrong = verify(&["--trail", &url]);
        assert!(wrong.code == 2 && wrong.err.contains(reason), "{}", wrong.err);
    }
    let pointless = verify(&["--trail", "somewhere", "--ca", "bridge-ca.pem"]);
    assert!(pointless.code == 1 && pointless.err.contains("no use"), "{}", pointless.err);
}

#[test]
fn a_witness_is_a_manifest_that_checks() {
    let stage = Stage::empty();
    let serve = |more: &[&str]| stage.run(&[&["audit", "witness", "serve", "w"], more].concat());
    let key = Stage::new().good(&["audit", "key"]).out;
    assert!(serve(&[]).err.contains("which logs it cosigns"));
    assert!(serve(&["--key", &key, "--key", &key]).err.contains("two keys of the log test-bridge"));
    assert!(serve(&["--key", &key, "--address", "0.0.0.0:0"]).err.contains("--url"));
    let wrong = serve(&["--key", &key, "--url", "ftp://x"]);
    assert!(wrong.code == 1 && !stage.path("w/ironbridge.yaml").exists(), "{}", wrong.err);

    let begin = ["audit", "witness", "serve", "w", "--address", "127.0.0.1:0", "--key", &key];
    let mut witness = Process::start(&mut stage.command(&begin)).unwrap();
    witness.wait_for_line("w: { url: https://127.0.0.1:", LONG).unwrap();
    witness.signal("TERM").unwrap();
    assert!(witness.wait(LONG).unwrap().success(), "{}", witness.output());
    let check = stage.good(&["-C", "w", "check", "--format", "json"]).json();
    assert_eq!(check["findings"], serde_json::json!([]), "{check}");

    // Later starts need the directory only; what contradicts its manifest is told.
    let other = Stage::new().good(&["audit", "key"]).out;
    for (contradiction, words) in [
        (["--key", &other], "does not give this key to the log test-bridge"),
        (["--name", "else"], "names the witness w"),
        (["--address", "127.0.0.1:1"], "listen elsewhere"),
        (["--url", "https://else.example"], "another URL"),
    ] {
        let told = serve(&contradiction);
        assert!(told.code == 1 && told.err.contains(words), "{}", told.err);
    }
    let json = ["-C", "w", "audit", "witness", "serve", "--log-format", "json"];
    let mut again = Process::start(&mut stage.command(&json)).unwrap();
    let line = again.wait_for_line("cosigning", LONG).unwrap();
    let event: Value = serde_json::from_str(&line).unwrap();
    assert!(event["url"].as_str().unwrap().ends_with("/witness"), "{event}");
    assert!(event["key"].as_str().unwrap().starts_with("w/witness+"), "{event}");
}

fn copy(stage: &Stage, from: &str, to: &str) {
    let copied =
        std::process::Command::new("cp").arg("-a").arg(stage.path(from)).arg(stage.path(to)).status();
    assert!(copied.unwrap().success());
}
