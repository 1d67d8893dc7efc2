//! The Merkle tree of RFC 9162 §2.1 (the same hashing as RFC 6962): leaves, nodes, roots and proofs.

use ironbridge_seal::hash::sha256_parts;

/// A SHA-256 value: of a leaf, of a node, or a root.
pub type Hash = [u8; 32];

/// The root of the tree without leaves: SHA-256 of nothing.
pub fn empty_root() -> Hash {
    sha256_parts(&[])
}

/// The hash of an entry: SHA-256 over 0x00 and the entry.
pub fn leaf_hash(entry: &[u8]) -> Hash {
    sha256_parts(&[&[0], entry])
}

/// The hash of an inner node: SHA-256 over 0x01 and both children.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256_parts(&[&[1], left, right])
}

/// The hash over a run of hashes of one height, as a tree of its own: split at the largest power of two below
/// its length. `None` for an empty run.
pub fn root_of(hashes: &[Hash]) -> Option<Hash> {
    match hashes {
        [] => None,
        [only] => Some(*only),
        _ => {
            let (left, right) = hashes.split_at_checked(split(hashes.len()))?;
            Some(node_hash(&root_of(left)?, &root_of(right)?))
        }
    }
}

/// The largest power of two below `length`, which is at least 2.
fn split(length: usize) -> usize {
    1 << (usize::BITS - 1 - (length - 1).leading_zeros())
}

fn split_u64(length: u64) -> u64 {
    1 << (u64::BITS - 1 - (length - 1).leading_zeros())
}

/// A stored node: the root of the complete subtree of `2^height` leaves that starts at leaf `index << height`.
pub(crate) trait Nodes {
    type Error;
    fn node(&mut self, height: u32, index: u64) -> Result<Hash, Self::Error>;
}

/// The root over leaves `from..to`, where `from` starts a subtree that large (RFC 9162 §2.1.1).
pub(crate) fn range_root<N: Nodes>(nodes: &mut N, from: u64, to: u64) -> Result<Hash, N::Error> {
    let length = to.saturating_sub(from);
    match length {
        0 => Ok(empty_root()),
        _ if length.is_power_of_two() => nodes.node(length.trailing_zeros(), from >> length.trailing_zeros()),
        _ => {
            let middle = from + split_u64(length);
            let left = range_root(nodes, from, middle)?;
            Ok(node_hash(&left, &range_root(nodes, middle, to)?))
        }
    }
}

/// PATH(index, D[from:to]) of RFC 9162 §2.1.3.1, from the leaf upward. `index` is below `to`.
pub(crate) fn inclusion_path<N: Nodes>(
    nodes: &mut N,
    index: u64,
    from: u64,
    to: u64,
) -> Result<Vec<Hash>, N::Error> {
    let length = to.saturating_sub(from);
    if length <= 1 {
        return Ok(Vec::new());
    }
    let middle = from + split_u64(length);
    let (mut path, sibling) = if index < middle {
        (inclusion_path(nodes, index, from, middle)?, range_root(nodes, middle, to)?)
    } else {
        (inclusion_path(nodes, index, middle, to)?, range_root(nodes, from, middle)?)
    };
    path.push(sibling);
    Ok(path)
}

/// SUBPROOF(old, D[from:to], whole) of RFC 9162 §2.1.4.1. `old` is at least 1 and at most `to - from`.
pub(crate) fn consistency_path<N: Nodes>(
    nodes: &mut N,
    old: u64,
    from: u64,
    to: u64,
    whole: bool,
) -> Result<Vec<Hash>, N::Error> {
    let length = to.saturating_sub(from);
    if old >= length {
        return if whole { Ok(Vec::new()) } else { Ok(vec![range_root(nodes, from, to)?]) };
    }
    let middle = from + split_u64(length);
    let (mut path, sibling) = if old <= middle - from {
        (consistency_path(nodes, old, from, middle, whole)?, range_root(nodes, middle, to)?)
    } else {
        let right = consistency_path(nodes, old - (middle - from), middle, to, false)?;
        (right, range_root(nodes, from, middle)?)
    };
    path.push(sibling);
    Ok(path)
}

