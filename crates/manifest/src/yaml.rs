//! Text to tree, with the place of every key and value kept. Of YAML only what a manifest needs: maps with text
//! keys, lists and scalars. Anchors, aliases, tags and merge keys are refused, so nothing can be larger than it
//! is written.

use crate::findings::{Finding, finding};
use crate::slip;
use crate::span::Span;
use granit_parser::{ErrorKind, Event, Marker, Parser, ScalarStyle};
use std::borrow::Cow;

/// Nesting allowed in a manifest; the deepest declared key lies at 9.
const MAX_DEPTH: usize = 32;

/// A value as it is written, with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub(crate) kind: Kind,
    pub(crate) span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A scalar's text. What it means is for its reader to say: `NO` is Norway where a country is expected.
    Text(String),
    /// Nothing is written: `key:`, `~` or `null`.
    Nothing,
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub key: String,
    pub key_span: Span,
    pub value: Node,
}

/// What makes a text no manifest; reading cannot go on behind it.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    pub finding: &'static Finding,
    pub message: String,
    pub help: Option<&'static str>,
    pub span: Span,
}

impl Node {
    /// A value that is not in any file: a scalar, or scalars in brackets.
    pub(crate) fn written(text: &str) -> Node {
        let scalar = |text: &str| Node { kind: Kind::Text(text.trim().to_owned()), span: Span::default() };
        match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(items) => {
                Node { kind: Kind::List(items.split(',').map(scalar).collect()), span: Span::default() }
            }
            None => scalar(text),
        }
    }

    /// A section in which nothing is written.
    pub fn empty_map() -> Node {
        Node { kind: Kind::Map(Vec::new()), span: Span::default() }
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// Calls `found` with every scalar in this node.
    pub fn each_text(&self, found: &mut dyn FnMut(&str, Span)) {
        match &self.kind {
            Kind::Text(text) => found(text, self.span),
            Kind::Nothing => {}
            Kind::List(items) => items.iter().for_each(|item| item.each_text(found)),
            Kind::Map(entries) => entries.iter().for_each(|entry| entry.value.each_text(found)),
        }
    }
}

/// Reads one file's text. An empty document gives [`Kind::Nothing`].
pub fn parse(text: &str) -> Result<Node, Fault> {
    let mut options = granit_parser::Options::default();
    options.set_emit_comments(false);
    options.emit_unresolved_aliases = true;
    options.disallow_directives = true;
    options.flow_nesting_limit = MAX_DEPTH;
    options.block_nesting_limit = MAX_DEPTH;
    let mut builder = Builder { text, events: Parser::new_from_str_with_options(text, options) };
    builder.document()
}

struct Builder<'t> {
    text: &'t str,
    events: Parser<'t, granit_parser::StrInput<'t>>,
}

