//! What readers meet while the log grows under their hands: c2sp.org/tlog-tiles promises the partial tiles of every
//! checkpoint that was ever shown, and nothing that no checkpoint covers.

use crate::exchanges::{append, eventually, flow, open, record};
use ironbridge_audit::merkle::leaf_hash;
use ironbridge_audit::{Log, LogFile, Trail};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// Records so many and waits for their checkpoint.
fn grow(trail: &Trail, to: u64) {
    record(trail, trail.status().size..to);
    eventually(|| trail.status().integrated == to);
}

/// Of each entry its hash, from a bundle's bytes; whole or not at all.
fn entries(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = bytes;
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let (length, tail) = rest.split_first_chunk::<2>().unwrap();
        let (entry, tail) = tail.split_at(usize::from(u16::from_be_bytes(*length)));
        entries.push(entry.to_vec());
        rest = tail;
    }
    entries
}

fn width(file: LogFile) -> usize {
    match file {
        LogFile::Tile { width, .. } | LogFile::Entries { width, .. } => width as usize,
        _ => unreachable!(),
    }
}

/// What the log reads for these files of a tree: whole, and of the width that was asked for.
fn read_whole(log: &Log, files: impl Iterator<Item = LogFile>) {
    for file in files {
        let bytes = log.read(file).unwrap().unwrap_or_else(|| panic!("{} is not there", file.path()));
        match file {
            LogFile::Entries { .. } => assert_eq!(entries(&bytes).len(), width(file), "{}", file.path()),
            _ => assert_eq!(bytes.len(), 32 * width(file), "{}", file.path()),
        }
    }
}

#[test]
fn the_partial_tiles_of_every_checkpoint_stay() {
    let dir = tempfile::tempdir().unwrap();
    let mut trail = open(dir.path());
    let log = Log::open(dir.path()).unwrap();
    let mut shown: Vec<u64> = Vec::new();
    for (round, step) in [1u64, 1, 100, 7, 90, 56, 1, 30, 226, 1, 1, 2, 251, 3].into_iter().enumerate() {
        let size = shown.last().unwrap_or(&0) + step;
        grow(&trail, size);
        shown.push(size);
        if round % 5 == 4 {
            // Also over a restart.
            trail.close().unwrap();
            drop(trail);
            trail = open(dir.path());
        }
        for size in &shown {
            read_whole(&log, LogFile::partial(*size).chain(LogFile::full(0, *size)));
        }
        // Whoever serves the directory itself has them too, until the full tile is there.
        for old in &shown {
            for file in LogFile::partial(*old) {
                let is_still_partial = LogFile::partial(size).any(|now| folder(now) == folder(file));
                let stays = dir.path().join("log").join(file.path()).exists();
                assert!(stays || !is_still_partial, "{} at {size}", file.path());
            }
        }
    }
}

fn folder(file: LogFile) -> String {
    file.path().rsplit_once('/').unwrap().0.to_owned()
}

#[test]
fn partial_forms_give_way_to_the_full_tile_after_a_while() {
    let dir = tempfile::tempdir().unwrap();
    let trail = open(dir.path());
    for size in [3, 200, 300, 511, 600] {
        grow(&trail, size);
    }
    trail.close().unwrap();
    drop(trail);
    // Nobody serves them any more once the bridge has stopped, and the full tiles are there.
    for gone in ["entries/000.p", "entries/001.p", "0/000.p", "0/001.p"] {
        assert!(!dir.path().join("log/tile").join(gone).exists(), "{gone}");
    }
    // What a killed bridge left is found by the next one.
    for left in ["entries/000.p", "0/001.p"] {
        std::fs::create_dir(dir.path().join("log/tile").join(left)).unwrap();
        std::fs::write(dir.path().join("log/tile").join(left).join("7"), "torn").unwrap();
    }
    open(dir.path()).close().unwrap();
    for gone in ["entries/000.p", "0/001.p"] {
        assert!(!dir.path().join("log/tile").join(gone).exists(), "{gone}");
    }
    assert!(dir.path().join("log/tile/entries/002.p/88").exists());
}

