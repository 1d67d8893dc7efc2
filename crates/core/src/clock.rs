//! Time and chance, passed in so that tests own them.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Microseconds since the Unix epoch, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Whole seconds since 1970, UTC.
    pub const fn from_seconds(seconds: u64) -> Timestamp {
        Timestamp(seconds.saturating_mul(1_000_000))
    }

    /// Whole seconds since 1970, UTC, rounded down.
    pub const fn seconds(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Microseconds since 1970, UTC.
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// So much later; the last moment there is, where that would be beyond it.
    pub fn plus(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }

    /// So much earlier, 1970 at the earliest.
    pub fn minus(self, duration: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)))
    }

    /// Time from `earlier` until `self`; zero when `earlier` is later.
    pub const fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// Time, passed in so that tests own it.
pub trait Clock: Send + Sync {
    /// Wall-clock time: for expiry, records and anything another system also measures.
    fn now(&self) -> Timestamp;
    /// Time since some fixed instant that never runs backwards: for limits and durations.
    fn monotonic(&self) -> Duration;
}

/// Randomness, passed in so that tests own it.
pub trait Entropy: Send + Sync {
    /// Fills the buffer with bytes fit for keys.
    fn fill(&self, buffer: &mut [u8]);
}

/// The machine's own clocks.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    origin: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock { origin: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }
}
