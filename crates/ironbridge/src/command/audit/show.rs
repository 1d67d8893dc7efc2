use super::text;
use super::trail::Trail;
use crate::cli::Outcome;
use crate::failure::Failure;
use crate::output::{self, FormatArg};
use ironbridge_audit::{Log, Query, Stored};
use ironbridge_core::ExchangeId;
use serde_json::{Value, json};
use std::path::Path;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Of an exchange whose answer broke off there are two records.

Examples:
  ironbridge audit show 019aa7c0-3f1e-7c52-9d51-2f0d8f9f6a11
  ironbridge audit show 41 --format json")]
pub struct Args {
    /// An exchange's or action's id, which callers see as correlation id; or a record's index
    id: Id,
    #[command(flatten)]
    trail: Trail,
    #[command(flatten)]
    format: FormatArg,
}

/// How records are named on the command line.
#[derive(Debug, Clone)]
pub enum Id {
    Exchange(String),
    Index(u64),
}

impl std::str::FromStr for Id {
    type Err = String;

    fn from_str(text: &str) -> Result<Id, String> {
        if let Ok(index) = text.parse() {
            return Ok(Id::Index(index));
        }
        let id = ExchangeId::parse(text).map(|id| Id::Exchange(id.to_string()));
        id.ok_or_else(|| {
            "expected an id such as 019aa7c0-3f1e-7c52-9d51-2f0d8f9f6a11, or an index".to_owned()
        })
    }
}

impl Id {
    /// The records of that name, in their order.
    pub fn find(&self, log: &Log) -> Result<Vec<Stored>, Failure> {
        let found: Vec<Stored> = match self {
            Id::Exchange(id) => {
                log.query(Query { id: Some(id.clone()), ..Query::default() })?.collect::<Result<_, _>>()?
            }
            Id::Index(index) => {
                let newest = log.tail(1)?.last().map(|record| record.index);
                if newest.is_some_and(|newest| *index <= newest) && *index >= log.first_kept()? {
                    log.follow(*index).next().transpose()?.into_iter().collect()
                } else {
                    Vec::new()
                }
            }
        };
        if !found.is_empty() {
            return Ok(found);
        }
        Err(match self {
            Id::Exchange(id) => Failure::new(format!("no record has the id {id}")).help(
                "only this bridge's own exchanges are in its trail; `ironbridge audit tail` shows the newest",
            ),
            Id::Index(index) => Failure::new(format!("there is no record {index}"))
                .help("`ironbridge audit tail -n 1` shows the newest; retention may have dropped old ones"),
        })
    }
}

pub fn run(manifest: &Path, args: &Args) -> Outcome {
    let log = args.trail.open(manifest)?;
    let records = args.id.find(&log)?;
    let signed = log.checkpoint(None)?.size;
    if args.format.is_json() {
        let records = records.iter().map(|record| as_json(record, signed));
        output::json(&json!({ "records": records.collect::<Result<Vec<_>, _>>()? }))?;
        return Ok(ExitCode::SUCCESS);
    }
    for record in &records {
        output::data(page(record, signed).trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn page(record: &Stored, signed: u64) -> String {
    let kind = if record.entry.action.is_empty() { "exchange" } else { "action" };
    let place = if record.index < signed {
        format!("under the signed checkpoint of {signed} records")
    } else {
        "written, but not yet under a signed checkpoint".to_owned()
    };
    format!(
        "{kind} {}, record {} of version {}\n{}{}",
        record.entry.id,
        record.index,
        record.entry.v,
        text::page(&record.entry),
        text::row("place", &place)
    )
}

fn as_json(record: &Stored, signed: u64) -> Result<Value, serde_json::Error> {
    Ok(json!({
        "index": record.index,
        "signed": record.index < signed,
        "record": serde_json::from_str::<Value>(&record.json)?,
    }))
}
