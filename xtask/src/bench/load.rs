use super::meter;
use super::stage::Stage;
use anyhow::{Context, Result, bail, ensure};
use ironbridge_testkit::{Process, peer};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// Connections that every HTTP/1.1 load keeps open.
pub const CONNECTIONS: u32 = 64;

/// What is sent. Several paths or credentials are gone round through.
#[derive(Debug, Clone)]
pub struct Requests {
    pub paths: Vec<String>,
    /// `Name: value`.
    pub credentials: Vec<String>,
}

/// How it is sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// As fast as answers come, over HTTP/1.1 (wrk).
    Full,
    /// As fast as answers come, over 16 HTTP/2 connections with 4 streams each (h2load).
    FullHttp2,
    /// So many a second, over HTTP/1.1 (h2load).
    Steady(u32),
}

/// One window of one contestant.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// Microseconds of processor time of the proxy per answered request.
    pub cpu: f64,
    pub per_second: f64,
    /// Milliseconds.
    pub p50: f64,
    pub p99: f64,
    /// Requests that were not answered with success.
    pub failed: u64,
}

impl Requests {
    /// Loads a process for so many seconds and measures what it cost. Fails when anything was refused.
    pub fn measure(
        &self,
        stage: &Stage,
        port: u16,
        process: u32,
        pace: Pace,
        seconds: u64,
    ) -> Result<Measured> {
        let measured = self.measure_failures(stage, port, process, pace, seconds)?;
        ensure!(measured.failed == 0, "{} requests failed", measured.failed);
        Ok(measured)
    }

    /// The same, counting failures.
    pub fn measure_failures(
        &self,
        stage: &Stage,
        port: u16,
        process: u32,
        pace: Pace,
        seconds: u64,
    ) -> Result<Measured> {
        let before = meter::processor_time(process)?;
        let told = match pace {
            Pace::Full => self.wrk(stage, port, seconds)?,
            Pace::FullHttp2 => self.h2load(stage, port, seconds, &["-c16", "-m4"])?,
            Pace::Steady(rate) => {
                let each = format!("--rps={}", (rate / CONNECTIONS).max(1));
                self.h2load(stage, port, seconds, &["--h1", &format!("-c{CONNECTIONS}"), &each])?
            }
        };
        let used = meter::processor_time(process)? - before;
        ensure!(told.requests > 0, "nothing was answered");
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let requests = told.requests as f64;
        Ok(Measured {
            cpu: used.as_secs_f64() * 1e6 / requests,
            per_second: requests / told.time.as_secs_f64(),
            p50: told.p50,
            p99: told.p99,
            failed: told.failed,
        })
    }

    fn wrk(&self, stage: &Stage, port: u16, seconds: u64) -> Result<Told> {
        let (paths, credentials) = self.write(stage)?;
        let threads = stage.load_threads();
        let mut command = stage.pinned_to_load(&peer("wrk")?);
        command
            .args([
                format!("-t{threads}"),
                format!("-c{CONNECTIONS}"),
                format!("-d{seconds}s"),
                "--latency".into(),
            ])
            .args(["--timeout", "10s", "-s"])
            .arg(stage.source("order.lua"))
            .arg(format!("https://localhost:{port}"))
            .arg("--")
            .arg(stage.path("order.json"))
            .args([paths, credentials]);
        let text = finish(command, seconds)?;
        parse_wrk(&text).with_context(|| format!("wrk printed:\n{text}"))
    }

    fn h2load(&self, stage: &Stage, port: u16, seconds: u64, shape: &[&str]) -> Result<Told> {
        let log = stage.path_of_load("h2load.log");
        let _ = fs::remove_file(&log);
        let mut command = stage.pinned_to_load(&peer("h2load")?);
        command
            .args(shape)
            .args(["-t1", "-D", &seconds.to_string(), "--log-file"])
            .arg(&log)
            .args(["-H", "content-type: application/json", "-H"])
            .arg(self.credentials.first().context("no credential")?)
            .arg("-d")
            .arg(stage.path("order.json"))
            .arg(format!("https://localhost:{port}{}", self.paths.first().context("no path")?));
        let text = finish(command, seconds)?;
        parse_h2load_log(&fs::read_to_string(&log)?, seconds)
            .with_context(|| format!("h2load printed:\n{text}"))
    }

