//! From a directory to a checked manifest.

use crate::check::Parts;
use crate::diagnostic::Diagnostics;
use crate::findings::{Finding, finding};
use crate::outline::{Names, Outline};
use crate::place::{At, FileId};
use crate::reader::{Files, Reader, plain};
use crate::sections::Sections;
use crate::walk::{Fault, Walk};
use crate::yaml;
use crate::{Bridge, Date, Listener, Manifest};
use ironbridge_core::SecretName;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A manifest that loads.
#[derive(Debug)]
pub struct Loaded {
    /// What it declares.
    pub manifest: Manifest,
    /// Warnings and notes.
    pub findings: Diagnostics,
    /// Where everything is written, to say more about it later.
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
    /// What kind of finding it is.
    pub finding: &'static Finding,
    /// The keys that lead there (`integrations`, `order-sync`, ..., a list's index as a number), as far as they are
    /// written; none for the directory as a whole.
    pub at: Vec<String>,
    /// One sentence without its full stop. Never holds a secret.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// The part of the text there that it is about, in bytes of the value.
    pub part: Option<Range<usize>>,
}

impl Observed {
    /// Something found where these keys lead.
    pub fn new(finding: &'static Finding, at: &[&str], message: impl Into<String>) -> Observed {
        let at = at.iter().map(ToString::to_string).collect();
        Observed { finding, at, message: message.into(), help: None, part: None }
    }

    /// With what to do about it.
    pub fn help(self, help: impl Into<String>) -> Observed {
        Observed { help: Some(help.into()), ..self }
    }
}

impl Positions {
    /// Every reference to a secret, with the keys that lead to it.
    pub fn secrets(&self) -> Vec<(Vec<String>, SecretName)> {
        self.outline.secrets()
    }

    /// Each observation at the line it is about.
    pub fn show(&self, observed: impl IntoIterator<Item = Observed>) -> Diagnostics {
        let sections = Sections::default();
        let mut reader = Reader::new(&Nowhere, &self.sources, &sections);
        for Observed { finding, at, message, help, part } in observed {
            let spot = self.outline.find(&at);
            let site = spot.map(|spot| {
                let part = part.and_then(|part| spot.at_part(part, &self.sources));
                part.unwrap_or(spot.at_value())
            });
            let report = match site {
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

/// Reads every `*.yaml` and `*.yml` below the directory, except hidden ones and those in the data directory, and
/// checks them. Linked files are read, and linked directories that lie below the directory too, each once. `today`
/// decides which `danger` keys have expired.
///
/// # Errors
/// Everything that is wrong, warnings included.
pub fn load(directory: &Path, today: Date) -> Result<Loaded, Diagnostics> {
    load_with(directory, today, &Sections::product())
}

/// As [`load`], with the sections of other transports than the product's.
///
/// # Errors
/// Everything that is wrong, warnings included.
pub fn load_with(directory: &Path, today: Date, sections: &Sections) -> Result<Loaded, Diagnostics> {
    let walk = Walk::of(directory);
    check(directory, walk.sources, walk.faults, &Disk, today, sections)
}

/// The folders that a manifest is read from: where a new file would become part of it.
pub fn folders(directory: &Path) -> Vec<PathBuf> {
    Walk::of(directory).folders
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
    check(Path::new("."), sources, Vec::new(), files, today, &Sections::product())
}

fn check(
    root: &Path,
    mut sources: Vec<(PathBuf, String)>,
    faults: Vec<Fault>,
    files: &dyn Files,
    today: Date,
    sections: &Sections,
) -> Result<Loaded, Diagnostics> {
    sources.sort();
    for (_, text) in &mut sources {
        // Some editors put a byte-order mark there; it means nothing in UTF-8.
        if let Some(rest) = text.strip_prefix('\u{feff}') {
            *text = rest.to_owned();
        }
    }
    let mut reader = Reader::new(files, &sources, sections);
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
    refuse_bridge_below(root, &outline, &sources, &mut reader);
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
    let failed = reader.is_in_the_way();
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

/// A directory above several manifests is no manifest of any: its bridge would be whichever there is.
fn refuse_bridge_below(
    root: &Path,
    outline: &Outline,
    sources: &[(PathBuf, String)],
    reader: &mut Reader<'_>,
) {
    let Some(site) = outline.bridge().map(|bridge| bridge.at_key()) else { return };
    let folder = sources.get(site.file).and_then(|(path, _)| path.parent()).map(plain).unwrap_or_default();
    if folder == plain(root) {
        return;
    }
    reader
        .report(
            &finding::NO_MANIFEST,
            site,
            "the bridge is declared in a folder below, not in the manifest's own",
        )
        .label("a manifest of its own")
        .help(format!("name its directory: -C {}", folder.display()));
}

fn report_fault(fault: yaml::Fault, file: FileId, reader: &mut Reader<'_>) {
    let site = At { file, span: fault.span };
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
