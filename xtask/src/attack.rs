//! `cargo xtask attack`: what strangers send, against the real binary: smuggled requests, spelled-over paths, hostile
//! JSON and tokens, floods, and whoever wants all of a resource. Every attack says what it sent, what came of it, and
//! whether the bridge held.

mod bodies;
mod crowd;
mod disk;
mod failing_sync;
mod follow;
mod framing;
mod http2;
mod json;
mod lengthened;
mod outcome;
mod paths;
mod patterns;
mod refusals;
mod stage;
mod stored;
mod tokens;
mod untaken;

use crate::root::root;
use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use outcome::Outcome;
use stage::{Limits, Stage};
use std::path::{Path, PathBuf};
use std::process::Command;

#[derive(Args)]
pub struct Options {
    /// Which attacks; all unless told
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Attack>,
    /// A tenth of everything, without what takes long all the same, as CI runs it
    #[arg(long)]
    short: bool,
    /// Attack what the demo and the tests run, which builds sooner than a release
    #[arg(long)]
    quick: bool,
    /// The bridge to attack, instead of building one
    #[arg(long, conflicts_with = "quick")]
    binary: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Attack {
    /// Requests with two readings of where they end
    Framing,
    /// Other spellings of a path that takes another permission
    Paths,
    /// A suite of JSON texts, good and bad
    Json,
    /// Signatures that were made to be accepted
    Tokens,
    /// HTTP/2 frames out of order, and without end
    Http2,
    /// Connections of one address, without credentials
    Connections,
    /// Refusals that want to be recorded
    Refusals,
    /// Bodies that grow when they are parsed, toward a slow target
    Bodies,
    /// Texts that a pattern goes over many times
    Patterns,
    /// Answers that nobody takes
    Untaken,
    /// Answers that want to be kept
    Stored,
    /// Files of the trail that are made gigabytes long
    Lengthened,
    /// A disk that fails under load
    Disk,
    /// A reader of the served log, far away
    Follow,
}

pub fn run(options: &Options) -> Result<()> {
    let program = match &options.binary {
        Some(binary) => binary.canonicalize().with_context(|| format!("no {}", binary.display()))?,
        None => build(if options.quick { "quick" } else { "release" })?,
    };
    let all = Attack::value_variants().iter().copied().filter(|attack| !options.short || attack.is_short());
    let attacks = if options.only.is_empty() { all.collect() } else { options.only.clone() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut table, mut broken) = (String::from("| attack | sent | the bridge | |\n|---|---|---|---|\n"), 0);
    for attack in attacks {
        let name = attack.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        eprintln!("{name}");
        let outcome = runtime
            .block_on(attack.carry_out(&program, options.short))
            .with_context(|| format!("the attack {name} could not be carried out"))?;
        for one in outcome.broken.iter().take(20) {
            eprintln!("  broken: {one}");
        }
        broken += outcome.broken.len();
        let verdict = if outcome.broken.is_empty() { "held" } else { "**broken**" };
        table.push_str(&format!("| {name} | {} | {} | {verdict} |\n", outcome.sent, outcome.seen));
    }
    println!("{table}");
    if broken > 0 {
        eprintln!("{broken} attacks went through");
        std::process::exit(1);
    }
    Ok(())
}

impl Attack {
    /// Those that take longer than some seconds are left out of the short form.
    fn is_short(self) -> bool {
        !matches!(self, Attack::Untaken | Attack::Lengthened)
    }

    async fn carry_out(self, program: &Path, short: bool) -> Result<Outcome> {
        let limits = match self {
            Attack::Connections | Attack::Refusals => Limits::Default,
            Attack::Untaken | Attack::Stored => Limits::Small,
            _ => Limits::OutOfTheWay,
        };
        let mut stage = Stage::set(program, limits)?;
        let outcome = match self {
            Attack::Framing => framing::attack(&stage, short).await,
            Attack::Paths => paths::attack(&stage, short).await,
            Attack::Json => json::attack(&stage).await,
            Attack::Tokens => tokens::attack(&stage, short).await,
            Attack::Http2 => http2::attack(&stage, short).await,
            Attack::Connections => crowd::attack(&stage, short).await,
            Attack::Refusals => refusals::attack(&mut stage, short).await,
            Attack::Bodies => bodies::attack(&stage, short).await,
            Attack::Patterns => patterns::attack(&stage, short).await,
            Attack::Untaken => untaken::attack(&stage, short).await,
            Attack::Stored => stored::attack(&mut stage, short).await,
            Attack::Lengthened => lengthened::attack(&mut stage, short).await,
            Attack::Disk => disk::attack(&stage, short).await,
            Attack::Follow => follow::attack(&stage, short).await,
        }?;
        stage.ensure_alive().await?;
        Ok(outcome)
    }
}

fn build(profile: &str) -> Result<PathBuf> {
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--profile", profile, "--package", "ironbridge"])
        .current_dir(root())
        .status()?;
    ensure!(status.success(), "the bridge does not build");
    Ok(root().join("target").join(profile).join("ironbridge"))
}
