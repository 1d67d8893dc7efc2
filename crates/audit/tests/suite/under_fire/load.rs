//! What the process that is killed does: 256 callers, each of whom waits until its record is durable, while retention
//! is at work. It writes down what it was told.

use crate::exchanges::{self, clock};
use ironbridge_audit::{Limits, Options, Trail};
use ironbridge_core::action::{Action, name};
use ironbridge_core::{
    Answered, Clock, Ending, Exchange, ExchangeId, Flow, OwnerKey, Peer, Position, Record, Recorder, Said,
    Subject, Timestamp,
};
use std::fs::File;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};
use tokio::task::LocalSet;

const CALLERS: u64 = 256;
/// Threads that carry them; as many as the bridge has workers on a small machine.
pub const WORKERS: u64 = 2;

/// What is written down of a record: its index (8 bytes) and its id (16 bytes), both big-endian.
pub const TOLD: usize = 24;

/// A process whose parent died stops by itself.
const AT_MOST: Duration = Duration::from_secs(60);

const PLAN: &str = "IRONBRIDGE_UNDER_FIRE";

/// What one process is to do.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub struct Plan {
    pub trail: PathBuf,
    /// A directory, for one file of each worker.
    pub acknowledged: PathBuf,
    pub round: u64,
    /// In milliseconds.
    pub max_lag: u64,
    pub segment_bytes: u64,
    /// Records, and detail, from before may go; in microseconds.
    pub retention: Option<(u64, u64)>,
}

impl Plan {
    pub fn start(&self) -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "under_fire::load::until_it_is_killed", "--nocapture"])
            .env(PLAN, serde_json::to_string(self).unwrap())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// The file that is there once the trail is open.
    pub fn opened(&self) -> PathBuf {
        self.told_to(WORKERS - 1)
    }

    /// The file that is there once retention has ended once.
    pub fn retained(&self) -> PathBuf {
        self.acknowledged.join("retained")
    }

    pub fn told_to(&self, worker: u64) -> PathBuf {
        self.acknowledged.join(worker.to_string())
    }
}

pub fn open(trail: &Path, max_lag: u64, segment_bytes: u64) -> Trail {
    let max_lag = Duration::from_millis(max_lag);
    let options = Options { max_lag, segment_bytes, ..exchanges::options(trail) };
    Trail::open(options, clock()).unwrap()
}

#[test]
fn until_it_is_killed() {
    let Ok(plan) = std::env::var(PLAN) else { return };
    // Whatever fails ends the process, which the other takes notice of.
    let tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        tell(panic);
        std::process::abort();
    }));
    let plan: Plan = serde_json::from_str(&plan).unwrap();
    let trail = open(&plan.trail, plan.max_lag, plan.segment_bytes);
    // All before any is written to: the last one says that the trail is open.
    let told: Vec<File> = (0..WORKERS).map(|worker| File::create(plan.told_to(worker)).unwrap()).collect();
    let work: &Work = Box::leak(Box::new(Work::new(plan, trail)));
    let callers = told.into_iter().map(|told| thread::spawn(move || work.callers(told)));
    let callers: Vec<_> = callers.collect();
    thread::spawn(|| work.retain());
    callers.into_iter().for_each(|worker| worker.join().unwrap());
}

struct Work {
    plan: Plan,
    trail: Trail,
    clock: Arc<dyn Clock>,
    flow: Arc<Flow>,
    people: Vec<Arc<OwnerKey>>,
    next: AtomicU64,
    until: Instant,
}

impl Work {
    fn new(plan: Plan, trail: Trail) -> Work {
        Work {
            plan,
            trail,
            clock: clock(),
            flow: exchanges::flow("orders"),
            people: people(),
            next: AtomicU64::new(0),
            until: Instant::now() + AT_MOST,
        }
    }

    fn callers(&'static self, told: File) {
        let told: &File = Box::leak(Box::new(told));
        let callers = LocalSet::new();
        for _ in 0..CALLERS / WORKERS {
            callers.spawn_local(self.call(told));
        }
        exchanges::runtime().block_on(callers);
    }

