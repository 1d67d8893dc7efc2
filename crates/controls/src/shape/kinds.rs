//! Kinds of values.

use serde_json::{Map, Value};
use std::fmt;
use std::ops::BitAnd;

/// Kinds of values, as a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kinds(u16);

impl Kinds {
    pub const NONE: Kinds = Kinds(0);
    pub const NULL: Kinds = Kinds(1);
    pub const TRUTH: Kinds = Kinds(1 << 1);
    /// JSON knows one kind of number, and so do rules.
    pub const NUMBER: Kinds = Kinds(1 << 2);
    pub const TEXT: Kinds = Kinds(1 << 3);
    pub const LIST: Kinds = Kinds(1 << 4);
    pub const MAP: Kinds = Kinds(1 << 5);
    pub const MOMENT: Kinds = Kinds(1 << 6);
    pub const SPAN: Kinds = Kinds(1 << 7);
    pub const TYPE: Kinds = Kinds(1 << 8);
    pub const BYTES: Kinds = Kinds(1 << 9);
    pub const ANY: Kinds = Kinds((1 << 10) - 1);

    pub const fn or(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }

    pub fn is_none(self) -> bool {
        self == Kinds::NONE
    }

    pub fn meets(self, other: Kinds) -> bool {
        !(self & other).is_none()
    }
}

impl BitAnd for Kinds {
    type Output = Kinds;

    fn bitand(self, other: Kinds) -> Kinds {
        Kinds(self.0 & other.0)
    }
}

/// In words, as messages name them.
const NAMES: [(Kinds, &str); 10] = [
    (Kinds::NULL, "null"),
    (Kinds::TRUTH, "a truth value"),
    (Kinds::NUMBER, "a number"),
    (Kinds::TEXT, "a text"),
    (Kinds::LIST, "a list"),
    (Kinds::MAP, "a map of members"),
    (Kinds::MOMENT, "a moment"),
    (Kinds::SPAN, "a duration"),
    (Kinds::TYPE, "a type"),
    (Kinds::BYTES, "bytes"),
];

impl fmt::Display for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Kinds::ANY {
            return f.write_str("anything");
        }
        let names: Vec<&str> =
            NAMES.iter().filter(|(kind, _)| self.meets(*kind)).map(|(_, name)| *name).collect();
        match names.as_slice() {
            [] => f.write_str("nothing"),
            [only] => f.write_str(only),
            [first @ .., last] => write!(f, "{} or {last}", first.join(", ")),
        }
    }
}

/// What `type`, `enum` and `const` say. Of `format` and limits nothing follows here.
pub(super) fn own_kinds(members: &Map<String, Value>) -> Kinds {
    let mut kinds = match members.get("type") {
        Some(Value::String(name)) => named_kind(name),
        Some(Value::Array(names)) => {
            names.iter().filter_map(Value::as_str).fold(Kinds::NONE, |kinds, name| kinds.or(named_kind(name)))
        }
        _ => Kinds::ANY,
    };
    if let Some(Value::Array(values)) = members.get("enum") {
        kinds = kinds & values.iter().fold(Kinds::NONE, |kinds, value| kinds.or(kind_of(value)));
    }
    if let Some(only) = members.get("const") {
        kinds = kinds & kind_of(only);
    }
    kinds
}

fn named_kind(name: &str) -> Kinds {
    match name {
        "null" => Kinds::NULL,
        "boolean" => Kinds::TRUTH,
        "number" | "integer" => Kinds::NUMBER,
        "string" => Kinds::TEXT,
        "array" => Kinds::LIST,
        "object" => Kinds::MAP,
        // Of the variables, not of bodies: JSON has no moments.
        "moment" => Kinds::MOMENT,
        _ => Kinds::ANY,
    }
}

fn kind_of(value: &Value) -> Kinds {
    match value {
        Value::Null => Kinds::NULL,
        Value::Bool(_) => Kinds::TRUTH,
        Value::Number(_) => Kinds::NUMBER,
        Value::String(_) => Kinds::TEXT,
        Value::Array(_) => Kinds::LIST,
        Value::Object(_) => Kinds::MAP,
    }
}
