//! Roots, proofs and tiles, against `ct-merkle` and against a naive computation.

use crate::exchanges::{closed, open, record, verify};
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ironbridge_audit::Log;
use ironbridge_audit::merkle::{Hash, check_consistency, check_inclusion, leaf_hash, root_of};
use sha2::Sha256;
use std::path::Path;

fn leaves(log: &Log) -> Vec<Vec<u8>> {
    log.follow(0).map(|stored| stored.unwrap().json.into_bytes()).collect()
}

fn oracle(leaves: &[Vec<u8>]) -> MemoryBackedTree<Sha256, Vec<u8>> {
    let mut tree = MemoryBackedTree::new();
    leaves.iter().for_each(|leaf| tree.push(leaf.clone()));
    tree
}

#[test]
fn roots_are_those_of_another_implementation() {
    for size in [0, 1, 2, 3, 7, 8, 255, 256, 257, 511, 512, 600] {
        let dir = tempfile::tempdir().unwrap();
        closed(dir.path(), size);
        let log = Log::open(dir.path()).unwrap();
        let verified = verify(&log);
        assert_eq!((verified.size, verified.pending), (size, 0));
        assert_eq!(
            verified.root.as_slice(),
            oracle(&leaves(&log)).root().as_bytes().as_slice(),
            "size {size}"
        );
    }
}

#[test]
fn roots_and_proofs_hold_while_the_log_grows_by_any_steps() {
    let dir = tempfile::tempdir().unwrap();
    let mut roots: Vec<(u64, Hash)> = Vec::new();
    let mut size = 0;
    for step in [1u64, 2, 60, 1, 191, 2, 255, 513, 3] {
        let trail = open(dir.path());
        record(&trail, size..size + step);
        size += step;
        trail.close().unwrap();
        roots.push((size, verify(&Log::open(dir.path()).unwrap()).root));
    }
    let log = Log::open(dir.path()).unwrap();
    let leaves = leaves(&log);
    let hashes: Vec<Hash> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
    for (old, old_root) in &roots {
        assert_eq!(root_of(&hashes[..*old as usize]).unwrap(), *old_root);
        assert_eq!(log.root(*old).unwrap(), *old_root);
        let oracle = oracle(&leaves[..*old as usize]);
        for index in (0..*old).step_by(37).chain([old - 1]) {
            let path = log.prove_inclusion(index, *old).unwrap();
            assert!(check_inclusion(old_root, *old, index, &hashes[index as usize], &path));
            assert_eq!(path.concat(), oracle.prove_inclusion(index as usize).as_bytes());
        }
        for (new, new_root) in roots.iter().filter(|(new, _)| new >= old) {
            let path = log.prove_consistency(*old, *new).unwrap();
            assert!(check_consistency(*old, old_root, *new, new_root, &path));
        }
    }
    assert!(log.prove_inclusion(size, size).is_err());
    assert!(log.root(size + 1).is_err());
}

/// Every tile and bundle, computed from the leaves alone by the layout's definition.
#[test]
fn tiles_are_those_of_a_naive_computation() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), 1000);
    let leaves = leaves(&Log::open(dir.path()).unwrap());
    let tiles = dir.path().join("log/tile");
    let read = |path: &str| std::fs::read(tiles.join(path)).unwrap();

    for (n, bundle) in leaves.chunks(256).enumerate() {
        let bytes: Vec<u8> = bundle
            .iter()
            .flat_map(|leaf| [&u16::try_from(leaf.len()).unwrap().to_be_bytes()[..], leaf].concat())
            .collect();
        let partial = if bundle.len() < 256 { format!(".p/{}", bundle.len()) } else { String::new() };
        assert_eq!(read(&format!("entries/00{n}{partial}")), bytes);
        let hashes: Vec<u8> = bundle.iter().flat_map(|leaf| leaf_hash(leaf)).collect();
        assert_eq!(read(&format!("0/00{n}{partial}")), hashes);
    }
    let above: Vec<u8> = leaves
        .chunks_exact(256)
        .flat_map(|bundle| root_of(&bundle.iter().map(|leaf| leaf_hash(leaf)).collect::<Vec<_>>()).unwrap())
        .collect();
    assert_eq!(read("1/000.p/3"), above);
    assert_eq!(names(&tiles.join("0")), ["000", "001", "002", "003.p"]);
    assert_eq!(names(&tiles), ["0", "1", "entries"]);
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_third_level_of_tiles() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), 65_536 + 300);
    let log = Log::open(dir.path()).unwrap();
    assert_eq!(verify(&log).size, 65_836);
    assert!(dir.path().join("log/tile/2/000.p/1").exists());
    assert!(dir.path().join("log/tile/1/000").exists());
    let leaf = log.follow(70).next().unwrap().unwrap().json;
    let path = log.prove_inclusion(70, 65_836).unwrap();
    assert!(check_inclusion(&log.root(65_836).unwrap(), 65_836, 70, &leaf_hash(leaf.as_bytes()), &path));
}
