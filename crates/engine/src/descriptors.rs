//! Whether the system gives as many file descriptors as the manifest may need.

use ironbridge_manifest::finding::DESCRIPTORS_FEW;
use ironbridge_manifest::{Manifest, Observed};
use ironbridge_net::descriptors;
use std::io;

/// Raises the process's limit as far as it may, reserves descriptors for the trail and the store, and says so where
/// the rest is fewer than the manifest declares connections.
pub fn prepare(manifest: &Manifest) {
    for shortage in shortages(manifest, descriptors::prepare()) {
        tracing::warn!("{}", shortage.message);
    }
}

/// Connections that a bridge must be able to hold at the least: a few callers, and theirs to targets. With fewer it would
/// run and serve nobody.
const FEWEST: u64 = 8;

/// Whether enough are left to serve anybody, all but the listeners being open.
pub fn suffice(manifest: &Manifest) -> bool {
    let listeners = u64::try_from(manifest.bridge.listeners.len()).unwrap_or(u64::MAX);
    serve_somebody(&descriptors::left(), listeners)
}

fn serve_somebody(left: &io::Result<u64>, listeners: u64) -> bool {
    match left {
        Ok(left) => *left >= listeners.saturating_add(FEWEST),
        // What else keeps it from being told says nothing of their number.
        Err(error) => !descriptors::are_spent(error),
    }
}

/// The same for whoever checks a manifest on the machine that is to run it: where, and what.
pub fn too_few(manifest: &Manifest) -> Vec<Observed> {
    shortages(manifest, descriptors::available())
}

fn shortages(manifest: &Manifest, available: u64) -> Vec<Observed> {
    let listeners = &manifest.bridge.listeners;
    let declared: u64 = listeners.values().map(|listener| u64::from(listener.max_connections.value())).sum();
    if declared <= available {
        return Vec::new();
    }
    let told = listeners.iter().map(|(name, listener)| {
        let of = if listeners.len() > 1 { format!(", {declared} with the others") } else { String::new() };
        let message = format!(
            "listener `{name}` may hold {} connections{of}; the limit of open files leaves {available}, \
             those to targets included, so fewer are accepted",
            listener.max_connections.value(),
        );
        Observed::new(&DESCRIPTORS_FEW, &["bridge", "listeners", name], message)
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Plan;
    use ironbridge_core::SystemClock;

    #[test]
    fn only_what_lacks_keeps_it_from_starting() {
        for (left, suffices) in [
            (Ok(10), true),
            (Ok(9), false),
            // EMFILE, ENFILE, EACCES.
            (Err(24), false),
            (Err(23), false),
            (Err(13), true),
        ] {
            assert_eq!(serve_somebody(&left.map_err(io::Error::from_raw_os_error), 2), suffices, "{left:?}");
        }
    }

    #[test]
    fn a_shortage_is_told_in_numbers_and_at_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let text = "bridge: { name: b, listeners: { api: { address: \"127.0.0.1:8443\", max_connections: 1000 } } }\n";
        std::fs::write(dir.path().join("ironbridge.yaml"), text).unwrap();
        let plan = Plan::load(dir.path(), &SystemClock::default()).unwrap();
        assert!(shortages(&plan.manifest, 1000).is_empty());
        let told = shortages(&plan.manifest, 896);
        assert_eq!(told[0].at, ["bridge", "listeners", "api"]);
        assert!(
            told[0].message.contains("1000 connections;") && told[0].message.contains("leaves 896"),
            "{told:?}"
        );
    }
}
