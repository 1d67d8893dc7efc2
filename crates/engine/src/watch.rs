//! Noticing that a manifest changed: by the system's notices, and by looking every few seconds where those do not come
//! (network file systems, some container mounts).

use parking_lot::Mutex;
use rustix::fs::inotify::{self, CreateFlags, Event, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

/// Tells when a manifest's files change.
pub struct Watch {
    notices: OwnedFd,
    /// Something changed, since then, and nobody was told yet. It outlives whoever waits.
    unsettled: Mutex<Option<Unsettled>>,
    /// By the number that the system gives a watched folder.
    watched: BTreeMap<i32, PathBuf>,
    /// Files, and links on the way to them.
    named: BTreeSet<PathBuf>,
    /// Where manifest files are looked for.
    looked_through: BTreeSet<PathBuf>,
    dir: PathBuf,
    /// As they are named, links and all.
    files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
    seen: Mutex<Looks>,
}

struct Unsettled {
    since: Instant,
    told: bool,
}

/// What was there when it was looked at.
#[derive(Default)]
struct Looks {
    /// As it was read.
    known: BTreeSet<Seen>,
    /// Something else, at the last look: whoever writes a file slowly may not be done.
    last: Option<BTreeSet<Seen>>,
}

/// A folder cannot be watched: it is gone, or the system has no more watches to give.
#[derive(Debug, thiserror::Error)]
#[error("cannot watch {path}: {reason}")]
pub struct WatchError {
    path: PathBuf,
    reason: io::Error,
}

/// What changes a folder's files for whoever opens them. A write alone does not: a log that somebody keeps beside the
/// manifest, or beside a certificate, would wake the bridge with each of its lines.
const TELLING: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::CREATE)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF);

/// How often notices are asked for: a system call each time, whatever goes on in the folders. The system keeps 16,384 of
/// them, and says so when it lost some.
const ASK: Duration = Duration::from_millis(100);

/// Bytes of notices that are read at a time: some two hundred. And how many notices in one go, for they may come faster.
const NOTICES: usize = 8 * 1024;
const MOST: usize = 16_384;

/// Editors and deployments write several files in a row; the last of them counts.
const SETTLE: Duration = Duration::from_millis(200);

/// After so long without rest it is said that nothing is read.
const RESTLESS: Duration = Duration::from_secs(60);

/// How often to look without having been told. A look reads the directory and asks for the state of every file once.
const LOOK: Duration = Duration::from_secs(10);

/// Links followed on the way to one file, as the system bounds them (ELOOP).
const MAX_LINKS: usize = 40;

