//! A disk that can be made to take no writes: a library that the bridge is started with, and its switch.

use crate::root::root;
use anyhow::{Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The variable that the preloaded library reads.
pub const SWITCH: &str = "FAILING_SYNC";

/// Builds what is preloaded.
pub fn library(directory: &Path) -> Result<PathBuf> {
    let library = directory.join("failing_sync.so");
    let source = root().join("xtask/attack/failing_sync.c");
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .arg(&library)
        .arg(source)
        .arg("-ldl")
        .status()?;
    ensure!(built.success(), "cc cannot build {}", library.display());
    Ok(library)
}
