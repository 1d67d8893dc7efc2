use crate::actor;
use crate::command::{block_on, home};
use crate::failure::{Failure, Outcome};
use crate::inspect;
use crate::output::{self, FormatArg};
use ironbridge_audit::{AuditError, Limits, Log, Options, Retained, Trail};
use ironbridge_core::action::name;
use ironbridge_core::{Action, ExchangeId, Timestamp};
use ironbridge_engine::Home;
use ironbridge_manifest::Manifest;
use ironbridge_seal::random;
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
What is kept for how long stands in the manifest, under `bridge.audit.retention`. A running bridge
drops what is older by itself; this is for a bridge that is stopped, and to see what would go.
Where the clock is more than a day ahead of when the trail was last written, at once or in steps that
no week of running lies between, nothing goes until somebody confirms that it is right.
Hashes are never dropped: every proof of what is kept still verifies, and so does the whole log.

Example:
  ironbridge audit retention --dry-run")]
pub struct Args {
    /// The clock is right, although it is more than a day ahead of when the trail was last written
    #[arg(long, conflicts_with = "dry_run")]
    confirm_clock: bool,
    /// Only tell what would be dropped
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    format: FormatArg,
}

pub fn run(manifest: &Path, args: &Args) -> Outcome {
    let manifest = inspect::manifest(manifest)?;
    let home = home(&manifest)?;
    let limits = limits(&manifest, home.clock.now())?;
    let log = Log::open(home.audit_dir())?;
    let before = log.kept()?;
    let after = match args.dry_run {
        true => log.kept_under(limits)?,
        false => drop_old(&manifest, &home, limits, args.confirm_clock)?.unwrap_or(before),
    };
    if args.format.is_json() {
        output::json(&json!({
            "dry_run": args.dry_run,
            "records_below": { "before": before.records, "after": after.records },
            "detail_below": { "before": before.detail, "after": after.detail },
        }))?;
    } else {
        report(before, after, args.dry_run)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn limits(manifest: &Manifest, now: Timestamp) -> Result<Limits, Failure> {
    let retention = &manifest.bridge.audit.retention;
    let before = |age: Duration| {
        let micros = u64::try_from(age.as_micros()).unwrap_or(u64::MAX);
        Timestamp(now.micros().saturating_sub(micros))
    };
    let (detail, records) = (retention.detail, retention.records);
    if detail.is_none() && records.is_none() {
        return Err(Failure::new("the manifest lets the audit trail be kept for ever")
            .help("say how long: bridge.audit.retention: { detail: 400d, records: 2200d }"));
    }
    Ok(Limits { detail: detail.map(before), records: records.map(before) })
}

/// Opens the trail as a bridge would, which no other process may do at the time.
fn drop_old(
    manifest: &Manifest,
    home: &Home,
    limits: Limits,
    confirm_clock: bool,
) -> Result<Option<Retained>, Failure> {
    let (origin, now) = (&*manifest.bridge.name, home.clock.now());
    let options = block_on(async { Ok(home.trail_options(origin).await?) })?;
    let options = Options { confirm_clock, ..options };
    let trail = Trail::open(options, Arc::clone(&home.clock)).map_err(|error| match error {
        AuditError::Locked(_) => Failure::new("the bridge is running, and drops what is old by itself")
            .help("`ironbridge audit retention --dry-run` tells what would go; `audit status` what went"),
        error => error.into(),
    })?;
    let id = ExchangeId::new(now, random::bytes());
    let mut action = Action::done(id, now, name::RETENTION, "");
    action.actor = actor::of_command().0.to_string();
    let kept = trail.retain(limits, action);
    trail.close()?;
    block_on(async { Ok(home.mark_trail(&trail).await?) })?;
    kept.map_err(|error| match error {
        AuditError::ClockInDoubt { .. } => {
            Failure::from(error).help("if it is right, say so: ironbridge audit retention --confirm-clock")
        }
        error => error.into(),
    })
}

fn report(before: Retained, after: Retained, dry_run: bool) -> std::io::Result<()> {
    if before == after {
        return output::data("There is nothing to drop.");
    }
    let verb = if dry_run { "would go" } else { "went" };
    output::data(format_args!(
        "Records below {} {verb} (so far: {}), and detail below {} (so far: {}).",
        after.records, before.records, after.detail, before.detail
    ))
}
