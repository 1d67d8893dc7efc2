//! Connections to targets: one [`Upstream`] per identity, one [`Pool`] per core and upstream.
//!
//! In layers, each of which knows only those before it: a request's body and what is kept of it; the target, and how
//! much of it an account may hold; one connection; a core's connections; an answer, which gives its connection back;
//! sending.

mod address;
mod body;
mod error;
mod leaving;
mod link;
mod open;
mod pool;
mod reply;
mod send;
mod sent;
mod share;
mod streams;
mod target;

pub use body::{Again, BoxError, OutBody, StreamedBody};
pub use error::{BodyFault, SendError};
pub use pool::{Pool, Pools};
pub use reply::PooledBody;
pub use send::{Repeatable, is_idempotent};
pub use sent::Room;
pub use share::Holder;
pub use target::{Protocol, Settings, Upstream, UpstreamError};
