//! Texts that make a pattern build its states anew, though none of them is long: each body would cost seconds.

use super::outcome::Outcome;
use super::stage::{Honest, PATIENCE, Stage};
use anyhow::Result;
use ironbridge_testkit::Dialer;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Of one body.
const TEXTS: usize = 2_000;
/// What one body may take, at the least, on a machine where all of them and the rest share two cores.
const MOST: Duration = Duration::from_secs(10);

pub async fn attack(stage: &Stage, short: bool) -> Result<Outcome> {
    let bodies = if short { 4 } else { 40 };
    let dialer = stage.dialer("http/1.1")?;
    let (mut statuses, mut longest, mut broken) = (BTreeMap::new(), Duration::ZERO, Vec::new());
    let mut figures = Vec::new();
    for length in [40, 400] {
        let text = format!("\"{}\"", "a".repeat(length));
        let body = format!(r#"{{"l":[{}]}}"#, vec![text.as_str(); TEXTS].join(","));
        let request = stage.request("POST", "/costly", body.as_bytes());
        let sending = async {
            let mut running = tokio::task::JoinSet::new();
            for _ in 0..bodies {
                running.spawn(send(dialer.clone(), request.clone()));
            }
            running.join_all().await
        };
        let (answers, honest) = Honest::beside(stage, sending).await?;
        for (status, took) in answers {
            longest = longest.max(took);
            *statuses.entry(status).or_insert(0) += 1;
            // Each text breaks the pattern, whether anybody finds that out or not.
            if !matches!(status, Some(413 | 422 | 429 | 503)) {
                broken.push(format!("texts of {length}: answered with {status:?}"));
            }
        }
        if honest.failed > 0 {
            broken.push(format!("texts of {length}: {} of others failed meanwhile", honest.failed));
        }
        figures.push(format!("texts of {length}: {}", honest.describe()));
    }
    let most = MOST * u32::try_from(bodies)?;
    if longest > most {
        broken.push(format!("an answer took {longest:?}, more than {most:?}"));
    }
    let statuses = statuses
        .iter()
        .map(|(status, count): (&Option<u16>, &usize)| format!("{count} × {}", status.unwrap_or(0)))
        .collect::<Vec<_>>();
    Ok(Outcome {
        sent: format!(
            "{bodies} bodies at once of {TEXTS} texts that a pattern goes over many times, of two lengths"
        ),
        seen: format!(
            "{}; the last after {:.1} s; {}",
            statuses.join(", "),
            longest.as_secs_f64(),
            figures.join("; ")
        ),
        broken,
    })
}

async fn send(dialer: Dialer, request: Vec<u8>) -> (Option<u16>, Duration) {
    let began = Instant::now();
    let Ok(mut wire) = dialer.dial().await else { return (None, began.elapsed()) };
    let _ = tokio::time::timeout(PATIENCE, wire.send(&request)).await;
    (wire.status(Duration::from_secs(120)).await, began.elapsed())
}
