//! One declaration of a manifest section gives its type, its reader, its JSON Schema and its reference page, so
//! that they cannot differ.

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
    };
}

/// Declares a section that holds exactly one of its keys.
macro_rules! one_of {
    (
        $(#[doc = $doc:literal])*
        pub enum $name:ident { $($(#[doc = $key_doc:literal])* $variant:ident($type:ty) = $key:literal,)* }
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub enum $name { $($(#[doc = $key_doc])* $variant($type),)* }
    };
}

pub(crate) use {one_of, section, words};
