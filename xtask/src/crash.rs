//! `cargo xtask crash`: kills a process that records under load, as often as one likes, and looks for what is missing.

use crate::root::root;
use anyhow::{Result, ensure};
use clap::Args;
use std::path::PathBuf;
use std::process::Command;

#[derive(Args)]
pub struct Options {
    /// How often the process dies
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
    /// Plans the rounds of an earlier run again
    #[arg(long)]
    seed: Option<u64>,
    /// On the disk to use
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
}

/// The test that does it, with fewer rounds, in every run of the tests.
const TEST: &str = "under_fire::what_was_durable_before_a_kill_is_there";

pub fn run(options: &Options) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["test", "--package", "ironbridge-audit", "--test", "suite", "--"])
        .args(["--exact", TEST, "--nocapture"])
        .env("IRONBRIDGE_CRASH_ROUNDS", options.rounds.to_string())
        .env("IRONBRIDGE_CRASH_DIR", options.dir.canonicalize()?)
        .current_dir(root());
    if let Some(seed) = options.seed {
        command.env("IRONBRIDGE_CRASH_SEED", seed.to_string());
    }
    ensure!(command.status()?.success(), "not everything that was acknowledged is there");
    Ok(())
}
