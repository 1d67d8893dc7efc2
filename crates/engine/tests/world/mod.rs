//! A bridge with a target behind it, as real as they get: sockets, TLS, files.
#![allow(dead_code, unused_imports)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod beside;
pub mod frames;
mod plain;
mod raw;

pub use beside::{Beside, long_answer};
pub use plain::PlainTarget;
pub use raw::{Raw, RawReply};

use anyhow::{Context, Result, anyhow};
use ironbridge_audit::detail::{Detail, DetailKind};
use ironbridge_audit::{Log, Stored};
use ironbridge_core::OwnerTag;
use ironbridge_engine::{Actor, Bridge, Home, Reloaded};
use ironbridge_identity::api_key::KeyKind;
use ironbridge_testkit::{Authority, CurlReply, FakeTarget, curl};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;
use tempfile::TempDir;

/// A running bridge in a directory of its own, on a thread of its own.
pub struct World {
    pub dir: TempDir,
    pub target: FakeTarget,
    pub authority: Authority,
    pub port: u16,
    ask: Asking,
    thread: Option<std::thread::JoinHandle<()>>,
}

enum Ask {
    Reload(mpsc::Sender<Result<Reloaded, String>>),
    Stop(mpsc::Sender<usize>),
}

/// The integration most tests use: `@TARGET@`, `@OPERATIONS@` and `@SYSTEM@` are filled in.
const MANIFEST: &str = r#"
bridge:
  name: test-bridge
  data_dir: ./data
  @WORKERS@
  listeners:
    api: { address: 127.0.0.1:@PORT@, hosts: [a, declared.example, '*.declared.example']@LISTENER@ }
  @BRIDGE@
systems:
  order-service: { owner: fulfilment@acme.example, country: DE }
  erp:
    owner: erp@acme.example
    country: DE
    http:
      url: @TARGET@
      ca: ./erp-ca.pem
      @SYSTEM@
roles:
  reader: { permissions: [orders.read] }
  writer: { permissions: [orders.read, orders.write] }
accounts:
  order-service:
    system: order-service
    owner: fulfilment@acme.example
    roles: [writer]
    credentials: { api_key: {}, @CREDENTIALS@ }
  order-reader:
    system: order-service
    owner: fulfilment@acme.example
    roles: [reader]
    credentials: { api_key: {} }
integrations:
  order-sync:
    source: order-service
    target: erp
    purpose: fulfilment of customer orders
    legal_basis: contract
    @INTEGRATION@
    http:
      path: /erp/v1
      timeout: 2s
      operations:
@OPERATIONS@
"#;

/// What a test declares differently.
#[derive(Default, Clone)]
pub struct Declared {
    pub bridge: &'static str,
    /// More of the listener, from the comma on.
    pub listener: &'static str,
    pub system: String,
    pub credentials: &'static str,
    pub integration: &'static str,
    /// One operation a line, in flow style.
    pub operations: &'static str,
}

impl Declared {
    fn manifest(&self, target: &FakeTarget, port: u16) -> String {
        let operations: String =
            self.operations.lines().map(|line| format!("        {}\n", line.trim())).collect();
        MANIFEST
            .replace("@TARGET@", &target.url())
            .replace("@PORT@", &port.to_string())
            .replace("@LISTENER@", self.listener)
            .replace("@WORKERS@", if self.bridge.contains("workers:") { "" } else { "workers: 1" })
            .replace("@BRIDGE@", self.bridge)
            .replace("@SYSTEM@", &self.system)
            .replace("@CREDENTIALS@", self.credentials)
            .replace("@INTEGRATION@", self.integration)
            .replace("@OPERATIONS@", &operations)
    }
}

impl World {
    pub fn new(declared: &Declared) -> Result<World> {
        let authority = Authority::new("erp authority")?;
        let target = FakeTarget::start(&authority)?;
        World::with(declared, authority, target, |_| Ok(()))
    }

