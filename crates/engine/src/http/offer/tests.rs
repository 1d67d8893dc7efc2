use crate::Bridge;
use crate::plan::Planned;
use crate::transport::{Basis, BuildError, Egress, Ingress, Prepared, Preparing, Transport};
use http::Method;
use ironbridge_controls::ORDER;
use ironbridge_core::{Action, BoxFuture, Delivery, Row, TransportFacts};
use ironbridge_http::Found;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Declares every control there is, each where it can stand, on one operation. The target's plaintext was accepted until a
/// day that is past.
const EVERY_CONTROL: &str = r#"
bridge:
  name: test-bridge
  data_dir: ./data
  workers: 1
  listeners:
    api: { address: "127.0.0.1:0", addresses: [127.0.0.0/8] }
systems:
  shop: { owner: shop@acme.example, country: DE }
  erp:
    owner: erp@acme.example
    country: DE
    http:
      url: http://erp.internal
      danger_plaintext: { reason: firmware without TLS, expires: 2020-01-01 }
roles:
  writer: { permissions: [orders.write] }
accounts:
  shop: { system: shop, owner: shop@acme.example, roles: [writer], credentials: { api_key: {} } }
integrations:
  orders:
    source: shop
    target: erp
    purpose: fulfilment of customer orders
    legal_basis: contract
    data: { subjects: [customers], categories: [orders], subject_id: [/customer] }
    limits: { per_account: 10/min, per_address: 10/min, per_operation: 10/min }
    http:
      path: /erp
      operations:
        put:
          match: POST /orders
          permission: orders.write
          limits: { per_account: 10/min, per_address: 10/min, per_operation: 10/min }
          request:
            schema: ./any.json
            rules: [{ check: body.quantity > 0, otherwise: some are needed }]
            keep: [/customer, /quantity]
            records: /items
          response: { schema: ./any.json, keep: [/customer], records: /items }
          replay: { idempotency_key: required }
"#;

/// What the manual prints is what runs: the page was written from the table, and the pipeline is that of a bridge.
#[tokio::test]
async fn every_control_runs_where_the_manual_says() {
    let mut runs = order_of(EVERY_CONTROL, "/erp/orders").await;
    runs.dedup(); // Limits of the bridge, the integration and the operation share rows.
    assert_eq!(names(&runs), names(ORDER), "as the table says");
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/controls.md");
    let page = std::fs::read_to_string(page).unwrap();
    let printed = page.lines().filter(|line| line.starts_with("| ")).skip(1);
    let printed: Vec<String> = printed.map(|line| line.split(" | ").nth(2).unwrap().to_owned()).collect();
    assert_eq!(names(&runs), printed, "as the manual says; `cargo xtask generate` writes it");
}

fn names(rows: &[&Row]) -> Vec<String> {
    rows.iter().map(|row| row.name.to_owned()).collect()
}

/// The rows of the controls that a bridge with this manifest lets a POST to this path pass.
async fn order_of(manifest: &str, path: &'static str) -> Vec<&'static Row> {
    ironbridge_net::tls::install_provider();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("ironbridge.yaml"), manifest).unwrap();
    std::fs::write(dir.path().join("any.json"), r#"{ "type": "object" }"#).unwrap();
    let looks = Looks { path, found: Arc::default() };
    let (bridge, _) = Bridge::start_with(dir.path(), vec![Arc::new(looks.clone())]).await.unwrap();
    let _ = bridge.stop().await;
    std::mem::take(&mut looks.found.lock().unwrap())
}

/// A transport that carries nothing, and looks at what the same snapshot takes over HTTP.
#[derive(Clone)]
struct Looks {
    path: &'static str,
    found: Arc<Mutex<Vec<&'static Row>>>,
}

impl Transport for Looks {
    fn facts(&self) -> &'static TransportFacts {
        static FACTS: TransportFacts = TransportFacts::named("looks");
        &FACTS
    }

    fn ingress(&self) -> Box<dyn Ingress> {
        Box::new(self.clone())
    }

    fn egress(&self) -> Arc<dyn Egress> {
        Arc::new(self.clone())
    }
}

impl Egress for Looks {
    fn next<'a>(&'a self, _: Basis<'a>) -> BoxFuture<'a, Result<Arc<dyn Egress>, BuildError>> {
        Box::pin(async { Ok(Arc::new(self.clone()) as Arc<dyn Egress>) })
    }

    fn deliveries(
        &self,
        _: Basis<'_>,
        _: Planned<'_>,
        _: &[bool],
    ) -> Result<Vec<Arc<dyn Delivery>>, BuildError> {
        Ok(Vec::new())
    }
}

impl Ingress for Looks {
    fn prepare<'a>(
        &'a mut self,
        from: &'a Preparing<'a>,
    ) -> BoxFuture<'a, Result<Box<dyn Prepared + 'a>, BuildError>> {
        Box::pin(async move {
            let offers = super::build(from).await?;
            let Found::Route(route) = offers["api"].routes.find(&Method::POST, self.path) else {
                panic!("{} is not served", self.path)
            };
            *self.found.lock().unwrap() = route.pipeline.order().collect();
            Ok(Box::new(Nothing) as Box<dyn Prepared>)
        })
    }

    fn drain(&self) {}

    fn leave(&self, _: Duration) {}

    fn idle(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn open(&self) -> usize {
        0
    }
}

struct Nothing;

impl Prepared for Nothing {
    fn apply(self: Box<Self>) -> Vec<Action> {
        Vec::new()
    }
}