impl Watch {
    /// Watches the manifest directory, the folders of the files it names, and every link on the way there.
    pub fn new(dir: &Path, files: &[PathBuf]) -> Result<Watch, WatchError> {
        let notices = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC);
        let mut watch = Watch {
            notices: notices.map_err(|reason| WatchError { path: dir.to_owned(), reason: reason.into() })?,
            unsettled: Mutex::default(),
            watched: BTreeMap::new(),
            named: BTreeSet::new(),
            looked_through: BTreeSet::new(),
            dir: dir.to_owned(),
            files: Vec::new(),
            folders: Vec::new(),
            seen: Mutex::default(),
        };
        watch.follow(files)?;
        Ok(watch)
    }

    /// Also watches what a reload newly named, or where links lead by now.
    ///
    /// # Errors
    /// The first folder that cannot be watched; the others are.
    pub fn follow(&mut self, files: &[PathBuf]) -> Result<(), WatchError> {
        self.files = files.to_vec();
        self.folders = ironbridge_manifest::folders(&self.dir);
        let mut way = Way::default();
        for path in self.folders.iter().chain(files) {
            way.to(path);
        }
        self.looked_through = self.folders.iter().map(|folder| absolute(folder)).collect();
        way.folders.extend(self.looked_through.iter().cloned());
        *self.seen.lock() = Looks { known: look(&self.folders, files), last: None };
        self.named = way.named;
        let mut outcome = Ok(());
        for folder in way.folders {
            // Also one that is watched: it may have been removed and made anew.
            match inotify::add_watch(&self.notices, &folder, TELLING | WatchFlags::ONLYDIR) {
                Ok(number) => drop(self.watched.insert(number, folder)),
                Err(reason) => {
                    outcome = outcome.and(Err(WatchError { path: folder, reason: reason.into() }));
                }
            }
        }
        outcome
    }

    /// Resolves once something changed and then stayed quiet for 200 ms, without a notice and as it looks. When it is
    /// dropped before that, the next call tells of the same change.
    pub async fn changed(&self) {
        if self.unsettled.lock().is_none() {
            while tokio::time::timeout(LOOK, self.noticed()).await.is_err() {
                if self.looks_different() {
                    break;
                }
            }
            *self.unsettled.lock() = Some(Unsettled { since: Instant::now(), told: false });
        }
        let mut before = look(&self.folders, &self.files);
        loop {
            if self.is_restless() {
                tracing::warn!(
                    "files of the manifest keep changing, so it is not read again: it is once they stay as they are \
                     for 200 ms. Who writes them should write another file and rename it"
                );
            }
            let noticed = tokio::time::timeout(SETTLE, self.noticed()).await.is_ok();
            let now = look(&self.folders, &self.files);
            if !noticed && now == before {
                break;
            }
            before = now;
        }
        *self.unsettled.lock() = None;
    }

    /// Whether it has gone on for too long; once.
    fn is_restless(&self) -> bool {
        let mut unsettled = self.unsettled.lock();
        let restless = unsettled.as_mut().filter(|state| !state.told && state.since.elapsed() >= RESTLESS);
        restless.map(|state| state.told = true).is_some()
    }

    /// Resolves with the next notice that matters.
    async fn noticed(&self) {
        while !self.read() {
            tokio::time::sleep(ASK).await;
        }
    }

    /// Reads the notices that wait; is there one that matters?
    fn read(&self) -> bool {
        let (mut space, mut matter) = ([MaybeUninit::uninit(); NOTICES], false);
        let mut reader = Reader::new(&self.notices, &mut space);
        let mut left = MOST;
        // What was read is not left, or it would be lost.
        while left > 0 || !reader.is_buffer_empty() {
            left = left.saturating_sub(1);
            match reader.next() {
                Ok(notice) => matter |= self.matters(&notice),
                Err(Errno::INTR) => {}
                // None is left; and where they cannot be read, looking goes on.
                Err(_) => break,
            }
        }
        matter
    }

    fn matters(&self, notice: &Event<'_>) -> bool {
        let (Some(folder), Some(name)) = (self.watched.get(&notice.wd()), notice.file_name()) else {
            // Of the folder itself, or some were lost. A folder's last one only says that it is watched no more.
            return !notice.events().contains(ReadFlags::IGNORED);
        };
        self.may_matter(folder, &folder.join(OsStr::from_bytes(name.to_bytes())))
    }

    /// A file that the manifest is read from or names, a link on the way to one; and where manifest files are looked for,
    /// what may be one or hold one. Anybody may make a folder beside the manifest's own, as in `/tmp`, or beside a
    /// certificate.
    fn may_matter(&self, folder: &Path, path: &Path) -> bool {
        self.named.contains(path) || self.looked_through.contains(folder) && may_hold_manifest(path)
    }

    /// Whether something changed and then stayed as it is for two looks.
    fn looks_different(&self) -> bool {
        let now = look(&self.folders, &self.files);
        let mut seen = self.seen.lock();
        if now == seen.known {
            seen.last = None;
        } else if seen.last.as_ref() == Some(&now) {
            *seen = Looks { known: now, last: None };
            return true;
        } else {
            seen.last = Some(now);
        }
        false
    }
}

/// A folder or file that was looked at, and which one it is, with a file's size and time of change.
type Seen = (PathBuf, Option<(u64, u64, u64, i64, i64)>);

