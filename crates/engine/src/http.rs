//! The HTTP transport, wired to a manifest: what each listener offers and where it listens, and which systems are
//! reached how.

pub mod connect;
mod listeners;
mod mounts;
mod offer;
mod paths;
mod targets;
mod ways;

use crate::transport::{Egress, Ingress, Transport};
use ironbridge_core::TransportFacts;
use ironbridge_http::status::TRANSPORT;
use listeners::Listeners;
use std::sync::Arc;
use targets::Targets;

/// HTTP/1.1 and HTTP/2, with WebSocket and gRPC passed through.
pub struct Http;

impl Transport for Http {
    fn facts(&self) -> &'static TransportFacts {
        &TRANSPORT
    }

    fn ingress(&self) -> Box<dyn Ingress> {
        Box::new(Listeners::default())
    }

    fn egress(&self) -> Arc<dyn Egress> {
        Arc::new(Targets::default())
    }
}
