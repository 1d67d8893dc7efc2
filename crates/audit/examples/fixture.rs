//! Writes the fixture of the trail's current format, once per format, for the tests to open for ever:
//! `cargo run -p ironbridge-audit --example fixture -- crates/audit/tests/fixtures/v3`.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::cast_possible_truncation)]

#[path = "../tests/suite/exchanges.rs"]
mod exchanges;
#[path = "../tests/suite/memory_disk.rs"]
mod memory_disk;

use ironbridge_audit::Log;
use ironbridge_seal::hash::hex;
use std::path::PathBuf;

fn main() {
    let dir = PathBuf::from(std::env::args_os().nth(1).expect("a directory that is not there yet"));
    std::fs::create_dir(&dir).unwrap();
    exchanges::fixture(&dir);
    let log = Log::open(&dir).unwrap();
    let first = log.follow(0).next().unwrap().unwrap().json;
    std::fs::write(dir.with_extension("root"), hex(&exchanges::verify(&log).root) + "\n").unwrap();
    std::fs::write(dir.with_extension("first.json"), first + "\n").unwrap();
}
