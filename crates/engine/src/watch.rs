use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// Tells when a manifest's files change.
pub struct Watch {
    watcher: RecommendedWatcher,
    changed: Arc<Notify>,
    /// Something changed and nobody was told yet.
    unsettled: AtomicBool,
    named: Arc<Mutex<BTreeSet<PathBuf>>>,
    data_dir: PathBuf,
}

#[derive(Debug, thiserror::Error)]
#[error("cannot watch {path}: {reason}")]
pub struct WatchError {
    path: PathBuf,
    reason: notify::Error,
}

/// Editors and deployments write several files in a row; the last of them counts.
const SETTLE: Duration = Duration::from_millis(200);

/// As deep as the manifest is read.
const MAX_LEVELS: usize = 8;

impl Watch {
    /// Watches the manifest directory and the folders of the files it names, less the data directory.
    pub fn new(dir: &Path, files: &[PathBuf], data_dir: &Path) -> Result<Watch, WatchError> {
        let changed = Arc::new(Notify::new());
        let named = Arc::new(Mutex::new(BTreeSet::new()));
        let (tell, known) = (Arc::clone(&changed), Arc::clone(&named));
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else { return tell.notify_one() };
            let reads = matches!(event.kind, EventKind::Access(_));
            if !reads && event.paths.iter().any(|path| matters(path, &known.lock())) {
                tell.notify_one();
            }
        });
        let watcher = watcher.map_err(|reason| WatchError { path: dir.to_owned(), reason })?;
        let data_dir = absolute(data_dir);
        let mut watch = Watch { watcher, changed, unsettled: AtomicBool::new(false), named, data_dir };
        watch.follow(dir, files)?;
        Ok(watch)
    }

    /// Also watches what a reload newly named.
    pub fn follow(&mut self, dir: &Path, files: &[PathBuf]) -> Result<(), WatchError> {
        let files: BTreeSet<PathBuf> = files.iter().map(|file| in_its_folder(file)).collect();
        let mut folders: BTreeSet<PathBuf> =
            files.iter().filter_map(|file| file.parent()).map(Path::to_owned).collect();
        *self.named.lock() = files;
        self.folders_below(&absolute(dir), MAX_LEVELS, &mut folders);
        for folder in folders {
            // Also one that is watched: it may have been removed and made anew.
            self.watcher
                .watch(&folder, RecursiveMode::NonRecursive)
                .map_err(|reason| WatchError { path: folder, reason })?;
        }
        Ok(())
    }

    /// Resolves once something changed and then stayed quiet for 200 ms. When it is dropped before that, the next
    /// call tells of the same change.
    pub async fn changed(&self) {
        if !self.unsettled.load(Ordering::Relaxed) {
            self.changed.notified().await;
            self.unsettled.store(true, Ordering::Relaxed);
        }
        while tokio::time::timeout(SETTLE, self.changed.notified()).await.is_ok() {}
        self.unsettled.store(false, Ordering::Relaxed);
    }

    /// Where a new manifest file may appear. Not by the watcher's own recursion: that would follow every write
    /// below the data directory.
    fn folders_below(&self, dir: &Path, levels: usize, folders: &mut BTreeSet<PathBuf>) {
        if levels == 0 || *dir == self.data_dir {
            return;
        }
        folders.insert(dir.to_owned());
        let Ok(entries) = std::fs::read_dir(dir) else { return };
        for entry in entries.flatten() {
            let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
            if !hidden && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.folders_below(&entry.path(), levels - 1, folders);
            }
        }
    }
}

/// A file that the manifest is read from or names, one that it will be read from, or a folder that may hold
/// such. A log that is written beside the manifest does not: each reload writes to it.
fn matters(path: &Path, named: &BTreeSet<PathBuf>) -> bool {
    let yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    // Kubernetes exchanges a mounted directory's whole content by renaming the link `..data`.
    let link = path.file_name().is_some_and(|name| name == "..data");
    yaml || link || named.contains(path) || path.is_dir()
}

/// Absolute, also when the file itself is gone or a link.
fn in_its_folder(file: &Path) -> PathBuf {
    match (file.parent(), file.file_name()) {
        (Some(folder), Some(name)) => absolute(folder).join(name),
        _ => absolute(file),
    }
}

fn absolute(path: &Path) -> PathBuf {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_change_outlives_who_waits_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let watch = Watch::new(dir.path(), &[], &dir.path().join("data")).unwrap();
        watch.changed.notify_one();
        // Long enough to hear of it, too short for it to settle.
        tokio::select! {
            biased;
            () = watch.changed() => panic!("not settled yet"),
            () = tokio::task::yield_now() => {}
        }
        watch.changed().await;
        assert!(!watch.unsettled.load(Ordering::Relaxed));
    }

    #[test]
    fn a_log_beside_the_manifest_does_not_matter() {
        let named = BTreeSet::from([PathBuf::from("/m/schemas/order.json")]);
        for (path, expected) in [
            ("/m/ironbridge.yaml", true),
            ("/m/new.yml", true),
            ("/m/schemas/order.json", true),
            ("/m/..data", true),
            ("/m/bridge.log", false),
            ("/m/schemas/other.json", false),
        ] {
            assert_eq!(matters(Path::new(path), &named), expected, "{path}");
        }
    }
}
