use crate::command::{
    audit, certificate, check, completions, explain, init, key, run, schema, secret, subject,
};
use crate::demo;
use crate::failure::Failure;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// What a command ends with: an exit code of its own, or a failure to report.
pub type Outcome = Result<ExitCode, Failure>;

/// A self-hosted security gateway between systems: one manifest per integration says what may cross, and the
/// bridge enforces it, records it and proves it.
#[derive(Debug, Parser)]
#[command(name = "ironbridge", version, after_help = AFTER, max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    /// Directory of the manifest
    #[arg(short = 'C', long, global = true, value_name = "DIR", default_value = ".")]
    manifest: PathBuf,
    #[command(subcommand)]
    command: Command,
}

const AFTER: &str = "\
Start with:
  ironbridge init bridge && cd bridge
  ironbridge check
  ironbridge run

Or watch it first:
  ironbridge demo

Exit codes:
  0  it worked; warnings do not count
  1  it did not, or what was checked has errors or was tampered with
  2  the command line was wrong

With --format json an error is JSON too: one line on standard error with error, help and, of a
manifest, findings.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a manifest to start from
    Init(init::Args),
    /// Check the manifest: errors, warnings, and what to write instead
    Check(check::Args),
    /// Start the bridge
    Run(run::Args),
    /// Watch real traffic cross a bridge of its own
    Demo(demo::Args),
    /// Explain a refusal's code, a finding, a record's words, a key of the manifest
    Explain(explain::Args),
    /// Print the manifest's JSON Schema, for editors
    Schema(schema::Args),
    /// Set, list and remove secrets of the sealed store
    #[command(subcommand)]
    Secret(secret::Command),
    /// Issue, list and revoke API keys and client secrets
    #[command(subcommand)]
    Key(key::Command),
    /// Issue client certificates, show the internal CA
    #[command(subcommand)]
    Certificate(certificate::Command),
    /// Read and verify the audit trail
    #[command(subcommand)]
    Audit(Box<audit::Command>),
    /// Trace a person's data, erase what is kept of it
    #[command(subcommand)]
    Subject(subject::Command),
    /// Print completions for a shell
    Completions(completions::Args),
}

impl Cli {
    pub fn run(self) -> Outcome {
        let dir = self.manifest.as_path();
        match self.command {
            Command::Init(args) => init::run(dir, &args),
            Command::Check(args) => check::run(dir, &args),
            Command::Run(args) => run::run(dir, &args),
            Command::Demo(args) => demo::run(args),
            Command::Explain(args) => explain::run(&args),
            Command::Schema(_) => schema::run(),
            Command::Secret(command) => secret::run(dir, command),
            Command::Key(command) => key::run(dir, command),
            Command::Certificate(command) => certificate::run(dir, command),
            Command::Audit(command) => audit::run(dir, *command),
            Command::Subject(command) => subject::run(dir, command),
            Command::Completions(args) => completions::run(&args),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
