//! One account has the bridge keep answers to be repeated, without end. What is kept stays below what is declared, and
//! whoever asks for nothing of the kind is served.

use super::outcome::Outcome;
use super::stage::{Honest, PATIENCE, SMALL_REPLAY, Stage};
use anyhow::Result;
use ironbridge_testkit::{Dialer, Reply};
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;
use tokio::task::JoinSet;

const CALLERS: usize = 10;
const ANSWER: usize = 30_000;
/// A row's bytes besides its answer, and pages that are not full.
const AROUND: u64 = 64 * 1024;

pub async fn attack(stage: &mut Stage, short: bool) -> Result<Outcome> {
    let count = if short { 200 } else { 2_000 };
    stage.target.on("POST /pay", Reply::Raw(200, Vec::new(), vec![b'x'; ANSWER].into()));
    let store = stage.path("data/store.sqlite");
    // What a log beside it holds is in the file once the bridge has stopped.
    stage.stop()?;
    let before = fs::metadata(&store)?.len();
    stage.start_again()?;
    let (dialer, key) = (stage.dialer("http/1.1")?, stage.key.clone());
    let asking = async {
        let mut running = JoinSet::new();
        for caller in 0..CALLERS {
            running.spawn(pay(dialer.clone(), key.clone(), caller, count / CALLERS));
        }
        running.join_all().await
    };
    let (answers, honest) = Honest::beside(stage, asking).await?;
    let mut statuses = BTreeMap::<u16, usize>::new();
    for status in answers.into_iter().flatten() {
        *statuses.entry(status).or_default() += 1;
    }
    stage.stop()?;
    let kept = fs::metadata(&store)?.len().saturating_sub(before);
    stage.start_again()?;
    let mut broken = Vec::new();
    if kept > SMALL_REPLAY + AROUND {
        broken.push(format!("{kept} bytes in the store, where {SMALL_REPLAY} are declared"));
    }
    if let Some(other) = statuses.keys().find(|status| ![200, 503].contains(*status)) {
        broken.push(format!("answered with {other}"));
    }
    if statuses.values().sum::<usize>() < count / CALLERS * CALLERS || !statuses.contains_key(&200) {
        broken.push("not all were answered, or none of them with 200".to_owned());
    }
    if honest.failed > 0 {
        broken.push(format!("{} of others failed meanwhile", honest.failed));
    }
    let statuses = statuses.iter().map(|(status, count)| format!("{count} × {status}")).collect::<Vec<_>>();
    Ok(Outcome {
        sent: format!("{count} requests, each with another Idempotency-Key, whose answer is {ANSWER} bytes"),
        seen: format!(
            "{}; {kept} bytes more in the store, of at most {SMALL_REPLAY}; {}",
            statuses.join(", "),
            honest.describe()
        ),
        broken,
    })
}

/// The status of each answer; 0 for none.
async fn pay(dialer: Dialer, key: String, caller: usize, count: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    while statuses.len() < count {
        let Ok(mut wire) = dialer.dial().await else { return statuses };
        while statuses.len() < count && !wire.is_closed {
            let number = statuses.len();
            wire.send(
                format!(
                    "POST /store/pay HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {key}\r\n\
                     Idempotency-Key: \"{caller}-{number}\"\r\nContent-Length: 0\r\n\r\n"
                )
                .as_bytes(),
            )
            .await;
            statuses.push(wire.status(PATIENCE).await.unwrap_or(0));
            // What is left of the answer; a connection that is not read to its end is not used again.
            let is_whole =
                |bytes: &[u8]| bytes.ends_with(b"xxxx") && bytes.len() > ANSWER || bytes.ends_with(b"}");
            wire.read_until(Duration::from_secs(5), is_whole).await;
            wire.received.clear();
        }
    }
    statuses
}
