use crate::root::root;
use anyhow::{Context, Result};
use ironbridge_testkit::{Authority, Process, TokenIssuer, free_port, peer};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use time::OffsetDateTime;

/// The audience of the bench's tokens.
pub const AUDIENCE: &str = "https://bridge.bench.example";

/// What every contestant shares: certificates, an issuer, the backend, and which core belongs to whom.
pub struct Stage {
    directory: tempfile::TempDir,
    /// What the load generators write, a line for each request among it. A bridge watches the folders of the files that
    /// it reads, so nothing that a contestant reads may lie there: its CPU would be the load's.
    of_load: tempfile::TempDir,
    pub issuer: TokenIssuer,
    pub backend: u16,
    cores: usize,
    _backend: Process,
}

impl Stage {
    pub fn set() -> Result<Stage> {
        let (directory, of_load) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let cores = std::thread::available_parallelism()?.get();
        let authority = Authority::new("Bench CA")?;
        authority.write(directory.path().join("ca.pem"))?;
        authority.server(&["localhost", "127.0.0.1"])?.write(directory.path(), "server")?;
        let issuer = TokenIssuer::start(&authority)?;
        fs::write(directory.path().join("issuer.pub"), issuer.public_key_pem())?;
        for name in ["order.json", "reply.json"] {
            let value: Value = serde_json::from_str(&fs::read_to_string(root().join("bench").join(name))?)?;
            fs::write(directory.path().join(name), value.to_string())?;
        }
        fs::copy(root().join("bench/order.schema.json"), directory.path().join("order.schema.json"))?;

        let backend = free_port()?;
        let reply = fs::read_to_string(directory.path().join("reply.json"))?;
        let config = fs::read_to_string(root().join("bench/nginx-backend.conf"))?
            .replace("@DIR@", &directory.path().to_string_lossy())
            .replace("@PORT@", &backend.to_string())
            .replace("@REPLY@", &reply);
        let path = directory.path().join("nginx-backend.conf");
        fs::write(&path, config)?;
        let mut command = pinned(&peer("nginx")?, &load_cores(cores));
        let mut process = Process::start(command.arg("-c").arg(path))?;
        process.wait_for_port(backend, Duration::from_secs(10))?;
        Ok(Stage { directory, of_load, issuer, backend, cores, _backend: process })
    }

    /// A file of the stage.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A file of the load generators.
    pub fn path_of_load(&self, name: &str) -> PathBuf {
        self.of_load.path().join(name)
    }

    /// A file under `bench/`.
    pub fn source(&self, name: &str) -> PathBuf {
        root().join("bench").join(name)
    }

    /// A file of `bench/` with its placeholders filled in.
    pub fn render(&self, name: &str, fill: &[(&str, &str)]) -> Result<String> {
        let source = self.source(name);
        let mut text =
            fs::read_to_string(&source).with_context(|| format!("cannot read {}", source.display()))?;
        for (placeholder, value) in fill {
            text = text.replace(placeholder, value);
        }
        Ok(text
            .replace("@DIR@", &self.directory.path().to_string_lossy())
            .replace("@BACKEND@", &self.backend.to_string())
            .replace("@ISSUER@", &self.issuer.url())
            .replace("@AUDIENCE@", AUDIENCE)
            .replace("@EXPIRES@", &(OffsetDateTime::now_utc().date() + time::Duration::days(30)).to_string()))
    }

    /// A proxy has the first cores to itself, as many as it may use.
    pub fn pinned_to_proxy(&self, program: &Path, cores: usize) -> Command {
        pinned(program, &range(0, cores.min(self.cores)))
    }

    /// Load and backend share the rest.
    pub fn pinned_to_load(&self, program: &Path) -> Command {
        pinned(program, &load_cores(self.cores))
    }

    pub fn load_threads(&self) -> usize {
        self.cores.saturating_sub(2).clamp(1, 4)
    }

    pub fn cores(&self) -> usize {
        self.cores
    }
}

fn load_cores(cores: usize) -> String {
    if cores == 1 { "0".to_owned() } else { range(1, cores) }
}

fn range(from: usize, to: usize) -> String {
    format!("{from}-{}", to - 1)
}

fn pinned(program: &Path, cores: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", cores]).arg(program);
    command
}
