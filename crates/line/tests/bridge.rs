//! A real bridge with lines beside HTTP. The peer is a client of this test's own, because nobody else speaks lines.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use ironbridge_audit::Log;
use ironbridge_engine::{Actor, Bridge, Home};
use ironbridge_identity::api_key::KeyKind;
use ironbridge_line::Line;
use ironbridge_testkit::{Authority, FakeTarget, curl, free_port};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

const MANIFEST: &str = r#"
bridge:
  name: test-bridge
  data_dir: ./data
  workers: 1
  public_url: https://localhost
  timeouts: { drain: 300ms, header: 500ms }
  listeners: { api: { address: "127.0.0.1:@HTTP@" } }
systems:
  shop: { owner: shop@acme.example, country: DE }
  erp: { owner: erp@acme.example, country: DE, http: { url: "@ERP@", ca: ./erp-ca.pem } }
  wms: { owner: wms@acme.example, country: DE, line: { address: "127.0.0.1:@WMS@" } }
roles:
  writer: { permissions: [orders.write] }
  nobody: { permissions: [orders.read] }
accounts:
  shop: { system: shop, owner: shop@acme.example, roles: [writer], credentials: { api_key: {} } }
  reader: { system: shop, owner: shop@acme.example, roles: [nobody], credentials: { api_key: {} } }
integrations:
  lines:
    source: shop
    target: wms
    purpose: stock
    legal_basis: contract
    line:
      address: 127.0.0.1:@LINES@
      operations:
        put:
          resource: /orders/{id}
          permission: orders.write
          request: { schema: ./order.json, keep: [/quantity], max_body: 1KiB }
          response: { keep: [/line, /body] }
          replay: { idempotency_key: optional }
        pass: { resource: "/parts/{id}", permission: orders.write }
        rare: { resource: /rare, permission: orders.write, limits: { per_account: 1/min } }
  to-http:
    source: shop
    target: erp
    purpose: orders
    legal_basis: contract
    line:
      address: 127.0.0.1:@TOHTTP@
      operations:
        put: { resource: "/orders/{id}", permission: orders.write }
  from-http:
    source: shop
    target: wms
    purpose: orders
    legal_basis: contract
    http:
      path: /wms
      operations:
        put: { match: "PUT /orders/{id}", permission: orders.write }
"#;

const SCHEMA: &str =
    r#"{ "type": "object", "required": ["quantity"], "properties": { "quantity": { "type": "integer" } } }"#;

/// A bridge, and behind it a target over HTTP and one that takes lines.
struct World {
    dir: TempDir,
    bridge: Bridge,
    erp: FakeTarget,
    /// What the target of lines was asked.
    seen: Arc<Mutex<Vec<(String, String)>>>,
    http: u16,
    lines: u16,
    to_http: u16,
    key: String,
    reader: String,
}

impl World {
    async fn start() -> World {
        ironbridge_net::tls::install_provider();
        let authority = Authority::new("erp authority").unwrap();
        let (erp, seen) = (FakeTarget::start(&authority).unwrap(), Arc::default());
        let (wms, dir) = (warehouse(Arc::clone(&seen)), tempfile::tempdir().unwrap());
        let [http, lines, to_http] = [(); 3].map(|()| free_port().unwrap());
        let text = MANIFEST
            .replace("@ERP@", &erp.url())
            .replace("@WMS@", &wms.to_string())
            .replace("@HTTP@", &http.to_string())
            .replace("@LINES@", &lines.to_string())
            .replace("@TOHTTP@", &to_http.to_string());
        std::fs::write(dir.path().join("ironbridge.yaml"), text).unwrap();
        std::fs::write(dir.path().join("order.json"), SCHEMA).unwrap();
        authority.write(dir.path().join("erp-ca.pem")).unwrap();
        let key = issue(dir.path(), "shop").await;
        let reader = issue(dir.path(), "reader").await;
        let (bridge, _) = match Bridge::start_with(dir.path(), vec![Arc::new(Line)]).await {
            Ok(started) => started,
            Err(ironbridge_engine::StartError::Manifest(found)) => panic!("{}", found.render_text(false)),
            Err(error) => panic!("{error}"),
        };
        std::fs::write(dir.path().join("ca.pem"), bridge.ca_pem()).unwrap();
        World { dir, bridge, erp, seen, http, lines, to_http, key, reader }
    }

    /// Puts a body there, and returns the answer's line and its body.
    async fn put(&self, port: u16, words: &str, body: &str) -> (String, String) {
        let text = format!("PUT {words}\n+{}\n{body}.\n", body.len());
        tokio::task::spawn_blocking(move || say(port, &text)).await.unwrap()
    }

    async fn lines(&self, words: &str, body: &str) -> String {
        self.put(self.lines, &format!("{words} apikey={}", self.key), body).await.0
    }

    fn records(&self) -> Vec<Value> {
        let stored = Log::open(self.dir.path().join("data/audit")).unwrap().tail(1000).unwrap();
        let records = stored.iter().map(|stored| serde_json::from_str::<Value>(&stored.json).unwrap());
        records.filter(|record| record["action"].is_null()).collect()
    }

