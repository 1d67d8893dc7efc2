//! Bodies of which every byte becomes many when it is parsed, all at once, toward a target that takes its time.

use super::outcome::Outcome;
use super::stage::{Honest, Stage};
use crate::bench::meter;
use anyhow::Result;
use ironbridge_testkit::{Dialer, Reply};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

const BODIES: usize = 40;
const BYTES: usize = 880_000;
/// What the bridge may hold at the worst, in MiB.
const MOST: u64 = 400;

pub async fn attack(stage: &Stage, short: bool) -> Result<Outcome> {
    let wait = Duration::from_secs(if short { 2 } else { 5 });
    stage.target.on("POST /slow", Reply::After(wait, Box::new(Reply::Json(200, json!({})))));
    let dialer = stage.dialer("http/1.1")?;
    let (mut statuses, mut broken) = (BTreeMap::<u16, usize>::new(), Vec::new());
    let (mut figures, mut worst) = (Vec::new(), 0);
    for (name, piece) in [("objects", r#"{"a":0}"#), ("arrays", "[]"), ("numbers", "0"), ("strings", r#""""#)]
    {
        let body = format!("[{}{piece}]", format!("{piece},").repeat((BYTES - 2) / (piece.len() + 1) - 1));
        let request = stage.request("POST", "/slow", body.as_bytes());
        let sending = async {
            let mut running = tokio::task::JoinSet::new();
            for _ in 0..BODIES {
                running.spawn(send(dialer.clone(), request.clone()));
            }
            running.join_all().await
        };
        let (answers, honest) = Honest::beside(stage, sending).await?;
        for status in answers {
            *statuses.entry(status.unwrap_or(0)).or_default() += 1;
            // Too much at once is refused, and nothing else happens to anybody.
            if !matches!(status, Some(200 | 413 | 429 | 503)) {
                broken.push(format!("{name}: answered with {status:?}"));
            }
        }
        if honest.failed > 0 {
            broken.push(format!("{name}: {} of others failed meanwhile", honest.failed));
        }
        worst = meter::peak_memory(stage.bridge.id())? / 1024;
        figures.push(format!("{name}: up to {worst} MiB, {}", honest.describe()));
        stage.target.forget();
    }
    if worst > MOST {
        broken.push(format!("the bridge held {worst} MiB, more than {MOST}"));
    }
    let answers = statuses.iter().map(|(status, count)| format!("{count} × {status}")).collect::<Vec<_>>();
    Ok(Outcome {
        sent: format!("{BODIES} bodies of {BYTES} bytes at once, four kinds"),
        seen: format!("{}; {}", answers.join(", "), figures.join("; ")),
        broken,
    })
}

async fn send(dialer: Dialer, request: Vec<u8>) -> Option<u16> {
    let mut wire = dialer.dial().await.ok()?;
    // Answered early, or in the end.
    let _ = tokio::time::timeout(Duration::from_secs(60), wire.send(&request)).await;
    wire.status(Duration::from_secs(60)).await
}
