use crate::cli::Outcome;
use crate::output;
use std::process::ExitCode;

pub fn run() -> Outcome {
    output::json(&ironbridge_manifest::json_schema())?;
    Ok(ExitCode::SUCCESS)
}
