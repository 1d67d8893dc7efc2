use super::trail::{Source, Trail};
use super::verify::{progress_bar, show};
use crate::failure::{Failure, Outcome};
use crate::output::{self, FormatArg};
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A running bridge keeps the index itself. Queries are right without one, only slower.

Example:
  ironbridge audit reindex --trail /mnt/evidence/audit")]
pub struct Args {
    #[command(flatten)]
    trail: Trail,
    #[command(flatten)]
    format: FormatArg,
}

pub fn run(manifest: &Path, args: &Args) -> Outcome {
    let Source { log, dir: Some(_), .. } = args.trail.open(manifest)? else {
        return Err(Failure::new("a served log can only be read, and its index lies beside it"));
    };
    let bar = progress_bar();
    let outcome = log.reindex(&mut |done, of| show(&bar, done, of));
    bar.finish_and_clear();
    outcome?;
    let (indexed, size) = (log.indexed()?, log.checkpoint(None)?.size);
    if args.format.is_json() {
        output::json(&json!({ "indexed": indexed, "size": size }))?;
        return Ok(ExitCode::SUCCESS);
    }
    output::data(format_args!("{indexed} of {size} records are indexed; the newest are read without."))?;
    Ok(ExitCode::SUCCESS)
}
