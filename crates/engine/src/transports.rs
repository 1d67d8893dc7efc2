//! The transports of the product, and all that the rest of the bridge knows of them.

use crate::http::Http;
use crate::transport::Transport;
use std::sync::Arc;

/// One line each.
pub fn all() -> Vec<Arc<dyn Transport>> {
    vec![Arc::new(Http)]
}
