use super::filter::Filter;
use super::text;
use super::trail::Trail;
use crate::cli::Outcome;
use crate::output::{self, FormatArg};
use ironbridge_audit::{Order, Query, Stored};
use std::io;
use std::path::Path;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Times are RFC 3339 (2026-11-21T14:00:00Z), a date (2026-11-21, UTC), or so long ago (2h, 7d).
With --format json every line is one record, exactly as it is stored.

Examples:
  ironbridge audit query --outcome denied --since 1h
  ironbridge audit query --account order-service --integration order-sync --limit 20 --newest-first
  ironbridge audit query --id 019aa7c0-3f1e-7c52-9d51-2f0d8f9f6a11 --format json")]
pub struct Args {
    #[command(flatten)]
    filter: Filter,
    /// At most so many
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Newest first
    #[arg(long)]
    newest_first: bool,
    #[command(flatten)]
    trail: Trail,
    #[command(flatten)]
    format: FormatArg,
}

pub fn run(manifest: &Path, args: &Args) -> Outcome {
    let log = args.trail.open(manifest)?;
    let order = if args.newest_first { Order::NewestFirst } else { Order::OldestFirst };
    let query = Query { order, limit: args.limit, ..args.filter.query() };
    let mut found = false;
    for record in log.query(query)? {
        found = true;
        print(&record?, args.format)?;
    }
    if !found {
        output::note("No record matches.");
    }
    Ok(ExitCode::SUCCESS)
}

pub fn print(record: &Stored, format: FormatArg) -> io::Result<()> {
    if format.is_json() { output::data(&record.json) } else { output::data(text::line(record, &[])) }
}
