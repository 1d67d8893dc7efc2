//! Nothing that was answered is missing from the trail: not after `kill -9` under load, not after a full disk.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod stage;

use ironbridge_testkit::{Authority, CurlReply, FakeTarget, Process, Reply, curl, peer};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};
use stage::{BINARY, Stage};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// The flow concerns persons, so its records are durable before the answer, and so is a new person's key.
const MANIFEST: &str = r#"
bridge:
  name: test-bridge
  listeners: { api: { address: 127.0.0.1:0 } }
  limits: { per_address: 10000000/min }
systems:
  order-service: { owner: fulfilment@acme.example, country: DE }
  erp: { owner: erp@acme.example, country: DE, http: { url: "@TARGET@", ca: ./authority.pem } }
roles:
  reader: { permissions: [orders.read] }
accounts:
  order-service:
    { system: order-service, owner: a@acme.example, roles: [reader], credentials: { api_key: {} } }
integrations:
  order-sync:
    source: order-service
    target: erp
    purpose: fulfilment of customer orders
    legal_basis: contract
    data: { subjects: [customers], categories: [orders], retention: 400d, subject_id: '{customer}' }
    http:
      path: /erp
      operations:
        list-orders: { match: GET /orders, permission: orders.read, request: { query: [n] }, response: { keep: [/items/*/id] } }
        orders-of: { match: 'GET /customers/{customer}/orders', permission: orders.read }
        stream-orders: { match: GET /stream, permission: orders.read, request: { query: [n] } }
        ship-order: { match: POST /orders, permission: orders.write }
"#;

const LONG: Duration = Duration::from_secs(60);

/// Ids of exchanges that were answered, with whose data each was about, if it was about somebody.
type Answered = BTreeMap<String, Option<String>>;

struct World {
    stage: Stage,
    /// Kept for its server.
    _target: FakeTarget,
    /// The caller's header field.
    key: String,
}

impl World {
    fn new() -> World {
        let stage = Stage::empty();
        let authority = Authority::new("ERP CA").unwrap();
        authority.write(stage.path("authority.pem")).unwrap();
        let target = FakeTarget::start(&authority).unwrap();
        target.otherwise(Reply::Json(200, json!({ "items": [{ "id": 7, "phone": "+49 1" }] })));
        fs::write(stage.path("ironbridge.yaml"), MANIFEST.replace("@TARGET@", &target.url())).unwrap();
        let key = stage.good(&["key", "issue", "order-service"]).out;
        World { stage, _target: target, key: format!("X-API-Key: {}", key.trim()) }
    }

    fn run(&self) -> Bridge {
        let mut command = Command::new(BINARY);
        command.args(["run", "--no-watch"]).current_dir(self.stage.dir());
        let mut process = Process::start(&mut command).unwrap();
        let line = process.wait_for_line("127.0.0.1:", LONG).unwrap();
        let port = line.rsplit("127.0.0.1:").next().unwrap();
        let origin =
            format!("https://localhost:{}", port.split(|c: char| !c.is_ascii_digit()).next().unwrap());
        Bridge { process, origin, ca: self.stage.path("data/ca.pem").to_str().unwrap().to_owned() }
    }

    /// All records, by their ids, with their detail opened.
    fn recorded(&self) -> BTreeMap<String, Value> {
        let out = self.stage.good(&["audit", "query", "--format", "json", "--details"]).out;
        let records = out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        records.map(|record| (record["record"]["id"].as_str().unwrap().to_owned(), record)).collect()
    }

    /// Fails where the trail lacks something that was answered, or its detail, or does not verify.
    fn is_whole(&self, answered: &Answered) {
        self.stage.good(&["audit", "verify"]);
        let recorded = self.recorded();
        let missing: Vec<_> = answered.keys().filter(|id| !recorded.contains_key(*id)).collect();
        assert!(missing.is_empty(), "{} of {} are missing: {missing:?}", missing.len(), answered.len());
        for (id, customer) in answered {
            let mut detail = vec![json!({ "kind": "address", "value": "127.0.0.1" })];
            detail.extend(customer.as_ref().map(|id| json!({ "kind": "subject", "value": id })));
            let record = &recorded[id];
            assert_eq!((&record["record"]["v"], &record["details"]), (&json!(2), &json!(detail)), "{record}");
        }
    }
}

struct Bridge {
    process: Process,
    origin: String,
    ca: String,
}

impl Bridge {
    fn call(&self, path: &str, arguments: &[&str]) -> CurlReply {
        curl([&["--cacert", &self.ca, &format!("{}{path}", self.origin)], arguments].concat()).unwrap()
    }

    /// Calls over one connection until the bridge is gone.
    /// Calls until the bridge is gone; `told` holds a line for each answer as soon as it came.
    fn load(&self, told: PathBuf, arguments: &[&str], path: &str) -> Load {
        const TOLD: &str = "%{stderr}%{exitcode} %{http_code} %header{x-correlation-id} %{url_effective}\n";
        let process = Command::new(peer("curl").unwrap())
            .args(["-q", "-s", "--noproxy", "*", "--fail-early", "--cacert", &self.ca])
            .args(["-o", "/dev/null", "-w", TOLD])
            .args(arguments)
            .arg(format!("{}{path}", self.origin))
            .stderr(File::create(&told).unwrap())
            .spawn()
            .unwrap();
        Load { process, told }
    }
}

struct Load {
    process: Child,
    told: PathBuf,
}

impl Load {
    fn has_an_answer(&self) -> bool {
        fs::metadata(&self.told).unwrap().len() > 0
    }
}

/// The answers that came whole, all with this status.
fn answered(mut load: Load, status: &str) -> Answered {
    load.process.wait().unwrap();
    let mut answered = Answered::new();
    for line in fs::read_to_string(&load.told).unwrap().lines() {
        let words: Vec<&str> = line.split(' ').collect();
        if words[0] == "0" {
            assert_eq!(words[1], status, "{line}");
            let customer = words[3].split_once("/customers/").and_then(|(_, rest)| rest.split_once('/'));
            answered.insert(words[2].to_owned(), customer.map(|(customer, _)| customer.to_owned()));
        }
    }
    answered
}

/// `IRONBRIDGE_CRASH_ROUNDS` is how often the bridge dies; 6 unless told.
#[test]
fn what_was_answered_before_a_kill_is_recorded() {
    let rounds = std::env::var("IRONBRIDGE_CRASH_ROUNDS").map_or(6, |rounds| rounds.parse().unwrap());
    let world = World::new();
    let key = ["-H", world.key.as_str()];
    let mut all = Answered::new();
    for round in 0..rounds {
        let mut bridge = world.run();
        // Everyone is a new person, whose key is made meanwhile.
        let customers = format!("/erp/customers/{round}-[1-10000000]/orders");
        let loads = [
            (&[][..], "/erp/orders?n=[1-10000000]", "200"),
            (&[], "/erp/stream?n=[1-10000000]", "200"),
            (&[], &customers, "200"),
            (&["--http2"], "/erp/orders?n=[1-10000000]", "200"),
            (&["-X", "POST"], "/erp/orders?n=[1-10000000]", "403"),
        ];
        let loads: Vec<(Load, &str)> = loads
            .into_iter()
            .enumerate()
            .map(|(number, (arguments, path, status))| {
                let told = world.stage.path(&format!("told-{number}"));
                (bridge.load(told, &[&key, arguments].concat(), path), status)
            })
            .collect();
        // Wherever the bridge is at some moment; not before all callers are at work.
        let deadline = Instant::now() + LONG;
        while !loads.iter().all(|(load, _)| load.has_an_answer()) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
        let random = RandomState::new().hash_one(round) % 1_000;
        std::thread::sleep(Duration::from_millis(200 + random));
        bridge.process.kill().unwrap();
        let before = all.len();
        for (load, status) in loads {
            let answered = answered(load, status);
            let told = bridge.process.output();
            assert!(!answered.is_empty(), "round {round}: nobody was answered {status}: {told}");
            all.extend(answered);
        }
        assert!(all.len() > before);
        // What the dead process left verifies as it lies there.
        world.is_whole(&all);
    }
    assert!(all.len() > 100, "{} answers are no load", all.len());
    let bridge = world.run();
    assert_eq!(bridge.call("/erp/orders", &key).status, 200);
    world.is_whole(&all);
    let starts = world.recorded().into_values().filter(|record| record["record"]["action"] == "bridge.start");
    assert_eq!(starts.count(), rounds + 1);
    stops(bridge);
    world.is_whole(&all);
}

#[test]
fn a_full_disk_refuses_and_resumes_by_itself() {
    let world = World::new();
    let bridge = world.run();
    let call = || bridge.call("/erp/orders", &["-H", &world.key]);
    let pid = Pid::from_raw(bridge.process.id().try_into().unwrap());
    let limit = |bytes| prlimit(pid, Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
    let mut all = Answered::new();
    let mut delivered = |reply: &CurlReply| {
        assert_eq!(reply.status, 200, "{}{}", reply.text(), bridge.process.output());
        all.insert(reply.header("x-correlation-id").unwrap().to_owned(), None);
    };
    (0..20).for_each(|_| delivered(&call()));

    limit(Some(1));
    // The first may be who finds out: its target has answered by then.
    let first = call();
    match first.json().unwrap()["code"].as_str() {
        Some("answer-withheld") => assert_eq!((first.status, first.header("retry-after")), (500, None)),
        other => assert_eq!((first.status, other), (503, Some("audit-unavailable"))),
    }
    for _ in 0..20 {
        let refused = call();
        let problem = refused.json().unwrap();
        assert_eq!((refused.status, &problem["code"]), (503, &json!("audit-unavailable")), "{problem}");
        assert_eq!(refused.header("retry-after"), Some("1"));
    }
    let health = bridge.call("/.ironbridge/health", &[]);
    assert_eq!((health.status, health.text().trim()), (503, "audit-unavailable"));

    limit(None);
    let resumed = (0..500).map(|_| (std::thread::sleep(Duration::from_millis(20)), call()).1);
    let resumed = resumed.into_iter().find(|reply| reply.status != 503).expect("it resumes");
    delivered(&resumed);
    (0..20).for_each(|_| delivered(&call()));
    assert_eq!(bridge.call("/.ironbridge/health", &[]).text().trim(), "ready");
    stops(bridge);
    world.is_whole(&all);
}

fn stops(mut bridge: Bridge) {
    bridge.process.signal("TERM").unwrap();
    assert!(bridge.process.wait(LONG).unwrap().success(), "{}", bridge.process.output());
}
