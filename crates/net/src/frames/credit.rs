//! What a caller may spend on frames that carry nothing, and how it earns it.

use super::weight::BYTES_FOR_ONE;
use std::time::Duration;
use tokio::time::Instant;

/// How fast credit comes, and how much there can be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    /// What time alone saves up.
    pub burst: u64,
    pub per_second: u64,
    /// What can be saved up at all.
    pub saved: u64,
}

#[derive(Debug)]
pub(super) struct Credit {
    rate: Rate,
    left: u64,
    since: Instant,
    bytes: u64,
}

impl Credit {
    pub fn new(rate: Rate, now: Instant) -> Credit {
        Credit { rate, left: rate.burst, since: now, bytes: 0 }
    }

    pub fn earn(&mut self, more: u64) {
        self.left = self.left.saturating_add(more).min(self.rate.saved);
    }

    pub fn moved(&mut self, bytes: u64) {
        self.bytes += bytes;
        if self.bytes >= BYTES_FOR_ONE {
            self.earn(self.bytes / BYTES_FOR_ONE);
            self.bytes %= BYTES_FOR_ONE;
        }
    }

    /// Whether there was enough.
    pub fn pay(&mut self, cost: u64, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.since);
        let nanos = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        let refill = nanos.saturating_mul(self.rate.per_second) / 1_000_000_000;
        if refill > 0 {
            self.since = now
                .checked_sub(Duration::from_nanos(nanos % (1_000_000_000 / self.rate.per_second)))
                .unwrap_or(now);
            if self.left < self.rate.burst {
                self.left = self.left.saturating_add(refill).min(self.rate.burst);
            }
        }
        let enough = self.left >= cost;
        self.left = self.left.saturating_sub(cost);
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credit_comes_back_with_time_and_traffic_and_is_bounded() {
        let begun = Instant::now();
        let rate = Rate { burst: 10, per_second: 10, saved: 100 };
        let mut credit = Credit::new(rate, begun);
        assert!(credit.pay(10, begun) && !credit.pay(1, begun));
        let at = |millis| begun + Duration::from_millis(millis);
        assert!(!credit.pay(1, at(90)));
        assert!(credit.pay(1, at(110)) && !credit.pay(1, at(120)));
        assert!(credit.pay(1, at(210)), "what is left of a tick is kept");
        assert!(credit.pay(10, at(60_000)) && !credit.pay(1, at(60_000)));
        credit.moved(BYTES_FOR_ONE / 2);
        credit.moved(BYTES_FOR_ONE / 2);
        assert!(credit.pay(1, at(60_000)) && !credit.pay(1, at(60_000)));
        credit.earn(1_000_000);
        assert!(credit.pay(100, at(60_000)) && !credit.pay(1, at(60_000)));
    }
}
