//! One address opens as many connections as it can, each with one request and no credential, and keeps them.

use super::outcome::Outcome;
use super::stage::{Honest, PATIENCE, Stage};
use anyhow::Result;
use ironbridge_testkit::{Dialer, Wire};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

pub async fn attack(stage: &Stage, short: bool) -> Result<Outcome> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    let count = if short { 1_000 } else { 10_000 };
    let dialer = stage.dialer("http/1.1")?;
    let crowd = async {
        let mut held = Vec::new();
        let mut running = JoinSet::new();
        for started in 0..count {
            running.spawn(one(dialer.clone()));
            if started >= 100 {
                held.extend(running.join_next().await.and_then(Result::ok).flatten());
            }
        }
        while let Some(done) = running.join_next().await {
            held.extend(done.ok().flatten());
        }
        held
    };
    let (held, mut honest) = Honest::beside(stage, crowd).await?;
    // And as long as they are kept.
    let other = stage.dialer("http/1.1")?;
    for _ in 0..100 {
        honest.ask(&other, stage).await;
    }
    let mut open = 0;
    for mut wire in held {
        open += usize::from(!wire.ends(Duration::from_millis(1)).await);
    }
    let mut broken = Vec::new();
    if honest.failed > 0 {
        broken.push(format!("{} of others failed meanwhile", honest.failed));
    }
    Ok(Outcome {
        sent: format!("{count} connections of one address"),
        seen: format!("{open} left open at the end; {}", honest.describe()),
        broken,
    })
}

async fn one(dialer: Dialer) -> Option<Wire> {
    let mut wire = timeout(PATIENCE, dialer.dial_from(STRANGER)).await.ok()?.ok()?;
    wire.send(b"GET /store/items/one HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    wire.status(PATIENCE).await;
    (!wire.is_closed).then_some(wire)
}
