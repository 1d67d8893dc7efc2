use super::Options;
use super::contestant::Bridge;
use super::load::{Pace, Requests};
use super::meter;
use super::report::{Claim, Report, mebibytes};
use super::stage::Stage;
use anyhow::{Context, Result, ensure};
use ironbridge_testkit::curl;
use std::path::Path;
use std::time::{Duration, Instant};

const MANY: usize = 1000;

/// Memory at rest, time to start and to reload with many integrations, and what a reload does to traffic.
pub fn idle(stage: &Stage, program: &Path, options: &Options) -> Result<Report> {
    let small = Bridge::new(stage, program, 1)?.integration("plain", "/shop")?.start("Ironbridge")?;
    std::thread::sleep(Duration::from_secs(2));
    let resting = meter::resident_memory(small.process.id())?;
    drop(small);

    let bridge = Bridge::new(stage, program, 1)?;
    let paths: Vec<String> = (0..MANY).map(|number| format!("/flow-{number:04}")).collect();
    for path in &paths {
        bridge.declare("plain", path)?;
    }
    let key = bridge.key()?;
    let mut starts = Vec::new();
    for _ in 0..options.rounds {
        let began = Instant::now();
        let contestant = bridge.start("Ironbridge")?;
        starts.push(began.elapsed());
        drop(contestant);
    }
    starts.sort();
    let start = starts.get(starts.len() / 2).copied().context("no rounds")?;

    let running = bridge.start("Ironbridge")?;
    let requests = Requests {
        paths: paths.iter().map(|path| format!("{path}/orders")).collect(),
        credentials: vec![key.clone()],
    };
    let (port, process) = (running.port, running.process.id());
    let (reloads, measured) = std::thread::scope(|scope| -> Result<_> {
        let load = scope
            .spawn(|| requests.measure_failures(stage, port, process, Pace::Full, options.seconds.max(5)));
        std::thread::sleep(Duration::from_secs(1));
        let mut reloads = Vec::new();
        for number in 0..3 {
            let path = format!("/late-{number}");
            bridge.declare("plain", &path)?;
            let began = Instant::now();
            running.process.signal("HUP")?;
            until_declared(stage, port, &key, &path)?;
            reloads.push(began.elapsed());
        }
        let measured = load.join().map_err(|_| anyhow::anyhow!("the load panicked"))??;
        Ok((reloads, measured))
    })?;
    let reload = reloads.iter().max().copied().context("no reloads")?;

    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    let loaded = meter::resident_memory(process)?;
    let row = |what: &str, value: String| vec![what.to_owned(), value];
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let (resting_mib, failed) = (resting as f64 / 1024.0, measured.failed as f64);
    let claim = |what: &str, most: f64, measured: f64, unit: &'static str| Claim {
        what: what.into(),
        most,
        measured,
        unit,
    };
    Ok(Report {
        title: "At rest, starting, reloading".into(),
        about: format!(
            "Start: from the command until the port accepts, median of {}. Reload: three times under full load, from \
             SIGHUP until a new integration answers, the slowest; asking takes a curl, some 20 ms of it.",
            options.rounds
        ),
        head: vec!["".into(), "measured".into()],
        rows: vec![
            row("memory at rest, one integration", format!("{} MiB", mebibytes(resting))),
            row("memory under load, 1,000 integrations", format!("{} MiB", mebibytes(loaded))),
            row("start with 1,000 integrations", format!("{:.0} ms", milliseconds(start))),
            row("reload with 1,000 integrations", format!("{:.0} ms", milliseconds(reload))),
            row("exchanges during the reloads", format!("{:.0}/s", measured.per_second)),
            row("of them failed", measured.failed.to_string()),
        ],
        claims: vec![
            claim("memory at rest", 40.0, resting_mib, " MiB"),
            claim("start", 200.0, milliseconds(start), " ms"),
            claim("reload", 1000.0, milliseconds(reload), " ms"),
            claim("failed exchanges while reloading", 0.0, failed, ""),
        ],
    })
}

fn until_declared(stage: &Stage, port: u16, key: &str, path: &str) -> Result<()> {
    let url = format!("https://localhost:{port}{path}/orders");
    let ca = stage.path("ca.pem").to_string_lossy().into_owned();
    let body = format!("@{}", stage.path("order.json").to_string_lossy());
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let reply = curl(["--cacert", &ca, "-H", key, "--json", &body, &url])?;
        if reply.status == 200 {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "still {} for a new integration: {}", reply.status, reply.text());
    }
}
