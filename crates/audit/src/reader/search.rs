//! Which records a query has to read.

use super::details::Anywhere;
use super::entries::{Backward, Follow, Records, Stored};
use super::log::{Log, settled};
use super::query::{Order, Query};
use crate::fault::Fault;
use crate::index::{Blocks, Field, IndexFile, Positions, Term};
use crate::merkle::Hash;
use crate::tiles::{WIDTH, load_tile, node_within, nodes_at};
use ironbridge_core::Timestamp;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// A query as the index sees it. What it leaves out cannot match; what it gives still has to be judged.
pub(super) struct Search {
    log: Log,
    blocks: Blocks,
    /// Of the blocks that are full: an index must have been built from the records under its block's root.
    roots: Vec<Hash>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    terms: Vec<Term>,
    subject: Option<Term>,
    order: Order,
    /// Whether every record is read.
    whole: bool,
    /// `None` where nobody asks for detail.
    detail: Option<Mutex<Anywhere>>,
}

impl Search {
    pub fn new(log: &Log, query: &Query, blocks: Blocks) -> Search {
        // The rarest first: where one leaves nothing, the next is not looked up.
        let texts = [
            (Field::Id, &query.id),
            (Field::Account, &query.account),
            (Field::Action, &query.action),
            (Field::Operation, &query.operation),
            (Field::Integration, &query.integration),
            (Field::Code, &query.code),
            (Field::Permission, &query.permission),
            (Field::Target, &query.target),
            (Field::Source, &query.source),
            (Field::Outcome, &query.outcome),
        ];
        // The index holds no empty values: asking for one means that the record holds none.
        let terms = texts.into_iter().filter_map(|(field, text)| {
            let text = text.as_ref().filter(|text| !text.is_empty())?;
            Some(Term::new(field, text.as_bytes()))
        });
        Search {
            log: log.clone(),
            blocks,
            // Without the tree's tiles no index can be trusted: the log is read from one end to the other.
            roots: log.block_roots(blocks).unwrap_or_default(),
            since: query.since,
            until: query.until,
            terms: terms.collect(),
            subject: query.subject.map(|tag| Term::new(Field::Subject, &tag)),
            order: query.order,
            whole: query.whole,
            detail: (query.details || query.subject.is_some()).then(|| Mutex::new(Anywhere::new(log))),
        }
    }

    /// All records that may match, in the query's order.
    pub fn records(self) -> Result<Records, Fault> {
        let full = u64::try_from(self.roots.len()).unwrap_or(u64::MAX);
        let rest = full * self.blocks.records();
        let search = Arc::new(self);
        let in_block = {
            let search = Arc::clone(&search);
            move |number| Search::in_block(Arc::clone(&search), number)
        };
        Ok(match search.order {
            Order::OldestFirst => {
                Box::new((0..full).flat_map(in_block).chain(Follow::from(&search.log, rest)))
            }
            Order::NewestFirst => {
                Box::new(Backward::new(&search.log, rest)?.chain((0..full).rev().flat_map(in_block)))
            }
        })
    }

    fn in_block(search: Arc<Search>, number: u64) -> Records {
        let positions = search.candidates(number);
        let newest_first = search.order == Order::NewestFirst;
        let first = number * search.blocks.bundles();
        let bundles = 0..search.blocks.bundles();
        let read = move |within: u64| {
            let wanted = positions.in_bundle(usize::try_from(within).unwrap_or(usize::MAX));
            search.read(first + within, &wanted)
        };
        match newest_first {
            false => Box::new(bundles.flat_map(read)),
            true => Box::new(bundles.rev().flat_map(move |within| read(within).into_iter().rev())),
        }
    }

    /// The records of a bundle that are wanted, in ascending order, or the fault alone.
    fn read(&self, bundle: u64, wanted: &[usize]) -> Vec<Result<Stored, Fault>> {
        if wanted.is_empty() {
            return Vec::new();
        }
        let first = bundle * WIDTH;
        // What retention dropped is no answer to anything.
        match self.log.first_kept() {
            Ok(kept) if first < kept => return Vec::new(),
            Ok(_) => {}
            Err(fault) => return vec![Err(fault)],
        }
        let indexes: Vec<u64> =
            wanted.iter().filter_map(|place| Some(first + u64::try_from(*place).ok()?)).collect();
        let mut detail = self.detail.as_ref().map(Mutex::lock);
        match self.log.records(detail.as_deref_mut(), &indexes) {
            Ok(records) => records.into_iter().map(Ok).collect(),
            Err(fault) => vec![Err(fault)],
        }
    }