    fn write(&self, stage: &Stage) -> Result<(PathBuf, PathBuf)> {
        let (paths, credentials) = (stage.path_of_load("paths.txt"), stage.path_of_load("credentials.txt"));
        fs::write(&paths, self.paths.join("\n"))?;
        fs::write(&credentials, self.credentials.join("\n"))?;
        Ok((paths, credentials))
    }
}

/// What a load generator reports.
#[derive(Debug, PartialEq)]
struct Told {
    requests: u64,
    failed: u64,
    time: Duration,
    p50: f64,
    p99: f64,
}

fn finish(mut command: Command, seconds: u64) -> Result<String> {
    let mut process = Process::start(&mut command)?;
    let status = process.wait(Duration::from_secs(seconds + 60))?;
    ensure!(status.success(), "the load generator failed:\n{}", process.output());
    Ok(process.output())
}

fn parse_wrk(text: &str) -> Result<Told> {
    let percentile = |which: &str| {
        let value = text.lines().find_map(|line| line.trim().strip_prefix(which)).context("no percentile")?;
        milliseconds(value.trim())
    };
    let total = text.lines().find(|line| line.contains(" requests in ")).context("no total")?;
    let words: Vec<&str> = total.split_whitespace().collect();
    let &[requests, _, _, time, ..] = words.as_slice() else { bail!("unknown total {total:?}") };
    let refused = text.lines().find_map(|line| line.trim().strip_prefix("Non-2xx or 3xx responses:"));
    let broken = text.lines().find_map(|line| line.trim().strip_prefix("Socket errors:")).unwrap_or_default();
    let broken = broken.split([' ', ',']).filter_map(|word| word.parse::<u64>().ok()).sum::<u64>();
    Ok(Told {
        requests: requests.parse()?,
        failed: refused.map_or(Ok(0), |count| count.trim().parse::<u64>())? + broken,
        time: Duration::from_secs_f64(milliseconds(time.trim_end_matches(','))? / 1e3),
        p50: percentile("50%")?,
        p99: percentile("99%")?,
    })
}

/// `812.00us`, `2.61ms`, `5.00s`, `1.10m`.
fn milliseconds(text: &str) -> Result<f64> {
    let at = text.find(|c: char| c.is_ascii_alphabetic()).context("a time without a unit")?;
    let (number, unit) = text.split_at(at);
    let scale = match unit {
        "us" => 1e-3,
        "ms" => 1.0,
        "s" => 1e3,
        "m" => 6e4,
        _ => bail!("unknown unit in {text:?}"),
    };
    Ok(number.parse::<f64>()? * scale)
}

/// One line per answer: start, status, microseconds.
fn parse_h2load_log(log: &str, seconds: u64) -> Result<Told> {
    let mut times = Vec::new();
    let mut failed = 0;
    for line in log.lines() {
        let mut fields = line.split('\t');
        let (status, time) = fields.nth(1).zip(fields.next()).context("unknown line in the log")?;
        times.push(time.parse::<f64>()? / 1e3);
        failed += u64::from(!status.starts_with('2'));
    }
    times.sort_by(f64::total_cmp);
    let percentile =
        |hundredths: usize| times.get(times.len() * hundredths / 100).copied().context("an empty log");
    Ok(Told {
        requests: u64::try_from(times.len())?,
        failed,
        time: Duration::from_secs(seconds),
        p50: percentile(50)?,
        p99: percentile(99)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_generators_are_understood() {
        let told = parse_wrk(
            "  1 threads and 64 connections\n  Latency Distribution\n     50%    2.50ms\n     99%  812.00us\n  \
             1200 requests in 5.00s, 1.00MB read\n  Socket errors: connect 0, read 2, write 0, timeout 1\n  \
             Non-2xx or 3xx responses: 4\nRequests/sec: 240.0\n",
        );
        let wanted = Told { requests: 1200, failed: 7, time: Duration::from_secs(5), p50: 2.5, p99: 0.812 };
        assert_eq!(told.unwrap(), wanted);
        let told = parse_h2load_log("17\t200\t1500\n18\t503\t2500\n", 1);
        let wanted = Told { requests: 2, failed: 1, time: Duration::from_secs(1), p50: 2.5, p99: 2.5 };
        assert_eq!(told.unwrap(), wanted);
    }
}