impl<'t> Builder<'t> {
    fn document(&mut self) -> Result<Node, Fault> {
        let mut root = Node { kind: Kind::Nothing, span: Span::default() };
        let mut documents = 0;
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(root),
                (Event::DocumentStart(..), span) => {
                    documents += 1;
                    if documents > 1 {
                        return Err(self.refuse(
                            &finding::YAML_FEATURE,
                            span,
                            "a second document begins here".to_owned(),
                            Some("put it into a file of its own, or remove the `---`"),
                        ));
                    }
                }
                (Event::StreamStart | Event::DocumentEnd, _) => {}
                (event, span) => root = self.node(event, span, 0)?,
            }
        }
    }

    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Node, Fault> {
        if depth > MAX_DEPTH {
            return Err(self.too_deep(span));
        }
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.plain(anchor, tag.is_some(), span)?;
                Ok(Node { kind: scalar(text, style), span })
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.plain(anchor, tag.is_some(), span)?;
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, end) => {
                            return Ok(Node { kind: Kind::List(items), span: to(span, end) });
                        }
                        (event, span) => items.push(self.node(event, span, depth + 1)?),
                    }
                }
            }
            Event::MappingStart(_, anchor, tag) => {
                self.plain(anchor, tag.is_some(), span)?;
                let mut entries = Vec::new();
                loop {
                    match self.next()? {
                        (Event::MappingEnd, end) => {
                            return Ok(Node { kind: Kind::Map(entries), span: to(span, end) });
                        }
                        (event, span) => entries.push(self.entry(event, span, depth)?),
                    }
                }
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => Err(self.refuse(
                &finding::YAML_FEATURE,
                span,
                "an alias (`*name`) cannot be used in a manifest".to_owned(),
                Some("write the value out; a text that begins with `*` must be in quotes"),
            )),
            _ => Err(self.refuse(&finding::SYNTAX, span, "a value is expected here".to_owned(), None)),
        }
    }

    fn entry(&mut self, event: Event<'t>, key_span: Span, depth: usize) -> Result<Entry, Fault> {
        let Event::Scalar(key, _, anchor, tag) = event else {
            return Err(self.refuse(
                &finding::SYNTAX,
                Span { end: key_span.start, ..key_span },
                "a key must be plain text".to_owned(),
                Some("a name in `{braces}` or `[brackets]` must be put in quotes"),
            ));
        };
        self.plain(anchor, tag.is_some(), key_span)?;
        if key == "<<" {
            return Err(self.refuse(
                &finding::YAML_FEATURE,
                key_span,
                "a merge key (`<<`) cannot be used in a manifest".to_owned(),
                Some("write the keys out; what a manifest says is all in sight where it is said"),
            ));
        }
        let (event, span) = self.next()?;
        Ok(Entry { key: key.into_owned(), key_span, value: self.node(event, span, depth + 1)? })
    }

    /// Refuses an anchor or a tag on a node.
    fn plain(&self, anchor: usize, tagged: bool, span: Span) -> Result<(), Fault> {
        let (what, help) = match (anchor, tagged) {
            (0, false) => return Ok(()),
            (0, true) => ("a tag (`!type`)", "remove it, or put a text that begins with `!` into quotes"),
            _ => ("an anchor (`&name`)", "remove it, or put a text that begins with `&` into quotes"),
        };
        let message = format!("{what} cannot be used in a manifest");
        Err(self.refuse(&finding::YAML_FEATURE, span, message, Some(help)))
    }

    fn next(&mut self) -> Result<(Event<'t>, Span), Fault> {
        match self.events.next_event() {
            Some(Ok((event, span))) => Ok((event, self.span(&span))),
            Some(Err(error)) => {
                let at = self.offset(error.marker());
                let end = self
                    .text
                    .get(at..)
                    .and_then(|rest| rest.chars().next())
                    .map_or(at, |c| at + c.len_utf8());
                Err(self.syntax(&error, Span { start: at, end }))
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn syntax(&self, error: &granit_parser::ScanError, span: Span) -> Fault {
        let (message, help) = match error.kind() {
            ErrorKind::TabNotAllowed | ErrorKind::TabInBlockIndentation => {
                ("a tab is used for indentation".to_owned(), Some("YAML is indented with spaces"))
            }
            ErrorKind::DirectiveDisallowed => {
                return self.refuse(
                    &finding::YAML_FEATURE,
                    span,
                    "a directive (`%...`) cannot be used in a manifest".to_owned(),
                    Some("remove it"),
                );
            }
            ErrorKind::RecursionLimitExceeded => return self.too_deep(span),
            kind => (kind.to_string(), None),
        };
        if help.is_none()
            && let Some((span, message, help)) = slip::find(self.text, span.start)
        {
            return self.refuse(&finding::SYNTAX, span, message, Some(help));
        }
        self.refuse(&finding::SYNTAX, span, message, help)
    }

    fn too_deep(&self, span: Span) -> Fault {
        self.refuse(
            &finding::TOO_LARGE,
            Span { end: span.start, ..span },
            format!("values are nested more than {MAX_DEPTH} deep"),
            None,
        )
    }

    fn refuse(
        &self,
        finding: &'static Finding,
        span: Span,
        message: String,
        help: Option<&'static str>,
    ) -> Fault {
        Fault { finding, message, help, span }
    }

    fn span(&self, span: &granit_parser::Span) -> Span {
        let start = self.offset(&span.start);
        Span { start, end: self.offset(&span.end).max(start) }
    }

    /// Byte offset of a marker, at most the length of the text.
    fn offset(&self, marker: &Marker) -> usize {
        marker.byte_offset().unwrap_or(0).min(self.text.len())
    }
}

fn scalar(text: Cow<'_, str>, style: ScalarStyle) -> Kind {
    match (style, text.as_ref()) {
        (ScalarStyle::Plain, "" | "~" | "null") => Kind::Nothing,
        _ => Kind::Text(text.into_owned()),
    }
}

fn to(start: Span, end: Span) -> Span {
    Span { start: start.start, end: end.end.max(start.start) }
}
