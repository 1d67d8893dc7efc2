//! The manifest: a directory of YAML files becomes checked types, or diagnostics that point at the line.
//!
//! [`load`] is the way in. Everything after it works with [`Manifest`], in which every value has been parsed and
//! every name resolves. Nothing here knows the network, the store or the engine.

#![warn(missing_docs)]

mod belongs;
mod check;
pub mod declare;
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
mod span;
mod topics;
mod value;
mod walk;
mod yaml;

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
