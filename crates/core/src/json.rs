//! Strict JSON (RFC 8259, I-JSON RFC 7493 §2.3): one reading that every later reader shares.
//!
//! Refused beyond plain syntax errors: duplicate member names, nesting deeper than [`MAX_DEPTH`], and member
//! names that JavaScript receivers treat as code (`__proto__`, `constructor`, `prototype`). Lone surrogates,
//! NaN, trailing data and invalid UTF-8 are syntax errors already.
//!
//! Bodies are read to a [`Tape`], whose size is a small multiple of the text's. [`parse`] builds a tree of values, for
//! what the bridge reads for itself: schemas, tokens, key sets.

mod alike;
mod number;
mod reader;
mod slip;
mod tape;

pub use alike::{are_alike, common_name, readings};
pub use number::{Number, exact_double};
pub use reader::{Read, Reader};
pub use tape::{Elements, Kind, Members, Node, Tape};

use crate::memory::Full;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::cell::Cell;
use std::fmt;

/// Nesting allowed in a body. Ours; real documents stay far below.
pub const MAX_DEPTH: usize = 64;

const HOSTILE_NAMES: [&str; 3] = ["__proto__", "constructor", "prototype"];

/// Why a text is not taken as JSON. Lines and columns count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonFault {
    /// It is no JSON from here on.
    Malformed {
        /// Of the place.
        line: usize,
        /// Of the place, in characters.
        column: usize,
    },
    /// The same, and what it is about the place.
    Slip {
        /// Of the place.
        line: usize,
        /// Of the place, in characters.
        column: usize,
        /// What is wrong there, and never what stands there.
        why: &'static str,
    },
    /// An object has two members of one name.
    DuplicateName {
        /// Of the second one.
        line: usize,
        /// Of the second one, in characters.
        column: usize,
    },
    /// It is nested deeper than [`MAX_DEPTH`].
    TooDeep,
    /// A member has a name by which some programs change their own objects.
    HostileName,
    /// 4 GiB or more.
    TooLong,
    /// There is no memory for what was read.
    Unheld(Full),
}

impl std::fmt::Display for JsonFault {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            JsonFault::Malformed { line, column } => {
                write!(out, "it breaks the grammar at line {line}, column {column}")
            }
            JsonFault::Slip { line, column, why } => {
                write!(out, "it breaks the grammar at line {line}, column {column}: {why}")
            }
            JsonFault::DuplicateName { line, column } => {
                write!(out, "an object repeats a member name at line {line}, column {column}")
            }
            JsonFault::TooDeep => write!(out, "it is nested deeper than {MAX_DEPTH} levels"),
            JsonFault::HostileName => out.write_str("a member is named __proto__, constructor or prototype"),
            JsonFault::TooLong => out.write_str("it has 4 GiB or more"),
            JsonFault::Unheld(_) => out.write_str("there is no memory for what is read of it"),
        }
    }
}

impl From<Full> for JsonFault {
    fn from(full: Full) -> JsonFault {
        JsonFault::Unheld(full)
    }
}

/// Reads one document; the whole input must be it.
pub fn parse(bytes: &[u8]) -> Result<Value, JsonFault> {
    let fault = Cell::new(None);
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let read = Strict { depth: MAX_DEPTH, fault: &fault }.deserialize(&mut reader);
    read.and_then(|value| reader.end().map(|()| value)).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        match fault.get() {
            Some(Refused::Duplicate) => JsonFault::DuplicateName { line, column },
            Some(Refused::Depth) => JsonFault::TooDeep,
            Some(Refused::Name) => JsonFault::HostileName,
            None => JsonFault::Malformed { line, column },
        }
    })
}

#[derive(Clone, Copy)]
enum Refused {
    Duplicate,
    Depth,
    Name,
}

#[derive(Clone, Copy)]
struct Strict<'f> {
    depth: usize,
    fault: &'f Cell<Option<Refused>>,
}

impl Strict<'_> {
    fn refuse<E: Error>(self, why: Refused) -> E {
        self.fault.set(Some(why));
        E::custom("refused")
    }

    fn deeper<E: Error>(self) -> Result<Self, E> {
        match self.depth.checked_sub(1) {
            Some(depth) => Ok(Strict { depth, ..self }),
            None => Err(self.refuse(Refused::Depth)),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(serde_json::Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inside = self.deeper()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(inside)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inside = self.deeper()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if HOSTILE_NAMES.contains(&name.as_str()) {
                return Err(self.refuse(Refused::Name));
            }
            let value = members.next_value_seed(inside)?;
            if object.insert(name, value).is_some() {
                return Err(self.refuse(Refused::Duplicate));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn faults_are_told_apart() {
        use JsonFault::*;
        let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
        for (text, fault) in [
            (r#"{"a":1,"a":2}"#, DuplicateName { line: 1, column: 13 }),
            (r#"{"a":{"b":1,"\u0062":2}}"#, DuplicateName { line: 1, column: 23 }),
            (r#"{"__proto__":1}"#, HostileName),
            (r#"{"a":1} x"#, Malformed { line: 1, column: 9 }),
            ("{'a':1}", Malformed { line: 1, column: 2 }),
            (r#"{"a":NaN}"#, Malformed { line: 1, column: 6 }),
            (r#""\ud800""#, Malformed { line: 1, column: 8 }),
            ("", Malformed { line: 1, column: 0 }),
            (deep.as_str(), TooDeep),
        ] {
            assert_eq!(parse(text.as_bytes()), Err(fault), "{text}");
        }
        assert_eq!(parse(b"\"\xff\""), Err(Malformed { line: 1, column: 2 }));
    }

    #[test]
    fn depth_64_is_read() {
        assert!(parse(format!("{}{}", "[".repeat(64), "]".repeat(64)).as_bytes()).is_ok());
    }

    proptest! {
        #[test]
        fn agrees_with_the_plain_reader_on_what_it_accepts(text in "\\PC*") {
            if let Ok(value) = parse(text.as_bytes()) {
                prop_assert_eq!(value, serde_json::from_str::<Value>(&text).unwrap());
            }
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = parse(&bytes);
        }
    }
}
