//! From a directory to a checked manifest.

use crate::check::Parts;
use crate::diagnostic::Diagnostics;
use crate::findings::{Finding, finding};
use crate::outline::{Names, Outline};
use crate::place::{FileId, Site};
use crate::reader::{Files, Reader, plain};
use crate::yaml::{self, Kind};
use crate::{Bridge, Date, Listener, Manifest, SecretRef};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A manifest that loads.
#[derive(Debug)]
pub struct Loaded {
    pub manifest: Manifest,
    /// Warnings and notes.
    pub findings: Diagnostics,
    pub positions: Positions,
}

/// Where everything of a manifest is written.
#[derive(Debug)]
pub struct Positions {
    outline: Outline,
    sources: Arc<[(PathBuf, String)]>,
}

/// What is found by those who compile a manifest further, or look at what it names.
#[derive(Debug, Clone)]
pub struct Observed {
    pub finding: &'static Finding,
    /// The keys that lead there (`integrations`, `order-sync`, ..., a list's index as a number), as far as they are
    /// written; none for the directory as a whole.
    pub at: Vec<String>,
    /// One sentence without its full stop. Never holds a secret.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl Observed {
    pub fn new(finding: &'static Finding, at: &[&str], message: impl Into<String>) -> Observed {
        let at = at.iter().map(ToString::to_string).collect();
        Observed { finding, at, message: message.into(), help: None }
    }

    pub fn help(self, help: impl Into<String>) -> Observed {
        Observed { help: Some(help.into()), ..self }
    }
}

impl Positions {
    /// Every reference to a secret, with the keys that lead to it.
    pub fn secrets(&self) -> Vec<(Vec<String>, SecretRef)> {
        self.outline.secrets()
    }

    /// Each observation at the line it is about.
    pub fn show(&self, observed: impl IntoIterator<Item = Observed>) -> Diagnostics {
        let mut reader = Reader::new(&Nowhere, &self.sources);
        for Observed { finding, at, message, help } in observed {
            let report = match self.outline.find(&at) {
                Some(site) => reader.report(finding, site, message),
                None => reader.report_whole(finding, message),
            };
            if let Some(help) = help {
                report.help(help);
            }
        }
        reader.finish(Path::new("")).1
    }
}

/// Bounds on a directory, so that a wrong path (`/`) or a hostile file cannot exhaust the bridge. Ours; a manifest
/// with 1,000 integrations has about 2 MiB.
const MAX_FILE: u64 = 1024 * 1024;
const MAX_TOTAL: u64 = 32 * 1024 * 1024;
const MAX_FILES: usize = 10_000;
const MAX_LEVELS: usize = 8;
/// Directory entries looked at, manifest files or not.
const MAX_ENTRIES: usize = 100_000;

/// Reads every `*.yaml` and `*.yml` below the directory, except hidden ones and those in the data directory, and
/// checks them. `today` decides which `danger` keys have expired.
///
/// # Errors
/// Everything that is wrong, warnings included.
pub fn load(directory: &Path, today: Date) -> Result<Loaded, Diagnostics> {
    let mut walk = Walk::default();
    walk.run(directory);
    check(directory, walk.sources, walk.faults, &Disk, today)
}

/// Checks manifest files that are already in memory; `files` says which others exist.
///
/// # Errors
/// Everything that is wrong, warnings included.
pub fn load_sources(
    sources: Vec<(PathBuf, String)>,
    files: &dyn Files,
    today: Date,
) -> Result<Loaded, Diagnostics> {
    check(Path::new("."), sources, Vec::new(), files, today)
}

fn check(
    root: &Path,
    mut sources: Vec<(PathBuf, String)>,
    faults: Vec<Fault>,
    files: &dyn Files,
    today: Date,
) -> Result<Loaded, Diagnostics> {
    sources.sort();
    for (_, text) in &mut sources {
        // Some editors put a byte-order mark there; it means nothing in UTF-8.
        if let Some(rest) = text.strip_prefix('\u{feff}') {
            *text = rest.to_owned();
        }
    }
    let mut reader = Reader::new(files, &sources);
    for Fault { path, finding, message } in faults {
        reader.report_file(finding, path, message);
    }
    let mut outline = Outline::default();
    for (file, (_, text)) in sources.iter().enumerate() {
        match yaml::parse(text) {
            Ok(root) => outline.add(file, root, &mut reader),
            Err(fault) => report_fault(fault, file, &mut reader),
        }
    }
    let everything_read = !reader.has_errors();
    let parts = Parts {
        bridge: outline.read_bridge(&mut reader).map(with_listener),
        systems: outline.read_all(Names::Systems, &mut reader),
        roles: outline.read_all(Names::Roles, &mut reader),
        accounts: outline.read_all(Names::Accounts, &mut reader),
        integrations: outline.read_all(Names::Integrations, &mut reader),
    };
    // Where a whole file is missing, nearly every name would be.
    if everything_read {
        parts.check(&outline, today, &mut reader);
    }
    let failed = reader.has_errors();
    let (mut named, findings) = reader.finish(root);
    let Parts { bridge: Some(bridge), systems, roles, accounts, integrations } = parts else {
        return Err(findings);
    };
    if failed {
        return Err(findings);
    }
    named.extend(sources.iter().map(|(path, _)| path.clone()));
    named.sort();
    named.dedup();
    let sources: Arc<[(PathBuf, String)]> = sources.into();
    let positions = Positions { outline, sources: Arc::clone(&sources) };
    let manifest = Manifest { bridge, systems, roles, accounts, integrations, files: named, sources };
    Ok(Loaded { manifest, findings, positions })
}

