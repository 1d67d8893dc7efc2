//! `cargo xtask bench audit`: the audit trail beside databases, one after the other on the same disk.

use super::meter;
use super::report::{Claim, Report};
use crate::root::root;
use anyhow::{Context, Result, ensure};
use clap::Args;
use ironbridge_testkit::{Process, free_port, peer};
use serde::Deserialize;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

#[derive(Args)]
pub struct AuditOptions {
    /// Length of one window
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// On the disk to measure; needs 5 GB
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    directory: PathBuf,
    /// Where `trail_load` and `index_growth` lie, instead of building them
    #[arg(long)]
    programs: Option<PathBuf>,
    /// Also write docs/audit-performance.md
    #[arg(long)]
    write: bool,
}

/// Length of a record in the trail's own load, which the databases get too.
const RECORD_BYTES: usize = 640;
const CALLERS: usize = 256;

pub fn audit(options: &AuditOptions) -> Result<()> {
    let programs = match &options.programs {
        Some(directory) => directory.canonicalize()?,
        None => build()?,
    };
    let stage = tempfile::Builder::new().prefix("bench-audit-").tempdir_in(&options.directory)?;
    // PostgreSQL runs as another user than root.
    fs::set_permissions(stage.path(), fs::Permissions::from_mode(0o711))?;
    eprintln!("trail");
    let seconds = options.seconds.to_string();
    let measured =
        run(Command::new(programs.join("trail_load")).arg(stage.path().join("trail")).arg(seconds))?;
    let trail: Trail = serde_json::from_slice(&measured.stdout).context("trail_load")?;
    eprintln!("PostgreSQL");
    let postgres =
        Postgres::installed().map(|programs| programs.measure(stage.path(), options)).transpose()?;
    eprintln!("SQLite");
    let sqlite = peer("sqlite3").ok().map(|program| sqlite(&program, stage.path())).transpose()?;
    eprintln!("index of 100 million records");
    let growth = run(Command::new(programs.join("index_growth")).arg(stage.path().join("growth")).arg("8"))?;

    let mut text = heading(options)?;
    let reports = [durable(&trail, postgres.as_ref()), batches(&trail, sqlite), reading(&trail)];
    for report in reports {
        text.push_str(&report.markdown());
        text.push('\n');
    }
    text.push_str("## The index at 100 million records\n\n| | |\n|---|---|\n");
    text.push_str(&String::from_utf8(growth.stdout)?);
    println!("{text}");
    if options.write {
        fs::write(root().join("docs/audit-performance.md"), text.trim_end().to_owned() + "\n")?;
    }
    Ok(())
}

/// Where the two programs lie that load a trail.
fn build() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let examples = ["--example", "trail_load", "--example", "index_growth"];
    let status = Command::new(cargo)
        .args(["build", "--release", "--package", "ironbridge-audit"])
        .args(examples)
        .current_dir(root())
        .status()?;
    ensure!(status.success(), "the load does not build");
    Ok(root().join("target/release/examples"))
}

fn heading(options: &AuditOptions) -> Result<String> {
    Ok(format!(
        "# Performance of the audit trail\n\nWritten by `./dev bench audit --write`. Later changes of the trail are \
         not in the figures: measure anew to compare.\n\n- Sources: {}\n- Machine: {}\n- Windows of {} s, \
         one after the other on the same disk. Load and trail share the machine. No figure is comparable with one from \
         another run.\n- For orientation, published figures of other logs on other machines: Tessera on POSIX files \
         takes about 10,000 durable entries a second and integrates them within 1.2 to 6 s.\n\n",
        meter::sources()?,
        meter::machine()?,
        options.seconds,
    ))
}

/// What `trail_load` prints.
#[derive(Deserialize)]
struct Trail {
    batches: Batches,
    callers: Callers,
    reading: Reading,
}

#[derive(Deserialize)]
struct Batches {
    paced: Paced,
    full: Full,
}

#[derive(Deserialize)]
struct Paced {
    per_second: f64,
    refused: u64,
    lag_ms: Lag,
}

#[derive(Deserialize)]
struct Lag {
    p50: f64,
    most: f64,
}

#[derive(Deserialize)]
struct Full {
    durable_per_second: f64,
    integrated_per_second: f64,
}

#[derive(Deserialize)]
struct Callers {
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
}

#[derive(Deserialize)]
struct Reading {
    records: u64,
    verified_per_second: f64,
    indexed_per_second: f64,
    find_ms: f64,
}