fn look(folders: &[PathBuf], files: &[PathBuf]) -> BTreeSet<Seen> {
    let state = |path: &Path| {
        let found = std::fs::metadata(path).ok()?;
        // A folder changes with everything that is put into it, so only which one it is counts.
        let (size, seconds, nanos) =
            if found.is_dir() { (0, 0, 0) } else { (found.size(), found.mtime(), found.mtime_nsec()) };
        Some((found.dev(), found.ino(), size, seconds, nanos))
    };
    let entries = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    // What may hold manifest files, or be one.
    let within = entries.map(|entry| entry.path()).filter(|path| {
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        !hidden && (is_manifest(path) || path.is_dir())
    });
    let all = folders.iter().chain(files).cloned().chain(within);
    all.map(|path| (path.clone(), state(&path))).collect()
}

/// What must be watched so that it shows when a path leads to something else.
#[derive(Default)]
struct Way {
    /// Files, and links on the way to them, each in the folder where it really is.
    named: BTreeSet<PathBuf>,
    folders: BTreeSet<PathBuf>,
}

impl Way {
    fn to(&mut self, path: &Path) {
        let mut left: Vec<PathBuf> = parts(&std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
        let (mut here, mut links) = (PathBuf::from("/"), 0);
        while let Some(part) = left.pop() {
            if part == Path::new("..") {
                here.pop();
                continue;
            }
            let next = here.join(&part);
            let link = std::fs::read_link(&next).ok().filter(|_| links < MAX_LINKS);
            if link.is_some() || left.is_empty() {
                self.named.insert(next.clone());
                self.folders.insert(here.clone());
            }
            match link {
                Some(target) => {
                    links += 1;
                    if target.is_absolute() {
                        here = PathBuf::from("/");
                    }
                    left.extend(parts(&target));
                }
                None => here = next,
            }
        }
    }
}

/// A path's parts, the last first.
fn parts(path: &Path) -> Vec<PathBuf> {
    let parts = path.components().rev();
    parts
        .filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir))
        .map(|part| PathBuf::from(part.as_os_str()))
        .collect()
}

/// A log that is written beside the manifest does not: each reload writes to it.
fn may_hold_manifest(path: &Path) -> bool {
    // Kubernetes exchanges a mounted directory's whole content by renaming the link `..data`.
    let link = path.file_name().is_some_and(|name| name == "..data");
    is_manifest(path) || link || path.is_dir()
}

fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|end| end.eq_ignore_ascii_case("yaml") || end.eq_ignore_ascii_case("yml"))
}

