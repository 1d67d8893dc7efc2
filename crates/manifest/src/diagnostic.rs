//! What is wrong with a manifest, and where.

mod render;

use crate::findings::{Finding, Severity};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;

/// One finding in one place.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    /// What kind of finding it is.
    pub finding: &'static Finding,
    /// One sentence without its full stop. Never holds a secret.
    pub message: String,
    /// Where it is.
    pub place: Place,
    /// What to write instead.
    pub help: Option<String>,
    /// Other places that belong to it, such as the first of two declarations.
    pub also: Vec<Place>,
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, or the directory where none is meant.
    pub file: PathBuf,
    /// From 1; 0 when the whole file or directory is meant.
    pub line: usize,
    /// In characters from 1; 0 when the whole file or directory is meant.
    pub column: usize,
    /// In bytes of the file's text.
    pub span: std::ops::Range<usize>,
    /// What stands there.
    pub label: String,
    /// Characters of the span on its first line.
    width: usize,
    /// The text to show; secrets in it are already blotted out.
    source: Option<Arc<str>>,
}

/// Everything found in one load, in the order of files and lines.
#[derive(Debug, Clone, Default)]
pub struct Diagnostics {
    kept: Vec<Diagnostic>,
    omitted: usize,
}

impl Diagnostic {
    /// The finding's id, `IB101`.
    pub fn id(&self) -> &'static str {
        self.finding.id
    }

    /// Whether it stands in the way of loading, should be mended, or is worth knowing.
    pub fn severity(&self) -> Severity {
        self.finding.severity
    }

    /// For programs: the place's members, and with them `id`, `severity`, `title`, `message`, `help` and `also`.
    pub fn to_json(&self) -> Value {
        let mut value = self.place.to_json();
        if let Value::Object(fields) = &mut value {
            fields.insert("id".into(), json!(self.id()));
            fields.insert("severity".into(), json!(self.severity().name()));
            fields.insert("title".into(), json!(self.finding.title));
            fields.insert("message".into(), json!(self.message));
            fields.insert("help".into(), json!(self.help));
            fields.insert("also".into(), self.also.iter().map(Place::to_json).collect());
        }
        value
    }
}

impl Place {
    /// The whole of a file or directory.
    pub fn whole(file: PathBuf) -> Place {
        Place { file, line: 0, column: 0, span: 0..0, label: String::new(), width: 0, source: None }
    }

    /// A range of a text. `source` is the text as it may be shown.
    pub(crate) fn new(
        file: PathBuf,
        text: &str,
        source: Arc<str>,
        span: std::ops::Range<usize>,
        label: String,
    ) -> Place {
        let before = text.get(..span.start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before.get(line_start..).map_or(0, |rest| rest.chars().count()) + 1;
        let width = text.get(span.clone()).and_then(|spanned| spanned.lines().next()).unwrap_or_default();
        let width = width.trim_end().chars().count();
        Place { file, line, column, span, label, width, source: Some(source) }
    }

    fn to_json(&self) -> Value {
        json!({
            "file": self.file.display().to_string(),
            "line": (self.line > 0).then_some(self.line),
            "column": (self.column > 0).then_some(self.column),
            "label": self.label,
        })
    }
}

impl Diagnostics {
    pub(crate) fn new(kept: Vec<Diagnostic>, omitted: usize) -> Diagnostics {
        Diagnostics { kept, omitted }
    }

    /// These and those, in the order of files and lines.
    pub fn and(mut self, more: Diagnostics) -> Diagnostics {
        self.kept.extend(more.kept);
        self.kept.sort_by(|one, other| {
            let place = |found: &Diagnostic| (found.place.line, found.place.column);
            one.place.file.cmp(&other.place.file).then_with(|| place(one).cmp(&place(other)))
        });
        self.omitted += more.omitted;
        self
    }

    /// In the order of files and lines.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.kept.iter()
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// How many have this severity, those beyond the first 500 of all not counted.
    pub fn count(&self, severity: Severity) -> usize {
        self.kept.iter().filter(|d| d.severity() == severity).count()
    }

    /// Whether the manifest cannot be used as it is.
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    /// Whether anything else than [time alone](Finding::is_by_time) keeps the manifest from being put into force.
    pub fn are_in_the_way(&self) -> bool {
        self.kept.iter().any(|found| found.finding.is_in_the_way())
    }

    /// How many more there were than are kept.
    pub fn omitted(&self) -> usize {
        self.omitted
    }

    /// A list of objects with `id`, `severity`, `title`, `message`, `file`, `line`, `column`, `label`, `help` and
    /// `also`.
    pub fn to_json(&self) -> Value {
        self.kept.iter().map(Diagnostic::to_json).collect()
    }
}

impl std::error::Error for Diagnostics {}
