//! Programs that nobody here wrote, and that the tests talk to.

use crate::{Identity, Process};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The repository's root.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap_or(Path::new(".")).to_path_buf()
}

/// Where a program that the tests talk to is installed.
pub fn peer(name: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let ours = [".peers/bin", ".peers/venv/bin"].map(|folder| repository().join(folder));
    // Debian puts daemons where only root's PATH looks.
    let daemons = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    ours.into_iter()
        .chain(std::env::split_paths(&path))
        .chain(daemons)
        .map(|directory| directory.join(name))
        .find(|program| program.is_file())
        .with_context(|| format!("{name} is not installed; run ./dev peers"))
}

/// What curl got back.
#[derive(Debug, Clone)]
pub struct CurlReply {
    /// Of the last answer.
    pub status: u16,
    /// Names in lower case; of several answers (100, 101, redirects) the last one's.
    pub headers: Vec<(String, String)>,
    /// As it came, decoded where curl was told to.
    pub body: Vec<u8>,
}

impl CurlReply {
    /// The first value of a field; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("not JSON: {}", self.text()))
    }
}

/// Runs curl with these arguments and without any configuration of the machine.
pub fn curl<I>(arguments: I) -> Result<CurlReply>
where
    I: IntoIterator,
    I::Item: AsRef<OsStr>,
{
    let body = tempfile::NamedTempFile::new()?;
    let output = Command::new(peer("curl")?)
        .args([
            "-q",
            "--silent",
            "--show-error",
            "--noproxy",
            "*",
            "--max-time",
            "30",
            "--dump-header",
            "-",
            "--output",
        ])
        .arg(body.path())
        .args(arguments)
        .output()?;
    if !output.status.success() {
        bail!("curl: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let heads = String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n");
    let head = heads.trim_end().rsplit("\n\n").next().unwrap_or_default();
    let mut lines = head.lines();
    let status =
        lines.next().and_then(|line| line.split(' ').nth(1)).context("curl printed no status")?.parse()?;
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Ok(CurlReply { status, headers, body: std::fs::read(body.path())? })
}

/// Runs a client of `tests/peers/` under Node and reads the JSON that it prints: `call("websocket.mjs", …)`.
pub fn call(script: &str, wish: &Value) -> Result<Value> {
    printed_json(node(script)?.arg("call").arg(wish.to_string()))
}

/// A server of `tests/peers/` under Node, over TLS on a free loopback port.
pub struct NodeServer {
    process: Process,
    url: String,
}

impl NodeServer {
    /// `identity` must name `localhost`; its files are written into `directory`.
    pub fn start(
        script: &str,
        identity: &Identity,
        directory: &Path,
        mut options: Value,
    ) -> Result<NodeServer> {
        let (cert, key) = identity.write(directory, script)?;
        if let Some(options) = options.as_object_mut() {
            options.insert("cert".into(), json!(cert));
            options.insert("key".into(), json!(key));
        }
        let mut process = Process::start(node(script)?.arg("serve").arg(options.to_string()))?;
        let line = process.wait_for_line("ready https://", Duration::from_secs(30))?;
        Ok(NodeServer { process, url: line.trim_start_matches("ready ").to_owned() })
    }

    /// `https://localhost:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it has printed so far.
    pub fn output(&self) -> String {
        self.process.output()
    }
}

/// Drives Authlib, a Python OAuth client: see `tests/peers/oauth_client.py` for what may be asked of it.
pub fn oauth_client(wish: &Value) -> Result<Value> {
    let script = repository().join("tests/peers/oauth_client.py");
    printed_json(Command::new(peer_file(".peers/venv/bin/python")?).arg(script).arg(wish.to_string()))
}

/// What an [`OidcProvider`] is started with.
#[derive(Debug, Clone)]
pub struct OidcSettings {
    /// Client ids with their secrets.
    pub clients: Vec<(String, String)>,
    /// The one audience of its access tokens.
    pub resource: String,
    /// Scopes a client may ask for, separated by spaces.
    pub scopes: String,
    /// Of an access token, in seconds.
    pub lifetime: u64,
    /// `ES256`, `PS256`, …
    pub algorithm: String,
    /// How many seconds its clock is ahead; behind when negative.
    pub clock: i64,
}

impl Default for OidcSettings {
    fn default() -> Self {
        OidcSettings {
            clients: vec![("order-service".into(), "a-secret-long-enough-for-a-test-0123456789".into())],
            resource: "https://bridge.test".into(),
            scopes: "orders.read orders.write".into(),
            lifetime: 300,
            algorithm: "ES256".into(),
            clock: 0,
        }
    }
}

/// npm's oidc-provider over TLS on a free loopback port.
pub struct OidcProvider {
    server: NodeServer,
    ca: PathBuf,
}

impl OidcProvider {
    /// `identity` must name `localhost`; `ca` is the file that curl verifies it with; the identity's files are
    /// written into `directory`.
    pub fn start(
        identity: &Identity,
        ca: &Path,
        directory: &Path,
        settings: &OidcSettings,
    ) -> Result<OidcProvider> {
        let clients: Vec<Value> = settings
            .clients
            .iter()
            .map(|(id, secret)| json!({ "client_id": id, "client_secret": secret }))
            .collect();
        let options = json!({
            "clients": clients, "resource": settings.resource, "scopes": settings.scopes, "ttl": settings.lifetime,
            "algorithm": settings.algorithm, "clock": settings.clock,
        });
        let server = NodeServer::start("oidc.mjs", identity, directory, options)?;
        Ok(OidcProvider { server, ca: ca.to_path_buf() })
    }

    /// The issuer's identifier.
    pub fn issuer(&self) -> &str {
        self.server.url()
    }

    /// How often a path was asked for, `/jwks` for example.
    pub fn requests(&self, path: &str) -> Result<u64> {
        let counts = curl([
            OsStr::new("--cacert"),
            self.ca.as_os_str(),
            format!("{}/-/requests", self.issuer()).as_ref(),
        ])?;
        Ok(counts.json()?.get(path).and_then(Value::as_u64).unwrap_or(0))
    }

    /// Replaces the signing key; tokens signed with the old one no longer verify against the published set.
    pub fn rotate_key(&self) -> Result<()> {
        let rotate = format!("{}/-/rotate", self.issuer());
        let ca = self.ca.as_os_str();
        curl([OsStr::new("--cacert"), ca, "--request".as_ref(), "POST".as_ref(), rotate.as_ref()]).map(drop)
    }
}

/// The last line that a program prints before it ends by itself.
fn printed_json(command: &mut Command) -> Result<Value> {
    let mut process = Process::start(command)?;
    let status = process.wait(Duration::from_secs(60))?;
    let output = process.output();
    let line = output.lines().last().unwrap_or_default();
    if !status.success() {
        bail!("it failed: {output}");
    }
    serde_json::from_str(line).with_context(|| format!("it printed no JSON: {output}"))
}

fn node(script: &str) -> Result<Command> {
    peer_file("tests/peers/node_modules")?;
    let mut command = Command::new(peer("node")?);
    command.arg(repository().join("tests/peers").join(script));
    Ok(command)
}

fn peer_file(path: &str) -> Result<PathBuf> {
    let path = repository().join(path);
    if path.exists() { Ok(path) } else { bail!("{} is missing; run ./dev peers", path.display()) }
}
