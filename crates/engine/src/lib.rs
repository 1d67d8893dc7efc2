//! From a manifest to a running bridge: opens what lasts ([`Home`]), compiles what is declared ([`plan`]), wires it
//! together, and replaces it under traffic ([`Bridge::reload`]).

mod accounts;
mod actions;
mod as_left;
mod bridge;
mod carried;
mod controls;
mod descriptors;
mod home;
mod http;
mod issuers;
mod judge;
mod lapsed;
mod lasting;
mod log_keys;
mod material;
pub mod passages;
pub mod plan;
mod publishing;
mod schema_doubts;
mod schema_words;
mod services;
mod standing;
mod store_watch;
mod tend;
pub mod transport;
mod transports;
mod watch;

pub use bridge::{Bridge, ReloadError, Reloaded, StartError, Stopped};
pub use home::{Home, HomeError, audit_dir};
pub use ironbridge_store::Actor;
pub use log_keys::{LogKey, LogKeys, LogKeysError};
pub use material::MaterialError;
pub use plan::Plan;
pub use services::ServiceError;
pub use transport::BuildError;
pub use transports::transports;
pub use watch::{Watch, WatchError};