    /// The newest record, once there are so many.
    async fn record(&self, count: usize) -> Value {
        for _ in 0..500 {
            match self.records() {
                records if records.len() >= count => return records[count - 1].clone(),
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
        panic!("no record {count} in {:?}", self.records());
    }
}

async fn issue(dir: &Path, account: &str) -> String {
    let home = Home::open(&dir.join("data"), Actor::new("test")).unwrap();
    let ring = home.key_ring(KeyKind::ApiKey).await.unwrap();
    ring.issue(account, Duration::from_secs(3600), home.clock.now()).await.unwrap().key.expose().to_owned()
}

/// Sends this and reads the answer to its end.
fn say(port: u16, text: &str) -> (String, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    let _ = reader.read_line(&mut line);
    (line.trim_end().to_owned(), pieces(&mut reader))
}

fn pieces(reader: &mut impl BufRead) -> String {
    let mut body = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line == ".\n" {
            return body;
        }
        let mut piece = vec![0; line[1..].trim_end().parse().unwrap()];
        reader.read_exact(&mut piece).unwrap();
        body.push_str(std::str::from_utf8(&piece).unwrap());
    }
}

/// A target that takes lines and says what it was asked; what is called `bad` it refuses.
fn warehouse(seen: Arc<Mutex<Vec<(String, String)>>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let body = pieces(&mut reader);
            let line = line.trim_end().to_owned();
            let answer = json!({ "line": line, "body": body, "secret": "internal" }).to_string();
            let answer = match line.contains("bad") {
                true => "REFUSED internal words\n".to_owned(),
                false => format!("OK type=application/json\n+{}\n{answer}.\n", answer.len()),
            };
            seen.lock().unwrap().push((line, body));
            let _ = reader.get_mut().write_all(answer.as_bytes());
        }
    });
    port
}

