use super::detail::{self, Keyring};
use super::filter::{self, Filter};
use super::text;
use super::trail::{KeysArg, Source, Trail};
use crate::failure::{Failure, Outcome};
use crate::output::{self, FormatArg};
use ironbridge_audit::{Order, Query, Stored};
use std::path::Path;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Times are RFC 3339 (2026-11-21T14:00:00Z), a date (2026-11-21, UTC), or so long ago (2h, 7d).
With --format json every line is one record, exactly as it is stored; with --details beside it, an
object of index, record and details.

Examples:
  ironbridge audit query --outcome denied --since 1h
  ironbridge audit query --account order-service --integration order-sync --limit 20 --newest-first
  ironbridge audit query --subject customer-4711 --details
  ironbridge audit query --action key.revoke --since 30d
  ironbridge audit query --id 019aa7c0-3f1e-7c52-9d51-2f0d8f9f6a11 --format json")]
pub struct Args {
    #[command(flatten)]
    filter: Filter,
    /// At most so many
    #[arg(long, value_name = "N", value_parser = filter::at_least_one)]
    limit: Option<usize>,
    /// Newest first
    #[arg(long)]
    newest_first: bool,
    /// Open personal detail: addresses, ids of people, who did an action
    #[arg(long)]
    details: bool,
    #[command(flatten)]
    keys: KeysArg,
    #[command(flatten)]
    trail: Trail,
    #[command(flatten)]
    format: FormatArg,
}

pub fn run(manifest: &Path, args: &Args) -> Outcome {
    let source = args.trail.open(manifest)?;
    let order = if args.newest_first { Order::NewestFirst } else { Order::OldestFirst };
    let Some(query) = args.filter.query(&source, &args.keys)? else { return Ok(ExitCode::SUCCESS) };
    let query = Query { order, limit: args.limit, details: args.details, ..query };
    let keyring = if args.details { Some(source.required_keyring(&args.keys)?) } else { None };
    let found = print_all(&source, query, keyring, args.format)?;
    if found == 0 {
        output::note("No record matches.");
    }
    source.end()
}

/// How many there were.
pub fn print_all(
    source: &Source,
    query: Query,
    mut keyring: Option<Keyring>,
    format: FormatArg,
) -> Result<u64, Failure> {
    let mut found = 0;
    for record in source.log.query(query)? {
        print(&record?, keyring.as_mut(), format)?;
        found += 1;
    }
    Ok(found)
}

pub fn print(record: &Stored, keyring: Option<&mut Keyring>, format: FormatArg) -> Result<(), Failure> {
    let details = keyring.map(|keyring| keyring.whole_details(record)).transpose()?;
    match details {
        None if format.is_json() => output::data(&record.json)?,
        Some(details) if format.is_json() => output::data(detail::as_json(record, &details)?)?,
        details => {
            let opened: Vec<_> = details.into_iter().flatten().flatten().collect();
            output::data(text::line(record, &opened))?;
        }
    }
    Ok(())
}
