//! What a trail takes: `cargo run --release -p ironbridge-audit --example trail_load -- DIRECTORY SECONDS`.
//! `cargo xtask bench audit` runs it beside databases. Prints one object of JSON.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::print_stdout)]

#[path = "../tests/suite/exchanges.rs"]
mod exchanges;
#[path = "../tests/suite/memory_disk.rs"]
mod memory_disk;

use ironbridge_audit::{Indexer, Log, Query, Trail};
use ironbridge_core::{
    Answered, Ending, Exchange, ExchangeId, Flow, Peer, Position, Principal, Record, Recorder, Said,
    Timestamp,
};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// Records a second that the trail must sustain.
const OFFERED: u64 = 100_000;
const CALLERS: u64 = 256;
/// Threads that carry them; as many as the bridge has workers on a small machine.
const WORKERS: u64 = 2;

fn main() {
    let mut args = std::env::args_os().skip(1);
    let dir = PathBuf::from(args.next().expect("a directory that is not there yet"));
    let seconds: u64 = args.next().and_then(|text| text.to_str()?.parse().ok()).unwrap_or(5);
    let window = Duration::from_secs(seconds);
    std::fs::create_dir(&dir).expect("a directory that is not there yet");
    let source = Source::new();
    let batches = {
        let trail = open(&dir.join("batches"));
        let paced = paced(&trail, &source, window);
        let full = full_speed(&trail, &source, window);
        trail.close().unwrap();
        json!({ "paced": paced, "full": full })
    };
    let callers = {
        let trail = open(&dir.join("callers"));
        let measured = callers(&trail, &source, window);
        trail.close().unwrap();
        measured
    };
    println!(
        "{}",
        json!({ "batches": batches, "callers": callers, "reading": reading(&dir.join("batches")) })
    );
}

fn open(dir: &Path) -> Trail {
    Trail::open(exchanges::plain_options(dir), exchanges::clock()).unwrap()
}

/// A hundred records every millisecond, until the time is over. How long each waits for a checkpoint.
fn paced(trail: &Trail, source: &Source, window: Duration) -> Value {
    let (start, before) = (Instant::now(), trail.status().size);
    let mut waiting: VecDeque<(u64, Instant)> = VecDeque::new();
    let mut lags = Vec::new();
    let (mut taken, mut refused) = (0, 0u64);
    let mut look = |taken: u64, lags: &mut Vec<Duration>| {
        let integrated = trail.status().integrated - before;
        waiting.push_back((taken, Instant::now()));
        while let Some((_, since)) = waiting.pop_front_if(|(size, _)| *size <= integrated) {
            lags.push(since.elapsed());
        }
        waiting.is_empty()
    };
    while start.elapsed() < window {
        let due = u64::try_from(start.elapsed().as_micros()).unwrap() * OFFERED / 1_000_000;
        while taken < due {
            match source.append(trail) {
                Ok(_) => taken += 1,
                Err(()) => {
                    refused += 1;
                    break;
                }
            }
        }
        look(taken, &mut lags);
        thread::sleep(Duration::from_millis(1));
    }
    let taking = start.elapsed();
    while !look(taken, &mut lags) {
        thread::sleep(Duration::from_millis(1));
    }
    lags.sort();
    json!({
        "per_second": taken as f64 / taking.as_secs_f64(), "refused": refused,
        "lag_ms": { "p50": millis(quantile(&lags, 50)), "most": millis(quantile(&lags, 100)) },
    })
}

/// As many as the trail lets in, until all are under a checkpoint.
fn full_speed(trail: &Trail, source: &Source, window: Duration) -> Value {
    let (start, before) = (Instant::now(), trail.status().size);
    while start.elapsed() < window {
        if trail.ready().is_err() || source.append(trail).is_err() {
            thread::sleep(Duration::from_millis(1));
        }
    }
    let taken = trail.status().size;
    let reach = |reached: &dyn Fn() -> u64| {
        while reached() < taken {
            thread::sleep(Duration::from_millis(1));
        }
        (taken - before) as f64 / start.elapsed().as_secs_f64()
    };
    let durable = reach(&|| trail.status().durable);
    let integrated = reach(&|| trail.status().integrated);
    json!({ "durable_per_second": durable, "integrated_per_second": integrated })
}

