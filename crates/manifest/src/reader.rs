//! Trees to checked types. A reader goes on after every mistake, so that one run shows them all.

use crate::belongs::{self, belongs};
use crate::diagnostic::{Diagnostic, Diagnostics, Place};
use crate::findings::{Finding, finding};
use crate::keys::{Read, Section};
use crate::place::{At, FileId};
use crate::redact;
use crate::schema;
use crate::sections::Sections;
use crate::span::Span;
use crate::yaml::{Entry, Kind, Node};
use ironbridge_core::nearest::closest;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// More diagnostics than this are counted, not kept: nobody reads them, and a hostile file could make millions.
const MAX_KEPT: usize = 500;

/// Suggestions are sought for so many unknown names only; each costs a comparison with every known one.
const MAX_SUGGESTIONS: usize = 64;

/// The directory, as far as reading a manifest must know it.
pub trait Files {
    /// Whether there is a file that can be opened.
    fn exists(&self, path: &Path) -> bool;
}

/// Everything known while reading: the files, where we are, and what was found so far.
pub struct Reader<'f> {
    files: &'f dyn Files,
    sources: &'f [(PathBuf, String)],
    /// What transports declare in sections of their own.
    sections: &'f Sections,
    file: FileId,
    /// The key whose value is being read.
    here: Span,
    /// The item of its list that is being read.
    item: Option<Span>,
    /// The keys that lead to what is being read, from the top of the manifest.
    path: Vec<String>,
    found: Vec<Found>,
    /// How many of them are errors, and how many are not.
    errors: usize,
    others: usize,
    omitted: usize,
    suggestions_left: usize,
    /// What must not be shown.
    secrets: HashMap<FileId, Vec<Span>>,
    named: Vec<PathBuf>,
}

struct Found {
    finding: &'static Finding,
    message: String,
    site: Option<At>,
    /// Where there is no site: the file that is meant, else the directory.
    file: Option<PathBuf>,
    label: String,
    help: Option<String>,
    also: Vec<(At, String)>,
}

/// The keys of one section.
pub struct Keys<'n> {
    entries: &'n [Entry],
    /// Keys that unknown ones were probably meant to be.
    meant: Vec<&'static str>,
    /// Whether every key is known and given once. A section with others is read for its mistakes only: nothing
    /// half-understood travels on.
    sound: bool,
}

/// A finding that can still be told more about before it is dropped into the list.
pub struct Report<'r> {
    found: Option<&'r mut Found>,
}

impl<'f> Reader<'f> {
    pub(crate) fn new(
        files: &'f dyn Files,
        sources: &'f [(PathBuf, String)],
        sections: &'f Sections,
    ) -> Self {
        Reader {
            files,
            sources,
            sections,
            file: 0,
            here: Span::default(),
            item: None,
            path: Vec::new(),
            found: Vec::new(),
            errors: 0,
            others: 0,
            omitted: 0,
            suggestions_left: MAX_SUGGESTIONS,
            secrets: HashMap::new(),
            named: Vec::new(),
        }
    }

    /// Reads the value of an entry; what is reported meanwhile without a value's place points at its key.
    pub(crate) fn enter<T>(
        &mut self,
        file: FileId,
        entry: &Entry,
        read: impl FnOnce(&mut Self, &Node) -> T,
    ) -> T {
        let outer = (self.file, self.here, self.item);
        (self.file, self.here, self.item) = (file, entry.key_span, None);
        let value = self.below(&entry.key, |reader| read(reader, &entry.value));
        (self.file, self.here, self.item) = outer;
        value
    }

    /// Does something below a key.
    pub(crate) fn below<T>(&mut self, key: &str, work: impl FnOnce(&mut Self) -> T) -> T {
        // A file as a whole has no key.
        let named = !key.is_empty();
        if named {
            self.path.push(key.to_owned());
        }
        let value = work(self);
        if named {
            self.path.pop();
        }
        value
    }

    /// Where a key that has no meaning here would have one.
    fn belongs(&mut self, key: &str) -> Option<belongs::Belongs> {
        self.suggestions_left = self.suggestions_left.checked_sub(1)?;
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        belongs(self.sections, &path, key)
    }

    /// Reads one item of a list; what is missing in a map is told where that map begins.
    pub(crate) fn item<T>(&mut self, item: &Node, read: impl FnOnce(&Node, &mut Self) -> T) -> T {
        let first = match &item.kind {
            Kind::Map(entries) => entries.first().map(|entry| entry.key_span),
            _ => None,
        };
        let outer = std::mem::replace(&mut self.item, first);
        let value = read(item, self);
        self.item = outer;
        value
    }

