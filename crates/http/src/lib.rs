//! The HTTP transport: HTTP/1.1 and HTTP/2 in and out, WebSocket and gRPC passed through.
//!
//! A [`Front`] serves one listener on every core. It takes what hyper hands it, finds the declared operation in
//! the [`Offer`] (what one load of the manifest compiled to), and lets [`ironbridge_core::cross`] carry the
//! exchange: an `HttpSource` reads the request, and the operation's delivery sends it, an [`HttpDelivery`] where the
//! target speaks HTTP too.

mod answer;
mod answer_body;
mod builtin;
mod caller;
mod connection;
pub mod credential;
mod delivery;
mod desk;
mod fields;
mod foreign;
mod grpc;
mod handshakes;
pub mod hosts;
mod idempotency_key;
mod injected;
mod lasting;
pub mod left_out;
mod link;
pub mod location;
mod member;
mod mounted;
mod offer;
pub mod passes;
mod plain;
mod problem;
mod rarely;
mod refusal;
mod reply;
mod request;
pub mod rewrite;
mod route;
mod routes;
mod service;
mod source;
pub mod status;
mod switched;
pub mod target;
mod told;
mod unattended;
mod unseen;
mod waiting;
mod watch;
mod way;
mod websocket;
mod whole;
mod worker;

pub use caller::{ForwardingField, Proxies};
pub use delivery::HttpDelivery;
pub use mounted::{Mount, Mounted, MountedReply};
pub use offer::{Offer, TokenService, Undeclared};
pub use problem::Problems;
pub use route::Route;
pub use routes::{Collision, Found, Routes};
pub use told::Told;
pub use way::Way;
pub use worker::{Front, Shared};
