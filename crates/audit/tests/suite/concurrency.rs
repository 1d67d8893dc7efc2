//! Many threads and runtimes that append and wait at once.

use crate::exchanges::{append, append_refusing, clock, flow, open, plain_options, runtime, verify};
use ironbridge_audit::{Log, Trail};
use ironbridge_core::{Recorder, code};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn check(dir: &std::path::Path, count: u64) {
    let log = Log::open(dir).unwrap();
    let entries: Vec<_> = log.follow(0).map(|stored| stored.unwrap().entry).collect();
    assert_eq!(verify(&log).size, entries.len() as u64);
    let ids: BTreeSet<&str> = entries.iter().map(|entry| entry.id.as_str()).collect();
    assert_eq!(ids.len(), entries.len());
    // Many at once bring refusals of many windows together, and those share records.
    assert_eq!(entries.iter().map(|entry| entry.count).sum::<u64>(), count);
}

/// As the bridge runs: one single-threaded runtime per core, many tasks on each. Some are cancelled while they
/// wait, so that whoever was to wake the others may be among them.
#[test]
fn two_runtimes_of_many_tasks() {
    const TASKS: u64 = 64;
    const EACH: u64 = 40;
    let dir = tempfile::tempdir().unwrap();
    let trail = Arc::new(open(dir.path()));
    let cores: Vec<_> = (0..2)
        .map(|core| {
            let trail = Arc::clone(&trail);
            std::thread::spawn(move || {
                let tasks =
                    (0..TASKS).map(|task| one_task(Arc::clone(&trail), (core * TASKS + task) * EACH, EACH));
                runtime().block_on(async {
                    let local: Vec<_> = tasks.map(tokio::spawn).collect();
                    for task in local {
                        task.await.unwrap();
                    }
                });
            })
        })
        .collect();
    cores.into_iter().for_each(|core| core.join().unwrap());
    trail.close().unwrap();
    check(dir.path(), 2 * TASKS * EACH);
}

async fn one_task(trail: Arc<Trail>, first: u64, count: u64) {
    let flow = flow("orders");
    for number in first..first + count {
        let position = append_refusing(&code::PERMISSION_MISSING, &trail, number, &flow).unwrap();
        match number % 7 {
            3 => drop(tokio::time::timeout(Duration::from_micros(50), trail.durable(position)).await),
            5 => {}
            _ => {
                trail.durable(position).await.unwrap();
                assert!(trail.status().durable > position.0);
            }
        }
    }
}

/// Tasks that move between threads while they wait.
#[test]
fn a_runtime_whose_tasks_wander() {
    const TASKS: u64 = 50;
    const EACH: u64 = 40;
    let dir = tempfile::tempdir().unwrap();
    let trail = Arc::new(open(dir.path()));
    let wandering =
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let tasks: Vec<_> =
        (0..TASKS).map(|task| wandering.spawn(one_task(Arc::clone(&trail), task * EACH, EACH))).collect();
    wandering.block_on(async {
        for task in tasks {
            task.await.unwrap();
        }
    });
    trail.close().unwrap();
    check(dir.path(), TASKS * EACH);
}

/// A reader in another thread sees only whole and growing states.
#[test]
fn reading_and_verifying_while_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let trail = Arc::new(open(dir.path()));
    let writer = {
        let trail = Arc::clone(&trail);
        std::thread::spawn(move || runtime().block_on(one_task(trail, 0, 3000)))
    };
    let log = Log::open(dir.path()).unwrap();
    let mut follow = log.follow(0);
    let mut seen = 0;
    while seen < 3000 {
        for stored in follow.by_ref() {
            let stored = stored.unwrap();
            assert_eq!((stored.index, stored.entry.bytes_out), (seen, seen));
            seen += 1;
        }
        let verified = log.verify(None, &mut |_, _| {}).unwrap();
        assert!(verified.size <= 3000);
        let newest = log.tail(5).unwrap();
        assert!(newest.windows(2).all(|pair| pair[0].index + 1 == pair[1].index));
    }
    writer.join().unwrap();
    trail.close().unwrap();
    check(dir.path(), 3000);
}

/// A burst that one thread appends as fast as it can. Prints the pace, for whoever runs it optimised; on two busy
/// cores that was 390,000 a second.
#[test]
fn a_burst_is_committed_in_groups() {
    const BURST: u64 = 20_000;
    let dir = tempfile::tempdir().unwrap();
    let trail = Trail::open(plain_options(dir.path()), clock()).unwrap();
    let flow = flow("orders");
    let begin = Instant::now();
    let last = (0..BURST).map(|number| append(&trail, number, &flow).unwrap()).last();
    crate::exchanges::wait(&trail, last.unwrap()).unwrap();
    println!("{:.0} records a second until durable", BURST as f64 / begin.elapsed().as_secs_f64());
    trail.close().unwrap();
    check(dir.path(), BURST);
}
