use crate::command::{block_on, home};
use crate::failure::Outcome;
use crate::inspect;
use crate::output::{self, FormatArg};
use crate::times;
use ironbridge_core::Timestamp;
use ironbridge_engine::LogKey;
use ironbridge_seal::note::NoteSigner;
use serde_json::{Value, json};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
#[command(after_help = "\
Without a command the keys alone are printed, one a line, for a file that the log's operator cannot
change. Give that file to whoever verifies; any of its keys will do. Retired keys are left out: after
a theft, rotate with --overlap 0s and hand the file out again.

Examples:
  ironbridge audit key > acme-bridge.key
  ironbridge audit key rotate --overlap 60d")]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Print the keys that this bridge cosigns other logs with, instead
    #[arg(long)]
    witness: bool,
    /// Print retired keys too, for checkpoints and receipts of their time
    #[arg(long, conflicts_with = "witness")]
    all: bool,
    #[command(flatten)]
    format: FormatArg,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the keys, with the times in which they sign
    List(List),
    /// Make new keys; those in force sign along for a while
    Rotate(Rotate),
}

#[derive(Debug, clap::Args)]
struct List {
    #[command(flatten)]
    format: FormatArg,
}

#[derive(Debug, clap::Args)]
struct Rotate {
    /// How long the keys in force sign along: whoever verifies needs the new ones before
    #[arg(long, value_name = "DURATION", default_value = "30d", value_parser = times::duration_or_none)]
    overlap: Duration,
    #[command(flatten)]
    format: FormatArg,
}

pub fn run(dir: &Path, args: &Args) -> Outcome {
    let manifest = inspect::manifest(dir)?;
    let (home, name) = (home(&manifest)?, &manifest.bridge.name);
    if args.witness {
        let signers = block_on(async { Ok(home.witness_signers(name).await?) })?;
        let keys: Vec<String> = signers.iter().map(NoteSigner::verifier_key).collect();
        print(keys.iter().map(String::as_str), args.format)?;
        return Ok(ExitCode::SUCCESS);
    }
    let keys = block_on(async {
        Ok(match &args.command {
            Some(Command::Rotate(args)) => home.rotate_log_keys(name, args.overlap).await?,
            Some(Command::List(_)) | None => home.log_keys(name).await?,
        })
    })?;
    let (keys, now) = (keys.keys(), home.clock.now());
    match &args.command {
        None => {
            // Who is given a retired key believes what a thief of it signs.
            let believed = keys.iter().filter(|key| args.all || !key.is_over(now));
            print(believed.map(|key| &*key.verifier), args.format)?;
        }
        Some(Command::List(args)) => list(keys, args.format)?,
        Some(Command::Rotate(args)) => {
            list(keys, args.format)?;
            let given = if args.overlap.is_zero() {
                "now: nothing else signs any more."
            } else {
                "before the overlap ends."
            };
            output::note(format_args!(
                "A running bridge signs with them at once; one that is stopped does when it runs again, and until\n\
                 then its trail verifies with the keys before, which `ironbridge audit key --all` prints too.\n\
                 Give `ironbridge audit key` to whoever verifies the trail, {given}"
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The keys alone.
fn print<'k>(mut keys: impl Iterator<Item = &'k str>, format: FormatArg) -> std::io::Result<()> {
    if format.is_json() {
        return output::json(&keys.map(|key| json!({ "key": key })).collect());
    }
    keys.try_for_each(output::data)
}

fn list(keys: &[LogKey], format: FormatArg) -> std::io::Result<()> {
    let since = |key: &LogKey| times::show(Timestamp::from_seconds(key.since));
    let until = |key: &LogKey| key.until.map(|until| times::show(Timestamp::from_seconds(until)));
    if format.is_json() {
        let keys = keys.iter();
        let keys = keys.map(|key| json!({ "key": key.verifier, "since": since(key), "until": until(key) }));
        return output::json(&keys.collect::<Value>());
    }
    let rows = keys.iter().map(|key| {
        let id = key.verifier.split('+').nth(1).unwrap_or_default().to_owned();
        [id, since(key), until(key).unwrap_or_else(|| "-".to_owned())]
    });
    output::data(output::table(["ID", "SIGNS SINCE", "UNTIL"], rows))
}
