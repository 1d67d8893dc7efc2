use super::contestant::{Bridge, CLIENTS, Contestant, client_name};
use super::load::{Pace, Requests};
use super::meter;
use super::report::{Claim, Report, Series};
use super::stage::{AUDIENCE, Stage};
use super::{Options, life};
use anyhow::{Context, Result};
use clap::ValueEnum;
use serde_json::json;
use std::path::Path;

/// One question asked of the bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Proxying with an API key, bodies unread, over HTTP/1.1
    Plain,
    /// The same over HTTP/2
    H2,
    /// ES256 access tokens with a limit per account
    Token,
    /// As token, but with more tokens than any cache holds
    Uncached,
    /// Token, role, limit, JSON Schema, keep list, durable audit
    Full,
    /// One integration and a thousand
    Flat,
    /// One worker and two
    Cores,
    /// Latency at half load
    P99,
    /// Memory at rest, time to start, reload under load
    Idle,
}

/// Tokens of the `uncached` scenario: gone round through, each is long forgotten when it comes again.
const UNCACHED: usize = 20_000;

const ONE_PATH: &str = "/shop";

/// A contestant with what is sent to it.
struct Entry {
    contestant: Contestant,
    requests: Requests,
}

impl Scenario {
    /// `program` is the bridge; without it, only the peers run.
    pub fn run(self, stage: &Stage, program: Option<&Path>, options: &Options) -> Result<Report> {
        match self {
            Scenario::Plain => plain(stage, program, options, Pace::Full),
            Scenario::H2 => plain(stage, program, options, Pace::FullHttp2),
            Scenario::Token => token(stage, program, options, CLIENTS),
            Scenario::Uncached => token(stage, program, options, UNCACHED),
            Scenario::Full => full(stage, program, options),
            Scenario::Flat => flat(stage, program.context("flat needs the bridge")?, options),
            Scenario::Cores => cores(stage, program.context("cores needs the bridge")?, options),
            Scenario::P99 => half_load(stage, program, options),
            Scenario::Idle => life::idle(stage, program.context("idle needs the bridge")?, options),
        }
    }
}

fn plain(stage: &Stage, program: Option<&Path>, options: &Options, pace: Pace) -> Result<Report> {
    let mut entries = plain_entries(stage, program)?;
    entries
        .push(Entry { contestant: Contestant::nginx(stage)?, requests: orders(&["X-API-Key: none".into()]) });
    if let Some(envoy) = Contestant::envoy(stage) {
        entries.push(Entry { contestant: envoy?, requests: orders(&["X-API-Key: none".into()]) });
    }
    let series = contest(stage, &mut entries, options, pace)?;
    let (title, about) = match pace {
        Pace::FullHttp2 => ("Plain proxying, HTTP/2", "16 connections with 4 streams each."),
        _ => ("Plain proxying, HTTP/1.1", "64 connections."),
    };
    let about = format!(
        "{about} 1 KiB of JSON in, 1 KiB out. The bridge checks an API key, a permission and limits, and writes a \
         grouped audit trail; the others only proxy."
    );
    let mut report = Report::of_series(title, &about, &series);
    report.claim(program.filter(|_| pace == Pace::Full), &series, 1, "CPU to HAProxy", 1.0);
    Ok(report)
}

fn token(stage: &Stage, program: Option<&Path>, options: &Options, count: usize) -> Result<Report> {
    let requests = orders(&tokens(stage, count)?);
    let haproxy = Contestant::haproxy(stage, "HAProxy", "haproxy-token.cfg")?;
    let mut entries = vec![Entry { contestant: haproxy, requests: requests.clone() }];
    if let Some(program) = program {
        let contestant =
            Bridge::new(stage, program, 1)?.integration("token", ONE_PATH)?.start("Ironbridge")?;
        entries.push(Entry { contestant, requests });
    }
    let series = contest(stage, &mut entries, options, Pace::Full)?;
    let cached = count == CLIENTS;
    let (title, about, most) = if cached {
        (
            "Token and limit",
            "64 tokens in turn, so the bridge finds each one in its cache of verified tokens.",
            0.3,
        )
    } else {
        (
            "Token and limit, never cached",
            "20,000 tokens in turn, so the bridge too verifies on every request.",
            0.8,
        )
    };
    let about = format!(
        "{about} ES256; issuer, audience, expiry, scope, and a limit per client. HAProxy keeps no verified tokens: \
         it verifies on every request."
    );
    let mut report = Report::of_series(title, &about, &series);
    report.claim(program, &series, 1, "CPU to HAProxy verifying the same tokens", most);
    Ok(report)
}

