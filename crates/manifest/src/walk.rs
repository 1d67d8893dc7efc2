//! Finding a manifest's files: what of a directory is read, and what is not.

use crate::findings::{Finding, finding};
use crate::reader::plain;
use crate::regular::open_regular;
use crate::yaml::{self, Kind};
use std::collections::{HashSet, VecDeque};
use std::fs::Metadata;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Bounds on a directory, so that a wrong path (`/`) or a hostile file cannot exhaust the bridge. Ours; a manifest
/// with 1,000 integrations has about 2 MiB.
const MAX_FILE: u64 = 1024 * 1024;
const MAX_TOTAL: u64 = 32 * 1024 * 1024;
const MAX_FILES: usize = 10_000;
const MAX_LEVELS: usize = 8;
/// Directory entries looked at, manifest files or not.
const MAX_ENTRIES: usize = 100_000;

/// What was found under a directory.
#[derive(Default)]
pub struct Walk {
    pub sources: Vec<(PathBuf, String)>,
    pub faults: Vec<Fault>,
    /// Those that were looked through.
    pub folders: Vec<PathBuf>,
    /// The directory itself, without links on the way to it.
    root: PathBuf,
    bytes: u64,
    entries: usize,
    /// Where state is kept: never looked into.
    data_dir: Option<PathBuf>,
    /// Files and directories that were read, by device and number.
    read: HashSet<Which>,
    /// Links not followed yet, with the levels that a directory there may have.
    links: VecDeque<(PathBuf, usize)>,
}

/// Which file or directory it is, by whatever name: device and number.
type Which = (u64, u64);

pub struct Fault {
    pub path: PathBuf,
    pub finding: &'static Finding,
    pub message: String,
}

