use super::detail::{self, Keyring};
use super::file;
use super::filter::{self, Filter};
use super::trail::{KeysArg, Trail};
use crate::failure::{Failure, Outcome};
use crate::output::{self, FormatArg};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ironbridge_audit::export::Format;
use ironbridge_audit::{Fault, Query, Stored};
use serde_json::json;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
ocsf is the Open Cybersecurity Schema Framework 1.8.0, cef the Common Event Format, csv has a row
of names first, json is every record exactly as it is stored. docs/audit-export.md says what goes
where.
Times are RFC 3339 (2026-11-21T14:00:00Z), a date (2026-11-21, UTC), or so long ago (2h, 7d).

Examples:
  ironbridge audit export --as csv --since 30d -o november.csv
  ironbridge audit export --as ocsf --outcome denied | my-siem-loader")]
pub struct Args {
    /// In which form
    #[arg(long = "as", value_name = "FORM", value_parser = form)]
    form: Format,
    /// Write to this file, readable by you alone, instead of to standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    filter: Filter,
    /// At most so many
    #[arg(long, value_name = "N", value_parser = filter::at_least_one)]
    limit: Option<usize>,
    /// Open personal detail too; as json a record stays what it is
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
    let keyring = if args.details { Some(source.required_keyring(&args.keys)?) } else { None };
    let Some(query) = args.filter.query(&source, &args.keys)? else { return Ok(ExitCode::SUCCESS) };
    let query = Query { details: args.details, limit: args.limit, ..query };
    let mut export = Export { records: source.log.query(query)?, form: args.form, keyring };
    let Some(path) = &args.output else {
        export.write(&mut output::stream(), &ProgressBar::hidden())?;
        return source.end();
    };
    let bar = counter();
    let mut file = io::BufWriter::new(file::create(path)?);
    let written = export.write(&mut file, &bar)?;
    file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    bar.finish_and_clear();
    if args.format.is_json() {
        output::json(&json!({ "records": written, "file": path.display().to_string() }))?;
    } else {
        output::note(format_args!("{written} records are in {}", path.display()));
    }
    source.end()
}

struct Export<R> {
    records: R,
    form: Format,
    keyring: Option<Keyring>,
}

impl<R: Iterator<Item = Result<Stored, Fault>>> Export<R> {
    /// How many were written.
    fn write(&mut self, out: &mut dyn Write, bar: &ProgressBar) -> Result<u64, Failure> {
        let end = self.form.line_end().as_bytes();
        let mut line = self.form.header().unwrap_or_default().into_bytes();
        if !line.is_empty() {
            line.extend_from_slice(end);
            out.write_all(&line)?;
        }
        let mut written = 0;
        for record in self.records.by_ref() {
            let record = record?;
            let opened = detail::opened(&mut self.keyring, &record)?;
            line.clear();
            self.form.write(&record, &opened, &mut line);
            line.extend_from_slice(end);
            out.write_all(&line)?;
            written += 1;
            bar.inc(1);
        }
        out.flush()?;
        Ok(written)
    }
}

fn form(text: &str) -> Result<Format, String> {
    let names = Format::ALL.map(Format::name).join(", ");
    Format::parse(text).ok_or_else(|| format!("expected one of {names}"))
}

fn counter() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    match ProgressStyle::with_template("{pos} records, {per_sec}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
