//! A process that records under load is killed, again and again. What it had been told is durable must be there.
//! `cargo xtask crash` runs as many rounds as one likes.

mod ledger;
mod load;

use crate::exchanges::{clock, verify};
use ironbridge_audit::Log;
use ironbridge_core::{Clock, Timestamp};
use ledger::Ledger;
use load::Plan;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Rounds on one trail, before the next begins with an empty directory.
const ROUNDS_OF_TRAIL: u64 = 100;
/// After so many rounds the whole trail is verified, not only what the last round added.
const ROUNDS_TO_VERIFY: u64 = 25;
const ROUNDS_TO_TELL: u64 = 50;

/// In a round with retention, what is older than the last so many rounds may go.
const RECORDS_KEPT: u64 = 4;
const DETAIL_KEPT: u64 = 2;

/// `IRONBRIDGE_CRASH_ROUNDS` is how often the process dies, 25 unless told; `IRONBRIDGE_CRASH_SEED` plans the same
/// rounds again; `IRONBRIDGE_CRASH_DIR` lies on the disk to use.
#[test]
fn what_was_durable_before_a_kill_is_there() {
    let rounds = told("IRONBRIDGE_CRASH_ROUNDS").unwrap_or(25);
    let mut chance = Chance(told("IRONBRIDGE_CRASH_SEED").unwrap_or_else(|| clock().now().micros()));
    let above = std::env::var_os("IRONBRIDGE_CRASH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    println!("seed {}, below {}", chance.0, above.display());
    let (start, mut sum) = (Instant::now(), Sum::default());
    let mut siege = Siege::new(&above);
    for round in 0..rounds {
        if round > 0 && round % ROUNDS_OF_TRAIL == 0 {
            siege.end(&mut sum);
            siege = Siege::new(&above);
        }
        siege.round(round, &mut chance, &mut sum);
        if (round + 1) % ROUNDS_TO_TELL == 0 {
            println!("{} rounds, {:.0?}: {sum:?}", round + 1, start.elapsed());
        }
    }
    siege.end(&mut sum);
    println!("{rounds} rounds, {:.0?}: {sum:?}; none is missing", start.elapsed());
    assert!(sum.acknowledged > rounds * 10, "{} records are no load", sum.acknowledged);
}

fn told(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// What the rounds came to.
#[derive(Debug, Default)]
struct Sum {
    /// Records that the process was told are durable.
    acknowledged: u64,
    /// Records that no checkpoint covered when the process died, where the whole trail was verified then.
    pending: u64,
    /// Rounds that ended before the trail was open.
    unopened: u64,
    /// Acknowledged records that retention dropped.
    dropped: u64,
}

/// Numbers that look random (SplitMix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

/// One trail, and the rounds that it goes through.
struct Siege {
    dir: TempDir,
    clock: Arc<dyn Clock>,
    /// When each round began.
    began: Vec<(u64, Timestamp)>,
    ledger: Ledger,
}

impl Siege {
    fn new(above: &Path) -> Siege {
        let mut dir = tempfile::Builder::new().prefix("under-fire-").tempdir_in(above).unwrap();
        // Until it has ended well, so that what was found at fault can be looked at.
        dir.disable_cleanup(true);
        Siege { dir, clock: clock(), began: Vec::new(), ledger: Ledger::new() }
    }

    fn trail(&self) -> PathBuf {
        self.dir.path().join("audit")
    }

    fn round(&mut self, round: u64, chance: &mut Chance, sum: &mut Sum) {
        self.began.push((round, self.clock.now()));
        let acknowledged = self.dir.path().join(format!("acknowledged-{round}"));
        std::fs::create_dir(&acknowledged).unwrap();
        let retains = chance.below(3) == 0;
        let plan = Plan {
            trail: self.trail(),
            acknowledged,
            round,
            // Retention waits for a checkpoint before it drops anything.
            max_lag: if retains { chance.of(&[1, 20]) } else { chance.of(&[1, 20, 200, 800]) },
            segment_bytes: chance.of(&[16 << 10, 256 << 10, 16 << 20]),
            retention: retains.then(|| (self.before(RECORDS_KEPT), self.before(DETAIL_KEPT))),
        };
        if retains {
            self.ledger.may_drop(self.start_of(RECORDS_KEPT), self.start_of(DETAIL_KEPT));
        }
        let context = format!("round {round} below {}: {plan:?}", self.dir.path().display());
        let opened = self.kill(&plan, chance, &context);
        sum.unopened += u64::from(!opened);
        if !opened {
            return;
        }
        // As the dead process left it; the next repairs nothing, it opens it.
        let log = Log::open(self.trail()).unwrap_or_else(|fault| panic!("{context}: {fault}"));
        let (new, lowest) = self.ledger.read(&plan);
        sum.acknowledged += new;
        if (round + 1).is_multiple_of(ROUNDS_TO_VERIFY) {
            sum.pending += verify(&log).pending;
            self.ledger.check(&log, 0, &context);
        } else if let Some(lowest) = lowest {
            self.ledger.check(&log, lowest, &context);
        }
    }

    /// Lets the process work for a while. Whether it had opened the trail.
    fn kill(&self, plan: &Plan, chance: &mut Chance, context: &str) -> bool {
        let mut process = plan.start();
        let opened = plan.opened();
        // In every fourth round the time counts from its start, so that some die while they open the trail; where there
        // is retention, in half of the rounds from when that is done once: it reads much before it drops anything.
        let from_start = chance.below(4) == 0;
        let after = match plan.retention.is_some() && chance.below(2) == 0 {
            true => plan.retained(),
            false => plan.opened(),
        };
        while !from_start && !after.exists() {
            assert_eq!(process.try_wait().unwrap(), None, "{context}: it ended by itself");
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_millis(5 + chance.below(396)));
        process.kill().unwrap();
        assert_eq!(process.wait().unwrap().signal(), Some(9), "{context}: it ended by itself");
        opened.exists()
    }

    /// Opens and closes the trail once more, and checks all of it.
    fn end(mut self, sum: &mut Sum) {
        let context = format!("at the end, below {}", self.dir.path().display());
        load::open(&self.trail(), 1, 16 << 20).close().unwrap_or_else(|error| panic!("{context}: {error}"));
        let log = Log::open(self.trail()).unwrap();
        let verified = verify(&log);
        assert_eq!(verified.pending, 0, "{context}");
        let found = self.ledger.check(&log, 0, &context);
        sum.dropped += self.ledger.len() - found;
        self.dir.disable_cleanup(false);
    }

    /// The round so many before this one, or the trail's first.
    fn ago(&self, rounds: u64) -> (u64, Timestamp) {
        let place = self.began.len().saturating_sub(1 + rounds as usize);
        self.began[place]
    }

    fn start_of(&self, rounds: u64) -> u64 {
        self.ago(rounds).0
    }

    fn before(&self, rounds: u64) -> u64 {
        self.ago(rounds).1.micros()
    }
}
