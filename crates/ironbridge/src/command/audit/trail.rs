use super::fault::tampered;
use crate::failure::Failure;
use crate::inspect;
use ironbridge_audit::{FaultKind, Log};
use std::path::{Path, PathBuf};

/// Where the trail is.
#[derive(Debug, clap::Args)]
pub struct Trail {
    /// Read this trail, such as a copy of the data directory's `audit`; the manifest is not read
    #[arg(long, value_name = "DIR", conflicts_with = "manifest")]
    trail: Option<PathBuf>,
}

impl Trail {
    pub fn open(&self, manifest: &Path) -> Result<Log, Failure> {
        let dir = self.dir(manifest)?;
        Log::open(&dir).map_err(|fault| match fault.kind {
            FaultKind::Missing if !dir.join("log").exists() => {
                Failure::new(format!("there is no audit trail in {}", dir.display()))
                    .help("the bridge begins it when it first runs: ironbridge run")
            }
            _ => tampered(&fault),
        })
    }

    fn dir(&self, manifest: &Path) -> Result<PathBuf, Failure> {
        if let Some(dir) = &self.trail {
            return Ok(dir.clone());
        }
        let help = "mend what is marked above, or name the trail itself: --trail data/audit";
        let manifest = inspect::manifest(manifest).map_err(|failure| failure.help(help))?;
        Ok(ironbridge_engine::audit_dir(&manifest.bridge.data_dir))
    }
}