fn absolute(path: &Path) -> PathBuf {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[tokio::test]
    async fn a_change_outlives_who_waits_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let watch = Watch::new(dir.path(), &[]).unwrap();
        std::fs::write(dir.path().join("bridge.yaml"), "").unwrap();
        let heard = async {
            while watch.unsettled.lock().is_none() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            biased;
            () = heard => {}
            () = watch.changed() => panic!("not settled yet"),
        }
        watch.changed().await;
        assert!(watch.unsettled.lock().is_none());
    }

    /// Each of these is one rename, as deployments make it; whoever was told follows, as a reload does.
    #[tokio::test]
    async fn a_link_that_is_exchanged_is_noticed_wherever_it_stands() {
        let dir = tempfile::tempdir().unwrap();
        let path = |path: &str| dir.path().join(path);
        for version in ["1", "2", "3"] {
            std::fs::create_dir_all(path(&format!("releases/{version}/tls"))).unwrap();
            std::fs::write(path(&format!("releases/{version}/bridge.yaml")), "bridge: { name: b }").unwrap();
            std::fs::write(path(&format!("releases/{version}/tls/chain.pem")), version).unwrap();
        }
        let exchange = |link: &str, to: &Path| {
            std::os::unix::fs::symlink(to, path("new")).unwrap();
            std::fs::rename(path("new"), path(link)).unwrap();
        };
        exchange("current", Path::new("releases/1"));
        exchange("tls", Path::new("releases/1/tls"));
        let files = [path("current/bridge.yaml"), path("tls/chain.pem")];
        let mut watch = Watch::new(&path("current"), &files).unwrap();
        // Everything that was made before is told of once; then it is quiet.
        let _ = tokio::time::timeout(SETTLE * 2, watch.changed()).await;
        for (link, to) in [
            ("current", Path::new("releases/2")),
            ("tls", Path::new("releases/2/tls")),
            ("current", &path("releases/3")),
            ("tls", &path("releases/3/tls")),
            ("releases/3/tls/chain.pem", Path::new("../../1/tls/chain.pem")),
        ] {
            exchange(link, to);
            assert!(!watch.looks_different() && watch.looks_different(), "{link}");
            let told = tokio::time::timeout(Duration::from_secs(60), watch.noticed()).await;
            assert!(told.is_ok(), "{link} -> {}", to.display());
            watch.follow(&files).unwrap();
            let _ = tokio::time::timeout(SETTLE * 2, watch.changed()).await;
        }
        assert!(!watch.looks_different());
        std::fs::create_dir(path("releases/3/below")).unwrap();
        assert!(!watch.looks_different() && watch.looks_different());
    }

    /// Whoever waits is called away each minute, and comes back.
    #[tokio::test]
    async fn files_that_never_rest_are_told_once() {
        let dir = tempfile::tempdir().unwrap();
        let watch = Watch::new(dir.path(), &[]).unwrap();
        let ago = |time: Duration| {
            Some(Unsettled { since: Instant::now().checked_sub(time).unwrap(), told: false })
        };
        *watch.unsettled.lock() = ago(RESTLESS / 2);
        assert!(!watch.is_restless());
        *watch.unsettled.lock() = ago(RESTLESS);
        let _ = tokio::time::timeout(Duration::ZERO, watch.changed()).await;
        assert!(watch.unsettled.lock().as_ref().is_some_and(|state| state.told));
        assert!(!watch.is_restless());
    }

    /// Such as a copy over a slow line, which keeps the file open.
    #[tokio::test]
    async fn a_file_that_is_still_being_written_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let watch = Watch::new(dir.path(), &[]).unwrap();
        let path = dir.path().join("bridge.yaml");
        let mut file = std::fs::File::create(&path).unwrap();
        let begun = tokio::time::Instant::now();
        let writes = async {
            for _ in 0..20 {
                writeln!(file, "# a line").unwrap();
                tokio::time::sleep(SETTLE / 2).await;
            }
            drop(file);
            begun.elapsed()
        };
        let (written, told) = tokio::join!(biased; writes, async {
            watch.changed().await;
            begun.elapsed()
        });
        assert!(told >= written, "{told:?} {written:?}");
    }

    /// Not one of its lines wakes anybody: the lines of a busy server's log would cost more than its requests.
    #[tokio::test]
    async fn a_log_that_is_written_beside_the_manifest_costs_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = std::fs::File::create(dir.path().join("access.log")).unwrap();
        let watch = Watch::new(dir.path(), &[]).unwrap();
        for _ in 0..1_000 {
            writeln!(log, "a line").unwrap();
        }
        let mut space = [MaybeUninit::uninit(); NOTICES];
        assert_eq!(Reader::new(&watch.notices, &mut space).next().err(), Some(Errno::WOULDBLOCK));
        std::fs::write(dir.path().join("bridge.yaml"), "").unwrap();
        watch.changed().await;
    }

    #[test]
    fn what_lies_beside_the_manifest_does_not_matter() {
        let around = tempfile::tempdir().unwrap();
        let (dir, tls) = (around.path().join("m"), around.path().join("tls"));
        for folder in ["m/schemas", "m/below", "tls/others", "another"] {
            std::fs::create_dir_all(around.path().join(folder)).unwrap();
        }
        let watch = Watch::new(&dir, &[dir.join("schemas/order.json"), tls.join("chain.pem")]).unwrap();
        for (path, expected) in [
            ("m/ironbridge.yaml", true),
            ("m/new.yml", true),
            ("m/schemas/order.json", true),
            ("m/..data", true),
            ("m/below", true),
            ("m/below/more.yaml", true),
            ("m", true),
            ("tls/chain.pem", true),
            ("m/bridge.log", false),
            ("m/schemas/other.json", false),
            ("another", false),
            ("compose.yaml", false),
            ("tls/others", false),
            ("tls/values.yaml", false),
        ] {
            let path = around.path().join(path);
            let is_watched = watch.watched.values().any(|folder| folder == path.parent().unwrap());
            assert!(is_watched, "{}", path.display());
            assert_eq!(watch.may_matter(path.parent().unwrap(), &path), expected, "{}", path.display());
        }
    }
}
