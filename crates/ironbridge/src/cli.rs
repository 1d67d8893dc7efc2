use crate::command::{
    audit, certificate, check, completions, explain, init, key, run, schema, secret, subject,
};
use crate::demo;
use crate::failure::Outcome;
use clap::error::ErrorKind;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;

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
    /// An argument that is there and holds nothing is refused, wherever it stands: where a variable is not set, or a file
    /// that was to be read is not there, a command must not do something else than it was asked.
    pub fn parse_strictly(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
        let mut command = Cli::command();
        let matches = command.try_get_matches_from_mut(arguments)?;
        refuse_empty(&command, &matches)?;
        Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
    }

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
            Command::Completions(args) => completions::run(&args, Cli::command()),
        }
    }
}

fn refuse_empty(command: &clap::Command, matches: &ArgMatches) -> Result<(), clap::Error> {
    for argument in command.get_arguments() {
        let Ok(Some(mut values)) = matches.try_get_raw(argument.get_id().as_str()) else { continue };
        if values.any(|value| value.to_string_lossy().trim().is_empty()) {
            let name = argument.to_string();
            let said = format!("`{name}` holds nothing: is a variable not set, or a file not there?");
            return Err(clap::Error::raw(ErrorKind::InvalidValue, format!("{said}\n")).with_cmd(command));
        }
    }
    match matches.subcommand().and_then(|(name, inner)| Some((command.find_subcommand(name)?, inner))) {
        Some((command, matches)) => refuse_empty(command, matches),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every argument of every command that takes a value, with what it may look like when a shell has nothing to put
    /// there.
    #[test]
    fn no_argument_may_hold_nothing() {
        let mut seen = 0;
        each(&Cli::command(), &mut vec!["ironbridge".to_owned()], &mut |path, argument| {
            for nothing in ["", " ", "\n", "\t \n"] {
                let mut line: Vec<OsString> = path.iter().map(OsString::from).collect();
                match argument.get_long() {
                    Some(long) => line.push(format!("--{long}={nothing}").into()),
                    None => line.push(nothing.into()),
                }
                let refused = Cli::parse_strictly(line.clone());
                let said = refused.err().map(|error| error.to_string());
                assert!(said.is_some(), "{line:?}");
                seen += 1;
            }
        });
        assert!(seen > 200, "{seen}");
    }

    fn each(command: &clap::Command, path: &mut Vec<String>, visit: &mut dyn FnMut(&[String], &clap::Arg)) {
        for argument in command.get_arguments().filter(|argument| argument.get_action().takes_values()) {
            visit(path, argument);
        }
        for inner in command.get_subcommands() {
            path.push(inner.get_name().to_owned());
            each(inner, path, visit);
            path.pop();
        }
    }

    /// Those that would mean something else are told by name.
    #[test]
    fn an_empty_key_is_not_the_key_beside_the_trail() {
        let lines: [&[&str]; 6] = [
            &["audit", "verify", "--key", ""],
            &["audit", "verify", "--key", "\n"],
            &["audit", "verify", "--key", "example.com/log+1+AA==", "--key", " "],
            &["audit", "verify", "--witness-key", ""],
            &["audit", "query", "--account", ""],
            &["subject", "trace", ""],
        ];
        for line in lines {
            let arguments = ["ironbridge"].iter().chain(line).map(OsString::from);
            let error = Cli::parse_strictly(arguments).err().unwrap_or_else(|| panic!("{line:?}"));
            assert!(error.to_string().contains("holds nothing"), "{line:?}: {error}");
            assert_eq!(error.exit_code(), 2);
        }
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