    /// `prepare` may put files (schemas, secrets) into the directory first.
    pub fn with(
        declared: &Declared,
        authority: Authority,
        target: FakeTarget,
        prepare: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<World> {
        ironbridge_net::tls::install_provider();
        let dir = tempfile::tempdir()?;
        authority.write(dir.path().join("erp-ca.pem"))?;
        let port = ironbridge_testkit::free_port()?;
        std::fs::write(dir.path().join("ironbridge.yaml"), declared.manifest(&target, port))?;
        prepare(dir.path())?;
        let (ask, thread) = start(dir.path())?;
        Ok(World { dir, target, authority, port, ask, thread: Some(thread) })
    }

    /// After a stop: on what the directory holds by now.
    pub fn start_again(&mut self) -> Result<()> {
        let (ask, thread) = start(self.dir.path())?;
        (self.ask, self.thread) = (ask, Some(thread));
        Ok(())
    }

    /// A world with a key of the account `order-service`, issued before the bridge starts. `prepare` may add
    /// files, further manifest files among them.
    pub fn with_key(
        declared: &Declared,
        prepare: impl FnOnce(&Path, &Authority) -> Result<()>,
    ) -> Result<(World, String)> {
        let authority = Authority::new("erp authority")?;
        let target = FakeTarget::start(&authority)?;
        let ours = Authority::new("another authority")?;
        let mut key = String::new();
        let world = World::with(declared, authority, target, |dir| {
            key = issue_key(dir, "order-service")?;
            prepare(dir, &ours)
        })?;
        Ok((world, key))
    }

    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub fn url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.port)
    }

    pub fn curl(&self, path: &str, arguments: &[&str]) -> Result<CurlReply> {
        let ca = self.dir.path().join("bridge-ca.pem");
        let ca = ca.to_str().context("path")?;
        let url = self.url(path);
        curl(["--cacert", ca].iter().copied().chain(arguments.iter().copied()).chain([url.as_str()]))
    }

    /// A TLS connection whose bytes the test writes itself.
    pub fn raw(&self) -> Result<Raw> {
        Raw::open(self.port, &self.ca(), "http/1.1")
    }

    /// The same, after ALPN chose HTTP/2.
    pub fn raw_http2(&self) -> Result<Raw> {
        Raw::open(self.port, &self.ca(), "h2")
    }

    /// What callers trust.
    pub fn ca(&self) -> PathBuf {
        self.dir.path().join("bridge-ca.pem")
    }

    /// Changes the manifest's text.
    pub fn edit(&self, change: impl FnOnce(String) -> String) -> Result<()> {
        let path = self.dir.path().join("ironbridge.yaml");
        let text = std::fs::read_to_string(&path)?;
        Ok(std::fs::write(path, change(text))?)
    }

    /// The record of one exchange, by its correlation id.
    pub fn record(&self, id: &str) -> serde_json::Value {
        eventually(|| self.records().ok()?.into_iter().find(|record| record["id"] == id))
    }

    /// The record of the exchange that a reply belongs to.
    pub fn record_of(&self, reply: &CurlReply) -> serde_json::Value {
        self.record(reply.header("x-correlation-id").expect("every answer has an id"))
    }

    pub fn rewrite(&self, declared: &Declared) -> Result<()> {
        let text = declared.manifest(&self.target, self.port);
        Ok(std::fs::write(self.dir.path().join("ironbridge.yaml"), text)?)
    }

    pub fn reload(&self) -> Result<Reloaded, String> {
        let (answer, wait) = mpsc::channel();
        self.ask.send(Ask::Reload(answer)).map_err(|error| error.to_string())?;
        wait.recv().map_err(|error| error.to_string())?
    }

    /// Drains; returns how many connections had to be cut.
    pub fn stop(&mut self) -> Result<usize> {
        let (answer, wait) = mpsc::channel();
        self.ask.send(Ask::Stop(answer)).map_err(|_| anyhow!("stopped already"))?;
        let cut = wait.recv()?;
        self.thread.take().map(std::thread::JoinHandle::join);
        Ok(cut)
    }

    /// The audit trail's records of exchanges, oldest first, as JSON.
    pub fn records(&self) -> Result<Vec<serde_json::Value>> {
        Ok(self.all_records()?.into_iter().filter(|record| record["action"].is_null()).collect())
    }

    /// Its records of actions.
    pub fn actions(&self) -> Result<Vec<serde_json::Value>> {
        Ok(self.all_records()?.into_iter().filter(|record| !record["action"].is_null()).collect())
    }

    fn all_records(&self) -> Result<Vec<serde_json::Value>> {
        self.log()?.tail(10_000)?.iter().map(|stored| Ok(serde_json::from_str(&stored.json)?)).collect()
    }

    /// Every record with the personal detail that can still be opened, oldest first.
    pub fn opened(&self) -> Result<Vec<(Stored, Vec<Detail>)>> {
        let stored = self.log()?.tail(10_000)?;
        let tags: Vec<OwnerTag> =
            stored.iter().flat_map(|stored| stored.details.iter().map(|detail| detail.owner)).collect();
        let keys = in_home(self.dir.path(), async |home| Ok(home.owners().await?.by_tags(&tags).await?))?;
        let open = |stored: Stored| {
            let details = stored.open_details(|tag| keys.get(tag).map(|key| &**key));
            (stored, details.into_iter().flatten().collect())
        };
        Ok(stored.into_iter().map(open).collect())
    }

    pub fn log(&self) -> Result<Log> {
        Ok(Log::open(self.data_dir().join("audit"))?)
    }
}