impl Walk {
    pub fn of(directory: &Path) -> Walk {
        let root = std::fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned());
        let data_dir = Some(plain(&directory.join("data")));
        let mut walk = Walk { root, data_dir, ..Walk::default() };
        // Links last: what is there under its own name as well is read under that, and once.
        if walk.levels(directory, MAX_LEVELS) {
            while let Some((link, levels)) = walk.links.pop_front() {
                if !walk.link(&link, levels) {
                    break;
                }
            }
        }
        walk
    }

    /// Level by level, so that the bridge's data directory is known before it would be entered. False when a bound is
    /// passed.
    fn levels(&mut self, top: &Path, most: usize) -> bool {
        let mut level = vec![top.to_owned()];
        for left in (0..most).rev() {
            let mut below = Vec::new();
            for directory in std::mem::take(&mut level) {
                if !self.is_state(&directory) && !self.directory(&directory, left, &mut below) {
                    return false;
                }
            }
            level = below;
        }
        if let Some(deep) = level.into_iter().find(|directory| !self.is_state(directory)) {
            let message = format!("the directory is more than {MAX_LEVELS} levels deep");
            self.fault(&deep, &finding::TOO_LARGE, message);
        }
        true
    }

    /// Whether it is the data directory, however either is written.
    fn is_state(&self, directory: &Path) -> bool {
        let Some(state) = self.data_dir.as_deref() else { return false };
        let which = |path: &Path| std::fs::metadata(path).ok().map(|found| identity(&found));
        state == directory || which(state).is_some_and(|state| which(directory) == Some(state))
    }

    /// Reads a directory's files and lists its directories; false when a bound is passed.
    fn directory(&mut self, directory: &Path, left: usize, below: &mut Vec<PathBuf>) -> bool {
        let entries = match std::fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) => {
                let advice = match error.kind() {
                    ErrorKind::NotADirectory => "; it is a file, and the directory that holds it is meant",
                    ErrorKind::NotFound => {
                        "; name the manifest's with -C, or begin one with `ironbridge init`"
                    }
                    ErrorKind::PermissionDenied => "; read it as the user that the bridge runs as",
                    _ => "",
                };
                let message = format!("the directory cannot be read: {error}{advice}");
                self.fault(directory, &finding::UNREADABLE, message);
                return true;
            }
        };
        if let Ok(own) = std::fs::metadata(directory) {
            self.read.insert(identity(&own));
        }
        self.folders.push(directory.to_owned());
        let mut names: Vec<_> = entries.filter_map(Result::ok).take(MAX_ENTRIES + 1).collect();
        names.sort_by_key(std::fs::DirEntry::file_name);
        for entry in names {
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                let message = format!("the directory holds more than {MAX_ENTRIES} entries");
                self.fault(directory, &finding::TOO_LARGE, message);
                return false;
            }
            // Also the `..data` and `..2026_11_27` that Kubernetes mounts: visible links lead into them.
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = plain(&directory.join(entry.file_name()));
            let kind = entry.file_type();
            if kind.as_ref().is_ok_and(std::fs::FileType::is_symlink) {
                self.links.push_back((path, left));
            } else if kind.is_ok_and(|kind| kind.is_dir()) {
                below.push(path);
            } else if is_manifest(&path) && !self.file(path) {
                return false;
            }
        }
        true
    }

    /// Follows a link; false when a bound is passed.
    fn link(&mut self, path: &Path, levels: usize) -> bool {
        if self.is_state(path) {
            return true;
        }
        match std::fs::metadata(path) {
            // It may have been meant to be a directory of manifest files.
            Err(error) if is_manifest(path) || path.extension().is_none() => {
                self.fault(path, &finding::UNREADABLE, format!("the link leads nowhere: {error}"));
                true
            }
            Err(_) => true,
            Ok(found) if self.read.contains(&identity(&found)) => true,
            Ok(found) if found.is_dir() => self.linked_directory(path, levels),
            Ok(_) if is_manifest(path) => self.file(path.to_owned()),
            Ok(_) => true,
        }
    }

    fn linked_directory(&mut self, path: &Path, levels: usize) -> bool {
        let Ok(real) = std::fs::canonicalize(path) else { return true };
        let state = self.data_dir.as_ref().and_then(|state| std::fs::canonicalize(state).ok());
        if state.is_some_and(|state| real.starts_with(state)) {
            return true;
        }
        if real.starts_with(&self.root) {
            return self.levels(path, levels);
        }
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten().take(MAX_ENTRIES);
        if entries.into_iter().any(|entry| is_manifest(&entry.path())) {
            let message = format!(
                "the manifest files in it are not read: the link leads out of the manifest's directory, to {}",
                real.display()
            );
            self.fault(path, &finding::LINK_LEADS_OUT, message);
        }
        true
    }

    /// Reads one file; false when a bound is passed.
    fn file(&mut self, path: PathBuf) -> bool {
        if self.sources.len() >= MAX_FILES {
            self.fault(&path, &finding::TOO_LARGE, format!("there are more than {MAX_FILES} manifest files"));
            return false;
        }
        match read_text(&path) {
            Ok((text, identity)) => {
                self.read.insert(identity);
                self.bytes += u64::try_from(text.len()).unwrap_or(u64::MAX);
                self.notice_data_dir(&path, &text);
                self.sources.push((path, text));
            }
            Err((finding, message)) => self.fault(&path, finding, message),
        }
        if self.bytes > MAX_TOTAL {
            let message = format!("the manifest files together are larger than {} MiB", MAX_TOTAL >> 20);
            self.fault(Path::new(""), &finding::TOO_LARGE, message);
            return false;
        }
        true
    }

    /// The data directory is where the file that declares the bridge says, or beside that file.
    fn notice_data_dir(&mut self, path: &Path, text: &str) {
        if !text.lines().any(|line| line.starts_with("bridge:")) {
            return;
        }
        let Ok(root) = yaml::parse(text) else { return };
        let written = root.entry("bridge").and_then(|bridge| bridge.value.entry("data_dir"));
        let written = match written.map(|entry| &entry.value.kind) {
            Some(Kind::Text(written)) => written,
            _ => "data",
        };
        self.data_dir = path.parent().map(|parent| plain(&parent.join(written)));
    }

    fn fault(&mut self, path: &Path, finding: &'static Finding, message: String) {
        self.faults.push(Fault { path: path.to_owned(), finding, message });
    }
}

fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|end| end.eq_ignore_ascii_case("yaml") || end.eq_ignore_ascii_case("yml"))
}

fn identity(of: &Metadata) -> Which {
    (of.dev(), of.ino())
}

/// The text, and which file it is.
fn read_text(path: &Path) -> Result<(String, Which), (&'static Finding, String)> {
    let unreadable =
        |error: std::io::Error| (&finding::UNREADABLE, format!("the file cannot be read: {error}"));
    let file = open_regular(path).map_err(unreadable)?;
    let found = file.metadata().map_err(unreadable)?;
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut std::io::Read::take(file, MAX_FILE + 1), &mut bytes)
        .map_err(unreadable)?;
    if bytes.len() > usize::try_from(MAX_FILE).unwrap_or(usize::MAX) {
        return Err((&finding::TOO_LARGE, format!("the file is larger than {} MiB", MAX_FILE >> 20)));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes().iter().take(valid).filter(|byte| **byte == b'\n').count() + 1;
        (&finding::UNREADABLE, format!("the file is not UTF-8 text: line {line} holds other bytes"))
    })?;
    Ok((text, identity(&found)))
}
