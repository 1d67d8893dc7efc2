//! A declared operation, as HTTP requests meet it.

use crate::delivery::HttpDelivery;
use crate::passes::Passes;
use crate::way::Way;
use ironbridge_core::{Delivery, Flow, Pipeline};
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
    pub(crate) fn way(&self) -> Option<&Arc<Way>> {
        HttpDelivery::way(&*self.delivery)
    }
}