    /// What of a block may match: all of it where there is no index to tell.
    fn candidates(&self, number: u64) -> Positions {
        self.indexed(number).unwrap_or_else(Positions::all)
    }

    fn indexed(&self, number: u64) -> Option<Positions> {
        if self.whole {
            return None;
        }
        if self.terms.is_empty() && self.subject.is_none() && self.since.is_none() && self.until.is_none() {
            return None;
        }
        let root = self.roots.get(usize::try_from(number).ok()?)?;
        let key = self.log.trust.key.as_ref();
        let file = IndexFile::open(&*self.log.disk, &self.log.places.base, number, root, key)?;
        // One that the bridge sealed says what the bridge found in the records.
        self.log.indexed.fetch_or(key.is_none(), Relaxed);
        let mut positions = file.within(self.since, self.until);
        let subject = self.subject.filter(|_| file.subjects_known());
        for term in subject.iter().chain(&self.terms) {
            if positions.is_empty() {
                break;
            }
            positions.keep(&file.records(*term)?);
        }
        Some(positions)
    }
}

impl Log {
    /// The roots of the blocks that the log has full.
    pub(super) fn block_roots(&self, blocks: Blocks) -> Result<Vec<Hash>, Fault> {
        settled(|| self.try_block_roots(blocks))
    }

    fn try_block_roots(&self, blocks: Blocks) -> Result<Vec<Hash>, Fault> {
        let size = self.unverified_checkpoint()?.size;
        let (level, within) = (blocks.height / 8, blocks.height % 8);
        let nodes = nodes_at(level, size);
        let mut roots = Vec::new();
        for tile in 0..nodes.div_ceil(WIDTH) {
            let width = (nodes - tile * WIDTH).min(WIDTH);
            let hashes = load_tile(&*self.disk, &self.places.log, level, tile, width)?;
            roots.extend((0..hashes.len() >> within).filter_map(|place| node_within(&hashes, within, place)));
        }
        Ok(roots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Disk, RealDisk};
    use crate::index::{self, DIRECTORY, IndexBuilder};
    use crate::journal::Trust;
    use crate::merkle::{leaf_hash, root_of};
    use crate::places::Places;
    use crate::reader::Indexer;
    use crate::reader::log::parse;
    use crate::segment::TrailKey;
    use crate::text::push_time;
    use crate::tiles::Edge;
    use ironbridge_core::OwnerTag;
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    /// Small ones, of four bundles.
    const BLOCKS: Blocks = Blocks { height: 10 };

    /// Enough to make a record of; the rest follows from its index.
    #[derive(Debug, Clone)]
    struct Seed {
        time: u64,
        value: usize,
        tags: Vec<u8>,
    }

    const ACCOUNTS: [&str; 4] = ["", "shop", "sh\"op\\", "Büro"];
    const CODES: [&str; 3] = ["delivered", "rate-limited", "done"];

    impl Seed {
        fn leaf(&self, index: usize) -> String {
            let mut time = Vec::new();
            push_time(&mut time, Timestamp(self.time));
            let json = serde_json::json!({
                "v": 2, "id": id(index), "time": String::from_utf8(time).unwrap(), "generation": 1,
                "account": ACCOUNTS[self.value % 4], "code": CODES[self.value % 3], "source": "shop",
                "outcome": if self.value % 7 == 6 { "denied" } else { "success" },
                "action": if self.value % 50 == 49 { "key.issue" } else { "" }, "details": self.tags.len(),
                "integration": format!("integration-{}", self.value % 13), "target": "erp",
            });
            json.to_string()
        }

        fn tags(&self) -> Vec<OwnerTag> {
            self.tags.iter().map(|tag| [*tag; 16]).collect()
        }
    }

    fn id(index: usize) -> String {
        format!("id-{index}")
    }

    /// A log of these records as it lies on disk, unsigned.
    fn log_of(dir: &Path, seeds: &[Seed]) -> Log {
        let mut edge = Edge::default();
        let mut tiles = Vec::new();
        for (index, seed) in seeds.iter().enumerate() {
            edge.push(seed.leaf(index).as_bytes(), &mut tiles);
        }
        tiles.extend(edge.partial());
        fs::create_dir_all(dir.join("log")).unwrap();
        for tile in tiles {
            let path = dir.join("log").join(tile.path());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, tile.bytes).unwrap();
        }
        let head = crate::Checkpoint { origin: "test".into(), size: edge.size, root: edge.root() };
        assert!(parse(&head.text()).is_ok());
        fs::write(dir.join("log/checkpoint"), head.text() + "\n").unwrap();
        Log::open_on(Arc::new(RealDisk), dir).unwrap()
    }