    /// Does something about another file.
    pub(crate) fn within<T>(&mut self, file: FileId, work: impl FnOnce(&mut Self) -> T) -> T {
        let outer = std::mem::replace(&mut self.file, file);
        let value = work(self);
        self.file = outer;
        value
    }

    /// Reports a key that stands among names: it is one of the keys that each of them has and holds none of them, or
    /// it has a meaning elsewhere and holds what no name can.
    pub(crate) fn is_misplaced(&mut self, entry: &Entry, keys: &[&str]) -> bool {
        let (is_map, holds_some) = match &entry.value.kind {
            Kind::Map(entries) => (true, entries.iter().any(|entry| keys.contains(&entry.key.as_str()))),
            _ => (false, false),
        };
        let is_theirs = keys.contains(&entry.key.as_str());
        if holds_some || keys.is_empty() || (is_map && !is_theirs) {
            return false;
        }
        let belongs = self.belongs(&entry.key);
        if !is_theirs && belongs.is_none() {
            return false;
        }
        self.hide(&entry.value);
        let (site, key) = (self.site(entry.key_span), quoted(&entry.key));
        let label = match belongs {
            // Not in any of them, if they do not have it, but for a name of its own.
            Some(belongs) if !is_theirs || belongs.distance > 1 => belongs.label,
            _ => "one level too far left".to_owned(),
        };
        self.report(&finding::UNKNOWN_KEY, site, format!("{key} is a key, and names are expected here"))
            .label(label)
            .help(format!(
                "indent it with the keys of what it belongs to; nothing can be named {key} here without them"
            ));
        true
    }

    /// The key whose value is being read, as a message names it.
    fn here(&self) -> String {
        if self.here == Span::default() {
            return "this file".to_owned();
        }
        let text = self.sources.get(self.file).and_then(|(_, text)| text.get(self.here.start..self.here.end));
        quoted(text.unwrap_or_default().trim_matches(['"', '\'']))
    }

