//! The trail's files become gigabytes of nothing, beside a running bridge and while it is stopped. Nobody reads them into
//! memory or searches them to the end, nothing of it is signed, and what is put in order again goes on.

use super::outcome::Outcome;
use super::stage::{Honest, Stage};
use crate::bench::meter;
use anyhow::{Context, Result, ensure};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Sparse, so it takes no room.
const LENGTH: u64 = 64 << 30;
/// What a start may take that says no.
const MOST_TIME: Duration = Duration::from_secs(30);
/// What the bridge may hold at the worst, in MiB: a start looks for a frame as long as any write leaves, 136 MiB, in
/// a buffer that doubles.
const MOST: u64 = 500;

pub async fn attack(stage: &mut Stage, short: bool) -> Result<Outcome> {
    let (mut broken, mut told) = (Vec::new(), Vec::new());
    let while_asked = Duration::from_millis(if short { 500 } else { 5_000 });
    let ((), before) = Honest::beside(stage, tokio::time::sleep(while_asked)).await?;
    ensure!(before.failed == 0, "{} of others failed before anything was done", before.failed);
    stage.stop()?;
    for (place, may_start) in [("journal", false), ("detail", true)] {
        let file = newest(&stage.path(&format!("data/audit/{place}")))?;
        let length = lengthen(&file)?;
        attempt(stage, place, may_start, &mut broken, &mut told)?;
        File::options().write(true).open(&file)?.set_len(length)?;
    }
    stage.start_again()?;
    // Beside a running bridge, which has them open and goes on writing within.
    for place in ["journal", "detail"] {
        lengthen(&newest(&stage.path(&format!("data/audit/{place}")))?)?;
    }
    let ((), beside) = Honest::beside(stage, tokio::time::sleep(while_asked)).await?;
    let peak = meter::peak_memory(stage.bridge.id())? / 1024;
    told.push(format!("running: up to {peak} MiB, {}", beside.describe()));
    if peak > MOST {
        broken.push(format!("the running bridge held {peak} MiB, more than {MOST}"));
    }
    stage.stop()?;
    // It has carried over what it wrote.
    attempt(stage, "both, while it ran", true, &mut broken, &mut told)?;
    stage.start_again()?;
    stage.command(&["audit", "verify"])?;
    Ok(Outcome {
        sent: format!("the newest files of journal and detail, lengthened to {} GiB", LENGTH >> 30),
        seen: told.join("; "),
        broken,
    })
}

/// A start on what was lengthened.
fn attempt(
    stage: &Stage,
    what: &str,
    may_start: bool,
    broken: &mut Vec<String>,
    told: &mut Vec<String>,
) -> Result<()> {
    let Start { starts, took, peak, printed } = start(stage)?;
    if took > MOST_TIME || peak > MOST {
        broken.push(format!("{what}: the start took {took:?} and {peak} MiB"));
    }
    if starts && !may_start {
        broken.push(format!("{what}: the bridge starts:\n{printed}"));
    }
    let ended = if starts { "started" } else { "refused" };
    told.push(format!("{what}: {ended} in {:.1} s with {peak} MiB", took.as_secs_f64()));
    Ok(())
}

/// How a start went.
struct Start {
    starts: bool,
    took: Duration,
    peak: u64,
    printed: String,
}

/// Until it serves or gives up; then it is stopped.
fn start(stage: &Stage) -> Result<Start> {
    let (mut bridge, began) = (stage.starting()?, Instant::now());
    let (mut peak, mut ended, mut crashed) = (0, false, false);
    let mut starts = false;
    while began.elapsed() < 3 * MOST_TIME && !starts && !ended {
        // Gone once the process is.
        peak = meter::peak_memory(bridge.id()).unwrap_or(0).max(peak);
        starts = bridge.output().contains("is running");
        let status = bridge.wait(Duration::from_millis(5)).ok();
        ended = status.is_some();
        crashed = status.is_some_and(|status| status.code() != Some(1));
    }
    anyhow::ensure!(!crashed, "the start neither served nor refused, it printed:\n{}", bridge.output());
    let took = began.elapsed();
    if !ended {
        bridge.signal("TERM")?;
        bridge.wait(Duration::from_secs(30))?;
    }
    Ok(Start { starts, took, peak: peak / 1024, printed: bridge.output() })
}

/// What it was before.
fn lengthen(file: &Path) -> Result<u64> {
    let length = fs::metadata(file)?.len();
    File::options().write(true).open(file)?.set_len(LENGTH)?;
    Ok(length)
}

fn newest(directory: &Path) -> Result<PathBuf> {
    let entries = fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>()?;
    let newest = entries.into_iter().map(|entry| entry.path()).max();
    newest.with_context(|| format!("no file in {}", directory.display()))
}
