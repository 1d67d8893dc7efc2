use crate::json::{self, JsonFault};
use bytes::Bytes;
use serde_json::Value;

/// A body on its way: streaming past unread, or held whole because a control reads it.
#[derive(Debug, Default)]
pub enum Payload {
    #[default]
    Streamed,
    Whole(Document),
}

impl Payload {
    pub fn document(&mut self) -> Option<&mut Document> {
        match self {
            Payload::Streamed => None,
            Payload::Whole(document) => Some(document),
        }
    }

    /// The whole body, where it is held.
    pub fn bytes(&self) -> Option<&Bytes> {
        match self {
            Payload::Streamed => None,
            Payload::Whole(document) => Some(&document.bytes),
        }
    }
}

/// A whole body, parsed at most once however many controls look at it.
#[derive(Debug, Default)]
pub struct Document {
    bytes: Bytes,
    parsed: Option<Value>,
    changed: bool,
}

impl Document {
    pub fn new(bytes: Bytes) -> Document {
        Document { bytes, parsed: None, changed: false }
    }

    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The body as JSON, under the strict rules of [`crate::json`].
    pub fn json(&mut self) -> Result<&Value, JsonFault> {
        if self.parsed.is_none() {
            self.parsed = Some(json::parse(&self.bytes)?);
        }
        Ok(self.parsed.get_or_insert(Value::Null))
    }

    /// Puts another body in place of this one; what was parsed is forgotten.
    pub fn replace(&mut self, bytes: Bytes) {
        *self = Document { bytes, parsed: None, changed: true };
    }

    /// Whether a control put another body in place.
    pub fn is_changed(&self) -> bool {
        self.changed
    }
}
