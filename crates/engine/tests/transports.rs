//! Several transports in one bridge: what is prepared over all of them is put into force together, or not at all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use ironbridge_core::{Action, BoxFuture, Delivery, TransportFacts};
use ironbridge_engine::plan::Planned;
use ironbridge_engine::transport::{Basis, BuildError, Egress, Ingress, Prepared, Preparing, Transport};
use ironbridge_engine::{Bridge, ReloadError, StartError};
use ironbridge_testkit::{curl, free_port};
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

/// A transport that carries nothing, and says in which order it is asked for what.
#[derive(Clone)]
struct Told {
    name: &'static str,
    facts: &'static TransportFacts,
    said: Arc<Mutex<Vec<String>>>,
    fails: Arc<AtomicBool>,
    /// Under way, until it is cut.
    open: Arc<AtomicUsize>,
}

impl Told {
    fn new(name: &'static str, said: &Arc<Mutex<Vec<String>>>) -> Told {
        let facts = Box::leak(Box::new(TransportFacts::named(name)));
        Told { name, facts, said: Arc::clone(said), fails: Arc::default(), open: Arc::default() }
    }

    fn say(&self, what: &str) {
        self.said.lock().unwrap().push(format!("{} {what}", self.name));
    }
}

impl Transport for Told {
    fn facts(&self) -> &'static TransportFacts {
        self.facts
    }

    fn ingress(&self) -> Box<dyn Ingress> {
        Box::new(self.clone())
    }

    fn egress(&self) -> Arc<dyn Egress> {
        Arc::new(self.clone())
    }
}

impl Egress for Told {
    fn next<'a>(&'a self, _: Basis<'a>) -> BoxFuture<'a, Result<Arc<dyn Egress>, BuildError>> {
        self.say("reaches");
        Box::pin(async { Ok(Arc::new(self.clone()) as Arc<dyn Egress>) })
    }

    fn deliveries(
        &self,
        _: Basis<'_>,
        _: Planned<'_>,
        _: &[bool],
    ) -> Result<Vec<Arc<dyn Delivery>>, BuildError> {
        Err(BuildError::declared(self.name, "nothing leads here"))
    }
}

impl Ingress for Told {
    fn prepare<'a>(
        &'a mut self,
        _: &'a Preparing<'a>,
    ) -> BoxFuture<'a, Result<Box<dyn Prepared + 'a>, BuildError>> {
        self.say("prepares");
        let told = match self.fails.load(Ordering::Relaxed) {
            true => Err(BuildError::declared(self.name, "told to fail")),
            false => Ok(Box::new(Ready { told: self, applied: false }) as Box<dyn Prepared>),
        };
        Box::pin(std::future::ready(told))
    }

    fn drain(&self) {
        self.say("drains");
    }

    fn leave(&self, time: Duration) {
        self.say(&format!("leaves within {time:?}"));
        self.open.store(0, Ordering::Relaxed);
    }

    fn idle(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            while self.open() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
    }

    fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

struct Ready<'a> {
    told: &'a Told,
    applied: bool,
}

impl Prepared for Ready<'_> {
    fn apply(mut self: Box<Self>) -> Vec<Action> {
        self.told.say("applies");
        self.applied = true;
        Vec::new()
    }
}

impl Drop for Ready<'_> {
    fn drop(&mut self) {
        if !self.applied {
            self.told.say("gives up");
        }
    }
}

/// A bridge with HTTP and two of those.
struct Three {
    dir: TempDir,
    bridge: Bridge,
    said: Arc<Mutex<Vec<String>>>,
    one: Told,
    two: Told,
    port: u16,
}

impl Three {
    async fn start() -> Three {
        ironbridge_net::tls::install_provider();
        let dir = tempfile::tempdir().unwrap();
        let port = free_port().unwrap();
        write(dir.path(), port);
        let said = Arc::default();
        let (one, two) = (Told::new("one", &said), Told::new("two", &said));
        let more: Vec<Arc<dyn Transport>> = vec![Arc::new(one.clone()), Arc::new(two.clone())];
        let (bridge, _) = Bridge::start_with(dir.path(), more).await.unwrap();
        std::fs::write(dir.path().join("ca.pem"), bridge.ca_pem()).unwrap();
        Three { dir, bridge, said, one, two, port }
    }

