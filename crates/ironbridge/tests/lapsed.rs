//! What time takes away of a manifest stops nothing else, and keeps nobody from taking rights away.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod stage;

use ironbridge_testkit::{Authority, CurlReply, FakeTarget, Process, Reply, Validity, curl};
use serde_json::json;
use stage::Stage;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(60);

struct World {
    stage: Stage,
    erp: Authority,
    _target: FakeTarget,
    key: String,
}

impl World {
    /// A target that is shown a client certificate of the manifest's.
    fn new() -> World {
        let stage = Stage::new();
        let erp = Authority::new("ERP CA").unwrap();
        erp.write(stage.path("erp.pem")).unwrap();
        let target = FakeTarget::start(&erp).unwrap();
        target.on("GET /orders", Reply::Json(200, json!({ "items": [] })));
        stage.edit("ironbridge.yaml", "127.0.0.1:8443", "127.0.0.1:0");
        stage.edit("parties.yaml", "https://localhost:9443", &target.url());
        stage.edit(
            "parties.yaml",
            "# ca: ./ca/erp.pem ",
            "ca: ./erp.pem\n      certificate: { chain: ./client.crt, key: ./client.key } ",
        );
        let mut world = World { stage, erp, _target: target, key: String::new() };
        world.certificate(Validity::Now);
        let issued = world.stage.good(&["key", "issue", "shop", "--format", "json"]).json();
        world.key = format!("X-API-Key: {}", issued["key"].as_str().unwrap());
        world
    }

    fn certificate(&self, validity: Validity) {
        self.erp.client(&["bridge"], validity).unwrap().write(self.stage.dir(), "client").unwrap();
    }

    fn run(&self) -> (Process, String) {
        let mut bridge = Process::start(&mut self.stage.command(&["run", "--no-watch"])).unwrap();
        let line = bridge.wait_for_line("https://127.0.0.1:", LONG).unwrap();
        let port = line.rsplit("127.0.0.1:").next().unwrap();
        let port = port.chars().take_while(char::is_ascii_digit).collect();
        (bridge, port)
    }

    fn call(&self, port: &str) -> CurlReply {
        let ca = self.stage.path("data/ca.pem");
        let url = format!("https://localhost:{port}/erp/orders");
        curl(["--cacert", ca.to_str().unwrap(), &url, "-H", &self.key]).unwrap()
    }

    fn code(&self, port: &str) -> String {
        self.call(port).json().unwrap()["code"].as_str().unwrap_or_default().to_owned()
    }

    fn lapses(&self) -> String {
        self.stage
            .good(&["audit", "query", "--action", "manifest.lapse", "--since", "1h", "--format", "json"])
            .out
    }
}

#[test]
fn what_has_run_out_keeps_nobody_from_taking_rights_away() {
    let world = World::new();
    world.certificate(Validity::Expired);
    assert!(world.stage.bad(&["check"]).out.contains("error[IB131]"));
    let (mut bridge, port) = world.run();
    let told = bridge.wait_for_line("this has run out", LONG).unwrap();
    assert!(told.contains("ERROR"), "{told}");
    let reply = world.call(&port);
    assert_eq!((reply.status, &*world.code(&port)), (503, "target-suspended"));
    let lapses = world.lapses();
    assert!(lapses.contains("systems.erp.http.certificate.chain") && lapses.contains("IB131"), "{lapses}");

    world.stage.edit("parties.yaml", "[orders.read, orders.ship]", "[orders.ship]");
    bridge.signal("HUP").unwrap();
    bridge.wait_for_line("in force why=\"SIGHUP\" generation=2", LONG).unwrap();
    assert_eq!(world.code(&port), "permission-missing");

    // What is mended passes, and is not given up for a file that is not good.
    world.stage.edit("parties.yaml", "[orders.ship]", "[orders.read, orders.ship]");
    world.certificate(Validity::Now);
    bridge.signal("HUP").unwrap();
    bridge.wait_for_line("in force why=\"SIGHUP\" generation=3", LONG).unwrap();
    assert_eq!(world.call(&port).status, 200);
    world.certificate(Validity::Expired);
    bridge.signal("HUP").unwrap();
    bridge.wait_for_line("the one before stays in force", LONG).unwrap();
    assert_eq!(world.call(&port).status, 200);
    assert_eq!(world.lapses().lines().count(), 2);
    bridge.signal("TERM").unwrap();
    assert!(bridge.wait(LONG).unwrap().success());
}

#[test]
fn a_danger_whose_day_has_come_stops_its_system_only() {
    let world = World::new();
    world.stage.edit("parties.yaml", "url: https://", "url: http://");
    world.stage.edit(
        "parties.yaml",
        "ca: ./erp.pem\n      certificate: { chain: ./client.crt, key: ./client.key } ",
        "danger_plaintext: { reason: firmware without TLS, expires: 2024-01-31 } ",
    );
    let checked = world.stage.bad(&["check"]).out;
    assert!(checked.contains("error[IB201]") && checked.contains("all else would run"), "{checked}");
    let (mut bridge, port) = world.run();
    assert_eq!(world.code(&port), "target-suspended");
    assert!(world.lapses().contains("systems.erp.http.danger_plaintext"));
    bridge.signal("TERM").unwrap();
    assert!(bridge.wait(LONG).unwrap().success());
}
