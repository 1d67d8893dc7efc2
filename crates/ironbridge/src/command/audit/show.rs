use super::detail::{self, Piece};
use super::fault::tampered;
use super::text;
use super::trail::{KeysArg, Trail};
use crate::failure::{Failure, Outcome};
use crate::output::{self, FormatArg};
use ironbridge_audit::{Log, Query, Stored};
use ironbridge_core::ExchangeId;
use serde_json::{Value, json};
use std::path::Path;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Of an exchange whose answer broke off, or did not say its length beforehand, there may be two records.

Examples:
  ironbridge audit show 019aa7c0-3f1e-7c52-9d51-2f0d8f9f6a11
  ironbridge audit show 41 --format json")]
pub struct Args {
    /// An exchange's or action's id, which callers see as correlation id; or a record's index
    id: Id,
    #[command(flatten)]
    keys: KeysArg,
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
            Id::Exchange(id) => log
                .query(Query { id: Some(id.clone()), details: true, ..Query::default() })?
                .collect::<Result<_, _>>()?,
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
        // What another hand hides is not for lack of a record.
        if let Some(fault) = log.damage().first() {
            return Err(tampered(fault));
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
    let source = args.trail.open(manifest)?;
    let mut keyring = source.keyring(&args.keys)?;
    let place = Places::of(&source.log)?;
    let (mut shown, mut faults) = (Vec::new(), Vec::new());
    for record in args.id.find(&source.log)? {
        let details = match &mut keyring {
            Some(keyring) => Details::Opened(keyring.details(&record)?),
            None => Details::Sealed,
        };
        if let Details::Opened(pieces) = &details {
            let found = record.details.iter().zip(pieces).filter_map(|(sealed, piece)| match piece {
                Piece::Faulty(fault) => Some(detail::at_fault(&record, sealed.kind.name(), fault)),
                Piece::Opened(_) | Piece::Erased => None,
            });
            faults.extend(found);
        }
        if args.format.is_json() {
            shown.push(as_json(&record, &details, &place)?);
        } else {
            output::data(page(&record, &details, &place).trim_end())?;
        }
    }
    if args.format.is_json() {
        output::json(&json!({ "records": shown }))?;
    }
    faults.into_iter().next().map_or(Ok(ExitCode::SUCCESS), Err)
}

/// How far the log is signed and cosigned.
struct Places {
    signed: u64,
    witnessed: u64,
}

impl Places {
    fn of(log: &Log) -> Result<Places, Failure> {
        let witnessed = log.witnessed_checkpoint(&[])?.map_or(0, |signed| signed.checkpoint.size);
        Ok(Places { signed: log.checkpoint(None)?.size, witnessed })
    }

    fn text(&self, index: u64) -> String {
        let Places { signed, witnessed } = self;
        if index < *witnessed {
            format!("under a checkpoint of {witnessed} records that witnesses cosigned")
        } else if index < *signed {
            format!("under the signed checkpoint of {signed} records")
        } else {
            "written, but not yet under a signed checkpoint".to_owned()
        }
    }
}

/// What is known of a record's personal detail.
enum Details {
    /// There are no keys here.
    Sealed,
    Opened(Vec<Piece>),
}

fn page(record: &Stored, details: &Details, place: &Places) -> String {
    let entry = &record.entry;
    let kind = if entry.action.is_empty() { "exchange" } else { "action" };
    let mut page = format!("{kind} {}, record {} of version {}\n", entry.id, record.index, entry.v);
    page.push_str(&text::page(entry));
    if entry.details > 0 && record.details.is_empty() {
        page.push_str(&text::row("detail", "not beside this log: dropped by retention, or not copied"));
    }
    for (place, sealed) in record.details.iter().enumerate() {
        let value = match details {
            Details::Sealed => "sealed; --keys DIR opens it",
            Details::Opened(opened) => match opened.get(place) {
                Some(Piece::Opened(detail)) => detail.value.as_str(),
                Some(Piece::Faulty(fault)) => fault,
                Some(Piece::Erased) | None => "erased: its key was destroyed",
            },
        };
        page.push_str(&text::row(sealed.kind.name(), value));
    }
    page.push_str(&text::row("place", &place.text(record.index)));
    page
}

fn as_json(record: &Stored, details: &Details, place: &Places) -> Result<Value, Failure> {
    let mut shown = match details {
        Details::Sealed => detail::as_json(record, &[])?,
        Details::Opened(pieces) => {
            let opened: Vec<_> = pieces.iter().map(Piece::opened).map(Option::<&_>::cloned).collect();
            detail::as_json(record, &opened)?
        }
    };
    if let Value::Object(members) = &mut shown {
        if let Details::Opened(pieces) = details {
            let at_fault = pieces.iter().filter_map(|piece| match piece {
                Piece::Faulty(fault) => Some(*fault),
                Piece::Opened(_) | Piece::Erased => None,
            });
            members.insert("faults".into(), at_fault.collect());
        }
        members.insert("signed".into(), json!(record.index < place.signed));
        members.insert("witnessed".into(), json!(record.index < place.witnessed));
    }
    Ok(shown)
}
