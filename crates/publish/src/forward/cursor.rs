use crate::place;
use crate::trouble::Trouble;
use std::io;
use std::path::{Path, PathBuf};

/// How far a sink has acknowledged, in a file of its own: `forward/NAME`, the next record's index in decimal.
pub(super) struct Cursor {
    path: PathBuf,
    staging: PathBuf,
    /// Once read.
    next: Option<u64>,
}

impl Cursor {
    pub fn of(audit: &Path, name: &str) -> Cursor {
        Cursor { path: audit.join("forward").join(name), staging: audit.join("tmp"), next: None }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next record to send, once it is known.
    pub fn next(&self) -> Option<u64> {
        self.next
    }

    pub fn forget(&mut self) {
        self.next = None;
    }

    /// The next record to send; 0 for a new sink.
    pub async fn load(&mut self) -> Result<u64, Trouble> {
        if let Some(next) = self.next {
            return Ok(next);
        }
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || std::fs::read_to_string(path)).await;
        let next = match read.map_err(Trouble::new)? {
            Ok(text) => text.trim_end().parse().map_err(|_| self.trouble("it is not a number of records"))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(self.trouble(error)),
        };
        self.next = Some(next);
        Ok(next)
    }

    /// Returns once it would survive a power cut.
    pub async fn store(&mut self, next: u64) -> Result<(), Trouble> {
        self.next = Some(next);
        let (path, staging) = (self.path.clone(), self.staging.clone());
        let put = move || place::put(&staging, &path, format!("{next}\n").as_bytes());
        let stored = tokio::task::spawn_blocking(put).await.map_err(Trouble::new)?;
        stored.map_err(|error| self.trouble(error))
    }

    fn trouble(&self, reason: impl std::fmt::Display) -> Trouble {
        Trouble::new(format_args!("the cursor {}: {reason}", self.path.display()))
    }
}
