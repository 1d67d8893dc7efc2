//! What the repository does to itself: generated pages, bans, the README's commands, crashes, benchmarks.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command for people who build the bridge")]

mod attack;
mod bans;
mod bench;
mod crash;
mod generate;
mod readme;
mod root;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Chores of this repository.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Writes the reference pages and the manifest's JSON Schema from the code
    Generate {
        /// Only compare, and fail where a page is out of date
        #[arg(long)]
        check: bool,
    },
    /// Checks every dependency against deny.toml: banned crates, licences, sources
    Bans,
    /// Runs the README's commands, word for word, in a copy of the repository
    Readme,
    /// Kills a process that records under load, and checks that nothing acknowledged is missing
    Crash(crash::Options),
    /// Attacks the real binary: hostile bytes, and whoever wants all of a resource
    Attack(attack::Options),
    /// Measures the bridge beside others that do a part of its work
    #[command(subcommand)]
    Bench(Bench),
}

#[derive(Subcommand)]
enum Bench {
    /// Over HTTP, beside HAProxy, nginx and Envoy
    Http(bench::Options),
    /// The audit trail, beside PostgreSQL and SQLite
    Audit(bench::AuditOptions),
}

fn main() -> Result<()> {
    match Arguments::parse().chore {
        Chore::Generate { check } => generate::run(check),
        Chore::Bans => bans::run(),
        Chore::Readme => readme::run(),
        Chore::Crash(options) => crash::run(&options),
        Chore::Attack(options) => attack::run(&options),
        Chore::Bench(Bench::Http(options)) => bench::http(&options),
        Chore::Bench(Bench::Audit(options)) => bench::audit(&options),
    }
}