fn durable(trail: &Trail, postgres: Option<&Transactions>) -> Report {
    let ours = &trail.callers;
    let mut rows = vec![vec![
        "Ironbridge".into(),
        format!("{:.0}", ours.per_second),
        "1.00".into(),
        format!("{:.2}", ours.p50_ms),
        format!("{:.2}", ours.p99_ms),
    ]];
    if let Some(theirs) = postgres {
        rows.push(vec![
            theirs.version.clone(),
            format!("{:.0}", theirs.per_second),
            format!("{:.2}", theirs.per_second / ours.per_second),
            format!("{:.2} on average", theirs.average_ms),
            String::new(),
        ]);
    }
    Report {
        title: "One record at a time, 256 callers".into(),
        about: "Each caller waits until its record would survive a power cut before it sends the next. PostgreSQL: \
                `INSERT` of as many bytes, prepared, a transaction each, `synchronous_commit` on, over a Unix socket. \
                It keeps no tree and signs nothing, but is another process; the trail's callers are in its own."
            .into(),
        head: ["", "records/s", "to Ironbridge", "p50 ms", "p99 ms"].map(str::to_owned).to_vec(),
        rows,
        claims: vec![claim("20,000 durable records a second", 50.0, 1e6 / ours.per_second, " µs each")],
    }
}

fn batches(trail: &Trail, sqlite: Option<f64>) -> Report {
    let Batches { paced, full } = &trail.batches;
    let row = |what: &str, value: String| vec![what.to_owned(), value];
    let mut rows = vec![
        row("100,000 a second offered: taken", format!("{:.0}/s", paced.per_second)),
        row("of them refused", paced.refused.to_string()),
        row("from taken to under a signed checkpoint, median", format!("{:.0} ms", paced.lag_ms.p50)),
        row("the longest", format!("{:.0} ms", paced.lag_ms.most)),
        row("as many as it takes: on disk", format!("{:.0}/s", full.durable_per_second)),
        row("under a signed checkpoint", format!("{:.0}/s", full.integrated_per_second)),
    ];
    if let Some(per_second) = sqlite {
        rows.push(row("SQLite, WAL, 256 records a transaction: on disk", format!("{per_second:.0}/s")));
    }
    Report {
        title: "Batches".into(),
        about: "Nobody waits for a single record; the trail commits what gathered. SQLite: `synchronous=FULL`, so a \
                sync a transaction, from its own command."
            .into(),
        head: ["", "measured"].map(str::to_owned).to_vec(),
        rows,
        claims: vec![
            claim("100,000 records a second", 10.0, 1e6 / full.integrated_per_second, " µs each"),
            claim("lag of the checkpoint", 1000.0, paced.lag_ms.most, " ms"),
        ],
    }
}

fn reading(trail: &Trail) -> Report {
    let reading = &trail.reading;
    let row = |what: &str, value: String| vec![what.to_owned(), value];
    Report {
        title: "Reading".into(),
        about: format!(
            "The log of the batches, {} records, in memory. Up to 65,535 of the newest have no index yet.",
            reading.records
        ),
        head: ["", "measured"].map(str::to_owned).to_vec(),
        rows: vec![
            row("verified", format!("{:.0} records/s", reading.verified_per_second)),
            row("indexed", format!("{:.0} records/s", reading.indexed_per_second)),
            row("one exchange found by its id", format!("{:.1} ms", reading.find_ms)),
        ],
        claims: Vec::new(),
    }
}

fn claim(what: &str, most: f64, measured: f64, unit: &'static str) -> Claim {
    Claim { what: what.into(), most, measured, unit }
}

/// What pgbench measured.
struct Transactions {
    version: String,
    per_second: f64,
    average_ms: f64,
}

struct Postgres {
    initdb: PathBuf,
    server: PathBuf,
    bench: PathBuf,
}

impl Postgres {
    /// Only where it is installed. Debian keeps its programs out of everyone's PATH.
    fn installed() -> Option<Postgres> {
        let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let folders: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
        let program = |name: &str| {
            let there = folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
            there.or_else(|| peer(name).ok())
        };
        Some(Postgres {
            initdb: program("initdb")?,
            server: program("postgres")?,
            bench: program("pgbench")?,
        })
    }

