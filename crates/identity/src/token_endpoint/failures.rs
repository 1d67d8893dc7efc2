//! How often a client failed to authenticate lately: counted in a table of fixed size, so that invented client
//! ids cannot fill memory. Two clients may share a place; at worst one is told to wait a little early.

use ahash::RandomState;
use ironbridge_core::Timestamp;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const PLACES: usize = 1024;
/// Ours: a person mending a configuration does not notice it, a guessing program does.
const PER_MINUTE: u64 = 10;
/// A place holds the minute above and the count below.
const COUNT_BITS: u32 = 16;

pub(super) struct Failures {
    places: Box<[AtomicU64]>,
    /// Keyed at random, so that nobody can aim at another client's place.
    hasher: RandomState,
}

impl Default for Failures {
    fn default() -> Self {
        Failures { places: (0..PLACES).map(|_| AtomicU64::new(0)).collect(), hasher: RandomState::new() }
    }
}

impl Failures {
    /// Counts a failure; says how long to wait once there were too many in this minute.
    pub fn count(&self, client_id: &str, now: Timestamp) -> Option<Duration> {
        let place = usize::try_from(self.hasher.hash_one(client_id) % 1024).unwrap_or_default();
        let minute = now.seconds() / 60;
        let counted = |before: u64| match before >> COUNT_BITS == minute {
            true => (before & ((1 << COUNT_BITS) - 1)).saturating_add(1).min((1 << COUNT_BITS) - 1),
            false => 1,
        };
        let next = |before| Some(minute << COUNT_BITS | counted(before));
        let before = self.places.get(place)?.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).ok()?;
        (counted(before) > PER_MINUTE).then(|| Duration::from_secs(60 - now.seconds() % 60))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_eleventh_failure_in_a_minute_has_to_wait() {
        let failures = Failures::default();
        let at = |second: u64| Timestamp::from_seconds(6000 + second);
        for _ in 0..10 {
            assert_eq!(failures.count("a", at(1)), None);
        }
        assert_eq!(failures.count("a", at(20)), Some(Duration::from_secs(40)));
        assert_eq!(failures.count("a", at(60)), None);
    }
}
