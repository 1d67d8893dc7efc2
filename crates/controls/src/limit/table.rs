use ahash::RandomState;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::time::Duration;

/// So many per window. The whole quota may be used at once; it then refills evenly, one per `window / count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    count: u64,
    window: Duration,
    /// Nanoseconds in which one comes back, rounded up.
    interval: u64,
}

/// Why a declared limit cannot be counted. The operator's fault, told when the manifest is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuotaError {
    /// It lets nothing pass.
    #[error("a limit of 0 would refuse everything; remove the operation instead")]
    Nothing,
    /// Too short or too long a window.
    #[error("the window must be between 1 millisecond and 366 days")]
    Window,
    /// More than the clock can tell apart.
    #[error("the limit is higher than one per nanosecond")]
    TooMany,
}

impl Quota {
    /// # Errors
    /// A count of 0, a window outside 1 ms to 366 days, or more than one per nanosecond.
    pub fn new(count: u64, window: Duration) -> Result<Quota, QuotaError> {
        const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);
        if count == 0 {
            return Err(QuotaError::Nothing);
        }
        if window < Duration::from_millis(1) || window > LONGEST {
            return Err(QuotaError::Window);
        }
        if count > nanoseconds(window) {
            return Err(QuotaError::TooMany);
        }
        Ok(Quota { count, window, interval: nanoseconds(window).div_ceil(count) })
    }

    /// How many may pass in a window.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// In which time they may.
    pub fn window(&self) -> Duration {
        self.window
    }

    /// Nanoseconds until a quota that is used up is whole again.
    fn whole(self) -> u64 {
        self.interval.saturating_mul(self.count)
    }

    /// Judges one more, with `ahead` nanoseconds of the quota spoken for.
    fn judge(self, ahead: u64) -> Count {
        let with_this = ahead.saturating_add(self.interval);
        match with_this.checked_sub(self.whole()) {
            Some(wait) if wait > 0 => Count::Refused { wait: Duration::from_nanos(wait) },
            _ => Count::Passed {
                remaining: (self.whole() - with_this) / self.interval,
                reset: Duration::from_nanos(with_this),
            },
        }
    }
}

/// What a counter says to one more exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    /// `reset` is the time until the quota is whole again.
    Passed { remaining: u64, reset: Duration },
    /// One more passes after exactly `wait`, if nobody else takes it.
    Refused { wait: Duration },
}

/// Which limit, and whose counter of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub limit: u64,
    pub subject: [u64; 2],
}

/// The counters of every limit. It outlives reloads of the manifest: counters are found by the limit's stable
/// name, so a reload resets none of them.
///
/// Memory is bounded by the capacity. When a shard is full, counters that are whole again are dropped first; if
/// all are in use, the emptiest eighth goes, which forgives the callers that used least of their quota and never
/// the one that used most.
pub struct LimitTable {
    counters: Shards,
    /// What succeeded lately. It is remembered for far longer than a quota is spoken for, so in one table with the
    /// counters it would be what stays.
    successes: Shards,
    hasher: RandomState,
}

struct Shards {
    shards: [Mutex<Shard>; SHARDS],
    /// Of each.
    capacity: usize,
}

/// Instants, in nanoseconds of the monotonic clock, up to which a key's quota is spoken for, or a success remembered.
type Shard = HashMap<Key, u64, RandomState>;

/// Enough that two cores seldom want the same lock, which is held for tens of nanoseconds.
const SHARDS: usize = 64;

impl Default for LimitTable {
    /// 229,376 counters, about 9 MB when full: as many as fit before the maps inside would double.
    fn default() -> Self {
        LimitTable::new(SHARDS * (4096 / 8 * 7))
    }
}

impl LimitTable {
    /// A table of at most `capacity` counters, rounded up to a multiple of 64 and at least 512; and of a quarter as
    /// many successes.
    pub fn new(capacity: usize) -> LimitTable {
        let hasher = RandomState::new();
        LimitTable {
            counters: Shards::new(capacity, &hasher),
            successes: Shards::new(capacity / 4, &hasher),
            hasher,
        }
    }

    /// How many counters it holds.
    pub fn len(&self) -> usize {
        self.counters.len()
    }

