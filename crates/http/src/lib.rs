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
mod fields;
mod foreign;
mod grpc;
mod handshakes;
pub mod hosts;
mod injected;
mod lasting;
pub mod left_out;
mod link;
pub mod location;
mod member;
mod mounted;
pub mod passes;
mod plain;
mod problem;
mod rarely;
mod refusal;
mod reply;
mod request;
pub mod rewrite;
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
mod websocket;
mod whole;

pub use caller::{ForwardingField, Proxies};
pub use connection::{Front, Shared};
pub use delivery::{HttpDelivery, Way};
pub use mounted::{Mount, Mounted, MountedReply};
pub use problem::Problems;
pub use routes::{Collision, Found, Routes};
pub use told::Told;

use hosts::Hosts;
use http::HeaderValue;
use ironbridge_core::{Delivery, Flow, Pipeline};
use ironbridge_identity::accounts::Directory;
use ironbridge_identity::token_endpoint::TokenEndpoint;
use passes::Passes;
use std::sync::Arc;
use std::time::Duration;

/// One declared operation, as requests meet it.
pub struct Route {
    /// The whole path pattern, integration path included.
    pub pattern: Box<str>,
    pub flow: Arc<Flow>,
    pub pipeline: Arc<Pipeline>,
    /// The integration's own path, which the target does not see.
    pub mount: Box<str>,
    /// Names of segments, counted from 0 below the mount.
    pub parameters: Box<[(Arc<str>, usize)]>,
    /// Which fields and query members cross.
    pub passes: Arc<Passes>,
    /// Where it leads.
    pub delivery: Arc<dyn Delivery>,
    /// For every pause within a reply that streams.
    pub idle_timeout: Duration,
    /// A control reads the reply.
    pub reply_is_read: bool,
    /// The connection may switch to WebSocket (RFC 6455).
    pub upgrades: bool,
}

impl Route {
    /// How it reaches its target, where that speaks HTTP.
    fn way(&self) -> Option<&Arc<Way>> {
        HttpDelivery::way(&*self.delivery)
    }
}

/// The part of a path, in either form, that is below another: as many segments are left out as that one has, because
/// they may be spelled in different ways.
fn below<'p>(path: &'p str, base: &str) -> &'p str {
    let segments = base.matches('/').count();
    path.match_indices('/').nth(segments).and_then(|(at, _)| path.get(at..)).unwrap_or_default()
}

/// Everything one listener serves, compiled from one load of the manifest.
pub struct Offer {
    pub routes: Routes,
    /// Judges what matches nothing declared: the admit controls, and then the refusal.
    pub undeclared: Undeclared,
    pub problems: Problems,
    /// The hosts it is for; requests for others are misdirected.
    pub hosts: Hosts,
    /// The bridge's name, as Via carries it.
    pub name: Box<str>,
    pub via_http1: HeaderValue,
    pub via_http2: HeaderValue,
    pub proxies: Proxies,
    /// The built-in token endpoint, where an account may use it.
    pub token_service: Option<TokenService>,
    /// For the whole body of a request.
    pub body_timeout: Duration,
    /// Services of the bridge itself.
    pub mounts: Vec<Mount>,
    /// Of which refusals the operator's log has lines.
    pub told: Told,
}

/// The built-in token endpoint with the accounts it knows.
#[derive(Clone)]
pub struct TokenService {
    pub endpoint: Arc<TokenEndpoint>,
    pub directory: Arc<Directory>,
}

pub struct Undeclared {
    pub flow: Arc<Flow>,
    pub pipeline: Arc<Pipeline>,
}