fn full(stage: &Stage, program: Option<&Path>, options: &Options) -> Result<Report> {
    let requests = orders(&tokens(stage, CLIENTS)?);
    let haproxy = Contestant::haproxy(stage, "HAProxy, only proxying", "haproxy-plain.cfg")?;
    let mut entries = vec![Entry { contestant: haproxy, requests: requests.clone() }];
    if let Some(program) = program {
        let contestant =
            Bridge::new(stage, program, 1)?.integration("full", ONE_PATH)?.start("Ironbridge")?;
        entries.push(Entry { contestant, requests });
    }
    let series = contest(stage, &mut entries, options, Pace::Full)?;
    let about = "The bridge: token, role, limit, JSON Schema of the order, keep list on the reply, and the record on \
                 disk before the answer. HAProxy: nothing of that.";
    let mut report = Report::of_series("The whole chain", about, &series);
    report.claim(program, &series, 1, "CPU to HAProxy's plain proxying", 1.6);
    Ok(report)
}

fn flat(stage: &Stage, program: &Path, options: &Options) -> Result<Report> {
    let mut entries = Vec::new();
    for count in [1, 1000] {
        let bridge = Bridge::new(stage, program, 1)?;
        let paths: Vec<String> = (0..count).map(|number| format!("/flow-{number:04}")).collect();
        for path in &paths {
            bridge.declare("plain", path)?;
        }
        let credentials = vec![bridge.key()?];
        let paths = paths.iter().map(|path| format!("{path}/orders")).collect();
        let contestant = bridge.start(&format!("{count} integrations"))?;
        entries.push(Entry { contestant, requests: Requests { paths, credentials } });
    }
    let series = contest(stage, &mut entries, options, Pace::Full)?;
    let about = "Every integration gets its share of the requests.";
    let mut report = Report::of_series("Few and many integrations", about, &series);
    report.claim(Some(program), &series, 1, "CPU with 1,000 integrations to CPU with one", 1.1);
    Ok(report)
}

fn cores(stage: &Stage, program: &Path, options: &Options) -> Result<Report> {
    let mut entries = Vec::new();
    for workers in [1, 2] {
        let bridge = Bridge::new(stage, program, workers)?.integration("plain", ONE_PATH)?;
        let requests = orders(&[bridge.key()?]);
        entries.push(Entry { contestant: bridge.start(&format!("{workers} workers"))?, requests });
    }
    let series = contest(stage, &mut entries, options, Pace::Full)?;
    let mut report = Report::of_series("One core and two", "", &series);
    let [one, two] = series.as_slice() else { return Ok(report) };
    if stage.cores() >= 4 {
        report.about = "Each worker has a core to itself, and so has the load.".into();
        let measured = one.ratio(two, |m| m.per_second);
        report.claims.push(Claim { what: "requests/s of one to two".into(), most: 0.56, measured, unit: "" });
    } else {
        report.about = "Load and backend share the second core, so requests per second say nothing here. What can be \
                        said: with as much CPU for each request on two cores as on one, two cores do twice the work; \
                        1.8 times leaves room for 1.11 times the CPU."
            .into();
        let measured = two.ratio(one, |m| m.cpu);
        report.claims.push(Claim {
            what: "CPU with two workers to one".into(),
            most: 1.11,
            measured,
            unit: "",
        });
    }
    Ok(report)
}

