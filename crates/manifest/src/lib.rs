//! The manifest: a directory of YAML files becomes checked types, or diagnostics that point at the line.
//!
//! Nothing here knows the network, the store or the engine; the only thing read is the directory itself.

mod keys;
pub mod model;
mod value;

pub use model::*;
pub use value::*;
