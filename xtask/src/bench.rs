//! `cargo xtask bench http`: the bridge, or several builds of it, beside HAProxy, nginx and Envoy, in one interleaved run.
//!
//! What counts is processor time per request, and its ratio within a round: requests per second also tell how fast
//! load generator and backend are.

mod audit;
mod contestant;
mod life;
mod load;
pub mod meter;
mod report;
mod scenario;
mod stage;
mod subject;
mod windows;

pub use audit::{AuditOptions, audit};

use crate::root::root;
use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use scenario::Scenario;
use stage::Stage;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use subject::Subject;
use windows::Windows;

#[derive(Args)]
pub struct Options {
    /// What to measure; everything unless told
    #[arg(long, value_enum, value_delimiter = ',')]
    scenario: Vec<Scenario>,
    #[command(flatten)]
    windows: Windows,
    /// Also write docs/performance.md; of one bridge
    #[arg(long)]
    write: bool,
    /// The bridge to measure, instead of building one. Repeated, each with a name of its own, all of them take their turn
    /// in the same rounds, and stand beside the first, too: `--binary before=old/ironbridge --binary after=new/ironbridge`
    #[arg(long, value_name = "[NAME=]PATH")]
    binary: Vec<Subject>,
    /// Measure HAProxy, nginx and Envoy without the bridge
    #[arg(long, conflicts_with = "binary")]
    peers_only: bool,
}

pub fn http(options: &Options) -> Result<()> {
    ensure!(options.windows.rounds > 0, "at least one round");
    ensure!(!options.write || options.binary.len() < 2, "docs/performance.md is of one bridge");
    let subjects = match options.binary.as_slice() {
        [] if options.peers_only => Vec::new(),
        [] => vec![Subject::unnamed(build()?)],
        named => subject::resolve(named)?,
    };
    let stage = Stage::set()?;
    let scenarios =
        if options.scenario.is_empty() { Scenario::value_variants() } else { options.scenario.as_slice() };
    let mut text = heading(&subjects, &options.windows)?;
    println!("{text}");
    for scenario in scenarios {
        let name = scenario.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        eprintln!("{name}");
        let report =
            scenario.run(&stage, &subjects, &options.windows).with_context(|| format!("scenario {name}"))?;
        let table = report.markdown();
        println!("{table}");
        text.push_str(&table);
        text.push('\n');
    }
    if options.write {
        fs::write(root().join("docs/performance.md"), text.trim_end().to_owned() + "\n")?;
    }
    Ok(())
}

fn build() -> Result<PathBuf> {
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "--package", "ironbridge"])
        .current_dir(root())
        .status()?;
    ensure!(status.success(), "the bridge does not build");
    Ok(root().join("target/release/ironbridge"))
}

fn heading(subjects: &[Subject], windows: &Windows) -> Result<String> {
    let windows = format!("{} windows of {} s for each contestant", windows.rounds, windows.seconds);
    Ok(format!(
        "# Performance\n\nWritten by `./dev bench http --write`; the configurations are in `bench/`. Later changes of the \
         bridge are not in the figures: measure anew to compare.\n\n- Sources: {}\n- Machine: {}\n- Programs: {}\n- {windows}, everyone in turn within a round; medians over the rounds, ratios \
         within each round.\n- The proxy has one core and one worker; load and backend share the others. TLS 1.3 with a \
         P-256 certificate toward the client, plain HTTP/1.1 to the backend. No figure is comparable with one from \
         another run.\n- CPU is user and kernel time of the proxy for one answered request. p50 and p99 at full load \
         say how long the queue is, not how fast the proxy answers.\n\n",
        meter::sources()?,
        meter::machine()?,
        contestant::versions(subjects)?.join("; "),
    ))
}
