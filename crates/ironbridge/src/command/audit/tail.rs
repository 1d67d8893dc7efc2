use super::query::print;
use super::trail::Trail;
use crate::cli::Outcome;
use crate::output::FormatArg;
use std::path::Path;
use std::process::ExitCode;
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
    #[command(flatten)]
    trail: Trail,
    #[command(flatten)]
    format: FormatArg,
}

/// Between two looks at the trail.
const PAUSE: Duration = Duration::from_millis(200);

pub fn run(manifest: &Path, args: &Args) -> Outcome {
    let log = args.trail.open(manifest)?.log;
    let records = log.tail(args.lines)?;
    for record in &records {
        print(record, None, args.format)?;
    }
    if !args.follow {
        return Ok(ExitCode::SUCCESS);
    }
    let next = match records.last() {
        Some(last) => last.index + 1,
        None => log.tail(1)?.last().map_or(0, |last| last.index + 1),
    };
    let mut follow = log.follow(next);
    loop {
        for record in follow.by_ref() {
            print(&record?, None, args.format)?;
        }
        std::thread::sleep(PAUSE);
    }
}