#[test]
fn nothing_is_read_that_no_checkpoint_covers() {
    let dir = tempfile::tempdir().unwrap();
    let trail = open(dir.path());
    grow(&trail, 300);
    let log = Log::open(dir.path()).unwrap();
    let tile = |path: &str| dir.path().join("log/tile").join(path);
    // The next round's files, half written: empty, of zeros, cut off; and those of a round that failed.
    std::fs::write(tile("entries/001"), "").unwrap();
    std::fs::write(tile("0/001"), vec![0; 8192]).unwrap();
    std::fs::write(tile("entries/001.p/100"), vec![0; 131_072]).unwrap();
    std::fs::write(tile("0/001.p/100"), "").unwrap();
    for path in
        ["tile/entries/001", "tile/0/001", "tile/entries/001.p/100", "tile/0/001.p/45", "tile/1/000.p/2"]
    {
        assert_eq!(log.read(LogFile::parse(path).unwrap()).unwrap(), None, "{path}");
    }
    // A width that a failed round left behind is made of what the checkpoint was written with.
    std::fs::write(tile("entries/001.p/30"), vec![0; 70]).unwrap();
    std::fs::write(tile("0/001.p/30"), "").unwrap();
    read_whole(
        &log,
        [LogFile::Entries { index: 1, width: 30 }, LogFile::Tile { level: 0, index: 1, width: 30 }]
            .into_iter(),
    );
    // What is covered and damaged is a fault, never half a tile.
    for (path, bytes) in
        [("entries/000", 131_072), ("0/000", 0), ("0/001.p/44", 1407), ("entries/001.p/44", 9)]
    {
        let whole = std::fs::read(tile(path)).unwrap();
        std::fs::write(tile(path), vec![0; bytes]).unwrap();
        log.read(LogFile::parse(&format!("tile/{path}")).unwrap()).unwrap_err();
        std::fs::write(tile(path), whole).unwrap();
    }
}

#[test]
fn a_reader_beside_a_writer_meets_whole_tiles_only() {
    let dir = tempfile::tempdir().unwrap();
    let trail = open(dir.path());
    grow(&trail, 1);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2).map(|_| scope.spawn(|| follow(dir.path(), &done))).collect();
        let flow = flow("orders");
        for number in 1..6_000 {
            append(&trail, number, &flow).unwrap();
            if number % 50 == 0 {
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
        }
        eventually(|| trail.status().integrated == 6_000);
        done.store(true, SeqCst);
        assert!(readers.into_iter().map(|reader| reader.join().unwrap()).sum::<u64>() > 10);
    });
}

/// Asks for what checkpoints cover, and for what they will cover next.
fn follow(dir: &Path, done: &AtomicBool) -> u64 {
    let log = Log::open(dir).unwrap();
    let (mut rounds, mut old) = (0, None);
    while !done.load(SeqCst) {
        let head = log.checkpoint(None).unwrap();
        // As a reader far away does it: the log has gone on meanwhile.
        for size in [old.replace(head.size).unwrap_or(head.size), head.size] {
            read_whole(&log, LogFile::partial(size));
            assert_eq!(log.root(head.size).unwrap(), head.root);
        }
        for index in head.size / 256..head.size / 256 + 3 {
            let bundle = log.read(LogFile::Entries { index, width: 256 }).unwrap();
            let leaves = log.read(LogFile::Tile { level: 0, index, width: 256 }).unwrap();
            if let (Some(bundle), Some(leaves)) = (bundle, leaves) {
                let hashes: Vec<u8> = entries(&bundle).iter().flat_map(|entry| leaf_hash(entry)).collect();
                assert_eq!(hashes, leaves);
            }
        }
        rounds += 1;
    }
    rounds
}
