//! One declaration of a manifest section gives its type, its reader, its JSON Schema and its reference page, so
//! that they cannot differ.

use crate::findings::finding;
use crate::reader::{Keys, Reader, listed, quoted};
use crate::schema::Definitions;
use crate::value::FromText;
use crate::yaml::{Entry, Kind, Node};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Something that can be read from a manifest and describe itself.
pub trait Read: Sized {
    /// Whether the key may be left out.
    const OPTIONAL: bool = false;

    /// The fixed keys of a map that is read.
    const FIXED: &'static [&'static str] = &[];

    /// The checked value; `None` after reporting what is wrong with it.
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self>;

    /// The value when the key is left out; `None` when it may not be.
    fn absent(_reader: &mut Reader<'_>) -> Option<Self> {
        None
    }

    fn schema(definitions: &mut Definitions) -> Value;
}

/// A map with fixed keys.
pub trait Section {
    const KEYS: &'static [&'static str];
    /// Keys that the design knows and this version does not.
    const LATER: &'static [&'static str];
}

/// Declares a section: a map with fixed keys. A field is required unless its type can be absent or a default
/// follows `=`, written as in a manifest. `as "key"` gives a key that is no Rust name; `later(...)` lists keys
/// that the design knows and this version does not.
macro_rules! section {
    (
        $(#[doc = $doc:literal])*
        pub struct $name:ident $(later($($later:literal),*))? {
            $($(#[doc = $field_doc:literal])* $field:ident $(as $key:literal)?: $type:ty $(= $default:literal)?,)*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $($(#[doc = $field_doc])* $(#[doc = concat!("\n\nDefault: `", $default, "`.")])? pub $field: $type,)*
        }

        impl $crate::keys::Section for $name {
            const KEYS: &'static [&'static str] = &[$($crate::keys::key_name!($field $($key)?)),*];
            const LATER: &'static [&'static str] = &[$($($later),*)?];
        }

        impl $crate::keys::Read for $name {
            const OPTIONAL: bool = true
                $(&& ($crate::keys::has_default!($($default)?) || <$type as $crate::keys::Read>::OPTIONAL))*;
            const FIXED: &'static [&'static str] = <Self as $crate::keys::Section>::KEYS;

            fn read(node: &$crate::yaml::Node, reader: &mut $crate::reader::Reader<'_>) -> Option<Self> {
                let keys = reader.keys::<Self>(node)?;
                $(let $field = reader.key::<$type>(
                    &keys,
                    $crate::keys::key_name!($field $($key)?),
                    $crate::keys::default_text!($($default)?),
                );)*
                let whole = $name { $($field: $field?,)* };
                keys.sound.then_some(whole)
            }

            fn absent(reader: &mut $crate::reader::Reader<'_>) -> Option<Self> {
                if <Self as $crate::keys::Read>::OPTIONAL {
                    Self::read(&$crate::yaml::Node::empty_map(), reader)
                } else {
                    None
                }
            }

            fn schema(definitions: &mut $crate::schema::Definitions) -> serde_json::Value {
                definitions.section(stringify!($name), &[$($doc),*], |_definitions| vec![
                    $($crate::schema::Key {
                        name: $crate::keys::key_name!($field $($key)?),
                        description: $crate::schema::paragraph(&[$($field_doc),*]),
                        default: $crate::keys::default_text!($($default)?),
                        required: !($crate::keys::has_default!($($default)?)
                            || <$type as $crate::keys::Read>::OPTIONAL),
                        schema: <$type as $crate::keys::Read>::schema(_definitions),
                    },)*
                ])
            }
        }
    };
}

/// Declares a choice between fixed words.
macro_rules! words {
    (
        $(#[doc = $doc:literal])*
        pub enum $name:ident { $($(#[doc = $word_doc:literal])* $word:ident = $text:literal,)* }
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[doc = $word_doc])* $word,)* }

        impl $name {
            /// The word as the manifest writes it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$word => $text,)* }
            }
        }

        impl $crate::keys::Read for $name {
            fn read(node: &$crate::yaml::Node, reader: &mut $crate::reader::Reader<'_>) -> Option<Self> {
                $crate::keys::word(node, reader, &[$(($text, Self::$word)),*])
            }

            fn schema(_: &mut $crate::schema::Definitions) -> serde_json::Value {
                $crate::schema::words(
                    &[$($doc),*],
                    &[$(($text, $crate::schema::paragraph(&[$($word_doc),*]))),*],
                )
            }
        }
    };
}

