use super::{block_on, home};
use crate::cli::Outcome;
use crate::failure::Failure;
use crate::inspect;
use crate::output::{self, FormatArg};
use crate::times;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ironbridge_audit::{Fault, FaultKind, Log, Order, Query, Stored, Verified};
use ironbridge_core::{Clock, SystemClock, Timestamp};
use ironbridge_seal::{hash, note::NoteVerifier};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Show the newest records, and with -f what comes after them
    Tail(Tail),
    /// Find records
    Query(Find),
    /// Verify the whole trail: every record, every hash, the signature
    Verify(Verify),
    /// Print the key that verifies this bridge's trail, to be kept elsewhere
    Key(Key),
}

/// Where the trail is.
#[derive(Debug, clap::Args)]
pub struct Trail {
    /// Read this trail, such as a copy of the data directory's `audit`; the manifest is not read
    #[arg(long, value_name = "DIR", conflicts_with = "manifest")]
    trail: Option<PathBuf>,
    #[command(flatten)]
    format: FormatArg,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "With --format json every line is one record, exactly as it is stored.")]
pub struct Tail {
    /// How many
    #[arg(short = 'n', long, default_value_t = 10, value_name = "N")]
    lines: usize,
    /// Go on with new records until interrupted
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    trail: Trail,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Times are RFC 3339 (2026-11-21T14:00:00Z), a date (2026-11-21, UTC), or so long ago (2h, 7d).
With --format json every line is one record, exactly as it is stored.

Examples:
  ironbridge audit query --outcome denied --since 1h
  ironbridge audit query --account order-service --integration order-sync --limit 20 --newest-first
  ironbridge audit query --id 019aa7c0-3f1e-7c52-9d51-2f0d8f9f6a11 --format json")]
pub struct Find {
    /// Begun at or after this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Begun before this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
    /// Of this integration
    #[arg(long, value_name = "NAME")]
    integration: Option<String>,
    /// Of this operation
    #[arg(long, value_name = "NAME")]
    operation: Option<String>,
    /// By this account
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// That required this permission
    #[arg(long, value_name = "NAME")]
    permission: Option<String>,
    /// With this outcome
    #[arg(long, value_parser = ["success", "partial", "denied", "failed"])]
    outcome: Option<String>,
    /// With this code, such as permission-missing
    #[arg(long)]
    code: Option<String>,
    /// The exchange with this id, which callers see as correlation id
    #[arg(long)]
    id: Option<String>,
    /// At most so many
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Newest first
    #[arg(long)]
    newest_first: bool,
    #[command(flatten)]
    trail: Trail,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without --key, the key that lies beside the trail is used. That shows damage, but not a forger who
replaced both.

Example:
  ironbridge audit verify --key \"$(cat acme-bridge.key)\"")]
pub struct Verify {
    /// The key that `ironbridge audit key` printed
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    #[command(flatten)]
    trail: Trail,
}

#[derive(Debug, clap::Args)]
pub struct Key {
    #[command(flatten)]
    format: FormatArg,
}

pub fn run(manifest: &Path, command: Command) -> Outcome {
    match command {
        Command::Tail(args) => tail(manifest, &args),
        Command::Query(args) => query(manifest, args),
        Command::Verify(args) => verify(manifest, &args),
        Command::Key(args) => key(manifest, &args),
    }
}

fn tail(manifest: &Path, args: &Tail) -> Outcome {
    /// Between two looks at the trail.
    const PAUSE: Duration = Duration::from_millis(200);
    let log = args.trail.open(manifest)?;
    let records = log.tail(args.lines)?;
    for record in &records {
        args.trail.print(record)?;
    }
    if !args.follow {
        return Ok(ExitCode::SUCCESS);
    }
    let next = match records.last() {
        Some(last) => last.index + 1,
        None => log.tail(1)?.last().map_or(0, |last| last.index + 1),
    };
    let mut follow = log.follow(next);
    loop {
        for record in follow.by_ref() {
            args.trail.print(&record?)?;
        }
        std::thread::sleep(PAUSE);
    }
}

fn query(manifest: &Path, args: Find) -> Outcome {
    let log = args.trail.open(manifest)?;
    let order = if args.newest_first { Order::NewestFirst } else { Order::OldestFirst };
    let query = Query {
        since: args.since,
        until: args.until,
        id: args.id,
        integration: args.integration,
        operation: args.operation,
        account: args.account,
        permission: args.permission,
        outcome: args.outcome,
        code: args.code,
        order,
        limit: args.limit,
        ..Query::default()
    };
    let mut found = false;
    for record in log.query(query)? {
        found = true;
        args.trail.print(&record?)?;
    }
    if !found {
        output::note("No record matches.");
    }
    Ok(ExitCode::SUCCESS)
}

