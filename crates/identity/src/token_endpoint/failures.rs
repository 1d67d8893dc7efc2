//! How often a client failed to authenticate lately: counted in a table of fixed size, so that invented client
//! ids cannot fill memory. Two clients may share a place; at worst one is told to wait a little early.

use ahash::RandomState;
use ironbridge_core::{Timestamp, subscriber};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const PLACES: usize = 1024;
/// Ours: a person mending a configuration does not notice it, a guessing program does.
const PER_MINUTE: u64 = 10;
/// Of one address, whichever clients it names: many share one, behind a proxy or translation.
const PER_MINUTE_AND_ADDRESS: u64 = 60;
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
    /// Counts a failure; says how long to wait once there were too many in this minute, for this client or from this
    /// address. Where nobody knows it, all such are counted together.
    pub fn count(&self, client_id: &str, address: Option<IpAddr>, now: Timestamp) -> Option<Duration> {
        let of_client = self.add(("client", client_id), PER_MINUTE, now);
        let of_address = self.add(("address", address.map(subscriber)), PER_MINUTE_AND_ADDRESS, now);
        of_client.or(of_address)
    }

    fn add(&self, whose: impl Hash, most: u64, now: Timestamp) -> Option<Duration> {
        let place = usize::try_from(self.hasher.hash_one(whose) % 1024).unwrap_or_default();
        let minute = now.seconds() / 60;
        let counted = |before: u64| match before >> COUNT_BITS == minute {
            true => (before & ((1 << COUNT_BITS) - 1)).saturating_add(1).min((1 << COUNT_BITS) - 1),
            false => 1,
        };
        let next = |before| Some(minute << COUNT_BITS | counted(before));
        let before = self.places.get(place)?.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).ok()?;
        (counted(before) > most).then(|| Duration::from_secs(60 - now.seconds() % 60))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_tries_many_clients_has_to_wait_too() {
        let failures = Failures::default();
        let now = Timestamp::from_seconds(6000);
        let count =
            |client: u32, address: &str| failures.count(&client.to_string(), address.parse().ok(), now);
        let refused = (0..300).filter(|client| count(*client, "2001:db8::1").is_some()).count();
        assert!(refused >= 240, "{refused}");
        assert!(count(1000, "2001:db8::2").is_some(), "one subscriber");
        // Places are shared by chance, so one of several is as good as all.
        assert!((0..9u32).any(|other| count(2000 + other, &format!("192.0.2.{other}")).is_none()));
    }

    #[test]
    fn the_eleventh_failure_in_a_minute_has_to_wait() {
        let failures = Failures::default();
        let here = "192.0.2.1".parse().ok();
        let at = |second: u64| Timestamp::from_seconds(6000 + second);
        for _ in 0..10 {
            assert_eq!(failures.count("a", here, at(1)), None);
        }
        assert_eq!(failures.count("a", here, at(20)), Some(Duration::from_secs(40)));
        assert_eq!(failures.count("a", here, at(60)), None);
    }
}
