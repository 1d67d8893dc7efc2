use super::failing_sync;
use anyhow::{Context, Result, ensure};
use ironbridge_testkit::{Authority, Dialer, FakeTarget, Process, TokenIssuer, free_port};
use serde_json::Value;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A running bridge, what is behind it, and a key that it knows.
pub struct Stage {
    directory: tempfile::TempDir,
    program: PathBuf,
    pub target: FakeTarget,
    pub issuer: TokenIssuer,
    pub bridge: Process,
    pub port: u16,
    /// An API key of an account that may read and write, and no more.
    pub key: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Limits {
    Default,
    /// So that what is attacked is reached.
    OutOfTheWay,
    /// The same, with little room for answers that are kept and little patience with callers.
    Small,
}

/// Bytes of answers that are kept to be repeated, with [`Limits::Small`].
pub const SMALL_REPLAY: u64 = 1 << 20;

/// What `costly.json` holds each text to: a pattern that builds its states anew for texts that are not long.
const COSTLY: &str =
    r#"{ "properties": { "l": { "items": { "type": "string", "pattern": "(a{1,50}){1,50}b" } } } }"#;

/// How long an answer may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(10);

impl Stage {
    pub fn set(program: &Path, limits: Limits) -> Result<Stage> {
        let directory = tempfile::tempdir()?;
        let authority = Authority::new("Attack CA")?;
        authority.write(directory.path().join("ca.pem"))?;
        let (target, issuer) = (FakeTarget::start(&authority)?, TokenIssuer::start(&authority)?);
        let port = free_port()?;
        let limits = match limits {
            Limits::Default => "",
            Limits::OutOfTheWay => "limits: { per_address: 1000000000/min }",
            Limits::Small => {
                "limits: { per_address: 1000000000/min, replay: 1MiB }\n  timeouts: { body: 1s, idle: 2s }"
            }
        };
        let manifest = include_str!("../../attack/bridge.yaml")
            .replace("@PORT@", &port.to_string())
            .replace("@ISSUER@", &issuer.url())
            .replace("@TARGET@", &target.url())
            .replace("@LIMITS@", limits);
        fs::write(directory.path().join("ironbridge.yaml"), manifest)?;
        fs::write(
            directory.path().join("any.json"),
            r#"{ "title": "anything", "type": ["object", "array", "string", "number", "boolean", "null"] }"#,
        )?;
        fs::write(directory.path().join("costly.json"), COSTLY)?;
        let issued = Command::new(program)
            .args(["key", "issue", "clerk", "--format", "json"])
            .current_dir(directory.path())
            .output()?;
        ensure!(issued.status.success(), "key issue: {}", String::from_utf8_lossy(&issued.stderr));
        let issued: Value = serde_json::from_slice(&issued.stdout)?;
        let key = issued.get("key").and_then(Value::as_str).context("no key was printed")?.to_owned();
        let bridge = start(program, directory.path(), port)?;
        Ok(Stage { directory, program: program.to_owned(), target, issuer, bridge, port, key })
    }

    /// As an operator does.
    pub fn stop(&mut self) -> Result<()> {
        self.bridge.signal("TERM")?;
        self.bridge.wait(Duration::from_secs(30))?;
        Ok(())
    }

    /// A further bridge in the same place, of which nobody knows yet whether it starts.
    pub fn starting(&self) -> Result<Process> {
        Process::start(&mut command(&self.program, self.directory.path())?)
    }

    /// After the bridge was stopped.
    pub fn start_again(&mut self) -> Result<()> {
        self.bridge = start(&self.program, self.directory.path(), self.port)?;
        Ok(())
    }

