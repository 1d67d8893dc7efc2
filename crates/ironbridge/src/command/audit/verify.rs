use super::accept_loss::{HELP, not_as_left};
use super::fault::{self, tampered};
use super::file;
use super::trail::Trail;
use crate::failure::{Failure, Outcome};
use crate::output::{self, FormatArg};
use crate::times;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ironbridge_audit::{AuditError, Checkpoint, Fault, Log, SavedPlace, Verified};
use ironbridge_core::Timestamp;
use ironbridge_seal::hash;
use ironbridge_seal::note::{self, NoteVerifier, Signature};
use serde_json::{Value, json};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without --key, the key that lies beside the trail is used. That shows damage, but not a forger who
replaced both.
With --resume, an interrupted verification goes on where it stood, and the next one reads only what
came since. Keep that file where only you can write it: what lies before the saved place is not
read again.

Examples:
  ironbridge audit verify --key \"$(cat acme-bridge.key)\"
  ironbridge audit verify --key \"$(cat acme-bridge.key)\" --resume ~/acme-bridge.place
  ironbridge audit verify --against checkpoint-of-last-month --key \"$(cat acme-bridge.key)\"
  ironbridge audit verify --from 1000 --to 2000")]
pub struct Args {
    /// A key that `ironbridge audit key` printed; may be given more than once
    #[arg(long, value_name = "KEY")]
    key: Vec<String>,
    /// Only records with this index or a greater one
    #[arg(long, value_name = "INDEX", conflicts_with = "resume")]
    from: Option<u64>,
    /// Only records with a lesser index
    #[arg(long, value_name = "INDEX", conflicts_with = "resume")]
    to: Option<u64>,
    /// Go on from the place that this file holds, and keep the place in it
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Also check that the log still begins as when this checkpoint, a copy of log/checkpoint, was kept
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Also check that this witness cosigned, and show what of the log it has seen; may be given more than once
    #[arg(long, value_name = "KEY")]
    witness_key: Vec<String>,
    #[command(flatten)]
    trail: Trail,
    #[command(flatten)]
    format: FormatArg,
}

/// How much work an interruption may cost.
const SAVE_EVERY: Duration = Duration::from_secs(3);
/// A place has 255 hashes a level, and a log of 2^63 records eight levels.
const MAX_PLACE: usize = 256 * 1024;

pub fn run(manifest: &Path, args: &Args) -> Outcome {
    let bar = progress_bar();
    let outcome = check(manifest, args, &bar);
    bar.finish_and_clear();
    match outcome {
        Ok(report) if args.format.is_json() => output::json(&report.as_json())?,
        Ok(report) => report.print()?,
        Err(Problem::Trail(fault)) if args.format.is_json() => {
            output::json(&json!({ "verified": false, "fault": fault::as_json(&fault) }))?;
            return Ok(ExitCode::FAILURE);
        }
        Err(Problem::Left(fault)) if args.format.is_json() => {
            let fault = fault::as_json(&fault);
            output::json(&json!({ "verified": false, "fault": fault, "help": HELP }))?;
            return Ok(ExitCode::FAILURE);
        }
        Err(Problem::Trail(fault)) => return Err(tampered(&fault)),
        Err(Problem::Left(fault)) => return Err(not_as_left(&fault)),
        Err(Problem::Ours(failure)) => return Err(failure),
    }
    Ok(ExitCode::SUCCESS)
}

