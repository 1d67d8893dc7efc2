//! Which time it is, as far as that can be believed. Retention drops records for good by the clock alone, so a clock
//! that jumped forward must not be believed until somebody says that it is right.

use ironbridge_core::{Clock, Timestamp};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// How far the clock may run ahead of what was last believed. A bridge that was stopped for longer asks, too.
const LEAP: Duration = Duration::from_secs(24 * 3600);

pub(crate) struct Believed {
    clock: Arc<dyn Clock>,
    last: Mutex<Last>,
}

#[derive(Clone, Copy)]
struct Last {
    /// Never goes back: a clock that begins at 1970 until it is set does not make the right time a leap.
    time: Timestamp,
    /// When that was, as the clock's monotonic time.
    at: Duration,
}

/// The clock is far ahead of what was last believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Doubt {
    pub clock: Timestamp,
    pub believed: Timestamp,
}

impl Believed {
    /// `last` is what was believed when the trail was last written; `None` makes the clock right.
    pub fn since(clock: Arc<dyn Clock>, last: Option<Timestamp>) -> Believed {
        let last = Last { time: last.unwrap_or_else(|| clock.now()), at: clock.monotonic() };
        Believed { clock, last: Mutex::new(last) }
    }

    /// The time to be remembered: the clock's, unless that leapt.
    pub fn now(&self) -> Timestamp {
        self.read().0
    }

    /// Whether the clock may be believed.
    pub fn check(&self) -> Result<(), Doubt> {
        self.read().1.map_or(Ok(()), Err)
    }

    fn read(&self) -> (Timestamp, Option<Doubt>) {
        let (now, at) = (self.clock.now(), self.clock.monotonic());
        let mut last = self.last.lock();
        let expected = last.time.plus(at.saturating_sub(last.at));
        if now > expected.plus(LEAP) {
            return (last.time, Some(Doubt { clock: now, believed: expected }));
        }
        *last = Last { time: last.time.max(now), at };
        (last.time, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Hands(Mutex<(u64, u64)>);

    impl Clock for Hands {
        fn now(&self) -> Timestamp {
            Timestamp::from_seconds(self.0.lock().0)
        }
        fn monotonic(&self) -> Duration {
            Duration::from_secs(self.0.lock().1)
        }
    }

    const DAY: u64 = 86_400;

    /// By how much clock and monotonic time go on, and whether the clock is believed then.
    fn believes(last: u64, begin: u64, steps: &[(i64, u64, bool)]) {
        let hands = Arc::new(Hands(Mutex::new((begin, 5))));
        let believed = Believed::since(Arc::clone(&hands) as _, Some(Timestamp::from_seconds(last)));
        for (number, (wall, passed, good)) in steps.iter().enumerate() {
            let mut now = hands.0.lock();
            *now = (now.0.saturating_add_signed(*wall), now.1 + passed);
            drop(now);
            assert_eq!(believed.check().is_ok(), *good, "step {number}");
            let _ = believed.now();
        }
    }

    #[test]
    fn a_leap_forward_is_doubted_until_it_is_taken_back() {
        let day = DAY.cast_signed();
        // A start an hour later, and weeks without a record.
        believes(1000 * DAY, 1000 * DAY + 3600, &[(0, 0, true), (30 * day, 30 * DAY, true)]);
        // A start 60 days ahead stays in doubt, however long it runs.
        believes(1000 * DAY, 1060 * DAY, &[(0, 0, false), (30 * day, 30 * DAY, false), (-60 * day, 0, true)]);
        // A leap while it runs.
        believes(1000 * DAY, 1000 * DAY, &[(0, 0, true), (2 * day, 1, false), (-2 * day, 1, true)]);
        // From 1970 to what is right.
        believes(1000 * DAY, 10, &[(0, 0, true), (1000 * day, 20, true), (3 * day, 0, false)]);
    }
}
