use crate::actor;
use crate::command::{block_on, confirm, open_as_it_lies};
use crate::failure::{Failure, Outcome};
use crate::inspect;
use crate::output::{self, FormatArg};
use ironbridge_audit::{AuditError, Fault, Options, Trail};
use ironbridge_engine::Home;
use ironbridge_manifest::Manifest;
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A bridge does not start on a trail that is not as it was left: where acknowledged records are
missing, where the journal holds what this bridge did not write, or where the log was set back.
First try to bring back what is missing, from a backup or a mirror. If it is gone, this command has
the trail go on without it. What contradicts is moved to `audit/set-aside`, and a record says what
was found, and which records are lost. The log goes on with the numbers of those.

Where the log itself was set back, whoever kept a later checkpoint, such as a mirror or a witness,
will see that its history forked, and rightly so. To begin another log instead, move `audit/` away
and give the bridge another `name` first.

Example:
  ironbridge audit accept-loss")]
pub struct Args {
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    format: FormatArg,
}

pub fn run(manifest: &Path, args: &Args) -> Outcome {
    let manifest = inspect::manifest(manifest)?;
    // No store is held open until there is an answer.
    let (_, _, Some(fault)) = examined(&manifest)? else { return report(None, args.format) };
    output::note(format_args!("The audit trail is not as it was left: {fault}"));
    if !args.yes {
        confirm(
            "accept",
            "What is missing cannot be brought back once the trail goes on. Type `accept` to go on:",
        )?;
    }
    let (home, options, found) = examined(&manifest)?;
    if found.as_ref() != Some(&fault) {
        return Err(Failure::new("what differs has changed since it was shown; nothing was done")
            .help("stop the bridge, and look again: ironbridge audit accept-loss"));
    }
    let accepting = Options { accept_loss: true, actor: actor::of_command().0.to_string(), ..options };
    let trail = Trail::open(accepting, Arc::clone(&home.clock))?;
    trail.close()?;
    block_on(async {
        home.trail_begun().await?;
        Ok(home.mark_trail(&trail).await?)
    })?;
    report(Some(&fault), args.format)
}

/// The trail as it lies there, and how it is not as it was left.
fn examined(manifest: &Manifest) -> Result<(Home, Options, Option<Fault>), Failure> {
    let home = open_as_it_lies(&manifest.bridge.data_dir)?;
    let options = block_on(async { Ok(home.trail_options(&manifest.bridge.name).await?) })?;
    match Trail::examine(&options) {
        Err(AuditError::NotAsLeft(fault)) => Ok((home, options, Some(fault))),
        Err(error) => Err(error.into()),
        Ok(_) => Ok((home, options, None)),
    }
}

fn report(accepted: Option<&Fault>, format: FormatArg) -> Outcome {
    if format.is_json() {
        output::json(&json!({ "accepted": accepted.map(super::fault::as_json) }))?;
    } else if accepted.is_some() {
        output::data(
            "Accepted: the trail goes on, and a record of it says what was lost. The bridge can start.",
        )?;
        output::note(
            "What was in the way lies in `audit/set-aside` in the data directory: keep it as evidence.",
        );
    } else {
        output::data("The trail is as it was left; there is nothing to accept.")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What is told of a trail that the bridge does not go on with.
pub fn not_as_left(fault: &Fault) -> Failure {
    Failure::new(format!("the audit trail is not as it was left: {fault}")).help(HELP)
}

pub const HELP: &str = "find out who could write the data directory, and bring back what is missing from a backup or a \
                        mirror. Where it is gone: `ironbridge audit accept-loss` has the trail go on without it, moves what \
                        contradicts to `audit/set-aside`, and leaves a record of which records are lost";
