use super::accept_loss::not_as_left;
use super::fault;
use super::trail::{Source, Trail};
use crate::command::block_on;
use crate::failure::{Failure, Outcome};
use crate::output::{self, FormatArg};
use crate::times;
use ironbridge_audit::{AuditError, Fault, Retained, unwritable};
use ironbridge_core::Timestamp;
use ironbridge_publish::{Kind, Lag, Snapshot};
use serde_json::{Value, json};
use std::io;
use std::path::Path;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    trail: Trail,
    #[command(flatten)]
    format: FormatArg,
}

pub fn run(manifest: &Path, args: &Args) -> Outcome {
    let status = Status::of(&args.trail.open(manifest)?)?;
    if args.format.is_json() {
        output::json(&status.as_json())?;
    } else {
        status.print()?;
    }
    // Whoever watches it is not to take this for good.
    let wrong = status.unwritable.is_some()
        || status.refused.is_some()
        || !status.faults.is_empty()
        || status.findings().next().is_some();
    Ok(if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

struct Status {
    origin: String,
    /// Records on disk, under the signed checkpoint, under one that witnesses cosigned, with an index.
    written: u64,
    signed: u64,
    witnessed: u64,
    indexed: u64,
    kept: Retained,
    /// Why a start does not go on with it.
    refused: Option<AuditError>,
    /// What else is not as it was left, or cannot be read.
    faults: Vec<Fault>,
    /// Why no further record can be written; never of a copy.
    unwritable: Option<String>,
    /// Actions done that wait for their record; `None` where there is no store beside the trail.
    waiting: Option<u64>,
    /// The clock, where the bridge doubted it and retention held back.
    clock_in_doubt: Option<Timestamp>,
    /// Something that was erased may still be in the store's files.
    erasing: bool,
    published: Option<Snapshot>,
}

impl Status {
    fn of(source: &Source) -> Result<Status, Failure> {
        let log = &source.log;
        let head = log.checkpoint(None)?;
        let newest = log.tail(1)?.last().map_or(0, |record| record.index + 1);
        let (waiting, erasing) = match source.home()? {
            Some(home) => block_on(async {
                Ok((Some(home.outbox().count().await?), home.store.erasure_pending().await?))
            })?,
            None => (None, false),
        };
        let anchor = match source.home()? {
            Some(home) => block_on(async { Ok(home.trail_anchor().await?) })?,
            None => None,
        };
        let remembered = anchor.and_then(|anchor| anchor.remembered().ok().flatten());
        let clock_in_doubt =
            remembered.map(|head| head.doubted).filter(|clock| *clock > Timestamp::default());
        let published = source.dir.as_deref().map(Snapshot::read).transpose();
        let published = published
            .map_err(|error| Failure::new(format!("cannot read what was published: {error}")))?
            .flatten();
        let unwritable = match source.home()? {
            Some(_) => source.dir.as_deref().and_then(unwritable),
            None => None,
        };
        let (mut faults, refused) = match source.judged()? {
            Ok(beside) => (beside, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        faults.extend(log.damage());
        Ok(Status {
            refused,
            faults,
            unwritable,
            origin: head.origin,
            written: newest.max(head.size),
            signed: head.size,
            witnessed: log.witnessed_checkpoint(&[])?.map_or(0, |signed| signed.checkpoint.size),
            indexed: log.indexed()?,
            kept: log.kept()?,
            waiting,
            clock_in_doubt,
            erasing,
            published,
        })
    }

    /// Destinations that contradict this log, and how.
    fn findings(&self) -> impl Iterator<Item = (&str, &str)> {
        let destinations = self.published.iter().flat_map(|snapshot| &snapshot.destinations);
        destinations.filter_map(|lag| Some((&*lag.name, lag.finding.as_deref()?)))
    }

    fn as_json(&self) -> Value {
        let destinations = self.published.iter().flat_map(|snapshot| &snapshot.destinations);
        json!({
            "origin": self.origin, "written": self.written, "signed": self.signed,
            "witnessed": self.witnessed, "indexed": self.indexed, "actions_waiting": self.waiting,
            "erasure_pending": self.erasing,
            "clock_in_doubt": self.clock_in_doubt.map(times::show),
            "dropped": { "records_below": self.kept.records, "detail_below": self.kept.detail },
            "published": self.published.as_ref().map(|snapshot| times::show(snapshot.time)),
            "unwritable": self.unwritable,
            "not_as_left": match &self.refused {
                Some(AuditError::NotAsLeft(fault)) => fault::as_json(fault),
                _ => Value::Null,
            },
            "damaged": match &self.refused {
                None | Some(AuditError::NotAsLeft(_)) => Value::Null,
                Some(error) => json!(error.to_string()),
            },
            "faults": self.faults.iter().map(fault::as_json).collect::<Value>(),
            "destinations": destinations.map(|lag| json!(lag)).collect::<Value>(),
        })
    }

    fn print(&self) -> io::Result<()> {
        let Status { origin, written, signed, witnessed, indexed, kept, .. } = self;
        output::data(format_args!(
            "{origin}: {written} records written, {signed} signed, {witnessed} cosigned, {indexed} indexed"
        ))?;
        if let Some(why) = &self.unwritable {
            output::note(format_args!(
                "No further record can be written, so a running bridge refuses every exchange (audit-unavailable): {why}."
            ));
        }
        let refused = self.refused.as_ref().map(|error| match error {
            AuditError::NotAsLeft(fault) => not_as_left(fault),
            AuditError::Damaged(fault) => fault::tampered(fault),
            error => Failure::new(error.to_string()),
        });
        for failure in refused.into_iter().chain(self.faults.iter().map(fault::tampered)) {
            output::note(failure.text(output::color_of_stderr()).trim_end());
        }
        if kept.records > 0 || kept.detail > 0 {
            let Retained { records, detail } = kept;
            output::data(format_args!(
                "dropped by retention: records below {records}, detail below {detail}"
            ))?;
        }
        if let Some(waiting) = self.waiting.filter(|waiting| *waiting > 0) {
            output::data(format_args!("{waiting} actions wait for a running bridge to record them"))?;
        }
        if let Some(clock) = self.clock_in_doubt {
            output::data(format_args!(
                "the clock was at {}, far ahead of what was observed: retention drops nothing until it is right, or \
                 `ironbridge audit retention --confirm-clock` says so while the bridge is stopped",
                times::show(clock)
            ))?;
        }
        if self.erasing {
            output::data(
                "an erasure is pending: another process reads store.sqlite, which still holds the sealed key until it ends",
            )?;
        }
        let published = self.published.as_ref().filter(|snapshot| !snapshot.destinations.is_empty());
        let Some(snapshot) = published else {
            // A copy does not know of the others.
            if self.waiting.is_some() {
                output::note("It is copied nowhere and cosigned by nobody else.");
            }
            return Ok(());
        };
        let rows = snapshot.destinations.iter().map(row);
        let headings = ["DESTINATION", "KIND", "RECORDS", "BEHIND", "SINCE", "LOST", "LAST ERROR"];
        output::data(output::table(headings, rows))?;
        output::note(format_args!("Destinations as of {}", times::show(snapshot.time)));
        for (name, finding) in self.findings() {
            output::note(format_args!("`{name}` contradicts this log: {finding}."));
        }
        Ok(())
    }
}

fn row(lag: &Lag) -> [String; 7] {
    let kind = match lag.kind {
        Kind::Mirror => "mirror",
        Kind::Forward => "forward",
        Kind::Witness => "witness",
    };
    [
        lag.name.clone(),
        kind.to_owned(),
        lag.position.to_string(),
        lag.of.saturating_sub(lag.position).to_string(),
        times::show_or_dash(lag.behind_since),
        lag.lost.to_string(),
        lag.last_error.clone().unwrap_or_else(|| "-".to_owned()),
    ]
}
