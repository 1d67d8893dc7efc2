//! Callers of one account ask for large answers and take nothing of them, over both versions of HTTP. What stands behind
//! an answer is given back after the declared time, others are served meanwhile, and the log stays readable.

use super::http2;
use super::outcome::Outcome;
use super::stage::{Honest, Stage};
use crate::bench::meter;
use anyhow::Result;
use ironbridge_testkit::{Dialer, Reply, Wire};
use serde_json::Value;
use std::time::{Duration, Instant};

const CALLERS: usize = 40;
/// Of each connection over HTTP/2.
const STREAMS: u32 = 20;
/// More than every buffer on the way holds.
const ANSWER: usize = 16 << 20;
/// What the bridge may hold at the worst, in MiB.
const MOST: u64 = 400;
/// Lines in the log for each kind: one, the next after a minute says how many came in between.
const LINES: usize = 4;

pub async fn attack(stage: &Stage, short: bool) -> Result<Outcome> {
    let callers = if short { CALLERS / 4 } else { CALLERS };
    stage.target.on("GET /large", Reply::Oversize(ANSWER));
    let (http1, http2) = (stage.dialer("http/1.1")?, stage.dialer("h2")?);
    let (plain, framed) = (stage.request("GET", "/large", b""), requests(&stage.key));
    let asked = callers + callers * usize::try_from(STREAMS)?;
    let waiting = async {
        let mut held = Vec::new();
        for _ in 0..callers {
            held.extend(ask(&http1, &plain).await);
            held.extend(ask(&http2, &framed).await);
        }
        let began = Instant::now();
        // Streams that found no room were refused at once.
        let mut ended = 0;
        while began.elapsed() < Duration::from_secs(60) && ended < asked {
            tokio::time::sleep(Duration::from_millis(500)).await;
            ended = records(stage)?.0;
        }
        drop(held);
        Ok::<_, anyhow::Error>(began.elapsed())
    };
    let (took, honest) = Honest::beside(stage, waiting).await?;
    let took = took?;
    let (ended, untaken) = records(stage)?;
    let peak = meter::peak_memory(stage.bridge.id())? / 1024;
    let output = stage.bridge.output();
    let lines = output.lines().filter(|line| line.contains("answer-untaken")).count();
    let mut broken = Vec::new();
    if ended < asked {
        broken.push(format!("{ended} of {asked} answers had ended after {took:?}"));
    }
    if untaken == 0 {
        broken.push("nobody was cut for taking nothing".to_owned());
    }
    if peak > MOST {
        broken.push(format!("the bridge held {peak} MiB, more than {MOST}"));
    }
    if lines > LINES {
        broken.push(format!("{lines} lines in the log"));
    }
    if honest.failed > 0 {
        broken.push(format!("{} of others failed meanwhile", honest.failed));
    }
    Ok(Outcome {
        sent: format!(
            "{asked} requests of {} connections whose answers of {ANSWER} bytes nobody takes",
            2 * callers
        ),
        seen: format!(
            "all ended after {:.1} s, {untaken} of them `answer-untaken`, {lines} lines; up to {peak} MiB; {}",
            took.as_secs_f64(),
            honest.describe()
        ),
        broken,
    })
}

async fn ask(dialer: &Dialer, request: &[u8]) -> Option<Wire> {
    let mut wire = dialer.dial().await.ok()?;
    wire.send(request).await;
    Some(wire)
}

/// Its window stays shut, so that not a byte of a body may be sent (RFC 9113 §6.9.2).
fn requests(key: &str) -> Vec<u8> {
    let shut = http2::frame(http2::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let section = http2::fields(&[
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", "localhost"),
        (":path", "/store/large"),
        ("x-api-key", key),
    ]);
    let whole = http2::END_HEADERS | http2::END_STREAM;
    let streams =
        (0..STREAMS).flat_map(|number| http2::frame(http2::HEADERS, whole, number * 2 + 1, &section));
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".iter().copied().chain(shut).chain(streams).collect()
}

/// Of the large answers: how many have ended, and how many because nobody took them.
fn records(stage: &Stage) -> Result<(usize, usize)> {
    let query = ["audit", "query", "--limit", "100000", "--format", "json"];
    let mut counted = (0, 0);
    for line in stage.command(&query)?.lines() {
        let record: Value = serde_json::from_str(line)?;
        let is = |name: &str, text: &str| record.get(name).and_then(Value::as_str) == Some(text);
        // That it was let out has a record of its own, before the answer begins.
        if is("operation", "large") && !is("outcome", "success") {
            counted.0 += usize::try_from(record.get("count").and_then(Value::as_u64).unwrap_or(1))?;
            counted.1 += usize::from(is("code", "answer-untaken"));
        }
    }
    Ok(counted)
}
