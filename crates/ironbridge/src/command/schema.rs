use crate::failure::Outcome;
use crate::output::{self, FormatArg};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Says how an error is told: a schema is JSON anyhow.
    #[command(flatten)]
    _format: FormatArg,
}

pub fn run() -> Outcome {
    output::json(&ironbridge_manifest::json_schema())?;
    Ok(ExitCode::SUCCESS)
}