/// Issues an API key in a bridge's directory.
pub fn issue_key(dir: &Path, account: &str) -> Result<String> {
    in_home(dir, async |home| {
        let ring = home.key_ring(KeyKind::ApiKey).await?;
        let issued = ring.issue(account, Duration::from_secs(3600), home.clock.now()).await?;
        Ok(issued.key.expose().to_owned())
    })
}

/// Sets a secret in a bridge's own store.
pub fn set_secret(dir: &Path, name: &str, value: &str) -> Result<()> {
    in_home(dir, async |home| {
        home.secrets().keeper("sealed")?.set(name, value.as_bytes()).await?;
        Ok(())
    })
}

/// Opens the data directory beside the bridge, as the commands do.
pub fn in_home<T>(dir: &Path, work: impl AsyncFnOnce(Home) -> Result<T>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { work(Home::open(&dir.join("data"), Actor::new("test"))?).await })
}

/// A manifest file with a further system and an integration to it, both under one name, mounted at that name.
pub fn system(name: &str, http: &str, operations: &str) -> String {
    format!(
        "systems:\n  {name}: {{ owner: a@acme.example, country: DE, http: {{ {http} }} }}\nintegrations:\n  {name}:\n    \
         source: order-service\n    target: {name}\n    purpose: a test\n    legal_basis: contract\n    \
         http: {{ path: /{name}, timeout: 2s, operations: {{ {operations} }} }}\n"
    )
}

/// A date on which something dangerous may still be accepted.
pub fn expires_soon() -> String {
    let date = time::OffsetDateTime::now_utc() + time::Duration::days(100);
    format!("{}-{:02}-{:02}", date.year(), u8::from(date.month()), date.day())
}

/// Asks again until there is an answer. What the bridge does in its own time may take its ten seconds, and a machine
/// under load a few times as long.
pub fn eventually<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = std::time::Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

type Asking = tokio::sync::mpsc::UnboundedSender<Ask>;

fn start(dir: &Path) -> Result<(Asking, std::thread::JoinHandle<()>)> {
    let (ask, asked) = tokio::sync::mpsc::unbounded_channel();
    let (started, wait) = mpsc::channel();
    let at = dir.to_owned();
    let thread = std::thread::spawn(move || run(&at, &started, asked));
    let ca = wait.recv()?.map_err(|error| anyhow!(error))?;
    std::fs::write(dir.join("bridge-ca.pem"), ca)?;
    Ok((ask, thread))
}

fn run(
    dir: &Path,
    started: &mpsc::Sender<Result<String, String>>,
    mut asked: tokio::sync::mpsc::UnboundedReceiver<Ask>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let bridge = match Bridge::start(dir).await {
            Ok((bridge, _)) => bridge,
            Err(error) => {
                let _ = started.send(Err(describe(&error)));
                return;
            }
        };
        let _ = started.send(Ok(bridge.ca_pem().to_owned()));
        while let Some(ask) = asked.recv().await {
            match ask {
                Ask::Reload(answer) => {
                    let reloaded = bridge.reload().await.map_err(|error| match &error {
                        ironbridge_engine::ReloadError::Start(start) => describe(start),
                        other => other.to_string(),
                    });
                    let _ = answer.send(reloaded);
                }
                Ask::Stop(answer) => {
                    let stopped = bridge.stop().await;
                    stopped.trail.unwrap();
                    let _ = answer.send(stopped.connections_cut);
                    return;
                }
            }
        }
    });
}

fn describe(error: &ironbridge_engine::StartError) -> String {
    match error {
        ironbridge_engine::StartError::Manifest(diagnostics) => diagnostics.render_text(false),
        other => other.to_string(),
    }
}