    fn indexes(log: &Log, query: &Query) -> Vec<u64> {
        let records = Search::new(log, query, BLOCKS).records().unwrap().map(Result::unwrap);
        records.filter(|stored| query.matches(stored)).map(|stored| stored.index).collect()
    }

    /// Damage to the index of a block: which, how, where.
    fn damage(dir: &Path, (block, kind, at): (u64, u8, usize)) {
        let path = dir.join(DIRECTORY).join(index::name(block));
        let Ok(mut bytes) = fs::read(&path) else { return };
        let at = at % bytes.len();
        match kind % 4 {
            0 => return fs::remove_file(path).unwrap(),
            1 => bytes[at] ^= 1 << (at % 8),
            2 => bytes.truncate(at),
            _ => bytes = fs::read(dir.join(DIRECTORY).join(index::name(0))).unwrap(),
        }
        fs::write(path, bytes).unwrap();
    }

    fn seeds() -> impl Strategy<Value = Vec<Seed>> {
        let seed = (0..5_000u64, 0..1_000usize, vec(0..3u8, 0..2));
        // Time runs, but records are out of order by up to five seconds.
        let seed = seed.prop_map(|(late, value, tags)| Seed { time: late, value, tags });
        vec(seed, 0..3_500).prop_map(|mut seeds| {
            (0u64..)
                .zip(&mut seeds)
                .for_each(|(n, seed)| seed.time = 1_000_000_000 + n * 1_000 + seed.time * 1_000);
            seeds
        })
    }