    /// Whether nobody is counted now.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A name as a number. The hash is keyed anew in every process, so nobody outside can make two names meet.
    pub(super) fn number(&self, name: impl std::hash::Hash) -> u64 {
        self.hasher.hash_one(name)
    }

    /// Takes one from the quota, or says how long until one is there.
    pub(super) fn take(&self, key: Key, quota: Quota, now: Duration) -> Count {
        let now = nanoseconds(now);
        let mut shard = self.counters.of(&self.hasher, &key).lock();
        let ahead = ahead(shard.get(&key).copied(), quota, now);
        let count = quota.judge(ahead);
        if let Count::Passed { .. } = count {
            let spoken_for = now.saturating_add(ahead).saturating_add(quota.interval);
            self.counters.put(&mut shard, key, spoken_for, now);
        }
        count
    }

    /// What [`LimitTable::take`] would say, without taking.
    pub(super) fn peek(&self, key: Key, quota: Quota, now: Duration) -> Count {
        let known = self.counters.of(&self.hasher, &key).lock().get(&key).copied();
        quota.judge(ahead(known, quota, nanoseconds(now)))
    }

    /// Remembers a success for this time. Where there is no room, what succeeded longest ago is forgotten.
    pub(super) fn remember(&self, key: Key, time: Duration, now: Duration) {
        let (time, now) = (nanoseconds(time), nanoseconds(now));
        let until = now.saturating_add(time);
        let mut shard = self.successes.of(&self.hasher, &key).lock();
        // That it is known to a twenty-fourth of the time is enough.
        if shard.get(&key).is_none_or(|known| known.saturating_add(time / 24) < until) {
            self.successes.put(&mut shard, key, until, now);
        }
    }

    pub(super) fn remembers(&self, key: Key, now: Duration) -> bool {
        let until = self.successes.of(&self.hasher, &key).lock().get(&key).copied();
        until.is_some_and(|until| until > nanoseconds(now))
    }
}

impl Shards {
    fn new(capacity: usize, hasher: &RandomState) -> Shards {
        Shards {
            shards: std::array::from_fn(|_| Mutex::new(Shard::with_hasher(hasher.clone()))),
            capacity: capacity.div_ceil(SHARDS).max(8),
        }
    }

    fn of(&self, hasher: &RandomState, key: &Key) -> &Mutex<Shard> {
        let [first, ..] = &self.shards;
        // The map inside takes the hash's low bits, so the choice of shard takes the high ones.
        let place = usize::try_from(hasher.hash_one(key) >> 58).unwrap_or(0);
        self.shards.get(place).unwrap_or(first)
    }

    /// `shard` is one of these.
    fn put(&self, shard: &mut Shard, key: Key, until: u64, now: u64) {
        if shard.len() >= self.capacity && !shard.contains_key(&key) {
            make_room(shard, now);
        }
        shard.insert(key, until);
    }

    fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }
}

/// How much of the quota is spoken for, in nanoseconds. Never more than all of it: a quota that a reload made
/// smaller must not refuse for longer than its own window.
fn ahead(known: Option<u64>, quota: Quota, now: u64) -> u64 {
    known.unwrap_or(0).saturating_sub(now).min(quota.whole())
}

