//! Callers that never get as far as a request, in the operator's log: nothing else tells of them.

use ironbridge_net::tls::server::HandshakeError;
use parking_lot::Mutex;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// One line a kind in this time: who probes a port must not fill the log.
const WINDOW: Duration = Duration::from_secs(60);

/// What was told of one listener. The kinds are a few.
#[derive(Debug, Default)]
pub struct Handshakes(Mutex<Vec<Kind>>);

#[derive(Debug)]
struct Kind {
    name: &'static str,
    since: Instant,
    untold: u64,
}

impl Handshakes {
    pub fn refused(&self, error: &HandshakeError, listener: SocketAddr, peer: IpAddr) {
        let address = peer.to_canonical();
        let HandshakeError::Refused { kind, why } = error else {
            return tracing::debug!(%listener, %address, "a caller left before its handshake was over");
        };
        match self.counted(kind, Instant::now()) {
            Some(untold) => {
                let untold_before = Some(untold).filter(|count| *count > 0);
                tracing::info!(%listener, %address, kind, %why, untold_before, "a caller's handshake came to nothing");
            }
            None => tracing::debug!(%listener, %address, kind, %why, "a caller's handshake came to nothing"),
        }
    }

    /// How many of the kind had no line since the last, where this one has one.
    fn counted(&self, kind: &'static str, now: Instant) -> Option<u64> {
        let mut kinds = self.0.lock();
        let Some(known) = kinds.iter_mut().find(|known| known.name == kind) else {
            kinds.push(Kind { name: kind, since: now, untold: 0 });
            return Some(0);
        };
        if now.saturating_duration_since(known.since) < WINDOW {
            known.untold = known.untold.saturating_add(1);
            return None;
        }
        known.since = now;
        Some(std::mem::take(&mut known.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_one_line_a_minute_and_then_a_count() {
        let handshakes = Handshakes::default();
        let begun = Instant::now();
        let at = |second, kind| handshakes.counted(kind, begun + Duration::from_secs(second));
        assert_eq!(at(0, "plain-http"), Some(0));
        for _ in 0..30 {
            assert_eq!(at(59, "plain-http"), None);
        }
        assert_eq!(at(59, "too-slow"), Some(0), "another kind");
        assert_eq!(at(60, "plain-http"), Some(30));
        assert_eq!(at(120, "plain-http"), Some(0));
    }
}
