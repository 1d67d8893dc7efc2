//! How far each destination is behind, at any time and from any process.

use crate::files;
use crate::moment;
use crate::trouble::Trouble;
use ironbridge_audit::disk::{self, RealDisk};
use ironbridge_core::{Clock, Timestamp};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Below the audit directory.
const FILE: &str = "publish.json";
const INTERVAL: Duration = Duration::from_secs(1);

/// How many points of the log's growth are kept. When there are more, every other is dropped and the next ones are
/// kept half as often: ages get coarser by a five-hundredth.
const GROWTH: usize = 1024;

/// What a destination is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It keeps a copy.
    Mirror,
    /// It gets records.
    Forward,
    /// It cosigns heads.
    Witness,
}

/// Where one destination stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lag {
    /// As declared.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// So many records are copied, acknowledged or cosigned.
    pub position: u64,
    /// Of so many that the signed checkpoint covers.
    pub of: u64,
    /// When the oldest record came that it does not have; `None` where it has all.
    #[serde(default, with = "moment::text::option")]
    pub behind_since: Option<Timestamp>,
    /// Why the last attempt failed, if it did.
    #[serde(default)]
    pub last_error: Option<String>,
    /// What it has that contradicts this log: a copy of a longer or another one, a file that is not what was copied, a
    /// witness's word. It stands until the destination takes the log again.
    #[serde(default)]
    pub finding: Option<String>,
    /// Records it will never get, since the bridge started: it rejected them, or retention dropped them first.
    #[serde(default)]
    pub lost: u64,
}

/// What the bridge last wrote about its destinations, for other processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// When it was written: at the last change.
    #[serde(with = "moment::text")]
    pub time: Timestamp,
    /// Mirrors first, each kind in the order in which it is declared.
    pub destinations: Vec<Lag>,
}

impl Snapshot {
    /// The newest one in this audit directory; `None` where nothing was ever published.
    ///
    /// # Errors
    /// When the file cannot be read, or is not one of ours.
    pub fn read(audit: &Path) -> io::Result<Option<Snapshot>> {
        match disk::read(&RealDisk, &audit.join(FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            bytes => Ok(Some(serde_json::from_slice(&bytes?)?)),
        }
    }
}

/// What all destinations report to.
pub(crate) struct Board {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    lags: Vec<Lag>,
    /// In what way a destination contradicts the log, as far as that was said.
    told: HashMap<usize, String>,
    /// When the log was last seen to grow, and to how many records.
    newest: (Timestamp, u64),
    /// Points before that, as far back as the slowest destination needs.
    growth: VecDeque<(Timestamp, u64)>,
    /// Time between two points, at least.
    spacing: Duration,
}

impl Board {
    pub fn new(clock: Arc<dyn Clock>) -> Board {
        Board { clock, state: Mutex::default() }
    }

    pub fn add(self: &Arc<Self>, name: &str, kind: Kind) -> Report {
        let lags = &mut self.state.lock().lags;
        lags.push(Lag {
            name: name.to_owned(),
            kind,
            position: 0,
            of: 0,
            behind_since: None,
            last_error: None,
            finding: None,
            lost: 0,
        });
        Report { board: Arc::clone(self), place: lags.len() - 1 }
    }

    /// The log has so many records under its checkpoint.
    pub fn grown(&self, size: u64) {
        let now = self.clock.now();
        let mut state = self.state.lock();
        if size > state.newest.1 {
            state.newest = (now, size);
            state.keep_point();
        }
        state.update();
    }

    pub fn lags(&self) -> Vec<Lag> {
        self.state.lock().lags.clone()
    }
}

impl State {
    /// Whether that was said before; from now on it was.
    fn tell(&mut self, place: usize, finding: Option<&String>) -> bool {
        finding.is_some_and(|way| self.told.insert(place, way.clone()).as_ref() == Some(way))
    }

    fn update(&mut self) {
        let (latest, of) = self.newest;
        for lag in &mut self.lags {
            lag.of = of.max(lag.position);
            let missing = self.growth.iter().find(|(_, size)| *size > lag.position);
            let missing = missing.map_or(latest, |(time, _)| *time);
            lag.behind_since = (lag.position < of).then_some(missing);
        }
        let reached = self.lags.iter().map(|lag| lag.position).min().unwrap_or(of);
        while self.growth.front().is_some_and(|(_, size)| *size <= reached) {
            self.growth.pop_front();
        }
        if self.growth.is_empty() {
            self.spacing = Duration::ZERO;
        }
    }

    fn keep_point(&mut self) {
        let (now, size) = self.newest;
        if self.growth.back().is_some_and(|(last, _)| now.since(*last) < self.spacing) {
            return;
        }
        self.growth.push_back((now, size));
        if let (true, Some((first, _))) = (self.growth.len() > GROWTH, self.growth.front()) {
            self.spacing = now.since(*first) / u32::try_from(GROWTH / 2).unwrap_or(u32::MAX);
            let mut keep = false;
            self.growth.retain(|_| {
                keep = !keep;
                keep
            });
        }
    }
}

/// One destination's line on the board.
#[derive(Clone)]
pub(crate) struct Report {
    board: Arc<Board>,
    place: usize,
}

impl Report {
    /// It has the records before `position`, whether or not it takes more.
    pub fn stands_at(&self, position: u64) {
        self.change(|lag| lag.position = position);
    }

