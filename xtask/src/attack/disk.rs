//! The disk takes no more writes for a while, under load. Nothing is answered meanwhile that could not be recorded, and
//! when the disk is well again so is the bridge, load or not.

use super::failing_sync::SWITCH;
use super::outcome::Outcome;
use super::stage::{PATIENCE, Stage};
use anyhow::Result;
use std::fs;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const CALLERS: usize = 16;
/// Between two requests of one caller: all together send 480 a second.
const PAUSE: Duration = Duration::from_millis(33);

type Answers = Arc<Mutex<Vec<(Instant, Option<u16>)>>>;

pub async fn attack(stage: &Stage, short: bool) -> Result<Outcome> {
    let outages: &[f64] = if short { &[0.5, 2.0] } else { &[0.5, 2.0, 10.0, 60.0] };
    let (answers, stop) = (Answers::default(), Arc::new(AtomicBool::new(false)));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..CALLERS {
        let (dialer, request) = (stage.dialer("http/1.1")?, stage.request("GET", "/items/disk", b""));
        let (answers, stop) = (Arc::clone(&answers), Arc::clone(&stop));
        callers.spawn(async move {
            while !stop.load(Ordering::SeqCst) {
                let Ok(mut wire) = dialer.dial().await else { continue };
                while !wire.is_closed && !stop.load(Ordering::SeqCst) {
                    wire.received.clear();
                    wire.send(&request).await;
                    let status = wire.status(PATIENCE).await;
                    if let Ok(mut answers) = answers.lock() {
                        answers.push((Instant::now(), status));
                    }
                    // What is left of the answer comes within the pause.
                    wire.read_until(PAUSE, |_| false).await;
                }
            }
        });
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (switch, mut broken, mut figures) = (stage.path(SWITCH), Vec::new(), Vec::new());
    for outage in outages {
        fs::write(&switch, "")?;
        let failed = Instant::now();
        tokio::time::sleep(Duration::from_secs_f64(*outage)).await;
        fs::remove_file(&switch)?;
        let healed = Instant::now();
        let first = loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
            if let Some(at) = first_success(&answers, healed) {
                break Some(at);
            }
            if healed.elapsed() > PATIENCE {
                break None;
            }
        };
        // What was under way when the disk failed may still have been on it.
        let settled = failed + Duration::from_millis(200);
        let unrecorded = successes(&answers, settled, healed);
        if unrecorded > 0 {
            broken.push(format!("{unrecorded} answered with success within an outage of {outage} s"));
        }
        match first {
            Some(at) => {
                figures.push(format!("{outage} s: serves again after {:.2} s", (at - healed).as_secs_f64()))
            }
            None => {
                broken.push(format!("after an outage of {outage} s nothing is served, {PATIENCE:?} later"));
                figures.push(format!("{outage} s: not within {PATIENCE:?}"));
                stop.store(true, Ordering::SeqCst);
                break;
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    stop.store(true, Ordering::SeqCst);
    callers.join_all().await;
    let sent = answers.lock().map(|answers| answers.len()).unwrap_or(0);
    Ok(Outcome {
        sent: format!("{sent} requests, 480 a second, while the disk fails"),
        seen: figures.join("; "),
        broken,
    })
}

fn first_success(answers: &Answers, since: Instant) -> Option<Instant> {
    let answers = answers.lock().ok()?;
    answers.iter().find(|(at, status)| *at > since && *status == Some(200)).map(|(at, _)| *at)
}

fn successes(answers: &Answers, from: Instant, to: Instant) -> usize {
    let Ok(answers) = answers.lock() else { return 0 };
    answers.iter().filter(|(at, status)| *at > from && *at < to && *status == Some(200)).count()
}