/// Whose fault it is that there is no report.
enum Problem {
    Trail(Fault),
    /// It does not follow from what the bridge remembers of it, and a bridge does not start on it.
    Left(Fault),
    Ours(Failure),
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Problem {
        Problem::Trail(fault)
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Problem {
        Problem::Ours(failure)
    }
}

fn check(manifest: &Path, args: &Args, bar: &ProgressBar) -> Result<Report, Problem> {
    let keys = parse_keys("--key", &args.key)?;
    let witnesses = parse_keys("--witness-key", &args.witness_key)?;
    let source = args.trail.open(manifest)?;
    let log = source.log.clone();
    // As a start judges it, and before anything else: whoever reads this has to decide what becomes of the trail.
    if let Err(AuditError::NotAsLeft(fault)) = source.judged()? {
        return Err(Problem::Left(fault));
    }
    let older = match &args.against {
        Some(file) => Some(log.check_against(&file::read(file, note::MAX_BYTES)?, &keys)?.0),
        None => None,
    };
    let cosigned = if witnesses.is_empty() { None } else { Some(cosigned(&log, &keys, &witnesses)?) };
    let (verified, range) = match (args.from, args.to) {
        (None, None) => (whole(&log, &keys, args.resume.as_deref(), bar)?, None),
        (from, to) => {
            let range = within(&log, &keys, from, to)?;
            let verified = log.verify_range(&keys, range.clone(), &mut |done, of| show(bar, done, of))?;
            (verified, Some(range))
        }
    };
    Ok(Report { verified, range, older, cosigned, own_key: args.key.is_empty() })
}

/// The records that are asked for, which must be there.
fn within(
    log: &Log,
    keys: &[NoteVerifier],
    from: Option<u64>,
    to: Option<u64>,
) -> Result<Range<u64>, Problem> {
    let (first, end) = (log.rightly_kept()?.records, log.signed_checkpoint(keys)?.checkpoint.size);
    let range = from.unwrap_or(first)..to.unwrap_or(end);
    if range.is_empty() || range.start < first || range.end > end {
        let failure = Failure::new(format!("there are no records {} to {}", range.start, range.end));
        return Err(failure.help(format!("the log has signed records from {first} to below {end}")).into());
    }
    Ok(range)
}

/// Keys of logs or witnesses as the command line gives them: several to an argument, a line each.
pub fn parse_keys(option: &str, texts: &[String]) -> Result<Vec<NoteVerifier>, Failure> {
    const HELP: &str = "a key is a line of name, id and key with plus signs between; `ironbridge audit key` prints those \
                        of a log";
    if texts.iter().any(|text| text.trim().is_empty()) {
        return Err(Failure::new(format!("{option}: there is no key")).help(HELP));
    }
    let lines = texts.iter().flat_map(|text| text.trim().lines());
    let parse = |line: &str| NoteVerifier::parse(line.trim());
    lines
        .map(|line| parse(line).map_err(|error| Failure::new(format!("{option}: {error}")).help(HELP)))
        .collect()
}

/// Verifies everything, from the saved place on if there is one, and saves the place. Begins anew where retention,
/// which runs once a day, took something away meanwhile.
fn whole(
    log: &Log,
    keys: &[NoteVerifier],
    resume: Option<&Path>,
    bar: &ProgressBar,
) -> Result<Verified, Problem> {
    loop {
        let kept = log.kept()?;
        match once(log, keys, resume, bar) {
            Err(Problem::Trail(fault)) if log.was_dropped(&fault, kept)? => {}
            outcome => return outcome,
        }
    }
}

fn once(
    log: &Log,
    keys: &[NoteVerifier],
    resume: Option<&Path>,
    bar: &ProgressBar,
) -> Result<Verified, Problem> {
    let mut verification = match resume.map(read_place).transpose()?.flatten() {
        Some(place) => {
            output::note(format_args!("Going on at record {}.", place.position()));
            log.resume_verification(keys, &place)?
        }
        None => log.verification(keys)?,
    };
    let mut saved = Instant::now();
    while verification.advance()? {
        show(bar, verification.position(), verification.size());
        if saved.elapsed() > SAVE_EVERY {
            save(resume, verification.place().as_ref())?;
            saved = Instant::now();
        }
    }
    let place = verification.place();
    let verified = verification.finish()?;
    save(resume, place.as_ref())?;
    Ok(verified)
}

fn save(file: Option<&Path>, place: Option<&SavedPlace>) -> Result<(), Failure> {
    match (file, place) {
        (Some(file), Some(place)) => file::replace(file, &place.text()),
        _ => Ok(()),
    }
}

fn read_place(file: &Path) -> Result<Option<SavedPlace>, Failure> {
    if !file.exists() {
        return Ok(None);
    }
    let place = SavedPlace::parse(&file::read(file, MAX_PLACE)?);
    place.map(Some).ok_or_else(|| {
        Failure::new(format!("{} holds no place of a verification", file.display()))
            .help("name a file that --resume wrote, or one that does not exist yet")
    })
}

/// What these witnesses cosigned: the newest such checkpoint, and their cosignatures.
struct Cosigned {
    checkpoint: Checkpoint,
    cosignatures: Vec<Signature>,
}

fn cosigned(log: &Log, keys: &[NoteVerifier], witnesses: &[NoteVerifier]) -> Result<Cosigned, Problem> {
    let none = || {
        Failure::new("none of these witnesses has cosigned a checkpoint of this log").help(
            "is it declared under `bridge.audit.witnesses`? `ironbridge audit status` shows how far it is",
        )
    };
    let witnessed = log.witnessed_checkpoint(keys)?.ok_or_else(none)?;
    let (_, signatures) = note::verify(&witnessed.note, witnesses).map_err(|_| none())?;
    let cosignatures: Vec<Signature> = signatures.into_iter().filter(Signature::is_witness).collect();
    let silent = witnesses.iter().find(|key| !cosignatures.iter().any(|signature| signature.is_by(key)));
    if let Some(silent) = silent {
        let message =
            format!("the witness {} has not cosigned the newest checkpoint that is cosigned", silent.name());
        return Err(Failure::new(message).help("`ironbridge audit status` shows how far it is").into());
    }
    // What witnesses have seen must be the beginning of what is there now.
    log.check_against(&witnessed.note, keys)?;
    Ok(Cosigned { checkpoint: witnessed.checkpoint, cosignatures })
}

/// What was found to be true.
struct Report {
    verified: Verified,
    /// Only these records, if not all.
    range: Option<Range<u64>>,
    /// The older checkpoint that the log still begins with.
    older: Option<Checkpoint>,
    cosigned: Option<Cosigned>,
    /// No key was given.
    own_key: bool,
}

impl Report {
    fn as_json(&self) -> Value {
        let Verified { origin, key, size, root, kept, details, pending } = &self.verified;
        let range = self.range.clone().unwrap_or(0..*size);
        let witnesses = self.cosigned.iter().flat_map(|cosigned| {
            let size = cosigned.checkpoint.size;
            let of = move |s: &Signature| json!({ "name": s.name, "time": time(s), "records": size });
            cosigned.cosignatures.iter().map(of)
        });
        json!({
            "verified": true, "origin": origin, "signed_by": key, "own_key": self.own_key, "records": size,
            "from": range.start, "to": range.end, "root": hash::hex(root), "pending": pending,
            "details": details,
            // A range does not show it.
            "dropped": self.range.is_none().then(|| {
                json!({ "records_below": kept.records, "detail_below": kept.detail })
            }),
            "against": self.older.as_ref().map(|older| older.size),
            "witnesses": witnesses.collect::<Value>(),
        })
    }

