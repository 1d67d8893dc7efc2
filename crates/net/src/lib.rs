//! Listeners, TLS, the HTTP/1 framing gate, upstream pools and the guarded outbound connector.
//!
//! **Invariant:** nothing here knows what a manifest means, and nothing here judges an exchange.
//!
//! Toward callers: [`listen`] hands connections to [`cores`], [`tls`] secures them, [`gate`] and [`frames`] look at what
//! passes before hyper does. Toward targets: [`upstream`], and for the bridge's own questions [`fetch`], over one guarded
//! connector that checks every address.

#![warn(missing_docs)]

pub mod address;
mod connect;
pub mod cores;
pub mod descriptors;
pub mod fetch;
pub mod frames;
pub mod framing;
pub mod gate;
mod linger;
pub mod listen;
mod names;
pub mod protocol;
mod resolver;
mod retry_after;
pub mod seats;
pub mod session;
pub mod tls;
mod to_target;
pub mod upstream;
mod wire;

pub use names::Names;
pub use retry_after::{retry_after, retry_after_field};
pub use wire::Wire;
