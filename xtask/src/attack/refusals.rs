//! Somebody without a credential asks as fast as it goes. Each refusal is accounted for, and the trail does not grow
//! with their number.

use super::Outcome;
use super::stage::{Honest, PATIENCE, Stage};
use anyhow::Result;
use ironbridge_testkit::Dialer;
use serde_json::Value;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
const CONNECTIONS: usize = 20;
/// Requests that go out together.
const TOGETHER: usize = 20;
/// What all of them may cost the trail, in bytes, however many they are: the first few of each kind stand alone, and
/// tiles, journal and index have their least sizes.
const MOST_BYTES: u64 = 200_000;

pub async fn attack(stage: &mut Stage, short: bool) -> Result<Outcome> {
    let count = if short { 4_000 } else { 40_000 };
    let audit = stage.path("data/audit");
    let before = size(&audit)?;
    let dialer = stage.dialer("http/1.1")?;
    let asking = async {
        let mut running = tokio::task::JoinSet::new();
        for _ in 0..CONNECTIONS {
            running.spawn(ask(dialer.clone(), count / CONNECTIONS));
        }
        running.join_all().await.into_iter().sum::<usize>()
    };
    let (answered, honest) = Honest::beside(stage, asking).await?;
    // Until the last of it is in the log.
    tokio::time::sleep(Duration::from_secs(3)).await;
    stage.bridge.signal("TERM")?;
    stage.bridge.wait(Duration::from_secs(30))?;
    let written = size(&audit)?.saturating_sub(before);
    stage.start_again()?;
    let mut broken = Vec::new();
    if answered < count {
        broken.push(format!("only {answered} of {count} requests were answered"));
    }
    if written > MOST_BYTES {
        broken
            .push(format!("{written} bytes of audit trail for {answered} refusals, more than {MOST_BYTES}"));
    }
    let (records, accounted) = accounted(stage)?;
    if accounted < answered {
        broken.push(format!("the trail accounts for {accounted} of {answered} refusals"));
    }
    Ok(Outcome {
        sent: format!("{count} requests without a credential, half of them for a token"),
        seen: format!(
            "{answered} answered, {records} records for {accounted}, {written} bytes of audit trail; {}",
            honest.describe()
        ),
        broken,
    })
}

/// How many were answered.
async fn ask(dialer: Dialer, count: usize) -> usize {
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
        let Ok(mut wire) = dialer.dial_from(STRANGER).await else { return answered };
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

/// Records of refusals, and how many refusals they tell of.
fn accounted(stage: &Stage) -> Result<(usize, usize)> {
    let query = ["audit", "query", "--outcome", "denied", "--limit", "100000", "--format", "json"];
    let told = stage.command(&query)?;
    let mut total = (0, 0);
    for line in told.lines() {
        let record: Value = serde_json::from_str(line)?;
        let count = record.get("count").and_then(Value::as_u64).unwrap_or(1);
        total = (total.0 + 1, total.1 + usize::try_from(count)?);
    }
    Ok(total)
}

fn size(directory: &Path) -> Result<u64> {
    let mut total = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        total += match entry.file_type()?.is_dir() {
            true => size(&entry.path())?,
            false => entry.metadata()?.len(),
        };
    }
    Ok(total)
}
