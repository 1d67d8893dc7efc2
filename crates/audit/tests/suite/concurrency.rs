//! Many threads and runtimes that append and wait at once.

use crate::exchanges::{ORIGIN, append, clock, exchange, flow, open, runtime, signer, verify};
use ironbridge_audit::{Log, Options, Trail};
use ironbridge_core::{Ending, Record, Recorder};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn check(dir: &std::path::Path, count: u64) {
    let log = Log::open(dir).unwrap();
    assert_eq!(verify(&log).size, count);
    let ids: BTreeSet<String> = log.follow(0).map(|stored| stored.unwrap().entry.id).collect();
    assert_eq!(ids.len() as u64, count);
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
        let position = append(&trail, number, &flow).unwrap();
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

/// Prints what one append and one durable append cost here. Run by hand, optimised:
/// `cargo test --profile quick -p ironbridge-audit throughput -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn throughput() {
    const APPENDS: u64 = 400_000;
    let dir = tempfile::tempdir().unwrap();
    let trail = Arc::new(Trail::open(Options::new(dir.path(), ORIGIN, signer()), clock()).unwrap());
    let flow = flow("orders");
    let exchanges: Vec<_> = (0..1000).map(|number| exchange(number, &flow)).collect();
    let begin = Instant::now();
    let mut hot = 0;
    let mut taken = 0;
    let mut last = None;
    while taken < APPENDS {
        if trail.ready().is_err() {
            std::thread::yield_now();
            continue;
        }
        let start = processor_time();
        for exchange in &exchanges {
            let ending = Ending::Delivered { status: 200 };
            last = trail.append(Record { exchange, ending, duration: Duration::ZERO, amends: false }).ok();
        }
        hot += processor_time() - start;
        taken += 1000;
    }
    println!("append: {:.3} µs of processor time", hot as f64 / 1000.0 / APPENDS as f64);
    crate::exchanges::wait(&trail, last.unwrap()).unwrap();
    println!("grouped: {:.0} a second until durable", APPENDS as f64 / begin.elapsed().as_secs_f64());
    crate::exchanges::eventually(|| trail.status().integrated == taken);
    println!("integrated: {:.0} a second", APPENDS as f64 / begin.elapsed().as_secs_f64());

    const EACH: u64 = 2000;
    let begin = Instant::now();
    let cores: Vec<_> = (0..2)
        .map(|_| {
            let (trail, flow) = (Arc::clone(&trail), Arc::clone(&flow));
            std::thread::spawn(move || {
                runtime().block_on(async {
                    let tasks: Vec<_> = (0..128)
                        .map(|_| {
                            let (trail, flow) = (Arc::clone(&trail), Arc::clone(&flow));
                            tokio::spawn(async move {
                                for number in 0..EACH {
                                    let position = append(&trail, number, &flow).unwrap();
                                    trail.durable(position).await.unwrap();
                                }
                            })
                        })
                        .collect();
                    for task in tasks {
                        task.await.unwrap();
                    }
                });
            })
        })
        .collect();
    cores.into_iter().for_each(|core| core.join().unwrap());
    let rate = (256 * EACH) as f64 / begin.elapsed().as_secs_f64();
    println!("durable, 256 waiting: {rate:.0} a second");
    let begin = Instant::now();
    trail.close().unwrap();
    println!("closed after {:?}", begin.elapsed());
    let begin = Instant::now();
    let size = verify(&Log::open(dir.path()).unwrap()).size;
    println!("verified: {:.0} a second", size as f64 / begin.elapsed().as_secs_f64());
}

/// Nanoseconds that this thread has run.
fn processor_time() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split(' ').next().unwrap().parse().unwrap()
}
