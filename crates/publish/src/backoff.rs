//! How long to wait after a failure.

use ironbridge_core::Entropy;
use std::sync::Arc;
use std::time::Duration;

/// How long to wait after a failure: twice as long after each, with jitter, so that many bridges do not come back
/// to a sink at once.
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
    entropy: Arc<dyn Entropy>,
}

impl Backoff {
    pub fn new(first: Duration, longest: Duration, entropy: Arc<dyn Entropy>) -> Backoff {
        Backoff { first, longest, failures: 0, entropy }
    }

    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Between half and all of the step's time, and not less than the destination asked for. What it asks for is
    /// bounded by the longest wait too: a wrong number must not switch a destination off.
    pub fn next(&mut self, asked: Option<Duration>) -> Duration {
        let doubled = self.first.saturating_mul(1u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        let step = doubled.min(self.longest);
        self.failures = self.failures.saturating_add(1);
        let mut random = [0; 2];
        self.entropy.fill(&mut random);
        let wait = step / 2 + step / 2 * u32::from(u16::from_be_bytes(random)) / u32::from(u16::MAX);
        wait.max(asked.unwrap_or_default()).min(self.longest.max(step))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Always(u8);
    impl Entropy for Always {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(self.0);
        }
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        let waits = |jitter| {
            let mut backoff = Backoff::new(second, minute, Arc::new(Always(jitter)));
            (0..70).map(|_| backoff.next(None).as_millis()).collect::<Vec<_>>()
        };
        assert_eq!(waits(255)[..8], [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
        assert_eq!(waits(0)[..3], [500, 1000, 2000]);
        assert_eq!(waits(255)[69], 60_000);
        let mut backoff = Backoff::new(second, minute, Arc::new(Always(255)));
        assert_eq!(backoff.next(Some(second * 9)), second * 9);
        assert_eq!(backoff.next(Some(minute * 9)), minute);
        backoff.reset();
        assert_eq!(backoff.next(None), second);
    }
}
