//! The transports of the product, and all that the rest of the bridge knows of them.

use crate::http::Http;
use crate::transport::Transport;
use ironbridge_core::TransportFacts;
use std::sync::Arc;

/// One line each.
pub(crate) fn all() -> Vec<Arc<dyn Transport>> {
    vec![Arc::new(Http)]
}

/// What each says of itself, for whoever writes pages about it.
pub fn transports() -> Vec<&'static TransportFacts> {
    all().iter().map(|transport| transport.facts()).collect()
}
