use super::contestant::Bridge;
use super::load::{Measured, Pace, Requests};
use super::meter;
use super::report::{Claim, Report, mebibytes};
use super::stage::Stage;
use super::subject::{Subject, of};
use super::windows::Windows;
use anyhow::{Context, Result, ensure};
use ironbridge_testkit::curl;
use std::path::Path;
use std::time::{Duration, Instant};

const MANY: usize = 1000;

/// Memory at rest, time to start and to reload with many integrations, and what a reload does to traffic.
pub fn idle(stage: &Stage, subjects: &[Subject], windows: &Windows) -> Result<Report> {
    let mut lives = Vec::new();
    for subject in subjects {
        let life = life(stage, &subject.program, windows);
        lives.push(life.with_context(|| format!("{} did not live through it", subject.label))?);
    }
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    let row = |what: &str, of: &dyn Fn(&Life) -> String| -> Vec<String> {
        [what.to_owned()].into_iter().chain(lives.iter().map(of)).collect()
    };
    let mut claims = Vec::new();
    for (subject, life) in subjects.iter().zip(&lives) {
        let mut claim = |what: &str, most: f64, measured: f64, unit: &'static str| {
            claims.push(Claim { what: of(subjects, subject, what), most, measured, unit });
        };
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let (resting, failed) = (life.resting as f64 / 1024.0, life.reloading.failed as f64);
        claim("memory at rest", 40.0, resting, " MiB");
        claim("start", 200.0, milliseconds(life.start), " ms");
        claim("reload", 1000.0, milliseconds(life.reload), " ms");
        claim("failed exchanges while reloading", 0.0, failed, "");
    }
    let head = match subjects {
        [_] => vec![String::new(), "measured".into()],
        several => [String::new()].into_iter().chain(several.iter().map(|one| one.label.clone())).collect(),
    };
    Ok(Report {
        title: "At rest, starting, reloading".into(),
        about: format!(
            "Start: from the command until the port accepts, median of {}. Reload: three times under full load, from \
             SIGHUP until a new integration answers, the slowest; asking takes a curl, some 20 ms of it.",
            windows.rounds
        ),
        head,
        rows: vec![
            row("memory at rest, one integration", &|life| format!("{} MiB", mebibytes(life.resting))),
            row("memory under load, 1,000 integrations", &|life| format!("{} MiB", mebibytes(life.loaded))),
            row("start with 1,000 integrations", &|life| format!("{:.0} ms", milliseconds(life.start))),
            row("reload with 1,000 integrations", &|life| format!("{:.0} ms", milliseconds(life.reload))),
            row("exchanges during the reloads", &|life| format!("{:.0}/s", life.reloading.per_second)),
            row("of them failed", &|life| life.reloading.failed.to_string()),
        ],
        claims,
    })
}

/// What was measured of one bridge.
struct Life {
    /// With one integration, in KiB.
    resting: u64,
    /// With many, in KiB.
    loaded: u64,
    start: Duration,
    reload: Duration,
    /// The load while it reloaded.
    reloading: Measured,
}

fn life(stage: &Stage, program: &Path, windows: &Windows) -> Result<Life> {
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
    for _ in 0..windows.rounds {
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
    let (reloads, reloading) = std::thread::scope(|scope| -> Result<_> {
        let load = scope
            .spawn(|| requests.measure_failures(stage, port, process, Pace::Full, windows.seconds.max(5)));
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
    Ok(Life { resting, loaded: meter::resident_memory(process)?, start, reload, reloading })
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
