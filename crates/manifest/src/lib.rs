//! The manifest: a directory of YAML files becomes checked types, or diagnostics that point at the line.
//!
//! [`load`] is the way in. Everything after it works with [`Manifest`], in which every value has been parsed and
//! every name resolves. Nothing here knows the network, the store or the engine.

#![warn(missing_docs)]

mod belongs;
mod check;
mod diagnostic;
mod findings;
mod init;
mod keys;
mod load;
pub mod model;
mod outline;
mod place;
mod range;
mod reader;
mod redact;
mod reference;
mod regular;
mod schema;
mod sections;
mod slip;
mod topics;
mod value;
mod walk;
mod yaml;

/// What [`section!`], [`words!`] and [`one_of!`] are written in, for sections that another crate declares.
pub mod declare {
    pub use crate::keys::{Part, Read, Section, only_key, word};
    pub use crate::reader::{Keys, Reader};
    pub use crate::schema::{Definitions, Key, Need, one_word, paragraph};
    pub use crate::yaml::Node;
    pub use serde_json::Value;
}

pub use diagnostic::{Diagnostic, Diagnostics, Place};
pub use findings::{Finding, Severity, finding, findings};
pub use init::init_files;
pub use load::{Loaded, Observed, Positions, folders, load, load_sources, load_with};
pub use model::*;
pub use reader::Files;
pub use reference::{KeyPage, key_pages, reference_markdown};
pub use regular::open_regular;
pub use schema::{json_schema, json_schema_with};
pub use sections::Sections;
pub use topics::{Topic, topics};
pub use value::*;