/// Declares a section that holds exactly one of its keys.
macro_rules! one_of {
    (
        $(#[doc = $doc:literal])*
        pub enum $name:ident $(later($($later:literal),*))? {
            $($(#[doc = $key_doc:literal])* $variant:ident($type:ty) = $key:literal,)*
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub enum $name { $($(#[doc = $key_doc])* $variant($type),)* }

        impl $crate::keys::Section for $name {
            const KEYS: &'static [&'static str] = &[$($key),*];
            const LATER: &'static [&'static str] = &[$($($later),*)?];
        }

        impl $crate::keys::Read for $name {
            const FIXED: &'static [&'static str] = <Self as $crate::keys::Section>::KEYS;

            fn read(node: &$crate::yaml::Node, reader: &mut $crate::reader::Reader<'_>) -> Option<Self> {
                match $crate::keys::only_key::<Self>(node, reader)? {
                    $(($key, keys) => reader.key::<$type>(&keys, $key, None).map(Self::$variant),)*
                    _ => None,
                }
            }

            fn schema(definitions: &mut $crate::schema::Definitions) -> serde_json::Value {
                definitions.one_of(stringify!($name), &[$($doc),*], |_definitions| vec![
                    $($crate::schema::Key {
                        name: $key,
                        description: $crate::schema::paragraph(&[$($key_doc),*]),
                        default: None,
                        required: false,
                        schema: <$type as $crate::keys::Read>::schema(_definitions),
                    },)*
                ])
            }
        }
    };
}

macro_rules! key_name {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $key:literal) => {
        $key
    };
}

macro_rules! has_default {
    () => {
        false
    };
    ($default:literal) => {
        true
    };
}

macro_rules! default_text {
    () => {
        None
    };
    ($default:literal) => {
        Some($default)
    };
}

pub(crate) use {default_text, has_default, key_name, one_of, section, words};

/// Reads one of the words.
pub fn word<T: Copy>(node: &Node, reader: &mut Reader<'_>, words: &[(&'static str, T)]) -> Option<T> {
    let Kind::Text(text) = &node.kind else {
        reader.wrong_shape(node, "a word");
        return None;
    };
    if let Some((_, word)) = words.iter().find(|(name, _)| name == text) {
        return Some(*word);
    }
    let names: Vec<&str> = words.iter().map(|(name, _)| *name).collect();
    let near = reader.suggest(text, names.iter().copied());
    let message = format!("{} is not one of {}", quoted(text), listed(&names));
    let site = reader.site_of(node);
    let report = reader.report(&finding::UNKNOWN_WORD, site, message);
    match near {
        Some(near) => report.label(format!("did you mean `{near}`?")),
        None => report.label("unknown word"),
    };
    None
}

/// The one key that a choice holds, with all that stand there.
pub fn only_key<'n, S: Section>(node: &'n Node, reader: &mut Reader<'_>) -> Option<(&'static str, Keys<'n>)> {
    let keys = reader.keys::<S>(node)?;
    let mut known = S::KEYS.iter().filter(|key| keys.entries.iter().any(|entry| entry.key == **key));
    match (known.next(), known.next()) {
        (Some(only), None) => Some((only, keys)),
        // What is there instead was reported already.
        (None, _) if !keys.sound => None,
        (first, _) => {
            reader.hide(node);
            let site = reader.site_of(node);
            let names = listed(S::KEYS);
            let label = if first.is_none() { "one key is needed" } else { "more than one key" };
            let message = format!("exactly one of {names} is needed here");
            reader.report(&finding::NOT_EXACTLY_ONE, site, message).label(label);
            None
        }
    }
}

impl<T: Read> Read for Option<T> {
    const OPTIONAL: bool = true;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        T::read(node, reader).map(Some)
    }

    fn absent(_: &mut Reader<'_>) -> Option<Self> {
        Some(None)
    }

    fn schema(definitions: &mut Definitions) -> Value {
        T::schema(definitions)
    }
}

impl<T: Read> Read for Vec<T> {
    const OPTIONAL: bool = true;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let Kind::List(items) = &node.kind else {
            reader.wrong_shape(node, "a list");
            return None;
        };
        let read: Vec<Option<T>> = items.iter().map(|item| reader.item(item, T::read)).collect();
        read.into_iter().collect()
    }

    fn absent(_: &mut Reader<'_>) -> Option<Self> {
        Some(Vec::new())
    }

    fn schema(definitions: &mut Definitions) -> Value {
        json!({ "type": "array", "items": T::schema(definitions) })
    }
}

impl<K: FromText + Ord, T: Read> Read for BTreeMap<K, T> {
    const OPTIONAL: bool = true;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let entries = reader.map(node, "a map of names")?;
        let file = reader.file();
        let mut first: std::collections::HashMap<&str, crate::yaml::Span> = std::collections::HashMap::new();
        let mut whole = Some(BTreeMap::new());
        for entry in entries {
            if let Some(first) = first.insert(&entry.key, entry.key_span) {
                let (again, first) = (reader.site(entry.key_span), reader.site(first));
                reader.hide(&entry.value);
                reader
                    .report(&finding::NAME_TWICE, again, format!("`{}` is declared twice", entry.key))
                    .label("declared again")
                    .also(first, "first declared here");
                whole = None;
                continue;
            }
            if reader.is_misplaced(entry, T::FIXED) {
                whole = None;
                continue;
            }
            let name = read_key::<K>(entry, reader);
            let value = reader.enter(file, entry, |reader, node| T::read(node, reader));
            match (name, value, &mut whole) {
                (Some(name), Some(value), Some(map)) => drop(map.insert(name, value)),
                _ => whole = None,
            }
        }
        whole
    }

    fn absent(_: &mut Reader<'_>) -> Option<Self> {
        Some(BTreeMap::new())
    }

    fn schema(definitions: &mut Definitions) -> Value {
        json!({
            "type": "object",
            "propertyNames": <K as Read>::schema(definitions),
            "additionalProperties": T::schema(definitions),
        })
    }
}

/// What a key of such a map says.
pub fn read_key<K: FromText>(entry: &Entry, reader: &mut Reader<'_>) -> Option<K> {
    let node = Node { kind: Kind::Text(entry.key.clone()), span: entry.key_span };
    K::read(&node, reader)
}