    fn measure(&self, stage: &Path, options: &AuditOptions) -> Result<Transactions> {
        let directory = stage.join("postgres");
        fs::create_dir(&directory)?;
        let user = unprivileged(&directory)?;
        if let Some((user, group)) = user {
            chown(&directory, Some(user), Some(group))?;
        }
        let command = |program: &Path| {
            let mut command = Command::new(program);
            command.current_dir(&directory);
            if let Some((user, group)) = user {
                command.uid(user).gid(group);
            }
            command
        };
        let data = directory.join("data");
        run(command(&self.initdb).arg("-D").arg(&data).args(["-U", "bench", "--auth", "trust"]))?;
        let port = free_port()?.to_string();
        let sockets = format!("unix_socket_directories={}", directory.display());
        let settings = ["-c", "listen_addresses=", "-c", "max_connections=300", "-c", "shared_buffers=512MB"];
        let mut server = Process::start(
            command(&self.server).arg("-D").arg(&data).args(["-p", &port, "-c", &sockets]).args(settings),
        )?;
        server.wait_for_line("ready to accept connections", Duration::from_secs(30))?;

        let script = |name: &str, text: &str| -> Result<PathBuf> {
            let path = stage.join(name);
            fs::write(&path, text)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644))?;
            Ok(path)
        };
        let bench = || {
            let mut bench = command(&self.bench);
            bench.arg("-h").arg(&directory).args(["-p", &port, "-U", "bench", "-n", "-M", "prepared"]);
            bench
        };
        let create =
            script("create.sql", "CREATE TABLE audit (id bigserial PRIMARY KEY, leaf text NOT NULL);\n")?;
        run(bench().args(["-c", "1", "-t", "1", "-f"]).arg(create).arg("postgres"))?;
        let leaf = format!("INSERT INTO audit (leaf) VALUES ('{}');\n", "x".repeat(RECORD_BYTES));
        let insert = script("insert.sql", &leaf)?;
        let (callers, seconds) = (CALLERS.to_string(), options.seconds.to_string());
        let load = ["-c", callers.as_str(), "-j", "2", "-T", seconds.as_str(), "-f"];
        let output = run(bench().args(load).arg(insert).arg("postgres"))?;
        let text = String::from_utf8(output.stdout)?;
        let version = String::from_utf8(run(Command::new(&self.server).arg("--version"))?.stdout)?;
        let number = version.split_whitespace().nth(2).unwrap_or_default();
        Ok(Transactions {
            version: format!("PostgreSQL {number}"),
            per_second: after(&text, "tps = ")?,
            average_ms: after(&text, "latency average = ")?,
        })
    }
}

/// PostgreSQL refuses to run as root: the user and group to run it as, where we are root.
fn unprivileged(own: &Path) -> Result<Option<(u32, u32)>> {
    if fs::metadata(own)?.uid() != 0 {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd")?;
    let line = users.lines().find(|line| line.starts_with("nobody:")).context("no user `nobody`")?;
    let mut fields = line.split(':').skip(2).map(str::parse);
    match (fields.next(), fields.next()) {
        (Some(Ok(user)), Some(Ok(group))) => Ok(Some((user, group))),
        _ => anyhow::bail!("/etc/passwd: {line}"),
    }
}

/// The number behind a label.
fn after(text: &str, label: &str) -> Result<f64> {
    let number = text.split(label).nth(1).and_then(|rest| rest.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).with_context(|| format!("no `{label}` in:\n{text}"))
}

/// Rows a second that are on disk, in transactions of 256.
fn sqlite(program: &Path, stage: &Path) -> Result<f64> {
    const TRANSACTIONS: u32 = 1_000;
    const ROWS: u32 = 256;
    let leaf = "x".repeat(RECORD_BYTES);
    let insert = format!(
        "INSERT INTO audit (leaf) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS}) \
         SELECT '{leaf}' FROM n;\n"
    );
    let create = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;\n\
                  CREATE TABLE audit (id INTEGER PRIMARY KEY, leaf TEXT NOT NULL);\n";
    let mut process = Command::new(program)
        .arg(stage.join("audit.db"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    let start = Instant::now();
    let mut input = process.stdin.take().context("no pipe")?;
    input.write_all(create.as_bytes())?;
    (0..TRANSACTIONS).try_for_each(|_| input.write_all(insert.as_bytes()))?;
    drop(input);
    ensure!(process.wait()?.success(), "sqlite3 failed");
    Ok(f64::from(TRANSACTIONS * ROWS) / start.elapsed().as_secs_f64())
}

fn run(command: &mut Command) -> Result<Output> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed:\n{told}");
    Ok(output)
}