    fn print(&self) -> io::Result<()> {
        let Verified { origin, key, size, root, kept, pending, .. } = &self.verified;
        let root = hash::hex(root);
        output::data(match &self.range {
            None => format!("The trail of {origin} is whole: {size} records, root {root}, signed by {key}."),
            Some(Range { start, end }) => format!(
                "Records {start} to {} of {origin} are in the tree of {size} records, root {root}, signed by {key}.",
                end.saturating_sub(1)
            ),
        })?;
        if kept.records > 0 || kept.detail > 0 {
            output::data(format_args!(
                "Retention dropped the records below {} and the detail below {}, as the trail records.",
                kept.records, kept.detail
            ))?;
        }
        if let Some(older) = &self.older {
            output::data(format_args!("It begins with the {} records of the older checkpoint.", older.size))?;
        }
        if let Some(Cosigned { checkpoint, cosignatures }) = &self.cosigned {
            for witness in cosignatures {
                let (name, size, time) = (&witness.name, checkpoint.size, time(witness));
                output::data(format_args!("{name} has seen its first {size} records, last at {time}."))?;
            }
        }
        if *pending > 0 {
            output::data(format_args!(
                "Written, but not yet signed: {pending}. A running bridge signs within seconds."
            ))?;
        }
        if self.own_key {
            output::note(
                "Only the key beside the trail was used: that shows damage, but not a forger who replaced both.\n\
                 Keep the key that `ironbridge audit key` prints elsewhere, and give it with --key.",
            );
        }
        Ok(())
    }
}

fn time(signature: &Signature) -> String {
    times::show_or_dash(signature.time.map(Timestamp::from_seconds))
}

/// Nothing is drawn where standard error is no terminal.
pub fn progress_bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    match ProgressStyle::with_template("{bar:40} {pos}/{len} records, {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

pub fn show(bar: &ProgressBar, done: u64, of: u64) {
    bar.set_length(of);
    bar.set_position(done);
}
