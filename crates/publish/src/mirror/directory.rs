//! A copy in a directory.

use super::medium::Medium;
use crate::files;
use crate::trouble::Trouble;
use ironbridge_audit::disk::{Disk, RealDisk};
use ironbridge_core::BoxFuture;
use std::io;
use std::path::{Path, PathBuf};

/// A second directory: another disk, or a mount of another machine.
pub(super) struct Directory(PathBuf);

impl Directory {
    pub fn new(path: PathBuf) -> Directory {
        Directory(path)
    }

    async fn blocking<T, F>(&self, doing: &str, path: &str, work: F) -> Result<T, Trouble>
    where
        T: Send + 'static,
        F: FnOnce(&Path) -> io::Result<T> + Send + 'static,
    {
        let directory = self.0.clone();
        let work = move || match directory.is_dir() {
            true => work(&directory),
            false => Err(io::Error::other("the mirror's directory does not exist; is it mounted?")),
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(outcome) => outcome.map_err(|error| Trouble::new(format_args!("{doing} {path}: {error}"))),
            Err(error) => Err(Trouble::new(error)),
        }
    }
}

impl Medium for Directory {
    fn get(&self, path: String) -> BoxFuture<'_, Result<Option<Vec<u8>>, Trouble>> {
        Box::pin(async move {
            let file = path.clone();
            self.blocking("reading", &path, move |directory| match std::fs::read(directory.join(file)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                bytes => bytes.map(Some),
            })
            .await
        })
    }

    fn put(&self, path: String, bytes: Vec<u8>) -> BoxFuture<'_, Result<(), Trouble>> {
        Box::pin(async move {
            let file = path.clone();
            let put =
                move |directory: &Path| files::put(&directory.join("tmp"), &directory.join(file), &bytes);
            self.blocking("writing", &path, put).await
        })
    }

    fn settle(&self) -> BoxFuture<'_, Result<(), Trouble>> {
        // Each file is synced as it is put; the directories made on the way to it are not.
        Box::pin(self.blocking("syncing", "the mirror", |directory| RealDisk.sync_all(directory)))
    }

    fn remove(&self, path: String) -> BoxFuture<'_, Result<(), Trouble>> {
        Box::pin(async move {
            let file = path.clone();
            let remove = move |directory: &Path| {
                let file = directory.join(file);
                match std::fs::remove_file(&file) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
                // The folder of a tile's partial forms, once the last of them is gone.
                if let Some(folder) = file.parent() {
                    let _ = std::fs::remove_dir(folder);
                }
                Ok(())
            };
            self.blocking("removing", &path, remove).await
        })
    }
}
