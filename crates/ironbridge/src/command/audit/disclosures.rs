use super::filter::moment;
use super::text;
use super::trail::{KeysArg, Trail};
use crate::failure::Outcome;
use crate::output;
use crate::times;
use ironbridge_audit::Query;
use ironbridge_audit::disclosure::{Accounting, Disclosure, PERIOD, Scope, Series, disclosures};
use ironbridge_audit::export::{push_row, visible};
use ironbridge_core::{Clock, SystemClock, Timestamp};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
What an integration declares as treatment, payment, operations, individual, authorised or
limited_data_set need not be accounted for and is left out; --all tells it too.
Times are RFC 3339 (2026-11-21T14:00:00Z), a date (2026-11-21, UTC), or so long ago (2h, 7d).

Examples:
  ironbridge audit disclosures --subject patient-4711
  ironbridge audit disclosures --series
  ironbridge audit disclosures --since 2025-01-01 --format csv > disclosures.csv")]
pub struct Args {
    /// Of this person, by the id that the data carries
    #[arg(long, value_name = "ID")]
    subject: Option<String>,
    /// At or after this time [default: six years ago]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Before this time [default: now]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Timestamp>,
    /// Also what need not be accounted for
    #[arg(long)]
    all: bool,
    /// Tell disclosures of the same data to the same recipient for the same purpose as first, count and last
    #[arg(long)]
    series: bool,
    #[command(flatten)]
    keys: KeysArg,
    #[command(flatten)]
    trail: Trail,
    /// How to print
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    Text,
    Json,
    Csv,
}

pub fn run(manifest: &Path, args: &Args) -> Outcome {
    let source = args.trail.open(manifest)?;
    let subject = match &args.subject {
        None => None,
        Some(id) => match source.subject(id, &args.keys)? {
            None => return Ok(ExitCode::SUCCESS),
            tag => tag,
        },
    };
    let since = args.since.unwrap_or_else(|| {
        let now = SystemClock::default().now();
        let micros = u64::try_from(PERIOD.as_micros()).unwrap_or(u64::MAX);
        Timestamp(now.micros().saturating_sub(micros))
    });
    let query = Query { since: Some(since), until: args.until, subject, ..Query::default() };
    let scope = if args.all { Scope::All } else { Scope::Accountable };
    let mut printer = Printer::new(args);
    let mut gathered = Accounting::default();
    for record in source.log.query(query)? {
        for disclosure in disclosures(&record?, scope) {
            if args.series {
                gathered.add(disclosure);
            } else {
                let last = disclosure.time;
                printer.print(&Series { first: disclosure, count: 1, last })?;
            }
        }
    }
    gathered.series().iter().try_for_each(|series| printer.print(series))?;
    printer.end()?;
    source.end()
}

/// Prints one after another, so that an accounting may be longer than memory.
struct Printer {
    form: Form,
    series: bool,
    printed: u64,
    out: io::BufWriter<io::StdoutLock<'static>>,
}

const COLUMNS: [&str; 12] = [
    "date",
    "recipient",
    "country",
    "data",
    "operation",
    "purpose",
    "legal_basis",
    "disclosure",
    "certain",
    "id",
    "count",
    "last",
];

impl Printer {
    fn new(args: &Args) -> Printer {
        Printer { form: args.format, series: args.series, printed: 0, out: output::stream() }
    }

    fn print(&mut self, series: &Series) -> io::Result<()> {
        let mut line = Vec::new();
        match self.form {
            Form::Text => line.extend_from_slice(self.line(series).as_bytes()),
            Form::Json => serde_json::to_writer(&mut line, &self.object(series))?,
            Form::Csv => {
                if self.printed == 0 {
                    push_row(&mut line, COLUMNS);
                    line.extend_from_slice(b"\r\n");
                }
                push_row(&mut line, self.row(series).iter().map(String::as_str));
                line.push(b'\r');
            }
        }
        line.push(b'\n');
        self.printed += 1;
        self.out.write_all(&line)
    }

    fn end(mut self) -> io::Result<()> {
        self.out.flush()?;
        if self.printed == 0 {
            output::note("No disclosure is to be accounted for.");
        }
        Ok(())
    }

    fn line(&self, series: &Series) -> String {
        let told = &series.first;
        let mut line = format!(
            "{} to {}: {} by {}, for \"{}\"",
            times::show(told.time),
            text::place(&told.recipient, &told.country),
            data(told),
            operation(told),
            told.purpose,
        );
        if !told.legal_basis.is_empty() {
            line.push_str(&format!(" ({})", told.legal_basis));
        }
        if !told.kind.is_empty() {
            line.push_str(&format!(", declared as {}", told.kind));
        }
        if !told.certain {
            line.push_str(", perhaps not received");
        }
        if self.series && series.count > 1 {
            line.push_str(&format!("; {} times until {}", series.count, times::show(series.last)));
        }
        visible(&line).into_owned()
    }

    fn object(&self, series: &Series) -> Value {
        let told = &series.first;
        let mut object = json!({
            "time": times::show(told.time), "recipient": told.recipient, "country": told.country,
            "categories": told.categories, "integration": told.integration, "operation": told.operation,
            "purpose": told.purpose, "legal_basis": told.legal_basis, "disclosure": told.kind,
            "certain": told.certain, "id": told.id, "index": told.index,
        });
        if let (true, Value::Object(members)) = (self.series, &mut object) {
            members.insert("count".into(), json!(series.count));
            members.insert("last".into(), json!(times::show(series.last)));
        }
        object
    }

    fn row(&self, series: &Series) -> [String; 12] {
        let told = series.first.clone();
        let (operation, data) = (operation(&told), data(&told));
        [
            times::show(told.time),
            told.recipient,
            told.country,
            data,
            operation,
            told.purpose,
            told.legal_basis,
            told.kind,
            told.certain.to_string(),
            told.id,
            series.count.to_string(),
            times::show(series.last),
        ]
    }
}

fn data(told: &Disclosure) -> String {
    if told.categories.is_empty() { "personal data".to_owned() } else { told.categories.join(", ") }
}

fn operation(told: &Disclosure) -> String {
    format!("{}.{}", told.integration, told.operation)
}
