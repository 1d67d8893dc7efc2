//! Which time it is, as far as that can be believed. Retention drops records for good by the clock alone, so a clock
//! that jumped forward must not be believed until somebody says that it is right.

use ironbridge_core::{Clock, Timestamp};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// How much time may pass unobserved: while the bridge was stopped, or because the clock was set forward. A bridge that
/// was stopped for longer asks.
const UNOBSERVED: Duration = Duration::from_secs(24 * 3600);
/// That allowance comes back as the bridge runs: a day for each week. So many steps do not go further than one.
const EARNED_IN: u32 = 7;

pub(crate) struct Believed {
    clock: Arc<dyn Clock>,
    last: Mutex<Last>,
}

/// What was last believed, to be remembered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Moment {
    pub time: Timestamp,
    /// How much of the allowance is used up.
    pub unobserved: Duration,
}

#[derive(Clone, Copy)]
struct Last {
    /// Its time never goes back: a clock that begins at 1970 until it is set does not make the right time a leap.
    moment: Moment,
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
    pub fn since(clock: Arc<dyn Clock>, last: Option<Moment>) -> Believed {
        let right = || Moment { time: clock.now(), unobserved: Duration::ZERO };
        let last = Last { moment: last.unwrap_or_else(right), at: clock.monotonic() };
        Believed { clock, last: Mutex::new(last) }
    }

    /// What is to be remembered: the clock's time, unless that leapt.
    pub fn now(&self) -> Moment {
        self.read().0
    }

    /// Whether the clock may be believed.
    pub fn check(&self) -> Result<(), Doubt> {
        self.read().1.map_or(Ok(()), Err)
    }

    /// Somebody else said that it was this time, not long ago: no more than that has passed unobserved.
    pub fn witnessed(&self, time: Timestamp) {
        let (time, at) = (time.min(self.clock.now()), self.clock.monotonic());
        let mut last = self.last.lock();
        if time > last.moment.time.plus(at.saturating_sub(last.at)) {
            *last = Last { moment: Moment { time, unobserved: Duration::ZERO }, at };
        }
    }

    fn read(&self) -> (Moment, Option<Doubt>) {
        let (now, at) = (self.clock.now(), self.clock.monotonic());
        let mut last = self.last.lock();
        let elapsed = at.saturating_sub(last.at);
        let expected = last.moment.time.plus(elapsed);
        if now < expected {
            // It may be behind for long, such as before it is set; what has passed is not forgotten meanwhile.
            return (Moment { time: last.moment.time.max(now), ..last.moment }, None);
        }
        let leap = Duration::from_micros(now.micros().saturating_sub(expected.micros()));
        let used = last.moment.unobserved.saturating_sub(elapsed / EARNED_IN);
        let unobserved = used.saturating_add(leap);
        if unobserved > UNOBSERVED {
            return (last.moment, Some(Doubt { clock: now, believed: expected }));
        }
        *last = Last { moment: Moment { time: now, unobserved }, at };
        (last.moment, None)
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
        let believed = Believed::since(
            Arc::clone(&hands) as _,
            Some(Moment { time: Timestamp::from_seconds(last), ..Moment::default() }),
        );
        for (number, (wall, passed, good)) in steps.iter().enumerate() {
            let mut now = hands.0.lock();
            *now = (now.0.saturating_add_signed(*wall), now.1 + passed);
            drop(now);
            assert_eq!(believed.check().is_ok(), *good, "step {number}");
            let _ = believed.now();
        }
    }

    #[test]
    fn what_others_saw_of_the_time_is_believed_as_far_as_the_clock_agrees() {
        let hands = Arc::new(Hands(Mutex::new((1060 * DAY, 5))));
        let last = Moment { time: Timestamp::from_seconds(1000 * DAY), ..Moment::default() };
        let believed = Believed::since(Arc::clone(&hands) as _, Some(last));
        let doubts_after = |seen: u64| {
            believed.witnessed(Timestamp::from_seconds(seen * DAY));
            believed.check().is_err()
        };
        assert!(doubts_after(900), "long ago");
        assert!(doubts_after(1001), "the clock is far ahead of that, too");
        assert!(!doubts_after(2000), "no more than the clock says");
        assert_eq!(believed.now().time, Timestamp::from_seconds(1060 * DAY));
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
        // Many steps, each below the bound, and the time that has to pass for another.
        let (most, hour) = (23 * 3600, 3600);
        believes(
            1000 * DAY,
            1000 * DAY,
            &[(most, 1, true), (most, 1, false), (hour - most, 1, true), (most, 1, false)],
        );
        believes(
            1000 * DAY,
            1000 * DAY,
            &[(most, 1, true), (8 * day, 7 * DAY, true), (8 * day, 7 * DAY, true)],
        );
        // Days before the clock is set at all.
        believes(1000 * DAY, 10, &[(3 * day, 3 * DAY, true), (1000 * day, 20, true)]);
        // From 1970 to what is right.
        believes(1000 * DAY, 10, &[(0, 0, true), (1000 * day, 20, true), (3 * day, 0, false)]);
    }
}
