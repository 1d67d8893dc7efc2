use super::fault::{self, tampered};
use super::file;
use super::trail::Trail;
use crate::cli::Outcome;
use crate::failure::Failure;
use crate::output::{self, FormatArg};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ironbridge_audit::{Fault, Log, Place, Verified};
use ironbridge_seal::{hash, note::NoteVerifier};
use serde_json::json;
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
    let keys = parse_keys("--key", &args.key)?;
    let log = args.trail.open(manifest)?;
    let bar = progress_bar();
    let outcome = match (args.from, args.to) {
        (None, None) => whole(&log, &keys, args.resume.as_deref(), &bar)?,
        (from, to) => range(&log, &keys, from.unwrap_or(0)..to.unwrap_or(u64::MAX), &bar),
    };
    bar.finish_and_clear();
    match outcome {
        Ok((verified, range)) => report(&verified, &range, args)?,
        Err(fault) if args.format.is_json() => {
            output::json(&json!({ "verified": false, "fault": fault::as_json(&fault) }))?;
            return Ok(ExitCode::FAILURE);
        }
        Err(fault) => return Err(tampered(&fault)),
    }
    Ok(ExitCode::SUCCESS)
}

/// Keys of logs or witnesses as the command line gives them: several to an argument, a line each.
pub fn parse_keys(option: &str, texts: &[String]) -> Result<Vec<NoteVerifier>, Failure> {
    let lines = texts.iter().flat_map(|text| text.trim().lines());
    lines
        .map(|line| {
            NoteVerifier::parse(line.trim()).map_err(|error| {
                Failure::new(format!("{option}: {error}"))
                    .help("give what `ironbridge audit key` printed, whole")
            })
        })
        .collect()
}

/// What was verified: the records with these indexes.
type Checked = Result<(Verified, Range<u64>), Fault>;

fn range(log: &Log, keys: &[NoteVerifier], range: Range<u64>, bar: &ProgressBar) -> Checked {
    let mut range = range;
    if range.end == u64::MAX {
        range.end = log.checkpoint(None)?.size;
    }
    let verified = log.verify_range(keys, range.clone(), &mut |done, of| show(bar, done, of))?;
    Ok((verified, range))
}

/// The outer error is ours, the inner the trail's.
fn whole(
    log: &Log,
    keys: &[NoteVerifier],
    resume: Option<&Path>,
    bar: &ProgressBar,
) -> Result<Checked, Failure> {
    let place = resume.map(read_place).transpose()?.flatten();
    let started = match &place {
        Some(place) => {
            bar.suspend(|| output::note(format_args!("Going on at record {}.", place.position())));
            log.resume_verification(keys, place)
        }
        None => log.verification(keys),
    };
    let mut verification = match started {
        Ok(verification) => verification,
        Err(fault) => return Ok(Err(fault)),
    };
    let mut saved = Instant::now();
    loop {
        show(bar, verification.position(), verification.size());
        match verification.advance() {
            Ok(true) => {}
            Ok(false) => break,
            Err(fault) => return Ok(Err(fault)),
        }
        if let Some(file) = resume.filter(|_| saved.elapsed() > SAVE_EVERY) {
            file::replace(file, &verification.place().text())?;
            saved = Instant::now();
        }
    }
    let place = verification.place();
    let verified = match verification.finish() {
        Ok(verified) => verified,
        Err(fault) => return Ok(Err(fault)),
    };
    if let Some(file) = resume {
        file::replace(file, &place.text())?;
    }
    let size = verified.size;
    Ok(Ok((verified, 0..size)))
}

fn read_place(file: &Path) -> Result<Option<Place>, Failure> {
    if !file.exists() {
        return Ok(None);
    }
    let place = Place::parse(&file::read(file, MAX_PLACE)?);
    place.map(Some).ok_or_else(|| {
        Failure::new(format!("{} holds no place of a verification", file.display()))
            .help("name a file that --resume wrote, or one that does not exist yet")
    })
}

fn report(verified: &Verified, range: &Range<u64>, args: &Args) -> io::Result<()> {
    let root = hash::hex(&verified.root);
    if args.format.is_json() {
        return output::json(&json!({
            "verified": true, "origin": verified.origin, "signed_by": verified.key,
            "own_key": args.key.is_empty(), "records": verified.size, "from": range.start, "to": range.end,
            "root": root, "pending": verified.pending, "details": verified.details,
            "dropped": { "records_below": verified.kept.records, "detail_below": verified.kept.detail },
        }));
    }
    if args.from.is_some() || args.to.is_some() {
        output::data(format_args!(
            "Records {} to {} of {} are in the tree of {} records, root {root}, signed by {}.",
            range.start,
            range.end.saturating_sub(1),
            verified.origin,
            verified.size,
            verified.key
        ))?;
    } else {
        output::data(format_args!(
            "The trail of {} is whole: {} records, root {root}, signed by {}.",
            verified.origin, verified.size, verified.key
        ))?;
    }
    if verified.kept.records > 0 || verified.kept.detail > 0 {
        output::data(format_args!(
            "Retention dropped, as the trail itself records: records below {}, detail below {}. Their hashes verify.",
            verified.kept.records, verified.kept.detail
        ))?;
    }
    if verified.pending > 0 {
        output::data(format_args!(
            "Written, but not yet signed: {}. A running bridge signs within seconds.",
            verified.pending
        ))?;
    }
    if args.key.is_empty() {
        output::note(
            "Only the key beside the trail was used: that shows damage, but not a forger who replaced both.\n\
             Keep the key that `ironbridge audit key` prints elsewhere, and give it with --key.",
        );
    }
    Ok(())
}

/// Nothing is drawn where standard error is no terminal.
pub fn progress_bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    match ProgressStyle::with_template("{bar:40} {pos}/{len} records, {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn show(bar: &ProgressBar, done: u64, of: u64) {
    bar.set_length(of);
    bar.set_position(done);
}