/// Whether `path` proves that the leaf is entry `index` of the tree with `size` leaves and this root
/// (RFC 9162 §2.1.3.2).
pub fn check_inclusion(root: &Hash, size: u64, index: u64, leaf: &Hash, path: &[Hash]) -> bool {
    if index >= size {
        return false;
    }
    let (mut place, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in path {
        if last == 0 {
            return false;
        }
        if place & 1 == 1 || place == last {
            hash = node_hash(sibling, &hash);
            while place & 1 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        place >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Whether `path`, of the first entry of the `number`th run of `2^height` entries, proves that this is the run's root: from
/// there upward it is the path of a tree whose leaves are such runs. The tree holds the whole run.
pub(crate) fn check_run(
    root: &Hash,
    size: u64,
    (number, height): (u64, u32),
    run: &Hash,
    path: &[Hash],
) -> bool {
    let above = usize::try_from(height).ok().and_then(|height| path.get(height..));
    size > 0
        && above.is_some_and(|above| check_inclusion(root, ((size - 1) >> height) + 1, number, run, above))
}

/// Whether `path` proves that the tree of `new` leaves starts with the tree of `old` leaves
/// (RFC 9162 §2.1.4.2). Every tree starts with the empty one; that needs no path.
pub fn check_consistency(old: u64, old_root: &Hash, new: u64, new_root: &Hash, path: &[Hash]) -> bool {
    match (old, path) {
        _ if old > new => return false,
        (0, []) => return *old_root == empty_root(),
        (_, []) => return old == new && old_root == new_root,
        _ if old == 0 || old == new => return false,
        _ => {}
    }
    let (mut place, mut last) = (old - 1, new - 1);
    while place & 1 == 1 {
        place >>= 1;
        last >>= 1;
    }
    let mut siblings = path.iter();
    let start = if old.is_power_of_two() { Some(old_root) } else { siblings.next() };
    let Some(start) = start else { return false };
    let (mut from_old, mut from_new) = (*start, *start);
    for sibling in siblings {
        if last == 0 {
            return false;
        }
        if place & 1 == 1 || place == last {
            from_old = node_hash(sibling, &from_old);
            from_new = node_hash(sibling, &from_new);
            while place & 1 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            from_new = node_hash(&from_new, sibling);
        }
        place >>= 1;
        last >>= 1;
    }
    last == 0 && from_old == *old_root && from_new == *new_root
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation)]
mod tests {
    use super::*;
    use ironbridge_seal::hash::hex;

    /// Leaves and roots of the Certificate Transparency reference tests.
    const LEAVES: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];

    struct Plain(Vec<Hash>);
    impl Nodes for Plain {
        type Error = std::convert::Infallible;
        fn node(&mut self, height: u32, index: u64) -> Result<Hash, Self::Error> {
            let from = (index << height) as usize;
            Ok(root_of(&self.0[from..from + (1 << height)]).unwrap())
        }
    }

    #[test]
    fn known_roots() {
        let hashes: Vec<Hash> = LEAVES.iter().map(|leaf| leaf_hash(leaf)).collect();
        assert_eq!(hex(&empty_root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        for (n, root) in roots.iter().enumerate() {
            assert_eq!(hex(&root_of(&hashes[..=n]).unwrap()), *root, "size {}", n + 1);
        }
    }

    #[test]
    fn every_proof_of_small_trees_checks_and_no_altered_one_does() {
        let hashes: Vec<Hash> = (0..70u8).map(|n| leaf_hash(&[n])).collect();
        for size in 1..=70u64 {
            let mut nodes = Plain(hashes[..size as usize].to_vec());
            let root = root_of(&nodes.0).unwrap();
            for index in 0..size {
                let path = inclusion_path(&mut nodes, index, 0, size).unwrap();
                let leaf = hashes[index as usize];
                assert!(check_inclusion(&root, size, index, &leaf, &path));
                assert!(!check_inclusion(&root, size, index, &[9; 32], &path));
                assert!(!check_inclusion(&root, size, (index + 1) % (size + 1), &leaf, &path) || size == 1);
                if let Some((_, shorter)) = path.split_last() {
                    assert!(!check_inclusion(&root, size, index, &leaf, shorter));
                }
                let longer: Vec<Hash> = path.iter().copied().chain([[0; 32]]).collect();
                assert!(!check_inclusion(&root, size, index, &leaf, &longer));
            }
            for (height, number) in (0..6u32).flat_map(|height| (0..size >> height).map(move |n| (height, n)))
            {
                let first = number << height;
                let path = inclusion_path(&mut nodes, first, 0, size).unwrap();
                let run = root_of(&hashes[first as usize..(first + (1 << height)) as usize]).unwrap();
                assert!(check_run(&root, size, (number, height), &run, &path));
                assert!(!check_run(&root, size, (number, height), &[9; 32], &path));
                assert!(!check_run(&root, size, (number + 1, height), &run, &path));
            }
            for old in 1..=size {
                let path = consistency_path(&mut nodes, old, 0, size, true).unwrap();
                let old_root = root_of(&hashes[..old as usize]).unwrap();
                assert!(check_consistency(old, &old_root, size, &root, &path));
                assert!(!check_consistency(old, &[9; 32], size, &root, &path));
                assert!(!check_consistency(old, &old_root, size, &[9; 32], &path));
                if old < size {
                    assert!(!check_consistency(old, &old_root, size, &root, &[]));
                }
            }
        }
        assert!(check_consistency(0, &empty_root(), 5, &[1; 32], &[]));
        assert!(!check_consistency(6, &[1; 32], 5, &[1; 32], &[]));
    }
}