fn make_room(shard: &mut Shard, now: u64) {
    let before = shard.len();
    shard.retain(|_, spoken_for| *spoken_for > now);
    if shard.len() < before {
        return;
    }
    let mut instants: Vec<u64> = shard.values().copied().collect();
    let eighth = instants.len() / 8;
    let (_, limit, _) = instants.select_nth_unstable(eighth);
    let limit = *limit;
    shard.retain(|_, spoken_for| *spoken_for > limit);
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: Key = Key { limit: 1, subject: [0, 2] };

    fn passed(count: Count) -> bool {
        matches!(count, Count::Passed { .. })
    }

    proptest! {
        #[test]
        fn no_window_sees_more_than_quota_and_burst(
            count in 1u64..50,
            window in 1u64..5_000,
            steps in proptest::collection::vec(0u64..200, 1..400),
        ) {
            let window = Duration::from_millis(window);
            let quota = Quota::new(count, window).unwrap();
            let table = LimitTable::default();
            let mut now = Duration::from_secs(1000);
            let mut passed: Vec<Duration> = Vec::new();
            for step in steps {
                now += Duration::from_millis(step);
                if let Count::Passed { remaining, reset } = table.take(KEY, quota, now) {
                    passed.push(now);
                    prop_assert!(remaining < count);
                    prop_assert!(reset <= Duration::from_nanos(quota.whole()));
                    let recent = passed.iter().filter(|at| now - **at < window).count() as u64;
                    prop_assert!(recent <= 2 * count, "{recent} in {window:?}");
                }
            }
        }

        #[test]
        fn the_wait_is_exact(count in 1u64..50, window in 1u64..5_000, start in 0u64..1_000_000) {
            let quota = Quota::new(count, Duration::from_millis(window)).unwrap();
            let table = LimitTable::default();
            let now = Duration::from_micros(start);
            for _ in 0..count {
                prop_assert!(passed(table.take(KEY, quota, now)));
            }
            let Count::Refused { wait } = table.take(KEY, quota, now) else { panic!("not refused") };
            let early = now + wait - Duration::from_nanos(1);
            prop_assert!(!passed(table.peek(KEY, quota, early)));
            prop_assert!(passed(table.take(KEY, quota, now + wait)));
        }

        #[test]
        fn memory_stays_bounded_and_the_busiest_is_remembered(subjects in 2_000u64..6_000) {
            let quota = Quota::new(10, Duration::from_secs(60)).unwrap();
            let table = LimitTable::new(512);
            let now = Duration::from_secs(5);
            let busiest = Key { limit: 1, subject: [u64::MAX; 2] };
            for _ in 0..10 {
                table.take(busiest, quota, now);
            }
            for subject in 0..subjects {
                table.take(Key { limit: 1, subject: [0, subject] }, quota, now);
            }
            prop_assert!(table.len() <= 512 + SHARDS, "{}", table.len());
            prop_assert!(!passed(table.take(busiest, quota, now)));
        }
    }

    #[test]
    fn successes_take_no_counters_place_and_the_last_stay() {
        let (minute, day) = (Duration::from_secs(60), Duration::from_secs(86_400));
        let quota = Quota::new(10, minute).unwrap();
        let table = LimitTable::new(512);
        let key = |subject| Key { limit: 1, subject: [7, subject] };
        for _ in 0..10 {
            table.take(KEY, quota, Duration::ZERO);
        }
        for subject in 1..=20_000 {
            let now = Duration::from_millis(subject);
            // Nobody's own success is the oldest for long.
            table.remember(key(0), minute, now);
            table.remember(key(subject), minute, now);
        }
        let now = Duration::from_secs(20);
        assert!(!passed(table.peek(KEY, quota, Duration::from_secs(1))), "the counter was forgotten");
        assert_eq!(table.len(), 1);
        assert!(table.successes.len() <= 512 + SHARDS, "{}", table.successes.len());
        assert!(table.remembers(key(0), now) && table.remembers(key(20_000), now));
        assert!(!table.remembers(key(1), now));

        table.remember(KEY, day, now);
        assert!(table.remembers(KEY, day) && !table.remembers(KEY, now + day));
    }

    #[test]
    fn a_smaller_quota_after_a_reload_waits_no_longer_than_its_window() {
        let table = LimitTable::default();
        let daily = Quota::new(10, Duration::from_secs(86_400)).unwrap();
        for _ in 0..10 {
            table.take(KEY, daily, Duration::ZERO);
        }
        let per_second = Quota::new(10, Duration::from_secs(1)).unwrap();
        let Count::Refused { wait } = table.take(KEY, per_second, Duration::ZERO) else {
            panic!("forgotten")
        };
        assert_eq!(wait, Duration::from_millis(100));
    }

    #[test]
    fn impossible_quotas_are_refused() {
        assert_eq!(Quota::new(0, Duration::from_secs(1)), Err(QuotaError::Nothing));
        assert_eq!(Quota::new(1, Duration::ZERO), Err(QuotaError::Window));
        assert_eq!(Quota::new(2_000_000_000, Duration::from_secs(1)), Err(QuotaError::TooMany));
    }
}
