//! `ironbridge demo`: a bridge between an order service and an ERP, with real traffic over real sockets.
//!
//! [`world`] starts everybody, [`scenes`] tries one thing after the other and checks each outcome, [`story`] tells
//! it. Nothing is acted: the ERP and the issuer are HTTPS servers with a private CA, the callers are HTTPS clients,
//! and the bridge is the one that `ironbridge run` starts. [`alone`] starts the ERP and nothing else.

mod alone;
mod caller;
mod erp;
mod issuer;
mod manifest;
mod scenes;
mod server;
mod stay;
mod story;
mod world;

use crate::failure::{Failure, Outcome};
use crate::output::{self, FormatArg};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use story::{Scene, Style};
use tempfile::TempDir;
use world::World;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes:
  0  every scene went as it should
  1  one did not

Examples:
  ironbridge demo
  ironbridge demo --stay --no-scenes
  ironbridge demo --dir /tmp/demo && ironbridge audit tail -C /tmp/demo/bridge
  ironbridge demo --erp erp")]
pub struct Args {
    /// Keep everything in this new directory [default: a temporary one, removed at the end]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Stay up afterwards, and print commands to try
    #[arg(long)]
    stay: bool,
    /// Start nothing but the ERP, as a target for your first manifest: https://localhost:9443, with its CA and the
    /// bridge's client secret there in this directory
    #[arg(long, value_name = "DIR", conflicts_with_all = ["dir", "stay", "format"])]
    erp: Option<PathBuf>,
    /// Show no scenes
    #[arg(long, requires = "stay")]
    no_scenes: bool,
    #[command(flatten)]
    format: FormatArg,
}

pub fn run(args: Args) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if let Some(dir) = &args.erp {
        runtime.block_on(alone::serve(dir))?;
        return Ok(ExitCode::SUCCESS);
    }
    let directory = Directory::new(args.dir.as_deref())?;
    runtime.block_on(play(&args, &directory))
}

async fn play(args: &Args, directory: &Directory) -> Outcome {
    let mut world = World::start(directory.path()).await?;
    let mut held = true;
    if !args.no_scenes {
        let told = Told { json: args.format.is_json(), color: output::color_of_stdout() };
        told.prologue()?;
        let scenes = scenes::play(&mut world, |number, scene| told.scene(number, scene)).await?;
        held = scenes.iter().all(Scene::held);
        told.epilogue(&world, &scenes, directory, args.stay)?;
    }
    if args.stay {
        stay::stay(&world, args.format.is_json()).await?;
    }
    world.bridge.stop().await.trail?;
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How the story is told.
struct Told {
    json: bool,
    color: bool,
}

impl Told {
    fn prologue(&self) -> Result<(), Failure> {
        if self.json {
            return Ok(());
        }
        let Style { bold, plain, .. } = Style::of(self.color);
        output::data(format_args!(
            "{bold}Ironbridge demo{plain}
An order service calls, an ERP answers, and a bridge stands between them. All of it is real and runs
on this machine: TLS on both sides, two OAuth 2.0 servers, a private CA, an audit trail."
        ))?;
        Ok(())
    }

    fn scene(&self, number: usize, scene: &Scene) -> Result<(), Failure> {
        if !self.json {
            scene.print(number, self.color)?;
        }
        Ok(())
    }

    fn epilogue(
        &self,
        world: &World,
        scenes: &[Scene],
        directory: &Directory,
        stays: bool,
    ) -> Result<(), Failure> {
        let failed = scenes.iter().filter(|scene| !scene.held()).count();
        let (records, actions) = scenes::records(world)?;
        let numbered = || scenes.iter().zip(1..);
        if self.json {
            let scenes: Vec<_> = numbered().map(|(scene, number)| scene.to_json(number)).collect();
            output::json(&json!({
                "held": scenes.len() - failed, "failed": failed, "scenes": scenes, "records": records,
                "actions": actions,
                "directory": directory.path(), "kept": directory.is_kept(),
            }))?;
            return Ok(());
        }
        let rows = numbered().map(|(scene, number)| {
            let outcome = if scene.held() { "as expected" } else { "NOT AS EXPECTED" };
            [format!("{number:>2}"), scene.title.to_owned(), scene.expectation.to_owned(), outcome.to_owned()]
        });
        let counts = records.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect::<Vec<_>>();
        let verdict = match failed {
            0 => format!("All {} scenes went as expected.", scenes.len()),
            failed => format!("{failed} of {} scenes did not go as expected.", scenes.len()),
        };
        let rest = if directory.is_kept() || stays {
            format!("Everything is in {}.", directory.path().display())
        } else {
            "Its files are removed now; `--dir DIR` keeps them, `--stay` lets you try it yourself.".to_owned()
        };
        output::data(format_args!(
            "\n{}\n\n{verdict}\nThe audit trail holds {} records: {}, {actions} of actions.\n{rest}",
            output::table(["", "scene", "expected", "outcome"], rows),
            records.values().sum::<u64>() + actions,
            counts.join(", "),
        ))?;
        Ok(())
    }
}

/// Where the demo keeps its files.
enum Directory {
    Temporary(TempDir),
    Kept(PathBuf),
}

impl Directory {
    /// A directory that holds something already is refused: it may be somebody's bridge.
    fn new(asked: Option<&Path>) -> Result<Directory, Failure> {
        let Some(path) = asked else {
            return Ok(Directory::Temporary(tempfile::Builder::new().prefix("ironbridge-demo-").tempdir()?));
        };
        fs::create_dir_all(path)?;
        if fs::read_dir(path)?.next().is_some() {
            return Err(Failure::new(format!("{} is not empty", path.display())).help("name a new directory"));
        }
        Ok(Directory::Kept(fs::canonicalize(path)?))
    }

    fn path(&self) -> &Path {
        match self {
            Directory::Temporary(dir) => dir.path(),
            Directory::Kept(path) => path,
        }
    }

    fn is_kept(&self) -> bool {
        matches!(self, Directory::Kept(_))
    }
}