    /// What was said since the last time.
    fn said(&self) -> Vec<String> {
        std::mem::take(&mut self.said.lock().unwrap())
    }

    /// Whether HTTP answers, as it does for what nobody declared.
    async fn answers(&self) -> bool {
        let (ca, url) = (self.dir.path().join("ca.pem"), format!("https://localhost:{}/nothing", self.port));
        let asked = tokio::task::spawn_blocking(move || {
            curl(["--cacert", ca.to_str().unwrap(), url.as_str()]).unwrap().status
        });
        asked.await.unwrap() == 404
    }
}

fn write(dir: &Path, port: u16) {
    let text = format!(
        "bridge:\n  name: test-bridge\n  data_dir: ./data\n  workers: 1\n  public_url: https://localhost\n  \
         timeouts: {{ drain: 300ms }}\n  listeners: {{ api: {{ address: \"127.0.0.1:{port}\" }} }}\n"
    );
    std::fs::write(dir.join("ironbridge.yaml"), text).unwrap();
}

fn reason(refused: ReloadError) -> String {
    match refused {
        ReloadError::Start(StartError::Manifest(found)) => found.render_text(false),
        other => other.to_string(),
    }
}

const IN_ORDER: [&str; 6] =
    ["one reaches", "two reaches", "one prepares", "two prepares", "one applies", "two applies"];

#[tokio::test]
async fn everything_is_prepared_before_anything_is_applied() {
    let three = Three::start().await;
    assert_eq!(three.said(), IN_ORDER);
    assert_eq!(three.bridge.reload().await.unwrap().generation, 2);
    assert_eq!(three.said(), IN_ORDER);
    assert!(three.answers().await);
    three.bridge.stop().await.trail.unwrap();
}

#[tokio::test]
async fn what_one_transport_cannot_have_changes_nothing_in_the_others() {
    let three = Three::start().await;
    three.said();

    // The second fails when HTTP has bound its new socket and the first is ready.
    let elsewhere = free_port().unwrap();
    write(three.dir.path(), elsewhere);
    three.two.fails.store(true, Ordering::Relaxed);
    assert_eq!(reason(three.bridge.reload().await.unwrap_err()), "two: told to fail");
    assert_eq!(three.said(), ["one reaches", "two reaches", "one prepares", "two prepares", "one gives up"]);
    assert!(three.answers().await);
    assert_eq!(three.bridge.addresses().await[0].1.port(), three.port);
    TcpListener::bind(("127.0.0.1", elsewhere)).expect("the socket that was prepared is closed again");
    three.two.fails.store(false, Ordering::Relaxed);

    // HTTP fails.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    write(three.dir.path(), taken.local_addr().unwrap().port());
    let refused = reason(three.bridge.reload().await.unwrap_err());
    assert!(refused.starts_with("listener api cannot listen on 127.0.0.1:"), "{refused}");
    assert_eq!(three.said(), ["one reaches", "two reaches"]);
    assert!(three.answers().await);

    // Nothing of that is left behind.
    write(three.dir.path(), three.port);
    assert_eq!(three.bridge.reload().await.unwrap().generation, 2);
    assert_eq!(three.said(), IN_ORDER);
    three.bridge.stop().await.trail.unwrap();
}

#[tokio::test]
async fn a_stop_waits_for_every_transport_and_cuts_what_does_not_end() {
    let three = Three::start().await;
    three.said();
    three.one.open.store(2, Ordering::Relaxed);
    three.two.open.store(1, Ordering::Relaxed);
    let (two, said) = (three.two.clone(), Arc::clone(&three.said));
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        two.open.store(0, Ordering::Relaxed);
    });
    let stopped = three.bridge.stop().await;
    stopped.trail.unwrap();
    assert_eq!(stopped.connections_cut, 2);
    let said = said.lock().unwrap();
    assert_eq!(*said, ["one drains", "two drains", "one leaves within 0ns", "two leaves within 0ns"]);
}
