use super::contestant::{Bridge, CLIENTS, Contestant, client_name};
use super::life;
use super::load::{Pace, Requests};
use super::meter;
use super::report::{Claim, Report, Series};
use super::stage::{AUDIENCE, Stage};
use super::subject::{Subject, of};
use super::windows::Windows;
use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde_json::json;

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
    /// Without a bridge, only the peers run.
    pub fn run(self, stage: &Stage, subjects: &[Subject], windows: &Windows) -> Result<Report> {
        let needs_a_bridge = matches!(self, Scenario::Flat | Scenario::Cores | Scenario::Idle);
        ensure!(!needs_a_bridge || !subjects.is_empty(), "it needs the bridge");
        match self {
            Scenario::Plain => plain(stage, subjects, windows, Pace::Full),
            Scenario::H2 => plain(stage, subjects, windows, Pace::FullHttp2),
            Scenario::Token => token(stage, subjects, windows, CLIENTS),
            Scenario::Uncached => token(stage, subjects, windows, UNCACHED),
            Scenario::Full => full(stage, subjects, windows),
            Scenario::Flat => flat(stage, subjects, windows),
            Scenario::Cores => cores(stage, subjects, windows),
            Scenario::P99 => half_load(stage, subjects, windows),
            Scenario::Idle => life::idle(stage, subjects, windows),
        }
    }
}

fn plain(stage: &Stage, subjects: &[Subject], windows: &Windows, pace: Pace) -> Result<Report> {
    let mut entries = plain_entries(stage, subjects)?;
    entries
        .push(Entry { contestant: Contestant::nginx(stage)?, requests: orders(&["X-API-Key: none".into()]) });
    if let Some(envoy) = Contestant::envoy(stage) {
        entries.push(Entry { contestant: envoy?, requests: orders(&["X-API-Key: none".into()]) });
    }
    let series = contest(stage, &mut entries, windows, pace)?;
    let (title, about) = match pace {
        Pace::FullHttp2 => ("Plain proxying, HTTP/2", "16 connections with 4 streams each."),
        _ => ("Plain proxying, HTTP/1.1", "64 connections."),
    };
    let about = format!(
        "{about} 1 KiB of JSON in, 1 KiB out. The bridge checks an API key, a permission and limits, and writes a \
         grouped audit trail; the others only proxy."
    );
    let mut report = beside_haproxy(title, &about, subjects, &series);
    if pace == Pace::Full {
        report.promise(subjects, &series, "CPU to HAProxy", 1.0);
    }
    Ok(report)
}

fn token(stage: &Stage, subjects: &[Subject], windows: &Windows, count: usize) -> Result<Report> {
    let requests = orders(&tokens(stage, count)?);
    let haproxy = Contestant::haproxy(stage, "HAProxy", "haproxy-token.cfg")?;
    let mut entries = vec![Entry { contestant: haproxy, requests: requests.clone() }];
    for Subject { label, program } in subjects {
        let contestant = Bridge::new(stage, program, 1)?.integration("token", ONE_PATH)?.start(label)?;
        entries.push(Entry { contestant, requests: requests.clone() });
    }
    let series = contest(stage, &mut entries, windows, Pace::Full)?;
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
    let mut report = beside_haproxy(title, &about, subjects, &series);
    report.promise(subjects, &series, "CPU to HAProxy verifying the same tokens", most);
    Ok(report)
}

fn full(stage: &Stage, subjects: &[Subject], windows: &Windows) -> Result<Report> {
    let requests = orders(&tokens(stage, CLIENTS)?);
    let haproxy = Contestant::haproxy(stage, "HAProxy, only proxying", "haproxy-plain.cfg")?;
    let mut entries = vec![Entry { contestant: haproxy, requests: requests.clone() }];
    for Subject { label, program } in subjects {
        let contestant = Bridge::new(stage, program, 1)?.integration("full", ONE_PATH)?.start(label)?;
        entries.push(Entry { contestant, requests: requests.clone() });
    }
    let series = contest(stage, &mut entries, windows, Pace::Full)?;
    let about = "The bridge: token, role, limit, JSON Schema of the order, keep list on the reply, and the record on \
                 disk before the answer. HAProxy: nothing of that.";
    let mut report = beside_haproxy("The whole chain", about, subjects, &series);
    report.promise(subjects, &series, "CPU to HAProxy's plain proxying", 1.6);
    Ok(report)
}

fn flat(stage: &Stage, subjects: &[Subject], windows: &Windows) -> Result<Report> {
    let mut entries = Vec::new();
    for (subject, count) in subjects.iter().flat_map(|subject| [(subject, 1), (subject, 1000)]) {
        let bridge = Bridge::new(stage, &subject.program, 1)?;
        let paths: Vec<String> = (0..count).map(|number| format!("/flow-{number:04}")).collect();
        for path in &paths {
            bridge.declare("plain", path)?;
        }
        let credentials = vec![bridge.key()?];
        let paths = paths.iter().map(|path| format!("{path}/orders")).collect();
        let contestant = bridge.start(&of(subjects, subject, &format!("{count} integrations")))?;
        entries.push(Entry { contestant, requests: Requests { paths, credentials } });
    }
    let series = contest(stage, &mut entries, windows, Pace::Full)?;
    let about = "Every integration gets its share of the requests.";
    let first: Vec<&Series> = series.first().into_iter().collect();
    let mut report = Report::of_series("Few and many integrations", about, &series, &first);
    for (subject, pair) in subjects.iter().zip(series.chunks(2)) {
        let [one, many] = pair else { continue };
        let what = of(subjects, subject, "CPU with 1,000 integrations to CPU with one");
        report.claims.push(Claim { what, most: 1.1, measured: many.ratio(one, |m| m.cpu), unit: "" });
    }
    Ok(report)
}