#[tokio::test]
async fn lines_go_to_lines_through_every_control() {
    let world = World::start().await;
    let (answer, body) = world
        .put(
            world.lines,
            &format!("/orders/7 type=application/json key=\"one-1\" id=m-1 apikey={}", world.key),
            r#"{"quantity":3,"customer":"Ada"}"#,
        )
        .await;
    assert_eq!(answer, "OK type=application/json");
    assert_eq!(
        serde_json::from_str::<Value>(&body).unwrap(),
        json!({ "line": "PUT /orders/7 type=application/json", "body": r#"{"quantity":3}"# })
    );
    let record = world.record(1).await;
    assert_eq!(
        (&record["transport"], &record["integration"], &record["operation"], &record["account"]),
        (&json!("line"), &json!("lines"), &json!("put"), &json!("shop"))
    );
    assert_eq!((&record["outcome"], record.get("status")), (&json!("success"), None));

    // The same again is answered from what is remembered.
    let again = format!("/orders/7 type=application/json key=\"one-1\" apikey={}", world.key);
    let again = world.put(world.lines, &again, r#"{"quantity":3,"customer":"Ada"}"#).await;
    assert_eq!((again.0, again.1, world.seen.lock().unwrap().len()), (answer, body, 1));

    let reader = format!("/orders/7 apikey={}", world.reader);
    let (key, ok) = (&world.key, r#"{"quantity":3}"#);
    let large = format!(r#"{{"quantity":3,"x":"{}"}}"#, "x".repeat(2000));
    for (words, body, code) in [
        ("/orders/7", ok, "credentials-missing"),
        ("/orders/7 apikey=wrong", ok, "api-key-malformed"),
        (&*format!("/orders/7 apikey={key} token=t"), ok, "credentials-ambiguous"),
        (&*reader, ok, "permission-missing"),
        (&*format!("/nothing apikey={key}"), ok, "operation-unknown"),
        (&*format!("/orders/%2e%2e apikey={key}"), ok, "path-ambiguous"),
        (&*format!("/orders/7 apikey={key} what=ever"), ok, "header-refused"),
        (&*format!("/orders/7 type=application/json apikey={key}"), r#"{"quantity":"3"}"#, "schema-violated"),
        (&*format!("/orders/7 type=application/json apikey={key}"), &*large, "body-too-large"),
        (&*format!("/orders/bad type=application/json apikey={key}"), ok, "target-declined"),
        (&*format!("/orders/bad type=application/json key=\"bad-1\" apikey={key}"), ok, "target-declined"),
        // Once more, from what is remembered.
        (&*format!("/orders/bad type=application/json key=\"bad-1\" apikey={key}"), ok, "target-declined"),
    ] {
        let (refused, rest) = world.put(world.lines, words, body).await;
        assert_eq!((refused, &*rest), (format!("REFUSED {code}"), ""), "{words}");
    }
    assert_eq!(world.lines("/rare", "1").await, "OK type=application/json");
    assert_eq!(world.lines("/rare", "1").await, "REFUSED rate-limited");
    assert_eq!(world.lines("/parts/1", "any bytes").await, "OK type=application/json");
    assert_eq!(world.seen.lock().unwrap().last().unwrap().1, "any bytes");
    let last = world.record(17).await;
    assert_eq!((&last["operation"], &last["bytes_in"]), (&json!("pass"), &json!(9)));
    world.bridge.stop().await.trail.unwrap();
}

#[tokio::test]
async fn lines_go_to_http_and_http_goes_to_lines() {
    let world = World::start().await;
    let words = format!("/orders/a%20b type=application/json apikey={}", world.key);
    let (answer, body) = world.put(world.to_http, &words, r#"{"quantity":3}"#).await;
    assert_eq!(answer, "OK type=application/json", "{body}");
    let [seen] = <[_; 1]>::try_from(world.erp.seen()).unwrap_or_else(|seen| panic!("{}", seen.len()));
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert!(seen.header("x-api-key").is_none() && seen.header("via").is_none());
    let echo: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&echo["path"], &echo["body"]), (&json!("/orders/a%20b"), &json!({ "quantity": 3 })));
    let record = world.record(1).await;
    assert_eq!((&record["transport"], &record["target"]), (&json!("line"), &json!("erp")));

    let (ca, key) = (world.dir.path().join("ca.pem"), format!("X-API-Key: {}", world.key));
    let put = |path: &str| {
        let url = format!("https://localhost:{}/wms{path}", world.http);
        let (ca, key) = (ca.to_str().unwrap().to_owned(), key.clone());
        tokio::task::spawn_blocking(move || {
            let arguments = ["--cacert", &ca, "-H", &key, "-H", "Content-Type: text/plain", "-X", "PUT"];
            curl(arguments.into_iter().chain(["-d", "some stock", &url])).unwrap()
        })
    };
    let reply = put("/orders/7").await.unwrap();
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
    assert_eq!(reply.json().unwrap()["line"], "PUT /orders/7 type=text/plain");
    assert_eq!(world.seen.lock().unwrap()[0].1, "some stock");
    let refused = put("/orders/bad").await.unwrap();
    assert_eq!((refused.status, &refused.json().unwrap()["code"]), (400, &json!("target-declined")));
    assert!(!refused.text().contains("internal"));
    let record = world.record(3).await;
    assert_eq!((&record["transport"], &record["target"]), (&json!("http"), &json!("wms")));
    world.bridge.stop().await.trail.unwrap();
}

#[tokio::test]
async fn a_reload_and_a_stop_treat_lines_like_any_transport() {
    let world = World::start().await;
    let manifest = world.dir.path().join("ironbridge.yaml");
    let before = std::fs::read_to_string(&manifest).unwrap();
    assert_eq!(world.lines("/parts/1", "x").await, "OK type=application/json");

    // What is taken away is refused from then on, over the socket that stays.
    let reduced =
        before.replace("writer: { permissions: [orders.write] }", "writer: { permissions: [orders.read] }");
    std::fs::write(&manifest, reduced).unwrap();
    world.bridge.reload().await.unwrap();
    assert_eq!(world.lines("/parts/1", "x").await, "REFUSED permission-missing");

    // HTTP fails, so nothing changes for lines.
    let broken = before.replace(&format!("127.0.0.1:{}", world.http), "192.0.2.1:1");
    std::fs::write(&manifest, broken).unwrap();
    assert!(world.bridge.reload().await.is_err());
    assert_eq!(world.lines("/parts/1", "x").await, "REFUSED permission-missing");

    // Lines fail, so nothing changes for HTTP.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken =
        before.replace(&format!("127.0.0.1:{}", world.lines), &taken.local_addr().unwrap().to_string());
    std::fs::write(&manifest, taken).unwrap();
    let refused = world.bridge.reload().await.unwrap_err().to_string();
    assert!(refused.starts_with("integration lines cannot listen on 127.0.0.1:"), "{refused}");

    std::fs::write(&manifest, &before).unwrap();
    world.bridge.reload().await.unwrap();
    assert_eq!(world.lines("/parts/1", "x").await, "OK type=application/json");

    // Half a line, and half a body: neither holds up the end for longer than the drain, and the second has its record.
    let half = TcpStream::connect(("127.0.0.1", world.lines)).unwrap();
    (&half).write_all(b"PUT /par").unwrap();
    let body = TcpStream::connect(("127.0.0.1", world.to_http)).unwrap();
    (&body).write_all(format!("PUT /orders/1 apikey={}\n+100\nhalf", world.key).as_bytes()).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let records = world.records().len();
    let World { dir, bridge, .. } = world;
    let stopped = bridge.stop().await;
    assert!(stopped.connections_cut >= 1, "{stopped:?}");
    stopped.trail.unwrap();
    let log = Log::open(dir.path().join("data/audit")).unwrap();
    let stored = log.tail(1000).unwrap();
    let all: Vec<Value> = stored.iter().map(|stored| serde_json::from_str(&stored.json).unwrap()).collect();
    let exchanges: Vec<&Value> = all.iter().filter(|record| record["action"].is_null()).collect();
    assert_eq!(exchanges.len(), records + 1);
    let cut = exchanges[records];
    assert_eq!((&cut["integration"], &cut["code"]), (&json!("to-http"), &json!("drain-over")), "{cut}");
}
