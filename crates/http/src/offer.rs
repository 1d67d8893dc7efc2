//! What one listener offers, compiled from one load of the manifest.

use crate::caller::Proxies;
use crate::hosts::Hosts;
use crate::mounted::Mount;
use crate::problem::Problems;
use crate::routes::Routes;
use crate::told::Told;
use http::HeaderValue;
use ironbridge_core::{Flow, Pipeline};
use ironbridge_identity::accounts::Directory;
use ironbridge_identity::token_endpoint::TokenEndpoint;
use std::sync::Arc;
use std::time::Duration;

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