fn report_fault(fault: yaml::Fault, file: FileId, reader: &mut Reader<'_>) {
    let site = Site { file, span: fault.span };
    let report = reader.report(fault.finding, site, fault.message);
    if let Some(help) = fault.help {
        report.help(help);
    }
}

/// A bridge that declares no listener has one on the loopback address.
fn with_listener(mut bridge: Bridge) -> Bridge {
    if bridge.listeners.is_empty() {
        bridge.listeners.extend(Listener::standard());
    }
    bridge
}

/// Files as the disk has them.
struct Disk;

impl Files for Disk {
    fn exists(&self, path: &Path) -> bool {
        path.is_file()
    }
}

struct Nowhere;

impl Files for Nowhere {
    fn exists(&self, _: &Path) -> bool {
        false
    }
}

/// What was found under a directory.
#[derive(Default)]
struct Walk {
    sources: Vec<(PathBuf, String)>,
    faults: Vec<Fault>,
    bytes: u64,
    entries: usize,
    /// Where state is kept: never looked into.
    data_dir: Option<PathBuf>,
}

struct Fault {
    path: PathBuf,
    finding: &'static Finding,
    message: String,
}

impl Walk {
    /// Level by level, so that the bridge's data directory is known before it would be entered.
    fn run(&mut self, root: &Path) {
        let mut level = vec![root.to_owned()];
        self.data_dir = Some(plain(&root.join("data")));
        for _ in 0..MAX_LEVELS {
            let mut below = Vec::new();
            for directory in std::mem::take(&mut level) {
                if self.data_dir.as_ref() != Some(&directory) && !self.directory(&directory, &mut below) {
                    return;
                }
            }
            level = below;
        }
        if let Some(deep) = level.into_iter().find(|directory| self.data_dir.as_ref() != Some(directory)) {
            let message = format!("the directory is more than {MAX_LEVELS} levels deep");
            self.fault(&deep, &finding::TOO_LARGE, message);
        }
    }

    /// Reads a directory's files and lists its directories; false when a bound is passed.
    fn directory(&mut self, directory: &Path, below: &mut Vec<PathBuf>) -> bool {
        let entries = match std::fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) => {
                self.fault(directory, &finding::UNREADABLE, format!("the directory cannot be read: {error}"));
                return true;
            }
        };
        for entry in entries.filter_map(Result::ok) {
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                let message = format!("the directory holds more than {MAX_ENTRIES} entries");
                self.fault(directory, &finding::TOO_LARGE, message);
                return false;
            }
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let path = plain(&directory.join(entry.file_name()));
            // A linked directory is not entered, so there are no loops; a linked file is read, because mounted
            // configuration consists of them.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                below.push(path);
            } else if path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml")
                && !self.file(path)
            {
                return false;
            }
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
            Ok(text) => {
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

fn read_text(path: &Path) -> Result<String, (&'static Finding, String)> {
    let unreadable =
        |error: std::io::Error| (&finding::UNREADABLE, format!("the file cannot be read: {error}"));
    let file = std::fs::File::open(path).map_err(unreadable)?;
    // A pipe or device would not end.
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err((&finding::UNREADABLE, "this is no regular file".to_owned()));
    }
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut std::io::Read::take(file, MAX_FILE + 1), &mut bytes)
        .map_err(unreadable)?;
    if bytes.len() > usize::try_from(MAX_FILE).unwrap_or(usize::MAX) {
        return Err((&finding::TOO_LARGE, format!("the file is larger than {} MiB", MAX_FILE >> 20)));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes().iter().take(valid).filter(|byte| **byte == b'\n').count() + 1;
        (&finding::UNREADABLE, format!("the file is not UTF-8 text: line {line} holds other bytes"))
    })
}