fn verify(manifest: &Path, args: &Verify) -> Outcome {
    let key = match &args.key {
        Some(text) => Some(NoteVerifier::parse(text.trim()).map_err(|error| {
            Failure::new(format!("--key: {error}")).help("give what `ironbridge audit key` printed, whole")
        })?),
        None => None,
    };
    let log = args.trail.open(manifest)?;
    let bar = progress_bar();
    let outcome = log.verify(key.as_ref(), &mut |done, of| {
        bar.set_length(of);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    match outcome {
        Ok(verified) => report(&verified, args)?,
        Err(fault) if args.trail.format.is_json() => {
            output::json(&json!({ "verified": false, "fault": fault_json(&fault) }))?;
            return Ok(ExitCode::FAILURE);
        }
        Err(fault) => return Err(tampered(&fault)),
    }
    Ok(ExitCode::SUCCESS)
}

fn report(verified: &Verified, args: &Verify) -> std::io::Result<()> {
    let root = hash::hex(&verified.root);
    if args.trail.format.is_json() {
        return output::json(&json!({
            "verified": true, "origin": verified.origin, "signed_by": verified.key,
            "own_key": args.key.is_none(), "records": verified.size, "root": root,
            "pending": verified.pending,
        }));
    }
    output::data(format_args!(
        "The trail of {} is whole: {} records, root {root}, signed by {}.",
        verified.origin, verified.size, verified.key
    ))?;
    if verified.pending > 0 {
        output::data(format_args!(
            "Written, but not yet signed: {}. A running bridge signs within seconds.",
            verified.pending
        ))?;
    }
    if args.key.is_none() {
        output::note(
            "Only the key beside the trail was used: that shows damage, but not a forger who replaced both.\n\
             Keep the key that `ironbridge audit key` prints elsewhere, and give it with --key.",
        );
    }
    Ok(())
}

fn tampered(fault: &Fault) -> Failure {
    let failure = Failure::new(format!("the audit trail does not verify: {fault}"));
    failure.help(match fault.kind {
        FaultKind::Missing => {
            "bring the file back from a backup; if nobody removed it on purpose, ask who did"
        }
        FaultKind::Unreadable => "check the file's permissions and the disk, then verify again",
        FaultKind::Malformed => "the file is damaged or was cut; compare it with a backup",
        FaultKind::Altered => {
            "the trail is not what was signed: keep it as evidence, and compare it with a backup"
        }
        FaultKind::Signature => "this key did not sign this trail; is it the key of this bridge?",
        FaultKind::RolledBack | FaultKind::Forked => {
            "keep both checkpoints as evidence, and find out who could write the trail and use its key"
        }
    })
}

fn fault_json(fault: &Fault) -> serde_json::Value {
    let kind = match fault.kind {
        FaultKind::Missing => "missing",
        FaultKind::Unreadable => "unreadable",
        FaultKind::Malformed => "malformed",
        FaultKind::Altered => "altered",
        FaultKind::Signature => "signature",
        FaultKind::RolledBack => "rolled-back",
        FaultKind::Forked => "forked",
    };
    json!({
        "kind": kind, "file": fault.file, "entry": fault.entry, "offset": fault.offset, "detail": fault.detail,
    })
}

/// Nothing is drawn where standard error is no terminal.
fn progress_bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    match ProgressStyle::with_template("{bar:40} {pos}/{len} records, {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn key(dir: &Path, args: &Key) -> Outcome {
    let manifest = inspect::manifest(dir)?;
    let (home, name) = (home(&manifest)?, &manifest.bridge.name);
    let key = block_on(async { Ok(home.audit_verifier_key(name).await?) })?;
    if args.format.is_json() {
        output::json(&json!({ "key": key }))?;
    } else {
        output::data(key)?;
    }
    Ok(ExitCode::SUCCESS)
}

impl Trail {
    fn open(&self, manifest: &Path) -> Result<Log, Failure> {
        let dir = match &self.trail {
            Some(dir) => dir.clone(),
            None => {
                let help = "mend what is marked above, or name the trail itself: --trail data/audit";
                let manifest = inspect::manifest(manifest).map_err(|failure| failure.help(help))?;
                ironbridge_engine::audit_dir(&manifest.bridge.data_dir)
            }
        };
        Log::open(&dir).map_err(|fault| match fault.kind {
            FaultKind::Missing if !dir.join("log").exists() => {
                Failure::new(format!("there is no audit trail in {}", dir.display()))
                    .help("the bridge begins it when it first runs: ironbridge run")
            }
            _ => tampered(&fault),
        })
    }

    fn print(&self, record: &Stored) -> std::io::Result<()> {
        if self.format.is_json() { output::data(&record.json) } else { output::data(line(record)) }
    }
}

/// One record for people: when, how it ended, who, what.
fn line(record: &Stored) -> String {
    let entry = &record.entry;
    let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    let what = match (entry.integration.as_str(), entry.operation.as_str()) {
        ("", _) => "-".to_owned(),
        (integration, "") => integration.to_owned(),
        (integration, operation) => format!("{integration}.{operation}"),
    };
    let status = entry.status.map_or_else(|| "-".to_owned(), |status| status.to_string());
    let amends = if entry.amends { " (amends)" } else { "" };
    format!(
        "{} {:<7} {status:<3} {:<20} {} {what} from {} {} ms {}{amends}",
        times::show(entry.time),
        entry.outcome,
        or_dash(&entry.code),
        or_dash(&entry.account),
        or_dash(&entry.address),
        millis(entry.duration_us),
        entry.id,
    )
}

fn millis(micros: u64) -> String {
    format!("{}.{:02}", micros / 1000, micros % 1000 / 10)
}

fn moment(text: &str) -> Result<Timestamp, String> {
    times::moment(text, SystemClock::default().now())
}