    pub(crate) fn sections(&self) -> &'f Sections {
        self.sections
    }

    pub(crate) fn file(&self) -> FileId {
        self.file
    }

    pub(crate) fn site(&self, span: Span) -> At {
        At { file: self.file, span }
    }

    /// The place of a scalar, else of the key before it: a whole map or list is too much to mark.
    pub(crate) fn site_of(&self, node: &Node) -> At {
        match node.kind {
            Kind::Text(_) => self.site(node.span),
            _ => self.site(self.here),
        }
    }

    pub(crate) fn report(
        &mut self,
        finding: &'static Finding,
        site: At,
        message: impl Into<String>,
    ) -> Report<'_> {
        self.push(finding, Some(site), message.into())
    }

    /// Reports something about the directory as a whole.
    pub(crate) fn report_whole(
        &mut self,
        finding: &'static Finding,
        message: impl Into<String>,
    ) -> Report<'_> {
        self.push(finding, None, message.into())
    }

    /// Reports something about a file that could not be read.
    pub(crate) fn report_file(
        &mut self,
        finding: &'static Finding,
        file: PathBuf,
        message: impl Into<String>,
    ) {
        if let Some(found) = self.push(finding, None, message.into()).found {
            found.file = Some(file);
        }
    }

    fn push(&mut self, finding: &'static Finding, site: Option<At>, message: String) -> Report<'_> {
        // Errors have a bound of their own, so that no number of notes can hide one.
        let kept =
            if finding.severity == crate::Severity::Error { &mut self.errors } else { &mut self.others };
        if *kept >= MAX_KEPT {
            self.omitted += 1;
            return Report { found: None };
        }
        *kept += 1;
        let label = String::new();
        self.found.push(Found { finding, message, site, file: None, label, help: None, also: Vec::new() });
        Report { found: self.found.last_mut() }
    }

    /// The value's entries, or a report that a map is expected.
    pub(crate) fn map<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [Entry]> {
        match &node.kind {
            Kind::Map(entries) => Some(entries),
            _ => {
                self.wrong_shape(node, what);
                None
            }
        }
    }

    /// Reports that something else is expected. A misplaced scalar is not shown: it may be a secret.
    pub(crate) fn wrong_shape(&mut self, node: &Node, expected: &str) {
        self.hide(node);
        let message = match &node.kind {
            Kind::Text(_) => "a single value cannot stand here",
            Kind::Nothing => "nothing is written here",
            Kind::List(items) if items.is_empty() => "an empty list cannot stand here",
            Kind::List(_) => "a list cannot stand here",
            Kind::Map(_) => "a map cannot stand here",
        };
        let site = self.site_of(node);
        self.report(&finding::SHAPE, site, message).label(format!("expected {expected}"));
    }

    /// Reads one key of a section. A missing one that another was probably meant to be is not reported again.
    pub fn key<T: Read>(&mut self, keys: &Keys<'_>, key: &str, default: Option<&str>) -> Option<T> {
        if let Some(entry) = keys.entry(key) {
            return self.enter(self.file, entry, |reader, node| T::read(node, reader));
        }
        let value = match default {
            Some(text) => T::read(&Node::written(text), self),
            None => T::absent(self),
        };
        if value.is_none() {
            self.missing(keys, &[key]);
        }
        value
    }

    /// Reports that none of these keys is there, unless another was probably meant to be one.
    pub(crate) fn missing(&mut self, keys: &Keys<'_>, wanted: &[&str]) {
        if wanted.iter().any(|key| keys.meant.contains(key)) {
            return;
        }
        let site = self.site(self.item.unwrap_or(self.here));
        let wanted: Vec<String> = wanted.iter().map(|key| format!("`{key}`")).collect();
        let wanted = wanted.join(" or ");
        let message = format!("{wanted} is missing in {}", self.here());
        self.report(&finding::KEY_MISSING, site, message).label(format!("needs {wanted}"));
    }

    /// The keys of a section. Reports those that it does not have, and those given twice.
    pub fn keys<'n, S: Section>(&mut self, node: &'n Node) -> Option<Keys<'n>> {
        let (all, later) = (S::keys(self.sections), S::later(self.sections));
        let entries = self.map(node, &belongs::map_of(&all))?;
        let mut keys = Keys { entries, meant: Vec::new(), sound: true };
        let mut seen: Vec<Option<&Entry>> = vec![None; all.len()];
        for entry in entries {
            let known = all.iter().position(|key| *key == entry.key);
            if let Some(place) = known.and_then(|index| seen.get_mut(index)) {
                match place {
                    None => {
                        *place = Some(entry);
                        continue;
                    }
                    Some(first) => self.key_twice(first, entry),
                }
            } else if later.contains(&entry.key.as_str()) {
                self.later_key(entry);
            } else if let Some(meant) = self.unknown_key(entry, &all) {
                keys.meant.push(meant);
                keys.sound = false;
                // A misspelt `purpose` holds what `purpose` would, which is shown; a section may hold anything.
                if matches!(entry.value.kind, Kind::Text(_)) && !schema::takes_secret(self.sections, meant) {
                    continue;
                }
            }
            keys.sound = false;
            self.hide(&entry.value);
        }
        Some(keys)
    }

    fn key_twice(&mut self, first: &Entry, again: &Entry) {
        let (site, first) = (self.site(again.key_span), self.site(first.key_span));
        self.report(&finding::KEY_TWICE, site, format!("{} is given twice", quoted(&again.key)))
            .label("given again")
            .also(first, "first given here");
    }

    fn later_key(&mut self, entry: &Entry) {
        let (site, key) = (self.site(entry.key_span), quoted(&entry.key));
        self.report(&finding::NOT_YET, site, format!("{key} is not in this version yet"))
            .label("not in this version")
            .help("remove it for now");
    }

    /// Returns the key that was probably meant.
    fn unknown_key(&mut self, entry: &Entry, all: &[&'static str]) -> Option<&'static str> {
        /// Nearer than this, a key is more likely misplaced than misspelt.
        const NEAR: usize = 2;
        let site = self.site(entry.key_span);
        let belongs = self.belongs(&entry.key);
        let near = match &belongs {
            Some(belongs) if belongs.distance <= NEAR => None,
            _ => self.suggest(&entry.key, all.iter().copied()),
        };
        let message = format!("unknown key {} in {}", quoted(&entry.key), self.here());
        let report = self.report(&finding::UNKNOWN_KEY, site, message);
        let keys = format!("the keys are {}", listed(all));
        match (near, belongs) {
            (Some(near), _) => report.label(format!("did you mean `{near}`?")),
            (None, Some(belongs)) if belongs.is_near => report.label(belongs.label).help(keys),
            (None, Some(belongs)) => {
                report.label("unknown key").help(format!("{keys}; {} {}", quoted(&entry.key), belongs.label))
            }
            (None, None) => report.label("unknown key").help(keys),
        };
        near
    }

    /// The known name that is meant, if one is near enough.
    pub(crate) fn suggest<'k>(
        &mut self,
        name: &str,
        known: impl Iterator<Item = &'k str>,
    ) -> Option<&'k str> {
        self.suggestions_left = self.suggestions_left.checked_sub(1)?;
        closest(name, known)
    }

    /// Keeps every scalar in the node out of what is shown, except what can be no secret.
    pub(crate) fn hide(&mut self, node: &Node) {
        let secrets = self.secrets.entry(self.file).or_default();
        node.each_text(&mut |text, span| {
            if !redact::is_harmless(text) {
                secrets.push(span);
            }
        });
    }

    /// Joins a path with the directory of the file that names it, and notes it for watching.
    pub(crate) fn resolve(&mut self, path: &str) -> PathBuf {
        let file = self.sources.get(self.file).map(|(file, _)| file.as_path());
        let directory = file.and_then(Path::parent).unwrap_or(Path::new(""));
        let joined = directory.join(path);
        plain(&joined)
    }

    /// Whether a path lies in the folder of this file, or below it.
    pub(crate) fn is_beside(&self, file: FileId, path: &Path) -> bool {
        let absolute = |path: &Path| std::path::absolute(path).ok();
        let folder = self.sources.get(file).and_then(|(file, _)| absolute(file)?.parent().map(plain));
        let (Some(folder), Some(path)) = (folder, absolute(path)) else { return false };
        let Ok(rest) = path.strip_prefix(folder) else { return false };
        let mut depth = 0_i32;
        rest.components().all(|part| {
            depth += if part == std::path::Component::ParentDir { -1 } else { 1 };
            depth >= 0
        })
    }

    pub(crate) fn exists(&mut self, path: &Path) -> bool {
        self.named.push(path.to_owned());
        self.files.exists(path)
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.found.iter().any(|found| found.finding.severity == crate::Severity::Error)
    }

    /// As [`Diagnostics::are_in_the_way`].
    pub(crate) fn is_in_the_way(&self) -> bool {
        self.found.iter().any(|found| found.finding.is_in_the_way())
    }

    /// Files that were named, and everything that was found. `root` is the directory.
    pub(crate) fn finish(self, root: &Path) -> (Vec<PathBuf>, Diagnostics) {
        let Reader { sources, mut found, omitted, secrets, named, .. } = self;
        found.sort_by_key(|found| {
            let site = found.site.unwrap_or(At { file: 0, span: Span::default() });
            (site.file, site.span.start, found.finding.id)
        });
        let mut shown: Vec<Option<Arc<str>>> = vec![None; sources.len()];
        let mut place = |site: At, label: String| {
            let (file, text) = sources.get(site.file)?;
            let shown = shown.get_mut(site.file)?.get_or_insert_with(|| {
                let spans = secrets.get(&site.file).into_iter().flatten().copied();
                redact::spans(text, spans).into()
            });
            Some(Place::new(file.clone(), text, Arc::clone(shown), site.span.start..site.span.end, label))
        };
        let kept = found
            .into_iter()
            .map(|Found { finding, message, site, file, label, help, also }| Diagnostic {
                finding,
                message,
                place: site
                    .and_then(|site| place(site, label))
                    .unwrap_or_else(|| Place::whole(file.unwrap_or_else(|| root.to_owned()))),
                help,
                also: also.into_iter().filter_map(|(site, label)| place(site, label)).collect(),
            })
            .collect();
        (named, Diagnostics::new(kept, omitted))
    }
}

