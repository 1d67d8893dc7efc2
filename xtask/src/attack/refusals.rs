//! Somebody without a credential asks as fast as it goes. Each refusal is accounted for, and the trail does not grow
//! with their number.

use super::outcome::Outcome;
use super::stage::{Honest, PATIENCE, Stage};
use anyhow::Result;
use ironbridge_audit::refusals::{ALONE, WINDOW};
use ironbridge_testkit::Dialer;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, Instant};

/// Who floods, and who asked a few times before, so that it is known what a record takes.
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
const BEFORE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 4);
const CONNECTIONS: usize = 20;
/// Requests that go out together.
const TOGETHER: usize = 20;
/// What is asked for, an operation and a token, is refused for what it lacks, and for coming too often.
const KINDS: usize = 2 * 2;

pub async fn attack(stage: &mut Stage, short: bool) -> Result<Outcome> {
    let count = if short { 4_000 } else { 40_000 };
    let audit = stage.path("data/audit");
    let dialer = stage.dialer("http/1.1")?;
    let (empty, begun) = (size(&audit)?, trail(stage)?.records);
    // They come one by one, so each has a record.
    let few = ask(dialer.clone(), BEFORE, TOGETHER).await;
    settle().await;
    let (before, some) = (size(&audit)?, trail(stage)?);
    let of_one = (before - empty).div_ceil(u64::try_from((some.records - begun).max(1))?);

    let began = Instant::now();
    let asking = async {
        let mut running = tokio::task::JoinSet::new();
        for _ in 0..CONNECTIONS {
            running.spawn(ask(dialer.clone(), STRANGER, count / CONNECTIONS));
        }
        running.join_all().await.into_iter().sum::<usize>()
    };
    let (answered, honest) = Honest::beside(stage, asking).await?;
    let windows = usize::try_from(began.elapsed().as_secs() / WINDOW.as_secs())? + 1;
    // Of each kind in each window, those that stand alone, and one for the rest.
    let may_be = KINDS * windows * (usize::try_from(ALONE)? + 1);
    settle().await;
    stage.stop()?;
    let written = size(&audit)?.saturating_sub(before);
    stage.start_again()?;
    let all = trail(stage)?;
    let (refused, accounted) = (all.refused - some.refused, all.accounted - some.accounted);
    // One that stands for others says how many and until when, and one of an exchange that was let in says more.
    let others = all.records - some.records - refused;
    let may_take = of_one * u64::try_from(may_be + 2 * others)?;
    let mut broken = Vec::new();
    if few < TOGETHER || answered < count {
        broken.push(format!("only {few} of {TOGETHER} and {answered} of {count} requests were answered"));
    }
    if all.kinds > KINDS {
        broken.push(format!("{} kinds of refusals, of {KINDS}", all.kinds));
    }
    if refused > may_be {
        broken.push(format!("{refused} records in {windows} windows, more than {may_be}"));
    }
    if written > may_take {
        broken.push(format!("{written} bytes of audit trail for {answered} refusals, more than {may_take}"));
    }
    if accounted < answered {
        broken.push(format!("the trail accounts for {accounted} of {answered} refusals"));
    }
    Ok(Outcome {
        sent: format!("{count} requests without a credential, half of them for a token"),
        seen: format!(
            "{answered} answered; {refused} records of at most {may_be} (windows: {windows}) for {accounted}; \
             {written} bytes of audit trail, others' {others} records included, of at most {may_take}; {}",
            honest.describe()
        ),
        broken,
    })
}

/// Until all of it is in the log.
async fn settle() {
    tokio::time::sleep(Duration::from_secs(3)).await;
}

/// How many were answered.
async fn ask(dialer: Dialer, from: Ipv4Addr, count: usize) -> usize {
    // Of an operation, and of a token.
    let form = "grant_type=client_credentials&client_id=nobody&client_secret=nothing";
    let request = format!(
        "GET /store/items/one HTTP/1.1\r\nHost: localhost\r\n\r\nPOST /oauth/token HTTP/1.1\r\nHost: localhost\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    );
    let request = request.repeat(TOGETHER / 2).into_bytes();
    let answers = |bytes: &[u8]| bytes.windows(9).filter(|window| window == b"HTTP/1.1 ").count();
    let mut answered = 0;
    while answered < count {
        let Ok(mut wire) = dialer.dial_from(from).await else { return answered };
        while answered < count && !wire.is_closed {
            wire.send(&request).await;
            let all = wire.read_until(PATIENCE, |bytes| answers(bytes) >= TOGETHER).await;
            answered += answers(&wire.received);
            wire.received.clear();
            if !all && !wire.is_closed {
                return answered;
            }
        }
    }
    answered
}

/// What the trail holds.
struct Trail {
    records: usize,
    /// Of them, those of refusals to strangers, and how many refusals they tell of.
    refused: usize,
    accounted: usize,
    kinds: usize,
}

fn trail(stage: &Stage) -> Result<Trail> {
    let told = stage.command(&["audit", "query", "--limit", "100000", "--format", "json"])?;
    let mut trail = Trail { records: 0, refused: 0, accounted: 0, kinds: 0 };
    let mut kinds = BTreeSet::new();
    for line in told.lines() {
        let record: Value = serde_json::from_str(line)?;
        let text = |name: &str| record.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        trail.records += 1;
        if text("outcome") == "denied" {
            trail.refused += 1;
            trail.accounted += usize::try_from(record.get("count").and_then(Value::as_u64).unwrap_or(1))?;
            kinds.insert([text("action"), text("integration"), text("code")]);
        }
    }
    trail.kinds = kinds.len();
    Ok(trail)
}

/// Bytes of the trail. Of the partial tiles that stay until the full one is there, 255 at most, the widest counts.
fn size(directory: &Path) -> Result<u64> {
    let is_partial = directory.extension().is_some_and(|extension| extension == "p");
    let mut sizes = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        sizes.push(match entry.file_type()?.is_dir() {
            true => size(&entry.path())?,
            false => entry.metadata()?.len(),
        });
    }
    Ok(if is_partial { sizes.into_iter().max().unwrap_or(0) } else { sizes.into_iter().sum() })
}