fn cores(stage: &Stage, subjects: &[Subject], windows: &Windows) -> Result<Report> {
    let mut entries = Vec::new();
    for (subject, workers) in subjects.iter().flat_map(|subject| [(subject, 1), (subject, 2)]) {
        let bridge = Bridge::new(stage, &subject.program, workers)?.integration("plain", ONE_PATH)?;
        let requests = orders(&[bridge.key()?]);
        let contestant = bridge.start(&of(subjects, subject, &format!("{workers} workers")))?;
        entries.push(Entry { contestant, requests });
    }
    let series = contest(stage, &mut entries, windows, Pace::Full)?;
    let has_cores = stage.cores() >= 4;
    let about = if has_cores {
        "Each worker has a core to itself, and so has the load."
    } else {
        "Load and backend share the second core, so requests per second say nothing here. What can be said: with as \
         much CPU for each request on two cores as on one, two cores do twice the work; 1.8 times leaves room for \
         1.11 times the CPU."
    };
    let first: Vec<&Series> = series.first().into_iter().collect();
    let mut report = Report::of_series("One core and two", about, &series, &first);
    for (subject, pair) in subjects.iter().zip(series.chunks(2)) {
        let [one, two] = pair else { continue };
        let (what, most, measured) = if has_cores {
            ("requests/s of one to two", 0.56, one.ratio(two, |m| m.per_second))
        } else {
            ("CPU with two workers to one", 1.11, two.ratio(one, |m| m.cpu))
        };
        report.claims.push(Claim { what: of(subjects, subject, what), most, measured, unit: "" });
    }
    Ok(report)
}

fn half_load(stage: &Stage, subjects: &[Subject], windows: &Windows) -> Result<Report> {
    let mut entries = plain_entries(stage, subjects)?;
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
    let series = contest(stage, &mut entries, windows, Pace::Steady(rate))?;
    let about = format!("{rate} requests a second, half of what HAProxy did at full load on this machine.");
    let mut report = beside_haproxy("Latency at half load", &about, subjects, &series);
    let haproxys = series.first().map_or(f64::NAN, |haproxy| haproxy.median(|m| m.p99));
    for (subject, bridge) in subjects.iter().zip(series.iter().skip(1)) {
        let measured = bridge.median(|m| m.p99) - haproxys;
        let what = of(subjects, subject, "p99 beyond HAProxy's");
        report.claims.push(Claim { what, most: 1.0, measured, unit: " ms" });
    }
    Ok(report)
}

/// HAProxy, and the bridges with an API key.
fn plain_entries(stage: &Stage, subjects: &[Subject]) -> Result<Vec<Entry>> {
    let haproxy = Contestant::haproxy(stage, "HAProxy", "haproxy-plain.cfg")?;
    let mut entries = vec![Entry { contestant: haproxy, requests: orders(&["X-API-Key: none".into()]) }];
    for Subject { label, program } in subjects {
        let bridge = Bridge::new(stage, program, 1)?.integration("plain", ONE_PATH)?;
        let requests = orders(&[bridge.key()?]);
        entries.push(Entry { contestant: bridge.start(label)?, requests });
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
fn contest(stage: &Stage, entries: &mut [Entry], windows: &Windows, pace: Pace) -> Result<Vec<Series>> {
    let mut series: Vec<Series> = Vec::new();
    for entry in entries.iter_mut() {
        let label = entry.contestant.label.clone();
        measure(stage, entry, pace, 1).with_context(|| format!("{label}, warming up"))?;
        series.push(Series { label, rounds: Vec::new(), peak: 0 });
    }
    for round in 0..windows.rounds {
        for offset in 0..entries.len() {
            let turn = (round + offset) % entries.len();
            if let (Some(entry), Some(series)) = (entries.get_mut(turn), series.get_mut(turn)) {
                let measured = measure(stage, entry, pace, windows.seconds)?;
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

/// HAProxy, the bridges, and then others: each beside HAProxy, and where there are several bridges beside their first.
fn beside_haproxy(title: &str, about: &str, subjects: &[Subject], series: &[Series]) -> Report {
    let beside: Vec<&Series> = series.iter().take(if subjects.len() > 1 { 2 } else { 1 }).collect();
    Report::of_series(title, about, series, &beside)
}

impl Report {
    /// What the bridges, which follow the first contestant, promise beside it.
    fn promise(&mut self, subjects: &[Subject], series: &[Series], what: &str, most: f64) {
        let Some(first) = series.first() else { return };
        for (subject, ours) in subjects.iter().zip(series.iter().skip(1)) {
            let measured = ours.ratio(first, |m| m.cpu);
            self.claims.push(Claim { what: of(subjects, subject, what), most, measured, unit: "" });
        }
    }
}
