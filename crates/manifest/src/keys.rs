//! One declaration of a manifest section gives its type, its reader, its JSON Schema and its reference page, so
//! that they cannot differ.

use crate::findings::finding;
use crate::reader::{Keys, Reader, listed, quoted};
use crate::schema::{Definitions, Key};
use crate::sections::Sections;
use crate::span::Span;
use crate::value::FromText;
use crate::yaml::{Entry, Kind, Node};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};

/// Something that can be read from a manifest and describe itself.
pub trait Read: Sized {
    /// Whether the key may be left out.
    const OPTIONAL: bool = false;

    /// The fixed keys of a map that is read.
    fn fixed(_sections: &Sections) -> Vec<&'static str> {
        Vec::new()
    }

    /// The checked value; `None` after reporting what is wrong with it.
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self>;

    /// The value when the key is left out; `None` when it may not be.
    fn absent(_reader: &mut Reader<'_>) -> Option<Self> {
        None
    }

    /// What may be written, as JSON Schema.
    fn schema(definitions: &mut Definitions) -> Value;
}

/// A map with fixed keys; which these are can depend on the sections that transports have.
pub trait Section {
    /// Its keys, in the order in which they are declared.
    fn keys(sections: &Sections) -> Vec<&'static str>;

    /// Keys that the design knows and this version does not.
    fn later(sections: &Sections) -> Vec<&'static str>;
}

/// Keys that can stand among others in one map: a section can have those of another besides its own.
pub trait Part: Section + Sized {
    /// Whether all of them may be left out.
    const OPTIONAL: bool;

    /// Reads them, and no others; `None` after reporting what is wrong.
    fn take(keys: &Keys<'_>, reader: &mut Reader<'_>) -> Option<Self>;

    /// What each of them means.
    fn describe(definitions: &mut Definitions) -> Vec<Key>;
}

/// Declares a section: a map with fixed keys. A field is required unless its type can be absent or a default
/// follows `=`, written as in a manifest. `as "key"` gives a key that is no Rust name; `later(...)` lists keys
/// that the design knows and this version does not. The keys of another section stand among its own where `with` names
/// it before them, or `and` behind them.
#[macro_export]
macro_rules! section {
    (
        $(#[doc = $doc:literal])*
        pub struct $name:ident $(later($($later:literal),*))? $(with $first:ident: $first_part:ty)? {
            $($(#[doc = $field_doc:literal])* $field:ident $(as $key:literal)?: $type:ty $(= $default:literal)?,)*
        }
        $(and $last:ident: $last_part:ty)?
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $(
                #[doc = concat!("What the keys of `", stringify!($first_part), "` say, which stand before its own.")]
                pub $first: $first_part,
            )?
            $($(#[doc = $field_doc])* $(#[doc = concat!("\n\nDefault: `", $default, "`.")])? pub $field: $type,)*
            $(
                #[doc = concat!("What the keys of `", stringify!($last_part), "` say, which stand behind its own.")]
                pub $last: $last_part,
            )?
        }

        impl $crate::declare::Section for $name {
            fn keys(_sections: &$crate::Sections) -> Vec<&'static str> {
                let own: Vec<&'static str> = vec![$($crate::__key_name!($field $($key)?)),*];
                [
                    $(<$first_part as $crate::declare::Section>::keys(_sections),)?
                    own,
                    $(<$last_part as $crate::declare::Section>::keys(_sections),)?
                ]
                .concat()
            }

            fn later(_sections: &$crate::Sections) -> Vec<&'static str> {
                let own: Vec<&'static str> = vec![$($($later),*)?];
                [
                    own,
                    $(<$first_part as $crate::declare::Section>::later(_sections),)?
                    $(<$last_part as $crate::declare::Section>::later(_sections),)?
                ]
                .concat()
            }
        }

        impl $crate::declare::Part for $name {
            const OPTIONAL: bool = true
                $(&& <$first_part as $crate::declare::Part>::OPTIONAL)?
                $(&& ($crate::__has_default!($($default)?) || <$type as $crate::declare::Read>::OPTIONAL))*
                $(&& <$last_part as $crate::declare::Part>::OPTIONAL)?;

            fn take(
                keys: &$crate::declare::Keys<'_>,
                reader: &mut $crate::declare::Reader<'_>,
            ) -> Option<Self> {
                $(let $first = <$first_part as $crate::declare::Part>::take(keys, reader);)?
                $(let $field = reader.key::<$type>(
                    keys,
                    $crate::__key_name!($field $($key)?),
                    $crate::__default_text!($($default)?),
                );)*
                $(let $last = <$last_part as $crate::declare::Part>::take(keys, reader);)?
                Some($name { $($first: $first?,)? $($field: $field?,)* $($last: $last?,)? })
            }

            fn describe(definitions: &mut $crate::declare::Definitions) -> Vec<$crate::declare::Key> {
                let parts = [
                    $(<$first_part as $crate::declare::Part>::describe(definitions),)?
                    vec![$($crate::declare::Key {
                        name: $crate::__key_name!($field $($key)?),
                        description: $crate::declare::paragraph(&[$($field_doc),*]),
                        default: $crate::__default_text!($($default)?),
                        need: $crate::declare::Need::of(
                            $crate::__has_default!($($default)?) || <$type as $crate::declare::Read>::OPTIONAL,
                        ),
                        schema: <$type as $crate::declare::Read>::schema(definitions),
                    }),*],
                    $(<$last_part as $crate::declare::Part>::describe(definitions),)?
                ];
                parts.into_iter().flatten().collect()
            }
        }

        impl $crate::declare::Read for $name {
            const OPTIONAL: bool = <Self as $crate::declare::Part>::OPTIONAL;

            fn fixed(sections: &$crate::Sections) -> Vec<&'static str> {
                <Self as $crate::declare::Section>::keys(sections)
            }

            fn read(
                node: &$crate::declare::Node,
                reader: &mut $crate::declare::Reader<'_>,
            ) -> Option<Self> {
                let keys = reader.keys::<Self>(node)?;
                let whole = <Self as $crate::declare::Part>::take(&keys, reader);
                whole.filter(|_| keys.are_sound())
            }

            fn absent(reader: &mut $crate::declare::Reader<'_>) -> Option<Self> {
                let may_be = <Self as $crate::declare::Part>::OPTIONAL;
                may_be.then(|| Self::read(&$crate::declare::Node::empty_map(), reader)).flatten()
            }

            fn schema(definitions: &mut $crate::declare::Definitions) -> $crate::declare::Value {
                definitions.section(stringify!($name), &[$($doc),*], <Self as $crate::declare::Part>::describe)
            }
        }
    };
}

/// Declares a choice between fixed words.
#[macro_export]
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

        impl $crate::declare::Read for $name {
            fn read(
                node: &$crate::declare::Node,
                reader: &mut $crate::declare::Reader<'_>,
            ) -> Option<Self> {
                $crate::declare::word(node, reader, &[$(($text, Self::$word)),*])
            }

            fn schema(_: &mut $crate::declare::Definitions) -> $crate::declare::Value {
                $crate::declare::one_word(
                    &[$($doc),*],
                    &[$(($text, $crate::declare::paragraph(&[$($word_doc),*]))),*],
                )
            }
        }
    };
}

