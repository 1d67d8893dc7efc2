//! How far a sink has acknowledged.

use crate::files;
use crate::trouble::Trouble;
use ironbridge_audit::Log;
use ironbridge_seal::envelope::{Keys, SealError};
use ironbridge_seal::hash::{base64, unbase64};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How far a sink has acknowledged, in a file of its own, `forward/NAME`: the next record's index in decimal, the
/// root of the tree of the records before it, and a seal over both and the name: one that another hand moved ahead would
/// pass records over without a word.
pub(super) struct Cursor {
    name: String,
    path: PathBuf,
    staging: PathBuf,
    keys: Arc<Keys>,
    /// Once read.
    next: Option<u64>,
}

/// What a cursor's file says was sent.
struct Sent {
    next: u64,
    root: Vec<u8>,
}

impl Cursor {
    pub fn of(audit: &Path, name: &str, keys: Arc<Keys>) -> Cursor {
        let (path, staging) = (audit.join("forward").join(name), audit.join("tmp"));
        Cursor { name: name.to_owned(), path, staging, keys, next: None }
    }

    /// The next record to send, once it is known.
    pub fn next(&self) -> Option<u64> {
        self.next
    }

    /// The next record to send; 0 for a new sink, and where the file is not one that this bridge wrote: a receiver
    /// that gets records twice can tell by their index, one that misses some cannot.
    pub async fn load(&mut self, log: &Log, size: u64) -> Result<u64, Trouble> {
        if let Some(next) = self.next {
            return Ok(next);
        }
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || std::fs::read_to_string(path)).await;
        let next = match read.map_err(Trouble::new)? {
            Ok(text) => match self.believed(&text) {
                Some(stored) => self.of_this_log(stored, log.clone(), size).await?,
                None => {
                    tracing::error!(
                        cursor = %self.path.display(),
                        "another hand has written the cursor; every record is sent again"
                    );
                    0
                }
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(self.trouble(error)),
        };
        self.next = Some(next);
        Ok(next)
    }

    /// The records that were sent must be the first of this log.
    async fn of_this_log(&self, stored: Sent, log: Log, size: u64) -> Result<u64, Trouble> {
        let Sent { next, root } = stored;
        if next > size {
            return Err(Trouble::new(format_args!(
                "{next} records were sent, but the log has {size}: it was rolled back. Remove {} to send it again",
                self.path.display()
            )));
        }
        if root_of(log, next).await? != root {
            return Err(Trouble::new(format_args!(
                "the {next} records that were sent are not the first of this log. Remove {} to send it again",
                self.path.display()
            )));
        }
        Ok(next)
    }

    /// Returns once it would survive a power cut.
    pub async fn store(&mut self, next: u64, log: &Log) -> Result<(), Trouble> {
        self.next = Some(next);
        let root = root_of(log.clone(), next).await?;
        let text = written(&self.name, next, &root, &self.keys).map_err(|error| self.trouble(error))?;
        let (path, staging) = (self.path.clone(), self.staging.clone());
        let put = move || files::put(&staging, &path, text.as_bytes());
        let stored = tokio::task::spawn_blocking(put).await.map_err(Trouble::new)?;
        stored.map_err(|error| self.trouble(error))
    }

    fn believed(&self, text: &str) -> Option<Sent> {
        let mut lines = text.lines();
        let (next, root, seal) = (lines.next()?.parse().ok()?, lines.next()?, lines.next()?);
        let (root, seal) = (unbase64(root)?, unbase64(seal)?);
        self.keys.open(&seal, &sealed_text(&self.name, next, &root)).ok().map(|_| Sent { next, root })
    }

    fn trouble(&self, reason: impl std::fmt::Display) -> Trouble {
        Trouble::new(format_args!("the cursor {}: {reason}", self.path.display()))
    }
}

/// Seals the cursors that an older version wrote, which were a number alone, and names them. To be called once in a
/// log's life: after that, a cursor without a seal is another hand's.
///
/// # Errors
/// When they cannot be read or written.
pub fn adopt_cursors(log: &Log, keys: &Keys) -> io::Result<Vec<(String, u64)>> {
    let directory = log.dir().join("forward");
    let mut adopted = Vec::new();
    let entries = match std::fs::read_dir(&directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(adopted),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let (text, name) = (std::fs::read_to_string(&path)?, path.file_name().and_then(|name| name.to_str()));
        let Some((next, name)) = text.trim_end().parse::<u64>().ok().zip(name) else { continue };
        // Where the log is shorter, the next load says so: it is sent again.
        let Ok(root) = log.root(next) else { continue };
        let text = written(name, next, &root, keys).map_err(io::Error::other)?;
        files::put(&log.dir().join("tmp"), &path, text.as_bytes())?;
        adopted.push((name.to_owned(), next));
    }
    Ok(adopted)
}

async fn root_of(log: Log, size: u64) -> Result<Vec<u8>, Trouble> {
    let root = tokio::task::spawn_blocking(move || log.root(size)).await.map_err(Trouble::new)?;
    Ok(root.map_err(Trouble::new)?.to_vec())
}

fn written(name: &str, next: u64, root: &[u8], keys: &Keys) -> Result<String, SealError> {
    let seal = keys.seal(&[], &sealed_text(name, next, root))?;
    Ok(format!("{next}\n{}\n{}\n", base64(root), base64(&seal)))
}

fn sealed_text(name: &str, next: u64, root: &[u8]) -> Vec<u8> {
    [format!("forward/{name}\n{next}\n").as_bytes(), root].concat()
}