    /// It has the records before `position`, and the last attempt went well.
    pub fn reached(&self, position: u64) {
        self.board.state.lock().told.remove(&self.place);
        self.change(|lag| {
            if lag.last_error.take().is_some() {
                tracing::info!(destination = lag.name, "publishing works again");
            }
            lag.finding = None;
            lag.position = position;
        });
    }

    pub fn failed(&self, trouble: &Trouble) {
        let is_told = self.board.state.lock().tell(self.place, trouble.finding.as_ref());
        self.change(|lag| {
            let reason = trouble.to_string();
            if trouble.finding.is_some() {
                if !is_told {
                    tracing::error!(
                        destination = lag.name, finding = reason,
                        "a copy or a witness contradicts this log: keep both as evidence and find out what happened; docs/audit-publish.md"
                    );
                }
                lag.finding = Some(reason.clone());
            } else if lag.last_error.as_ref() != Some(&reason) {
                tracing::warn!(destination = lag.name, reason, "publishing fails; it is tried again");
            }
            lag.last_error = Some(reason);
        });
    }

    /// So many records will never get there.
    pub fn lost(&self, count: u64, reason: &str) {
        self.change(|lag| {
            tracing::error!(destination = lag.name, count, reason, "records are not published");
            lag.lost = lag.lost.saturating_add(count);
        });
    }

    fn change(&self, change: impl FnOnce(&mut Lag)) {
        let mut state = self.board.state.lock();
        if let Some(lag) = state.lags.get_mut(self.place) {
            change(lag);
        }
        state.update();
    }
}

/// Writes the board to its file, once a second and only when it changed.
pub(crate) async fn write(board: Arc<Board>, audit: std::path::PathBuf) {
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut written = None;
    loop {
        interval.tick().await;
        let destinations = board.lags();
        if written.as_ref() == Some(&destinations) {
            continue;
        }
        let snapshot = Snapshot { time: board.clock.now(), destinations };
        let audit = audit.clone();
        let put = tokio::task::spawn_blocking(move || {
            let text = serde_json::to_vec_pretty(&snapshot)?;
            files::put(&audit.join("tmp"), &audit.join(FILE), &text)?;
            io::Result::Ok(snapshot.destinations)
        });
        match put.await {
            Ok(Ok(destinations)) => written = Some(destinations),
            Ok(Err(error)) => tracing::warn!(%error, "the state of publishing cannot be written"),
            Err(error) => tracing::warn!(%error, "the state of publishing cannot be written"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

    #[derive(Default)]
    struct Hands(AtomicU64);
    impl Clock for Hands {
        fn now(&self) -> Timestamp {
            Timestamp(self.0.load(SeqCst))
        }
        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
    }

    #[test]
    fn what_contradicts_the_log_is_said_once_whatever_grows_meanwhile() {
        let board = Arc::new(Board::new(Arc::new(Hands::default())));
        let (one, other) = (board.add("one", Kind::Mirror), board.add("other", Kind::Witness));
        let is_told = |report: &Report, way: &str| {
            let told = board.state.lock().told.get(&report.place).is_some_and(|told| told == way);
            report.failed(&Trouble::finding(way, "from 300 records to 200"));
            told
        };
        assert!(!is_told(&one, "longer") && is_told(&one, "longer") && !is_told(&other, "longer"));
        assert!(!is_told(&one, "fork") && is_told(&one, "fork"));
        one.failed(&Trouble::new("it is not reached"));
        assert!(is_told(&one, "fork"));
        one.reached(300);
        assert!(!is_told(&one, "fork") && is_told(&other, "longer"));
    }

    #[test]
    fn age_is_that_of_the_oldest_record_that_is_missing() {
        let clock = Arc::new(Hands::default());
        let board = Arc::new(Board::new(Arc::clone(&clock) as _));
        let (fast, slow) = (board.add("fast", Kind::Mirror), board.add("slow", Kind::Forward));
        let grow = |time, size| {
            clock.0.store(time, SeqCst);
            board.grown(size);
        };
        let ages =
            || board.lags().iter().map(|lag| lag.behind_since.map(|since| since.0)).collect::<Vec<_>>();
        grow(10, 100);
        assert_eq!(ages(), [Some(10), Some(10)]);
        grow(20, 200);
        fast.reached(100);
        slow.failed(&Trouble::new("it is down"));
        assert_eq!(ages(), [Some(20), Some(10)]);
        fast.reached(200);
        slow.reached(150);
        assert_eq!(ages(), [None, Some(20)]);
        assert_eq!(board.lags()[1].last_error, None);
        for time in 30..10_000 {
            grow(time, time * 10);
        }
        assert!(board.state.lock().growth.len() <= GROWTH);
        assert_eq!(ages()[1], Some(20));
        assert!((30..60).contains(&ages()[0].unwrap()), "{:?}", ages());
        assert_eq!(board.lags()[0].of, 99_990);
    }
}
