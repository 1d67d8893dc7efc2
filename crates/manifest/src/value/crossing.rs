//! Names of what may be let across beside a body.

use super::{FromText, Wrong};
use crate::keys::Read;
use crate::reader::Reader;
use crate::schema::{self, Definitions};
use crate::yaml::{Kind, Node};
use ironbridge_core::fields;
use serde_json::{Value, json};
use std::sync::Arc;

/// What crosses of something that has names: those that are listed, or all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Crossing<T> {
    /// Only these.
    Listed(Vec<T>),
    /// Written as the word `all`.
    All,
}

/// The name of a header field that may be let across, lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeaderField(pub Arc<str>);

/// The name of a field that may be let across after a body, lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrailerField(pub Arc<str>);

/// A member of the query that may be let across: its name as it reads decoded. With a `*` behind it, as in URI
/// templates (RFC 6570 §2.4.2), it may come more than once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryMember {
    /// Decoded.
    pub name: Arc<str>,
    /// Whether it may come more than once.
    pub repeats: bool,
}

impl<T> Crossing<T> {
    /// What is listed; nothing, where all cross.
    pub fn listed(&self) -> &[T] {
        match self {
            Crossing::Listed(names) => names,
            Crossing::All => &[],
        }
    }

    /// Whether all that may cross does.
    pub fn is_all(&self) -> bool {
        matches!(self, Crossing::All)
    }
}

impl<T: Read> Read for Crossing<T> {
    const OPTIONAL: bool = true;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        match &node.kind {
            Kind::Text(word) if word == "all" => Some(Crossing::All),
            Kind::List(_) => Vec::read(node, reader).map(Crossing::Listed),
            _ => {
                reader.wrong_shape(node, "a list of names, or the word `all`");
                None
            }
        }
    }

    fn absent(_: &mut Reader<'_>) -> Option<Self> {
        Some(Crossing::Listed(Vec::new()))
    }

    fn schema(definitions: &mut Definitions) -> Value {
        json!({ "anyOf": [{ "type": "array", "items": T::schema(definitions) }, { "const": "all" }] })
    }
}

impl FromText for HeaderField {
    const EXPECTED: &'static str = "a header field's name, such as X-Tenant";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        let name = field_name(text)?;
        match fields::owned(&name) {
            Some(why) => Err(Wrong::malformed(why).help("leave it out: no declaration lets it across")),
            None => Ok(HeaderField(name)),
        }
    }

    fn schema() -> Value {
        schema::text("The name of a header field that crosses.", FIELD_PATTERN, "X-Tenant")
    }
}

impl FromText for TrailerField {
    const EXPECTED: &'static str = "a trailer field's name, such as X-Checksum";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        let name = field_name(text)?;
        if let Some(why) = fields::owned(&name) {
            return Err(Wrong::malformed(why).help("leave it out: no declaration lets it across"));
        }
        if !fields::may_trail(&name) {
            let why = "means something only before the body (RFC 9110 §6.5.1)";
            return Err(Wrong::malformed(why).help("declare it in `headers`, or leave it out"));
        }
        Ok(TrailerField(name))
    }

    fn schema() -> Value {
        schema::text("The name of a field that may follow a body.", FIELD_PATTERN, "X-Checksum")
    }
}

impl FromText for QueryMember {
    const EXPECTED: &'static str = "a query member's name, such as page, or tag* where it may be repeated";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        let (name, repeats) = match text.strip_suffix('*') {
            Some(name) => (name, true),
            None => (text, false),
        };
        if !(1..=128).contains(&name.len()) || name.trim() != name || name.chars().any(char::is_control) {
            return Err(Wrong::malformed("is no query member's name of 1 to 128 bytes"));
        }
        if name.contains('%') {
            return Err(Wrong::malformed("is percent-encoded").help("write the name as it reads decoded"));
        }
        if name.contains('*') {
            return Err(Wrong::malformed("stands for no family of names here").help("list the names"));
        }
        if name.contains(['&', '=', '#', '?']) {
            // A member written with its value is a likely cause, and the value may be a credential.
            return Err(
                Wrong::hidden("this is no query member's name").help("write the name without its value")
            );
        }
        Ok(QueryMember { name: name.into(), repeats })
    }

    fn schema() -> Value {
        schema::text(
            "The name of a query member that crosses, decoded; with `*` behind it, it may be repeated.",
            "^[^%&=#?*]{1,128}[*]?$",
            "page",
        )
    }
}

const FIELD_PATTERN: &str = "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$";

/// A field's name in lower case (RFC 9110 §5.1).
fn field_name(text: &str) -> Result<Arc<str>, Wrong> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !(1..=128).contains(&text.len()) || !text.bytes().all(token) {
        // A field written with its value is a likely cause, and the value may be a credential.
        return Err(Wrong::hidden("this is no header field's name"));
    }
    if text == "all" {
        return Err(Wrong::malformed("is no name here").help("write `all` without the brackets"));
    }
    if text.contains('*') {
        return Err(Wrong::malformed("stands for no family of names here").help("list the names"));
    }
    Ok(text.to_ascii_lowercase().into())
}
