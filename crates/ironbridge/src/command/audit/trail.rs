use super::detail::Keyring;
use super::fault::tampered;
use crate::actor;
use crate::failure::Failure;
use crate::inspect;
use crate::output;
use ironbridge_audit::{FaultKind, Log};
use ironbridge_core::OwnerTag;
use ironbridge_engine::Home;
use std::path::{Path, PathBuf};

/// Where the trail is.
#[derive(Debug, clap::Args)]
pub struct Trail {
    /// Read this trail, such as a copy of the data directory's `audit`; the manifest is not read
    #[arg(long, value_name = "DIR", conflicts_with = "manifest")]
    trail: Option<PathBuf>,
}

/// Whose keys open personal detail.
#[derive(Debug, clap::Args)]
pub struct KeysArg {
    /// Open personal detail with the keys of this data directory [default: the manifest's]
    #[arg(long, value_name = "DIR")]
    keys: Option<PathBuf>,
}

/// An opened trail.
pub struct Source {
    pub log: Log,
    /// The audit directory.
    pub dir: PathBuf,
    /// The data directory, unless the trail was named itself.
    data_dir: Option<PathBuf>,
}

impl Trail {
    pub fn open(&self, manifest: &Path) -> Result<Source, Failure> {
        let (dir, data_dir) = match &self.trail {
            Some(dir) => (dir.clone(), None),
            None => {
                let help = "mend what is marked above, or name the trail itself: --trail data/audit";
                let manifest = inspect::manifest(manifest).map_err(|failure| failure.help(help))?;
                let data_dir = manifest.bridge.data_dir.to_path_buf();
                (ironbridge_engine::audit_dir(&data_dir), Some(data_dir))
            }
        };
        let log = Log::open(&dir).map_err(|fault| match fault.kind {
            FaultKind::Missing if !dir.join("log").exists() => {
                Failure::new(format!("there is no audit trail in {}", dir.display()))
                    .help("the bridge begins it when it first runs: ironbridge run")
            }
            _ => tampered(&fault),
        })?;
        Ok(Source { log, dir, data_dir })
    }
}

impl Source {
    /// The data directory that belongs to the trail, if there is one with a store.
    pub fn home(&self) -> Result<Option<Home>, Failure> {
        match &self.data_dir {
            Some(dir) if dir.join("store.sqlite").exists() => Ok(Some(Home::open(dir, actor::of_command())?)),
            _ => Ok(None),
        }
    }

    /// The keys that were named, or those that belong to the trail.
    pub fn keyring(&self, keys: &KeysArg) -> Result<Option<Keyring>, Failure> {
        match &keys.keys {
            None => self.home()?.as_ref().map(Keyring::open).transpose(),
            Some(dir) if dir.join("store.sqlite").exists() => {
                Keyring::open(&Home::open(dir, actor::of_command())?).map(Some)
            }
            Some(dir) => Err(Failure::new(format!("{} is no data directory", dir.display()))
                .help("name the directory that the manifest calls `data_dir`")),
        }
    }

    /// Under which tag a person's detail lies. Where there is none, that is said.
    pub fn subject(&self, id: &str, keys: &KeysArg) -> Result<Option<OwnerTag>, Failure> {
        let tag = self.required_keyring(keys)?.subject(id)?;
        if tag.is_none() {
            output::note("Nothing can be found of that person: never seen, or erased.");
        }
        Ok(tag)
    }

    /// As [`Source::keyring`], for what cannot be done without.
    pub fn required_keyring(&self, keys: &KeysArg) -> Result<Keyring, Failure> {
        self.keyring(keys)?.ok_or_else(|| {
            Failure::new("personal detail is sealed, and its keys are not beside this trail")
                .help("name the bridge's data directory: --keys DIR")
        })
    }
}