    /// Waits for seven of eight records.
    async fn call(&self, mut told: &File) {
        while Instant::now() < self.until {
            let number = self.next.fetch_add(1, Relaxed);
            let id = id(self.plan.round, number);
            let position = self.append(id, number);
            if number % 8 == 7 {
                continue;
            }
            self.trail.durable(position).await.unwrap();
            let mut line = [0; TOLD];
            line[..8].copy_from_slice(&position.0.to_be_bytes());
            line[8..].copy_from_slice(&id.to_u128().to_be_bytes());
            told.write_all(&line).unwrap();
        }
    }

    fn append(&self, id: ExchangeId, number: u64) -> Position {
        let now = self.clock.now();
        let concerns = Concerns::of(number);
        if concerns.action {
            let mut action = Action::done(id, now, name::KEY_ISSUE, "key-1");
            action.actor = ACTOR.to_owned();
            action.address = Some(concerns.address);
            return self.trail.act(&action).unwrap();
        }
        let peer = Peer::at(concerns.address);
        let mut exchange = Exchange::new(id, now, Duration::ZERO, Arc::clone(&self.flow), peer);
        exchange.asked.verb = "GET".into();
        let subject = |person: &usize| Subject {
            id: subject_id(*person).into(),
            owner: Arc::clone(&self.people[*person]),
        };
        exchange.subjects = concerns.subjects.iter().map(subject).collect();
        let ending = Ending::Delivered(Answered { mark: Some(200), said: Said::Done });
        let duration = Duration::from_micros(250);
        self.trail.append(Record { exchange: &exchange, ending, duration, amends: false }).unwrap()
    }

    /// Retention, over and over, in the rounds that have it.
    fn retain(&self) {
        let Some((records, detail)) = self.plan.retention else { return };
        let limits = Limits { records: Some(Timestamp(records)), detail: Some(Timestamp(detail)) };
        for number in RETENTION.. {
            let id = id(self.plan.round, number);
            self.trail.retain(limits, Action::done(id, self.clock.now(), name::RETENTION, "")).unwrap();
            File::create(self.plan.retained()).unwrap();
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Numbers of retention's own records, above all others of a round.
const RETENTION: u64 = 1 << 32;

/// The exchange's id tells its round, and its number in the round.
pub fn id(round: u64, number: u64) -> ExchangeId {
    ExchangeId::from_u128((u128::from(round) << 64) | u128::from(number))
}

pub fn round_of(id: ExchangeId) -> u64 {
    (id.to_u128() >> 64) as u64
}

/// The keys of ten data subjects.
pub fn people() -> Vec<Arc<OwnerKey>> {
    (10..20).map(|person| Arc::new(OwnerKey::new([person; 16], [person; 32]))).collect()
}

/// What the record of this number concerns: every sixteenth is an action, the others name up to two data subjects.
struct Concerns {
    action: bool,
    address: IpAddr,
    subjects: Vec<usize>,
}

impl Concerns {
    fn of(number: u64) -> Concerns {
        Concerns {
            action: number % 16 == 3,
            address: IpAddr::V4(Ipv4Addr::from_bits(number as u32)),
            subjects: (0..number % 3).map(|place| ((number + place) % 10) as usize).collect(),
        }
    }
}

const ACTOR: &str = "ada";

fn subject_id(person: usize) -> String {
    format!("person-{person}")
}

/// The detail of the record, in its order.
pub fn detail_of(id: ExchangeId) -> Vec<String> {
    let number = id.to_u128() as u64;
    if number >= RETENTION {
        return Vec::new();
    }
    let concerns = Concerns::of(number);
    let address = concerns.address.to_string();
    match concerns.action {
        true => vec![ACTOR.to_owned(), address],
        false => std::iter::once(address).chain(concerns.subjects.into_iter().map(subject_id)).collect(),
    }
}
