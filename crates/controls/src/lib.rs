//! One module per control. No transport is known here: a control sees an [`ironbridge_core::Exchange`].
//!
//! Constructors take checked plain values; the engine translates the manifest into their calls. What has to be
//! compiled (schemas, rules, keep lists) is compiled there, once per load of the manifest, and shared.

pub mod address;
pub mod authenticate;
pub mod authorise;
pub mod body;
pub mod count;
pub mod idempotency;
mod implied;
pub mod keep;
pub mod limit;
mod order;
mod pattern;
pub mod rules;
pub mod schema;
mod shape;
pub mod subject;
pub mod suspended;

pub use implied::implied;
pub use order::ORDER;
