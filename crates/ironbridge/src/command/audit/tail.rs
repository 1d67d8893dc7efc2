use super::query::print;
use super::trail::{KeysArg, Trail};
use crate::failure::Outcome;
use crate::output::FormatArg;
use std::path::Path;
use std::time::Duration;

#[derive(Debug, clap::Args)]
#[command(after_help = "With --format json every line is one record, exactly as it is stored.")]
pub struct Args {
    /// How many
    #[arg(short = 'n', long, default_value_t = 10, value_name = "N")]
    lines: usize,
    /// Go on with new records until interrupted
    #[arg(short, long)]
    follow: bool,
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

/// Between two looks at the trail; and at one on another machine, which signs about once a second.
const PAUSE: Duration = Duration::from_millis(200);
const REMOTE_PAUSE: Duration = Duration::from_secs(2);

pub fn run(manifest: &Path, args: &Args) -> Outcome {
    let source = args.trail.open(manifest)?;
    let mut keyring = if args.details { Some(source.required_keyring(&args.keys)?) } else { None };
    let pause = if source.dir.is_some() { PAUSE } else { REMOTE_PAUSE };
    let log = source.log.clone();
    let records = log.tail(args.lines)?;
    for record in &records {
        print(record, keyring.as_mut(), args.format)?;
    }
    if !args.follow {
        return source.end();
    }
    let next = match records.last() {
        Some(last) => last.index + 1,
        None => log.tail(1)?.last().map_or(0, |last| last.index + 1),
    };
    let mut follow = log.follow(next);
    loop {
        for record in follow.by_ref() {
            print(&record?, keyring.as_mut(), args.format)?;
        }
        std::thread::sleep(pause);
    }
}