impl<'n> Keys<'n> {
    /// The key with its value, where it is written.
    pub(crate) fn entry(&self, key: &str) -> Option<&'n Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// Whether every key is known and given once.
    pub fn are_sound(&self) -> bool {
        self.sound
    }
}

impl Report<'_> {
    /// What stands at the place.
    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        if let Some(found) = &mut self.found {
            found.label = label.into();
        }
        self
    }

    /// What to write instead.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        if let Some(found) = &mut self.found {
            found.help = Some(help.into());
        }
        self
    }

    /// Another place that belongs to it.
    pub(crate) fn also(mut self, site: At, label: impl Into<String>) -> Self {
        if let Some(found) = &mut self.found {
            found.also.push((site, label.into()));
        }
        self
    }
}

/// The path without the `.` in `a/./b`.
pub fn plain(path: &Path) -> PathBuf {
    path.components().filter(|part| !matches!(part, std::path::Component::CurDir)).collect()
}

/// A piece of the manifest inside a message: in backticks, on one line, at most 48 characters.
pub fn quoted(text: &str) -> String {
    let mut short: String = text.chars().take(48).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(48).is_some() {
        short.push_str("...");
    }
    format!("`{short}`")
}

/// `a`, `b` and `c`.
pub fn listed(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [only] => format!("`{only}`"),
        [first @ .., last] => {
            let first: Vec<String> = first.iter().map(|word| format!("`{word}`")).collect();
            format!("{} and `{last}`", first.join(", "))
        }
    }
}