fn half_load(stage: &Stage, program: Option<&Path>, options: &Options) -> Result<Report> {
    let mut entries = plain_entries(stage, program)?;
    let haproxy = entries.first().context("no entries")?;
    let full = haproxy.requests.measure(
        stage,
        haproxy.contestant.port,
        haproxy.contestant.process.id(),
        Pace::Full,
        2,
    )?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate in the tens of thousands"
    )]
    let rate = (full.per_second / 2.0) as u32;
    let series = contest(stage, &mut entries, options, Pace::Steady(rate))?;
    let about = format!("{rate} requests a second, half of what HAProxy did at full load on this machine.");
    let mut report = Report::of_series("Latency at half load", &about, &series);
    if let [haproxy, bridge] = series.as_slice() {
        let measured = bridge.median(|m| m.p99) - haproxy.median(|m| m.p99);
        report.claims.push(Claim { what: "p99 beyond HAProxy's".into(), most: 1.0, measured, unit: " ms" });
    }
    Ok(report)
}

/// HAProxy, and the bridge with an API key.
fn plain_entries(stage: &Stage, program: Option<&Path>) -> Result<Vec<Entry>> {
    let haproxy = Contestant::haproxy(stage, "HAProxy", "haproxy-plain.cfg")?;
    let mut entries = vec![Entry { contestant: haproxy, requests: orders(&["X-API-Key: none".into()]) }];
    if let Some(program) = program {
        let bridge = Bridge::new(stage, program, 1)?.integration("plain", ONE_PATH)?;
        let requests = orders(&[bridge.key()?]);
        entries.push(Entry { contestant: bridge.start("Ironbridge")?, requests });
    }
    Ok(entries)
}

fn orders(credentials: &[String]) -> Requests {
    Requests { paths: vec![format!("{ONE_PATH}/orders")], credentials: credentials.to_vec() }
}

/// Tokens for all clients in turn, each one different.
fn tokens(stage: &Stage, count: usize) -> Result<Vec<String>> {
    (0..count)
        .map(|number| {
            let client = client_name(number % CLIENTS);
            let token = stage.issuer.token(
                &client,
                AUDIENCE,
                "orders.write",
                json!({ "jti": number.to_string() }),
            )?;
            Ok(format!("Authorization: Bearer {token}"))
        })
        .collect()
}

/// Everyone in turn, round after round, beginning with another one each time.
fn contest(stage: &Stage, entries: &mut [Entry], options: &Options, pace: Pace) -> Result<Vec<Series>> {
    let mut series: Vec<Series> = Vec::new();
    for entry in entries.iter_mut() {
        let label = entry.contestant.label.clone();
        measure(stage, entry, pace, 1).with_context(|| format!("{label}, warming up"))?;
        series.push(Series { label, rounds: Vec::new(), peak: 0 });
    }
    for round in 0..options.rounds {
        for offset in 0..entries.len() {
            let turn = (round + offset) % entries.len();
            if let (Some(entry), Some(series)) = (entries.get_mut(turn), series.get_mut(turn)) {
                let measured = measure(stage, entry, pace, options.seconds)?;
                eprintln!("  round {}: {} {:.1} µs", round + 1, series.label, measured.cpu);
                series.rounds.push(measured);
                series.peak = meter::peak_memory(entry.contestant.process.id())?;
            }
        }
    }
    Ok(series)
}

fn measure(stage: &Stage, entry: &Entry, pace: Pace, seconds: u64) -> Result<super::load::Measured> {
    let contestant = &entry.contestant;
    entry
        .requests
        .measure(stage, contestant.port, contestant.process.id(), pace, seconds)
        .with_context(|| format!("{} printed:\n{}", contestant.label, contestant.process.output()))
}

impl Report {
    /// What the bridge, at `index`, promises beside the first.
    fn claim(&mut self, program: Option<&Path>, series: &[Series], index: usize, what: &str, most: f64) {
        if let (Some(_), Some(first), Some(ours)) = (program, series.first(), series.get(index)) {
            let measured = ours.ratio(first, |m| m.cpu);
            self.claims.push(Claim { what: what.into(), most, measured, unit: "" });
        }
    }
}
