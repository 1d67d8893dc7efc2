//! Keeping others' logs honest: now and then by hand, or as a service that bridges ask.

mod check;
mod serve;

use crate::failure::Outcome;
use std::path::Path;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Read a log, a copy or a served one: if it only grew since it was last seen, cosign its checkpoint
    Check(check::Args),
    /// Run a witness that bridges ask to cosign (`bridge.audit.witnesses`)
    Serve(serve::Args),
}

pub fn run(manifest: &Path, command: &Command) -> Outcome {
    match command {
        Command::Check(args) => check::run(manifest, args),
        Command::Serve(args) => serve::run(manifest, args),
    }
}
