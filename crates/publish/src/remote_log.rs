//! A log that is read where it is served (c2sp.org/tlog-tiles), as if its files lay here.

use ironbridge_audit::LogFile;
use ironbridge_audit::disk::{Disk, DiskFile, Lock};
use ironbridge_core::{Fetch, FetchMethod, FetchRequest};
use ironbridge_seal::note;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// The files of a log below an `https` URL, one GET each, one after the other. There is nothing else on this disk,
/// and nothing can be written. The log stands at the empty path: `Log::open_on(Arc::new(served), "")`.
///
/// It waits for its answers itself, so it must be neither used nor dropped within a tokio runtime.
pub struct RemoteLog {
    url: String,
    client: Arc<dyn Fetch>,
    runtime: Runtime,
}

const TIMEOUT: Duration = Duration::from_secs(60);

/// 256 records of 65,535 bytes with their lengths.
const LARGEST_BUNDLE: usize = 256 * (65_535 + 2);
const LARGEST_TILE: usize = 256 * 32;

/// How often one file is asked for, where the server says when to come again.
const ATTEMPTS: u32 = 5;
const LONGEST_WAIT: u64 = 60;

impl RemoteLog {
    /// # Errors
    /// When the operating system has no means for another connection.
    pub fn new(url: &str, client: Arc<dyn Fetch>) -> io::Result<RemoteLog> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(RemoteLog { url: url.trim_end_matches('/').to_owned(), client, runtime })
    }

    async fn get(&self, file: LogFile) -> io::Result<Vec<u8>> {
        let request = || FetchRequest {
            method: FetchMethod::Get,
            url: format!("{}/{}", self.url, file.path()),
            headers: Vec::new(),
            max_reply: match file {
                LogFile::Entries { .. } => LARGEST_BUNDLE,
                LogFile::Tile { .. } => LARGEST_TILE,
                LogFile::Checkpoint | LogFile::Key | LogFile::Witnessed | LogFile::Kept => note::MAX_BYTES,
            },
            timeout: TIMEOUT,
        };
        for attempt in 1.. {
            let answer = self.client.fetch(request()).await.map_err(io::Error::other)?;
            match (answer.status, answer.retry_after) {
                (200, _) => return Ok(answer.body.expose().to_vec()),
                (404 | 410, _) => break,
                (429 | 503, Some(wait)) if attempt < ATTEMPTS => {
                    tokio::time::sleep(Duration::from_secs(wait.clamp(1, LONGEST_WAIT))).await;
                }
                (status, _) => return Err(io::Error::other(format!("the server answered {status}"))),
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }
}

impl Disk for RemoteLog {
    fn read_at(&self, path: &Path, offset: u64, limit: usize) -> io::Result<Vec<u8>> {
        let below = path.strip_prefix("log").ok().and_then(Path::to_str);
        let file = below.and_then(LogFile::parse).ok_or(io::ErrorKind::NotFound)?;
        let mut bytes = self.runtime.block_on(self.get(file))?;
        let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        bytes.drain(..offset);
        bytes.truncate(limit);
        Ok(bytes)
    }

    /// A server names no files. What else lies in an audit directory, journal, detail and index, it does not serve.
    fn list(&self, _: &Path) -> io::Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        read_only()
    }

    fn create(&self, _: &Path) -> io::Result<Box<dyn DiskFile>> {
        read_only()
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        read_only()
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        read_only()
    }

    fn remove_dir_all(&self, _: &Path) -> io::Result<()> {
        read_only()
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        read_only()
    }

    fn sync_file(&self, _: &Path) -> io::Result<()> {
        read_only()
    }

    fn sync_all(&self, _: &Path) -> io::Result<()> {
        read_only()
    }

    fn lock(&self, _: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        read_only()
    }
}

fn read_only<T>() -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "a served log can only be read"))
}
