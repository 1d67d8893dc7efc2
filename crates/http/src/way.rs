//! How an operation reaches a target over HTTP.

use crate::location::WayBack;
use crate::passes::Passes;
use crate::rewrite::Rewrite;
use crate::target::Target;
use std::sync::Arc;
use std::time::Duration;

/// How one operation reaches its HTTP target, compiled once per load of the manifest.
pub struct Way {
    pub target: Arc<Target>,
    /// The path at the target, where it is not the one that was asked for.
    pub rewrite: Option<Rewrite>,
    /// Where what the target refers to is reached at the bridge.
    pub way_back: Arc<WayBack>,
    /// Which fields cross.
    pub passes: Arc<Passes>,
    /// Until the target's reply begins; until it ended, where a control reads it.
    pub timeout: Duration,
    /// A control reads the reply, so the target is asked for a whole, uncompressed one.
    pub reply_is_read: bool,
}

impl Way {
    /// The path at the target, for what was asked for below the integration's own.
    pub(crate) fn delivered(&self, asked: &str) -> String {
        let mut path = String::with_capacity(self.target.base.len() + asked.len() + 64);
        path.push_str(&self.target.base);
        match &self.rewrite {
            None => path.push_str(asked),
            Some(rewrite) => rewrite.write(&mut path, asked),
        }
        if path.is_empty() {
            path.push('/');
        }
        path
    }
}