    /// What a command of the bridge prints.
    pub fn command(&self, arguments: &[&str]) -> Result<String> {
        let output =
            Command::new(&self.program).args(arguments).current_dir(self.directory.path()).output()?;
        ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    pub fn dialer(&self, protocol: &str) -> Result<Dialer> {
        Dialer::new(self.port, &self.path("data/ca.pem"), protocol)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A well-formed request of the account.
    pub fn request(&self, method: &str, path: &str, body: &[u8]) -> Vec<u8> {
        let head = format!(
            "{method} /store{path} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            self.key,
            body.len()
        );
        [head.as_bytes(), body].concat()
    }

    /// After an attack the bridge still runs, and serves.
    pub async fn ensure_alive(&self) -> Result<()> {
        let began = Instant::now();
        let mut last = None;
        while began.elapsed() < Duration::from_secs(30) {
            if let Ok(mut wire) = self.dialer("http/1.1")?.dial().await {
                wire.send(&self.request("GET", "/items/alive", b"")).await;
                last = wire.status(PATIENCE).await;
                if last == Some(200) {
                    return Ok(());
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        anyhow::bail!("the bridge does not serve any more ({last:?}); it printed:\n{}", self.bridge.output())
    }
}

fn start(program: &Path, directory: &Path, port: u16) -> Result<Process> {
    let mut bridge = Process::start(&mut command(program, directory)?)?;
    bridge.wait_for_port(port, Duration::from_secs(30))?;
    // What callers trust is written when the bridge has started.
    let (ca, began) = (directory.join("data/ca.pem"), Instant::now());
    while !ca.exists() {
        ensure!(began.elapsed() < PATIENCE, "no {}; the bridge printed:\n{}", ca.display(), bridge.output());
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(bridge)
}

fn command(program: &Path, directory: &Path) -> Result<Command> {
    let mut command = Command::new(program);
    command.arg("run").current_dir(directory);
    command
        .env("LD_PRELOAD", failing_sync::library(directory)?)
        .env(failing_sync::SWITCH, directory.join(failing_sync::SWITCH));
    Ok(command)
}

/// What somebody honest sees meanwhile: a request now and then, each on a connection of its own.
#[derive(Default)]
pub struct Honest {
    waits: Vec<Duration>,
    pub failed: usize,
}

impl Honest {
    /// Asks until `while_running` is done.
    pub async fn beside<T>(stage: &Stage, while_running: impl Future<Output = T>) -> Result<(T, Honest)> {
        let (dialer, mut honest) = (stage.dialer("http/1.1")?, Honest::default());
        let mut while_running = std::pin::pin!(while_running);
        loop {
            let ask = honest.ask(&dialer, stage);
            tokio::select! {
                done = &mut while_running => return Ok((done, honest)),
                () = ask => {}
            }
            tokio::select! {
                done = &mut while_running => return Ok((done, honest)),
                () = tokio::time::sleep(Duration::from_millis(10)) => {}
            }
        }
    }

    pub async fn ask(&mut self, dialer: &Dialer, stage: &Stage) {
        let began = Instant::now();
        let status = async {
            let mut wire = dialer.dial_from(Ipv4Addr::LOCALHOST).await.ok()?;
            wire.send(&stage.request("GET", "/items/honest", b"")).await;
            wire.status(PATIENCE).await
        };
        match tokio::time::timeout(PATIENCE, status).await {
            Ok(Some(200)) => self.waits.push(began.elapsed()),
            _ => self.failed += 1,
        }
    }

    pub fn quantile(&self, share: f64) -> Duration {
        let mut waits = self.waits.clone();
        waits.sort_unstable();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a place in a list that fits memory"
        )]
        let place = (waits.len() as f64 * share) as usize;
        waits.get(place.min(waits.len().saturating_sub(1))).copied().unwrap_or_default()
    }

    pub fn describe(&self) -> String {
        format!(
            "others: {} asked, {} failed, p50 {:.1} ms, p99 {:.1} ms",
            self.waits.len() + self.failed,
            self.failed,
            self.quantile(0.5).as_secs_f64() * 1e3,
            self.quantile(0.99).as_secs_f64() * 1e3
        )
    }
}
