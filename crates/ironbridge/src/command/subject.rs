//! One person's data: where it went, and how what is kept about it is destroyed.

use super::audit::detail::Keyring;
use super::audit::query;
use super::audit::trail::{KeysArg, Trail};
use crate::command::confirm;
use crate::failure::{Failure, Outcome};
use crate::inspect::plural;
use crate::output::{self, FormatArg};
use ironbridge_audit::Query;
use ironbridge_seal::hash::hex;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Show every record of a person's data, over all integrations
    Trace(Trace),
    /// Destroy what the audit trail knows of a person, for ever; records and proofs stay
    Erase(Erase),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The id is the one that the data carries, where the manifest says `data.subject_id`.

Example:
  ironbridge subject trace customer-4711")]
pub struct Trace {
    /// The person's id
    id: String,
    #[command(flatten)]
    keys: KeysArg,
    #[command(flatten)]
    trail: Trail,
    #[command(flatten)]
    format: FormatArg,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The key that the person's detail is sealed under is destroyed. The detail, and the salts of what
records commit to, are then gone from every copy of the trail, and nobody can find the person's
records again. Backups of the data directory still hold the key until they are removed.
Trace first if somebody may ask what was erased.

Example:
  ironbridge subject erase customer-4711")]
pub struct Erase {
    /// The person's id
    id: String,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    keys: KeysArg,
    #[command(flatten)]
    trail: Trail,
    #[command(flatten)]
    format: FormatArg,
}

pub fn run(manifest: &Path, command: Command) -> Outcome {
    match command {
        Command::Trace(args) => trace(manifest, &args),
        Command::Erase(args) => erase(manifest, &args),
    }
}

fn trace(manifest: &Path, args: &Trace) -> Outcome {
    let source = args.trail.open(manifest)?;
    let Some(tag) = source.subject(&args.id, &args.keys)? else { return Ok(ExitCode::SUCCESS) };
    let mut integrations: BTreeMap<String, usize> = BTreeMap::new();
    for record in source.log.query(Query { subject: Some(tag), ..Query::default() })? {
        let record = record?;
        // Its details may be of other people too, so they stay closed.
        query::print(&record, None, args.format)?;
        *integrations.entry(record.entry.integration).or_default() += 1;
    }
    if !args.format.is_json() {
        let counts = integrations.iter().map(|(name, count)| format!("{name} {count}"));
        let counts = counts.collect::<Vec<_>>().join(", ");
        let total = plural(integrations.values().sum(), "record");
        let kept = source.log.kept()?;
        let older = match kept.records > 0 || kept.detail > 0 {
            true => {
                " Retention has dropped older ones, and nobody can tell whether some were of that person."
            }
            false => "",
        };
        output::note(format_args!("{total}: {counts}.{older}"));
    }
    source.end()
}

fn erase(manifest: &Path, args: &Erase) -> Outcome {
    let source = args.trail.open(manifest)?;
    let keyring = source.required_keyring(&args.keys)?;
    let Some(tag) = keyring.subject(&args.id)? else {
        demand_whole(&keyring)?;
        return Err(Failure::new("nothing is kept of that person: never seen, or erased already"));
    };
    // Reading a long trail, and an answer, take their time: the store goes on without this command until then.
    drop(keyring);
    // A damaged trail must not stand between a person and their erasure.
    let found = source.log.query(Query { subject: Some(tag), ..Query::default() }).into_iter().flatten();
    let records = found.filter(Result::is_ok).count();
    if !args.yes {
        let records = plural(records, "record");
        let question =
            format!("The personal detail of {records} will be destroyed for ever. Type `erase` to go on:");
        confirm("erase", &question)?;
    }
    let keyring = source.required_keyring(&args.keys)?;
    let Some(tag) = keyring.erase(&args.id)? else {
        // Whoever hides the person while the question waits is nobody who erased them.
        demand_whole(&keyring)?;
        return Err(Failure::new("another process erased that person in the meantime"));
    };
    let tag = hex(&tag);
    let pending = !keyring.erased_within(PATIENCE)?;
    if args.format.is_json() {
        output::json(&json!({ "erased": true, "pending": pending, "records": records, "tag": tag }))?;
        return Ok(ExitCode::SUCCESS);
    }
    if pending {
        output::data(format_args!(
            "Erased: the detail of {} is found by that id no more. The sealed key is still in store.sqlite,\n\
             or in store.sqlite-wal, because another process is reading the store: end it (a backup, an open shell?).\n\
             A running bridge, or whoever opens the store next, then overwrites the key; until then\n\
             `ironbridge audit status` says that it is pending.",
            plural(records, "record")
        ))?;
        output::note(format_args!("The trail names the owner's tag only: {tag}"));
        return Ok(ExitCode::SUCCESS);
    }
    output::data(format_args!(
        "Erased: the detail of {} can never be read again, nor be found by that id.",
        plural(records, "record")
    ))?;
    output::note(format_args!(
        "The records, their hashes and all proofs stay. A running bridge records the erasure within a second, one\n\
         that is stopped when it starts; the trail names the owner's tag only: {tag}"
    ));
    Ok(ExitCode::SUCCESS)
}

/// What is not found may be hidden: an erasure is not confirmed then.
fn demand_whole(keyring: &Keyring) -> Result<(), Failure> {
    if keyring.is_whole()? {
        return Ok(());
    }
    Err(Failure::new(
        "nothing is found of that person, but another hand than this bridge's has removed keys of data subjects from \
         the store, or put some there: that person's may be among them",
    )
    .help("find out who can write store.sqlite, restore it from a backup, and erase the person then"))
}

/// How long a reader of the store is waited for. A command's reads take milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);
