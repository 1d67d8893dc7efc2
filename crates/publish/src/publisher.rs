//! Who publishes: a task for each destination.

use crate::cosign::{self, Cosigner, Round};
use crate::forward::{self, Forward};
use crate::head;
use crate::mirror::{self, Mirror};
use crate::status::{self, Board, Kind, Lag};
use crate::surroundings::Surroundings;
use ironbridge_audit::Log;
use ironbridge_core::{Clock, Entropy};
use ironbridge_seal::note::NoteVerifier;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What is published where.
pub struct Settings {
    /// Copies of the log.
    pub mirrors: Vec<Mirror>,
    /// Where records are sent on to.
    pub forwards: Vec<Forward>,
    /// Witnesses that are asked to cosign.
    pub witnesses: Vec<Cosigner>,
    /// How long after one head witnesses are asked for the next, all for the same.
    pub cosign_interval: Duration,
    /// How long to wait after a first failure; twice as long after each more, up to `longest_retry`.
    pub retry: Duration,
    /// How long to wait at most after a failure.
    pub longest_retry: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        let cosign_interval = Duration::from_secs(10);
        let (retry, longest_retry) = (Duration::from_secs(1), Duration::from_secs(60));
        Settings {
            mirrors: Vec::new(),
            forwards: Vec::new(),
            witnesses: Vec::new(),
            cosign_interval,
            retry,
            longest_retry,
        }
    }
}

/// Publishes a log for as long as it lives. A destination has a task of its own; none waits for another.
pub struct Publisher {
    board: Arc<Board>,
    tasks: JoinSet<()>,
}

impl Publisher {
    /// `keys` are those whose signatures on the log's checkpoints are believed, at least one: nothing else is
    /// published, and mirrors are judged by them. When they change, a new publisher is started with the new ones.
    ///
    /// Must be called within a tokio runtime that has its timer on. What each destination already has is found out
    /// from the destination or from its cursor, so a new publisher goes on where the last one ended.
    pub fn start(
        log: Log,
        keys: Vec<NoteVerifier>,
        settings: Settings,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Publisher {
        let board = Arc::new(Board::new(Arc::clone(&clock)));
        let mut tasks = JoinSet::new();
        let (sender, heads) = watch::channel(None);
        let Settings { retry, longest_retry, .. } = settings;
        let around = Surroundings { log, keys, heads, clock, entropy, retry, longest_retry };
        for mirror in settings.mirrors {
            let report = board.add(&mirror.name, Kind::Mirror);
            tasks.spawn(mirror::run(mirror, around.clone(), report));
        }
        for forward in settings.forwards {
            let report = board.add(&forward.name, Kind::Forward);
            tasks.spawn(forward::run(forward, around.clone(), report));
        }
        let round = Round::new(settings.witnesses.len());
        if !settings.witnesses.is_empty() {
            tasks.spawn(Arc::clone(&round).run(around.clone(), settings.cosign_interval));
        }
        for witness in settings.witnesses {
            let report = board.add(&witness.name, Kind::Witness);
            tasks.spawn(cosign::run(witness, around.clone(), Arc::clone(&round), report));
        }
        let audit = around.log.dir().to_path_buf();
        tasks.spawn(head::follow(around.log, around.keys, Arc::clone(&board), sender));
        tasks.spawn(status::write(Arc::clone(&board), audit));
        Publisher { board, tasks }
    }

    /// How each destination stands, mirrors first, each kind in the order of its settings.
    pub fn status(&self) -> Vec<Lag> {
        self.board.lags()
    }

    /// Ends every task. What was under way is not waited for; the next publisher does it again. Dropping does the
    /// same without waiting for the tasks to have ended.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}
