//! Prints what one append and one durable append cost on this machine:
//! `cargo run --profile quick -p ironbridge-audit --example throughput`.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::print_stdout)]

#[path = "../tests/suite/exchanges.rs"]
mod exchanges;
#[path = "../tests/suite/memory_disk.rs"]
mod memory_disk;

use exchanges::{ORIGIN, append, clock, eventually, exchange, flow, signer, verify, wait};
use ironbridge_audit::{Log, Options, Trail};
use ironbridge_core::{Ending, Flow, Record, Recorder};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Builder;

fn main() {
    let dir = tempfile::tempdir().unwrap();
    let trail = Arc::new(Trail::open(Options::new(dir.path(), ORIGIN, signer()), clock()).unwrap());
    let flow = flow("orders");
    grouped(&trail, &flow);
    durable(&trail, &flow);
    let begin = Instant::now();
    trail.close().unwrap();
    println!("closed after {:?}", begin.elapsed());
    let begin = Instant::now();
    let size = verify(&Log::open(dir.path()).unwrap()).size;
    println!("verified: {:.0} a second", size as f64 / begin.elapsed().as_secs_f64());
}

/// Appends that nobody waits for.
fn grouped(trail: &Trail, flow: &Arc<Flow>) {
    const APPENDS: u64 = 400_000;
    let exchanges: Vec<_> = (0..1000).map(|number| exchange(number, flow)).collect();
    let begin = Instant::now();
    let (mut hot, mut taken, mut last) = (0, 0, None);
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
    wait(trail, last.unwrap()).unwrap();
    println!("grouped: {:.0} a second until durable", APPENDS as f64 / begin.elapsed().as_secs_f64());
    eventually(|| trail.status().integrated == taken);
    println!("integrated: {:.0} a second", APPENDS as f64 / begin.elapsed().as_secs_f64());
}

/// Appends of two cores, each waited for.
fn durable(trail: &Arc<Trail>, flow: &Arc<Flow>) {
    const EACH: u64 = 2000;
    const WAITING: u64 = 128;
    let begin = Instant::now();
    let core = || {
        Builder::new_current_thread().build().unwrap().block_on(async {
            let tasks: Vec<_> = (0..WAITING)
                .map(|_| {
                    let (trail, flow) = (Arc::clone(trail), Arc::clone(flow));
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
    };
    std::thread::scope(|scope| {
        let _other = scope.spawn(core);
        core();
    });
    let rate = (2 * WAITING * EACH) as f64 / begin.elapsed().as_secs_f64();
    println!("durable, {} waiting: {rate:.0} a second", 2 * WAITING);
}

/// Nanoseconds that this thread has run.
fn processor_time() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split(' ').next().unwrap().parse().unwrap()
}