    fn queries() -> impl Strategy<Value = Query> {
        let time = || option::weighted(0.3, (0..4_000u64).prop_map(|n| Timestamp(1_000_000_000 + n * 1_000)));
        let text = |values: Vec<String>| option::weighted(0.3, proptest::sample::select(values));
        let own = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
        let integrations = (0..14).map(|n| format!("integration-{n}")).collect();
        let texts = (
            text(own(&ACCOUNTS)),
            text(own(&CODES)),
            text(own(&["success", "denied"])),
            text(own(&["", "key.issue"])),
            text(integrations),
            option::weighted(0.1, (0..3_500usize).prop_map(id)),
        );
        (time(), time(), texts, any::<bool>()).prop_map(|(since, until, texts, newest_first)| {
            let (account, code, outcome, action, integration, id) = texts;
            let order = if newest_first { Order::NewestFirst } else { Order::OldestFirst };
            Query { since, until, id, account, code, outcome, action, integration, order, ..Query::default() }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn an_index_changes_no_answer(
            seeds in seeds(),
            queries in vec(queries(), 12),
            damages in vec((0..4u64, any::<u8>(), any::<usize>()), 0..4),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let log = log_of(dir.path(), &seeds);
            let scanned: Vec<_> = queries.iter().map(|query| indexes(&log, query)).collect();
            log.reindex_blocks(BLOCKS, &mut |_, _| {}).unwrap();
            for (query, expected) in queries.iter().zip(&scanned) {
                prop_assert_eq!(&indexes(&log, query), expected, "indexed: {:?}", query);
            }
            damages.into_iter().for_each(|how| damage(dir.path(), how));
            for (query, expected) in queries.iter().zip(&scanned) {
                prop_assert_eq!(&indexes(&log, query), expected, "damaged: {:?}", query);
            }
            // The bridge mends it.
            let mut indexer = Indexer::of(log.clone(), BLOCKS);
            while indexer.catch_up().unwrap() {}
            let roots = log.block_roots(BLOCKS).unwrap();
            for (number, root) in (0..).zip(&roots) {
                prop_assert!(IndexFile::open(&RealDisk, dir.path(), number, root, None).unwrap().is_sound());
            }
        }

        #[test]
        fn subjects_lead_to_their_records(seeds in vec((0..1_000usize, vec(0..4u8, 0..4)), 1_024)) {
            let seed = |(value, tags): (usize, Vec<u8>)| Seed { time: 0, value, tags };
            let seeds: Vec<Seed> = seeds.into_iter().map(seed).collect();
            let dir = tempfile::tempdir().unwrap();
            let log = log_of(dir.path(), &seeds);
            let found = |subject: u8| -> Vec<usize> {
                let query = Query { subject: Some([subject; 16]), ..Query::default() };
                let records = Search::new(&log, &query, BLOCKS).records().unwrap();
                records.map(|stored| usize::try_from(stored.unwrap().index).unwrap()).collect()
            };
            let put = |with_detail: bool| {
                let mut builder = IndexBuilder::of(BLOCKS);
                for (index, seed) in seeds.iter().enumerate() {
                    let tags = seed.tags();
                    builder.add(seed.leaf(index).as_bytes(), with_detail.then_some(&tags)).unwrap();
                }
                index::put(&RealDisk, dir.path(), 0, &builder.finish().unwrap().bytes).unwrap();
            };
            put(true);
            for subject in 0..5 {
                let named = |(n, seed): (usize, &Seed)| seed.tags.contains(&subject).then_some(n);
                let expected: Vec<usize> = seeds.iter().enumerate().filter_map(named).collect();
                prop_assert_eq!(found(subject), expected);
            }
            // What was indexed without its detail hides nobody.
            put(false);
            prop_assert_eq!(found(0).len(), seeds.len());
        }
    }

    #[test]
    fn the_index_leads_straight_to_a_record() {
        let dir = tempfile::tempdir().unwrap();
        let seed = |n: usize| Seed { time: n as u64, value: n, tags: vec![] };
        let log = log_of(dir.path(), &(0..3_072).map(seed).collect::<Vec<_>>());
        log.reindex_blocks(BLOCKS, &mut |_, _| {}).unwrap();
        let given = |query: Query| Search::new(&log, &query, BLOCKS).records().unwrap().count();
        assert_eq!(given(Query { id: Some(id(2_000)), ..Query::default() }), 1);
        assert_eq!(given(Query { id: Some("unknown".into()), ..Query::default() }), 0);
        let both =
            Query { account: Some("Büro".into()), outcome: Some("denied".into()), ..Query::default() };
        assert_eq!(given(both.clone()), (0..3_072).filter(|n| n % 4 == 3 && n % 7 == 6).count());
        let since = Some(Timestamp(2_900));
        assert_eq!(given(Query { since, ..Query::default() }), 3_072 - 2_816);
    }

    /// Whoever can write an index can have it pass records over: that one was asked is told, and can be done without.
    #[test]
    fn an_index_that_hides_records_is_told_and_passed_by() {
        let dir = tempfile::tempdir().unwrap();
        let seed = |n: usize| Seed { time: n as u64, value: n, tags: vec![] };
        let log = log_of(dir.path(), &(0..3_072).map(seed).collect::<Vec<_>>());
        let roots = log.block_roots(BLOCKS).unwrap();
        for (number, root) in (0..).zip(&roots) {
            let hidden = index::encode(root, true, &[], &[]);
            index::put(&RealDisk, dir.path(), number, &hidden).unwrap();
        }
        let denied = Query { outcome: Some("denied".into()), ..Query::default() };
        assert!(!log.went_by_index());
        assert_eq!(indexes(&log, &denied).len(), 0, "it is believed");
        assert!(log.went_by_index());
        let whole = Log::open_on(Arc::new(RealDisk), dir.path()).unwrap();
        assert_eq!(indexes(&whole, &Query { whole: true, ..denied }).len(), 438);
        assert!(!whole.went_by_index());
    }

    /// What another hand does to an index file, and how.
    type Change = (&'static str, fn(&mut Vec<u8>));

    /// On the bridge's machine only what the bridge built itself is gone by: whatever else lies there counts as none, is
    /// built again, and hides nothing.
    #[test]
    fn an_index_that_the_bridge_did_not_build_hides_nothing() {
        let seed = |n: usize| Seed { time: n as u64, value: n, tags: vec![] };
        let denied = Query { outcome: Some("denied".into()), ..Query::default() };
        let hides = |dir: &Path, change: fn(&mut Vec<u8>)| {
            let path = dir.join(DIRECTORY).join(index::name(0));
            let mut bytes = fs::read(&path).unwrap();
            change(&mut bytes);
            fs::write(path, bytes).unwrap();
        };
        fn root_of(bytes: &[u8]) -> Hash {
            bytes[16..48].try_into().unwrap()
        }
        let changes: [Change; 5] = [
            ("another file without a seal", |bytes| *bytes = index::encode(&root_of(bytes), true, &[], &[])),
            ("another file under the old seal", |bytes| {
                let seal = bytes.split_off(bytes.len() - 257 * 32);
                *bytes = [index::encode(&root_of(bytes), true, &[], &[]), seal].concat();
            }),
            ("another file under another key's seal", |bytes| {
                *bytes = index::encode(&root_of(bytes), true, &[], &[]);
                index::seal(&TrailKey::new(&[9; 32]), bytes);
            }),
            ("the seal is cut off", |bytes| bytes.truncate(bytes.len() - 32)),
            ("a chunk's bytes and the checksums over them", |bytes| {
                let table = 48 + 256 * 16;
                let length = |number: usize| -> usize {
                    u32::from_be_bytes(bytes[table + number * 8..][..4].try_into().unwrap()) as usize
                };
                let number = (0..256).find(|number| length(*number) > 0).unwrap();
                let (first, length) = (48 + 256 * 24 + 4, length(number));
                bytes[first + length - 1] ^= 1;
                let crc = crc32fast::hash(&bytes[first..first + length]).to_be_bytes();
                bytes[table + number * 8 + 4..][..4].copy_from_slice(&crc);
                let end = table + 256 * 8;
                let crc = crc32fast::hash(&bytes[..end]).to_be_bytes();
                bytes[end..end + 4].copy_from_slice(&crc);
            }),
        ];
        for (what, change) in changes {
            let dir = tempfile::tempdir().unwrap();
            log_of(dir.path(), &(0..1_024).map(seed).collect::<Vec<_>>());
            let key = TrailKey::new(&[1; 32]);
            let trust = Trust { key: Some(key.clone()), from: 0 };
            let log = Log::at(Arc::new(RealDisk), Places::below(dir.path()), trust);
            let expected = indexes(&log, &denied);
            log.reindex_blocks(BLOCKS, &mut |_, _| {}).unwrap();
            let root = log.block_roots(BLOCKS).unwrap()[0];
            let open = || IndexFile::open(&RealDisk, dir.path(), 0, &root, Some(&key));
            assert!(open().unwrap().is_sound(), "{what}");
            assert_eq!(indexes(&log, &denied), expected, "{what}");
            assert!(!log.went_by_index(), "{what}: nobody needs to be told");
            hides(dir.path(), change);
            assert!(open().is_none_or(|file| !file.is_sound()), "{what}");
            assert_eq!(indexes(&log, &denied), expected, "{what}");
            let mut indexer = Indexer::of(log.clone(), BLOCKS);
            while indexer.catch_up().unwrap() {}
            assert!(open().unwrap().is_sound(), "{what}: built again");
        }
    }

    /// Detail that lies elsewhere while the index is built, under a `kept` that says it was dropped, comes back: the
    /// index that the bridge seals meanwhile must not say that those records name nobody.
    #[test]
    fn a_kept_that_nothing_announces_hides_no_person() {
        let dir = tempfile::tempdir().unwrap();
        let seed = |n: usize| Seed { time: n as u64, value: n, tags: vec![1] };
        log_of(dir.path(), &(0..1_024).map(seed).collect::<Vec<_>>());
        let log = || {
            let trust = Trust { key: Some(TrailKey::new(&[1; 32])), from: 0 };
            Log::at(Arc::new(RealDisk), Places::below(dir.path()), trust)
        };
        let person = Query { subject: Some([1; 16]), ..Query::default() };
        let given = || Search::new(&log(), &person, BLOCKS).records().unwrap().count();
        assert_eq!(given(), 1_024);
        for text in [r#"{"records":0,"detail":65536}"#, r#"{"records":256,"detail":256}"#] {
            fs::write(dir.path().join("log/kept"), text).unwrap();
            assert_eq!(log().first_kept(), Ok(0), "{text}");
            assert_eq!(log().follow(0).next().unwrap().unwrap().index, 0, "{text}: nothing is passed over");
            let mut indexer = Indexer::of(log(), BLOCKS);
            while indexer.catch_up().unwrap() {}
            fs::remove_file(dir.path().join("log/kept")).unwrap();
            assert_eq!(given(), 1_024, "{text}: whose detail is missing is read");
            fs::remove_dir_all(dir.path().join(DIRECTORY)).unwrap();
        }
    }

    #[test]
    fn dropped_records_take_their_index_along() {
        let dir = tempfile::tempdir().unwrap();
        let seed = |n: usize| Seed { time: n as u64, value: n, tags: vec![] };
        let log = log_of(dir.path(), &(0..3_072).map(seed).collect::<Vec<_>>());
        log.reindex_blocks(BLOCKS, &mut |_, _| {}).unwrap();
        // All of the first block, one bundle of the second.
        (0..5).for_each(|n| fs::remove_file(dir.path().join(format!("log/tile/entries/00{n}"))).unwrap());
        fs::write(dir.path().join("log/kept"), r#"{"records":1280,"detail":1280}"#).unwrap();
        let denied = Query { outcome: Some("denied".into()), ..Query::default() };
        let expected: Vec<u64> = (1_280..3_072).filter(|n| n % 7 == 6).collect();
        let newest_first = Query { order: Order::NewestFirst, ..denied.clone() };
        let backwards: Vec<u64> = expected.iter().rev().copied().collect();
        for _ in 0..2 {
            assert_eq!(indexes(&log, &denied), expected);
            assert_eq!(indexes(&log, &newest_first), backwards);
            let mut indexer = Indexer::of(log.clone(), BLOCKS);
            while indexer.catch_up().unwrap() {}
            let left = RealDisk.list(&dir.path().join(DIRECTORY)).unwrap();
            assert_eq!(left.into_iter().collect::<BTreeSet<_>>(), [1, 2].map(index::name).into());
        }
        fs::remove_dir_all(dir.path().join(DIRECTORY)).unwrap();
        assert_eq!(indexes(&log, &denied), expected);
    }

    #[test]
    fn a_damaged_block_goes_without_an_index() {
        let dir = tempfile::tempdir().unwrap();
        let seed = |n: usize| Seed { time: n as u64, value: n, tags: vec![] };
        let log = log_of(dir.path(), &(0..3_072).map(seed).collect::<Vec<_>>());
        let bundle = dir.path().join("log/tile/entries/005");
        let mut bytes = fs::read(&bundle).unwrap();
        let at = bytes.windows(6).position(|word| word == b"denied").unwrap();
        bytes[at..at + 6].copy_from_slice(b"failed");
        fs::write(bundle, bytes).unwrap();
        let mut indexer = Indexer::of(log.clone(), BLOCKS);
        assert_eq!(indexer.catch_up(), Ok(true));
        assert_eq!(indexer.catch_up().unwrap_err().entry, Some(1_280));
        assert_eq!(indexer.catch_up(), Ok(true));
        assert_eq!(indexer.catch_up(), Ok(false));
        let failed = Query { outcome: Some("failed".into()), ..Query::default() };
        let refused = log.query(failed).unwrap().last().unwrap().unwrap_err();
        assert_eq!((refused.kind, refused.entry), (crate::FaultKind::Altered, Some(1_280)));
    }

    /// Whoever alters a record with the hashes above it leaves the checkpoint behind, which is signed.
    #[test]
    fn records_with_another_tree_above_them_have_no_index() {
        let dir = tempfile::tempdir().unwrap();
        let seed = |n: usize| Seed { time: n as u64, value: n, tags: vec![] };
        let log = log_of(dir.path(), &(0..3_072).map(seed).collect::<Vec<_>>());
        let tiles = dir.path().join("log/tile");
        let mut bytes = fs::read(tiles.join("entries/005")).unwrap();
        let at = bytes.windows(6).position(|word| word == b"denied").unwrap();
        bytes[at..at + 6].copy_from_slice(b"failed");
        let leaves: Vec<Hash> = crate::tiles::parse_entries(&bytes).0.into_iter().map(leaf_hash).collect();
        let mut above = load_tile(&RealDisk, &dir.path().join("log"), 1, 0, 12).unwrap();
        above[5] = root_of(&leaves).unwrap();
        fs::write(tiles.join("entries/005"), bytes).unwrap();
        fs::write(tiles.join("0/005"), leaves.concat()).unwrap();
        fs::write(tiles.join("1/000.p/12"), above.concat()).unwrap();
        let mut indexer = Indexer::of(log.clone(), BLOCKS);
        let refused = [(); 3].map(|()| indexer.catch_up().err().map(|fault| fault.kind));
        assert_eq!(refused[1], Some(crate::FaultKind::Altered));
    }
}
