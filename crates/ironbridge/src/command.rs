//! One module per command.

pub mod audit;
pub mod certificate;
pub mod check;
pub mod completions;
pub mod explain;
pub mod init;
pub mod key;
pub mod run;
pub mod schema;
pub mod secret;
pub mod subject;

use crate::actor;
use crate::failure::Failure;
use crate::output;
use ironbridge_engine::{Home, HomeError};
use std::io::{self, BufRead, IsTerminal, Read};
use std::path::{Path, PathBuf};

/// Where commands find what they work on, when the manifest cannot be read or is elsewhere.
#[derive(Debug, clap::Args)]
pub struct DataDir {
    /// Open this data directory, without reading the manifest
    #[arg(long, value_name = "DIR", conflicts_with = "manifest")]
    data_dir: Option<PathBuf>,
}

impl DataDir {
    /// Whether it was named, so that no manifest is read.
    fn is_named(&self) -> bool {
        self.data_dir.is_some()
    }

    fn home(&self, manifest: &Path) -> Result<Home, Failure> {
        open(&self.path(manifest)?)
    }

    fn path(&self, manifest: &Path) -> Result<PathBuf, Failure> {
        let Some(dir) = &self.data_dir else {
            let help = "mend what is marked above, or work without the manifest: --data-dir DIR";
            let manifest = crate::inspect::manifest(manifest).map_err(|failure| failure.help(help))?;
            return Ok(manifest.bridge.data_dir.to_path_buf());
        };
        if !dir.is_dir() {
            let help = "name the directory that the manifest calls `data_dir`";
            return Err(Failure::new(format!("there is no directory {}", dir.display())).help(help));
        }
        Ok(dir.clone())
    }
}

fn home(manifest: &ironbridge_manifest::Manifest) -> Result<Home, Failure> {
    open(&manifest.bridge.data_dir)
}

/// As a start judges it: what a store that was set back says is not told, and nothing is written into it.
fn open(data_dir: &Path) -> Result<Home, Failure> {
    let home = open_as_it_lies(data_dir)?;
    block_on(async { Ok(home.demand_as_left().await) })?.map_err(set_back)?;
    Ok(home)
}

/// For those that tell what is wrong with it, or set it right.
fn open_as_it_lies(data_dir: &Path) -> Result<Home, Failure> {
    Ok(Home::open(data_dir, actor::of_command())?)
}

fn set_back(error: HomeError) -> Failure {
    let help = match &error {
        HomeError::NotAsLeft(_) => SET_BACK,
        _ => return error.into(),
    };
    Failure::new(error.to_string()).help(help)
}

const SET_BACK: &str = "find out who could write the data directory, and bring back what is missing (`store.sqlite`, `audit-head`) \
                        from a backup; `ironbridge audit status` says whether the trail is as it was left. Where it is gone, stop \
                        the bridge: `ironbridge audit accept-loss` has it go on without it";

/// What another hand did to rows of the store, which are not listed.
fn tell_altered(altered: &[String]) {
    for id in altered {
        output::note(format_args!(
            "`{id}` was put into the store, changed, put back or removed there by another hand than this bridge's. It\n\
             does not count. Find out who can write store.sqlite; issue the account a new key, or set the secret anew."
        ));
    }
}

/// Commands wait for one thing at a time; only `run` has threads, and those are the engine's.
fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

/// Asks whoever sits there to type the word; for what cannot be undone.
fn confirm(word: &str, question: &str) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::new("this cannot be undone, and nobody is there to be asked")
            .help("say that it is meant: --yes"));
    }
    output::note(question);
    let mut answer = String::new();
    io::stdin().lock().take(64).read_line(&mut answer)?;
    if answer.trim() == word { Ok(()) } else { Err(Failure::new("nothing was done")) }
}
