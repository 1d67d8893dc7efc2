use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Tells when a manifest's files change.
pub struct Watch {
    watcher: RecommendedWatcher,
    changed: Arc<Notify>,
    watched: BTreeSet<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
#[error("cannot watch {path}: {reason}")]
pub struct WatchError {
    path: PathBuf,
    reason: notify::Error,
}

/// Editors and deployments write several files in a row; the last of them counts.
const SETTLE: Duration = Duration::from_millis(200);

impl Watch {
    /// Watches the manifest directory and the folders of the files it names, less the data directory.
    pub fn new(dir: &Path, files: &[PathBuf], data_dir: &Path) -> Result<Watch, WatchError> {
        let changed = Arc::new(Notify::new());
        let (tell, ignored) = (Arc::clone(&changed), absolute(data_dir));
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else { return tell.notify_one() };
            let reads = matches!(event.kind, EventKind::Access(_));
            if !reads && !event.paths.iter().all(|path| path.starts_with(&ignored)) {
                tell.notify_one();
            }
        });
        let watcher = watcher.map_err(|reason| WatchError { path: dir.to_owned(), reason })?;
        let mut watch = Watch { watcher, changed, watched: BTreeSet::new() };
        watch.follow(dir, files)?;
        Ok(watch)
    }

    /// Also watches what a reload newly named.
    pub fn follow(&mut self, dir: &Path, files: &[PathBuf]) -> Result<(), WatchError> {
        let folders = files.iter().filter_map(|file| file.parent()).map(absolute);
        for folder in folders.chain([absolute(dir)]).collect::<BTreeSet<_>>() {
            if self.watched.insert(folder.clone()) {
                self.watcher
                    .watch(&folder, RecursiveMode::NonRecursive)
                    .map_err(|reason| WatchError { path: folder, reason })?;
            }
        }
        Ok(())
    }

    /// Resolves once something changed and then stayed quiet for 200 ms.
    pub async fn changed(&self) {
        self.changed.notified().await;
        while tokio::time::timeout(SETTLE, self.changed.notified()).await.is_ok() {}
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}
