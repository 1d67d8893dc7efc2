//! What a witness remembers between two questions.

use crate::disk::{self, Disk};
use ironbridge_seal::hash::{hex, sha256};
use ironbridge_seal::note::MAX_BYTES;
use parking_lot::Mutex;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a witness must remember: of every log the checkpoint it cosigned last.
pub trait WitnessState: Send + Sync {
    /// The signed note that was kept last for the log.
    fn latest(&self, origin: &str) -> io::Result<Option<String>>;

    /// Keeps `to` if `from` is still what is kept, in one step, and returns when it would survive a power cut.
    /// `false`: something else is kept by now, and nothing changed.
    fn advance(&self, origin: &str, from: Option<&str>, to: &str) -> io::Result<bool>;
}

/// A state that several witnesses share, one after the other.
impl<S: WitnessState + ?Sized> WitnessState for Arc<S> {
    fn latest(&self, origin: &str) -> io::Result<Option<String>> {
        (**self).latest(origin)
    }

    fn advance(&self, origin: &str, from: Option<&str>, to: &str) -> io::Result<bool> {
        (**self).advance(origin, from, to)
    }
}

/// One file for every log, in a directory that no other process writes.
pub struct FileState {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    turn: Mutex<()>,
    _lock: Box<dyn Send + Sync>,
}

impl FileState {
    /// The state in this directory, made if it is not there.
    ///
    /// # Errors
    /// When the directory cannot be written, or another process holds it.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path) -> io::Result<FileState> {
        disk.create_dir_all(dir)?;
        if let Some(above) = dir.parent().filter(|above| !above.as_os_str().is_empty()) {
            disk.sync_dir(above)?;
        }
        let held = || io::Error::new(io::ErrorKind::WouldBlock, "another process holds the witness's state");
        let lock = disk.lock(&dir.join("lock"))?.ok_or_else(held)?;
        Ok(FileState { disk, dir: dir.to_path_buf(), turn: Mutex::new(()), _lock: lock })
    }

    fn file(&self, origin: &str) -> PathBuf {
        // An origin may hold any character, so the file is named by its hash; the note inside names the log.
        self.dir.join(hex(&sha256(origin.as_bytes())))
    }
}

impl WitnessState for FileState {
    fn latest(&self, origin: &str) -> io::Result<Option<String>> {
        match self.disk.read_at(&self.file(origin), 0, MAX_BYTES) {
            Ok(bytes) => {
                let damaged =
                    |_| io::Error::new(io::ErrorKind::InvalidData, "the kept checkpoint is not text");
                String::from_utf8(bytes).map(Some).map_err(damaged)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn advance(&self, origin: &str, from: Option<&str>, to: &str) -> io::Result<bool> {
        let _turn = self.turn.lock();
        if self.latest(origin)?.as_deref() != from {
            return Ok(false);
        }
        disk::put(&*self.disk, &self.dir.join("new"), &self.file(origin), to.as_bytes())?;
        self.disk.sync_dir(&self.dir)?;
        Ok(true)
    }
}
