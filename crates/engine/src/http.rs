//! The HTTP transport, wired to a manifest: what each listener offers, and where it listens.

pub mod listeners;
mod mounts;
pub mod offer;
mod paths;