/// Declares a section that holds exactly one of its keys.
#[macro_export]
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

        impl $crate::declare::Section for $name {
            fn keys(_: &$crate::Sections) -> Vec<&'static str> {
                vec![$($key),*]
            }

            fn later(_: &$crate::Sections) -> Vec<&'static str> {
                vec![$($($later),*)?]
            }
        }

        impl $crate::declare::Read for $name {
            fn fixed(sections: &$crate::Sections) -> Vec<&'static str> {
                <Self as $crate::declare::Section>::keys(sections)
            }

            fn read(
                node: &$crate::declare::Node,
                reader: &mut $crate::declare::Reader<'_>,
            ) -> Option<Self> {
                match $crate::declare::only_key::<Self>(node, reader)? {
                    $(($key, keys) => reader.key::<$type>(&keys, $key, None).map(Self::$variant),)*
                    _ => None,
                }
            }

            fn schema(definitions: &mut $crate::declare::Definitions) -> $crate::declare::Value {
                definitions.one_of(stringify!($name), &[$($doc),*], |definitions| vec![
                    $($crate::declare::Key {
                        name: $key,
                        description: $crate::declare::paragraph(&[$($key_doc),*]),
                        default: None,
                        need: $crate::declare::Need::Free,
                        schema: <$type as $crate::declare::Read>::schema(definitions),
                    },)*
                ])
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __key_name {
    ($field:ident) => {
        stringify!($field)
    };
    ($field:ident $key:literal) => {
        $key
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __has_default {
    () => {
        false
    };
    ($default:literal) => {
        true
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __default_text {
    () => {
        None
    };
    ($default:literal) => {
        Some($default)
    };
}

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
    let all = S::keys(reader.sections());
    let mut known = all.iter().copied().filter(|key| keys.entry(key).is_some());
    match (known.next(), known.next()) {
        (Some(only), None) => Some((only, keys)),
        // What is there instead was reported already.
        (None, _) if !keys.are_sound() => None,
        (first, _) => {
            reader.hide(node);
            let site = reader.site_of(node);
            let names = listed(&all);
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
        let (file, fixed) = (reader.file(), T::fixed(reader.sections()));
        let mut first: HashMap<&str, Span> = HashMap::new();
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
            if reader.is_misplaced(entry, &fixed) {
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