/// Each of 256 callers waits until its record is on disk before it sends the next.
fn callers(trail: &Trail, source: &Source, window: Duration) -> Value {
    let start = Instant::now();
    let mut waits: Vec<Duration> = thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|_| {
                scope.spawn(|| {
                    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                    let waits = std::cell::RefCell::new(Vec::new());
                    runtime.block_on(together((0..CALLERS / WORKERS).map(|_| async {
                        while start.elapsed() < window {
                            let began = Instant::now();
                            let position = source.append(trail).unwrap();
                            trail.durable(position).await.unwrap();
                            waits.borrow_mut().push(began.elapsed());
                        }
                    })));
                    waits.into_inner()
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let per_second = waits.len() as f64 / start.elapsed().as_secs_f64();
    waits.sort();
    json!({
        "per_second": per_second,
        "p50_ms": millis(quantile(&waits, 50)), "p99_ms": millis(quantile(&waits, 99)),
    })
}

/// All of them at once, on this thread.
async fn together<F: Future<Output = ()>>(futures: impl Iterator<Item = F>) {
    let mut running: Vec<_> = futures.map(|future| Some(Box::pin(future))).collect();
    std::future::poll_fn(|context| {
        for slot in &mut running {
            if slot.as_mut().is_some_and(|future| future.as_mut().poll(context).is_ready()) {
                *slot = None;
            }
        }
        if running.iter().all(Option::is_none) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
}

/// Verifying the log, indexing it, finding one exchange.
fn reading(dir: &Path) -> Value {
    let log = Log::open(dir).unwrap();
    let start = Instant::now();
    let verified = log.verify(None, &mut |_, _| {}).unwrap();
    let verifying = verified.size as f64 / start.elapsed().as_secs_f64();
    let start = Instant::now();
    let mut indexer = Indexer::new(log.clone());
    while indexer.catch_up().unwrap() {}
    let indexed = log.indexed().unwrap();
    let indexing = indexed as f64 / start.elapsed().as_secs_f64();
    let query = Query { id: Some(id(indexed / 2).to_string()), ..Query::default() };
    let start = Instant::now();
    assert_eq!(log.query(query).unwrap().filter(Result::is_ok).count(), 1);
    json!({
        "records": verified.size, "verified_per_second": verifying, "indexed": indexed,
        "indexed_per_second": indexing, "find_ms": millis(start.elapsed()),
    })
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn quantile(sorted: &[Duration], percent: usize) -> Duration {
    sorted
        .get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or_default()
}

fn id(number: u64) -> ExchangeId {
    ExchangeId::from_u128(u128::from(number))
}

/// Exchanges of one integration, each with its own id.
struct Source {
    flow: Arc<Flow>,
    principal: Principal,
    next: AtomicU64,
}

impl Source {
    fn new() -> Source {
        let flow = exchanges::flow("orders-to-erp");
        let principal = exchanges::exchange(0, &flow).principal.unwrap();
        Source { flow, principal, next: AtomicU64::new(0) }
    }

    fn append(&self, trail: &Trail) -> Result<Position, ()> {
        let number = self.next.fetch_add(1, Relaxed);
        let time = Timestamp(1_767_225_600_000_000 + number * 10);
        let mut exchange =
            Exchange::new(id(number), time, Duration::ZERO, Arc::clone(&self.flow), Peer::default());
        exchange.principal = Some(self.principal.clone());
        exchange.asked.verb = "GET".into();
        exchange.bytes_out = number;
        let ending = Ending::Delivered(Answered { mark: Some(200), said: Said::Done });
        let record =
            Record { exchange: &exchange, ending, duration: Duration::from_micros(250), amends: false };
        trail.append(record).map_err(drop)
    }
}
