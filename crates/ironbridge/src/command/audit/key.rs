use crate::cli::Outcome;
use crate::command::{block_on, home};
use crate::inspect;
use crate::output::{self, FormatArg};
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    format: FormatArg,
}

pub fn run(dir: &Path, args: &Args) -> Outcome {
    let manifest = inspect::manifest(dir)?;
    let (home, name) = (home(&manifest)?, &manifest.bridge.name);
    let keys = block_on(async { Ok(home.log_keys(name).await?) })?;
    for key in keys.keys() {
        if args.format.is_json() {
            output::json(&json!({ "key": key.verifier }))?;
        } else {
            output::data(&key.verifier)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
