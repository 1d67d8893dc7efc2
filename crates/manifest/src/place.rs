//! Where things are written.

use crate::span::Span;
use crate::yaml::{Entry, Kind, Node};
use std::ops::Range;
use std::path::PathBuf;

/// Index of a file among those that were read.
pub type FileId = usize;

/// A range in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At {
    pub file: FileId,
    pub span: Span,
}

/// A key with its value, to be followed further down: checks use it to find where something stands.
#[derive(Debug, Clone, Copy)]
pub struct Spot<'t> {
    file: FileId,
    key: Span,
    value: Option<&'t Node>,
}

impl<'t> Spot<'t> {
    pub fn new(file: FileId, entry: &'t Entry) -> Self {
        Spot { file, key: entry.key_span, value: Some(&entry.value) }
    }

    /// The entry of that name; where there is none, the spot of this one's key.
    pub fn key(self, name: &str) -> Self {
        match self.value.and_then(|node| node.entry(name)) {
            Some(entry) => Spot { key: entry.key_span, value: Some(&entry.value), ..self },
            None => Spot { value: None, ..self },
        }
    }

    /// The list's item.
    pub fn item(self, index: usize) -> Self {
        match self.value.map(|node| &node.kind) {
            Some(Kind::List(items)) => match items.get(index) {
                Some(item) => Spot { key: item.span, value: Some(item), ..self },
                None => self,
            },
            _ => self,
        }
    }

    /// Where a part of a text is, in bytes of the text as it reads. A scalar can be written in quotes and over several
    /// lines, so the part is looked for: as often as it stands in the text before, it stands in the source before.
    pub fn at_part(self, part: Range<usize>, sources: &[(PathBuf, String)]) -> Option<At> {
        let Node { kind: Kind::Text(text), span } = self.value? else { return None };
        let written = sources.get(self.file)?.1.get(span.start..span.end)?;
        let sought = text.get(part.clone()).filter(|part| !part.is_empty())?;
        let before = text.match_indices(sought).take_while(|(at, _)| *at < part.start).count();
        let (at, _) = written.match_indices(sought).nth(before)?;
        let start = span.start + at;
        Some(At { file: self.file, span: Span { start, end: start + sought.len() } })
    }

    /// Whether there is such a key, or it was only asked for.
    pub fn is_there(self) -> bool {
        self.value.is_some()
    }

    /// Where the key is.
    pub fn at_key(self) -> At {
        At { file: self.file, span: self.key }
    }

    /// Where a scalar value is; for anything else, where its key is.
    pub fn at_value(self) -> At {
        match self.value {
            Some(Node { kind: Kind::Text(_), span }) => At { file: self.file, span: *span },
            _ => self.at_key(),
        }
    }
}
