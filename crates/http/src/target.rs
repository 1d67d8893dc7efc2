//! A target as an operation reaches it: which connection, which credential.

use crate::credential::TargetCredential;
use ironbridge_net::upstream::Upstream;
use std::sync::Arc;

/// One target system over HTTP, under one identity of the bridge's.
pub struct Target {
    pub upstream: Arc<Upstream>,
    pub credential: TargetCredential,
    /// The most of its connections that one account may hold.
    pub share: usize,
    /// The target URL's own path, without a trailing slash; often empty.
    pub base: Box<str>,
    /// It is told the caller's address.
    pub caller_address: bool,
}
