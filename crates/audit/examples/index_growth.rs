//! Measures the index at 100 million records, without writing the 73 GB of records:
//! `cargo run --release -p ironbridge-audit --example index_growth -- DIRECTORY [DISTINCT_BLOCKS]`.
//! `cargo xtask bench audit` runs it too.
//!
//! Some blocks are made of realistic records; the trail in DIRECTORY then has 1,526 blocks, which are these over and
//! over, with the tree's tiles that vouch for them. Only the bundles are missing, so that the queries are those that
//! find nothing: their time is what the index costs. Prints rows of a table.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout)]
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]

use ironbridge_audit::index::IndexBuilder;
use ironbridge_audit::{Log, Query};
use ironbridge_core::Timestamp;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const BLOCKS: usize = 1_526;
const RECORDS: usize = 65_536;
const PER_TILE: usize = 256;

fn main() {
    let mut args = std::env::args_os().skip(1);
    let dir = PathBuf::from(args.next().expect("a directory that is not there yet"));
    let distinct: usize = args.next().map_or(24, |count| count.to_str().unwrap().parse().unwrap());
    fs::create_dir(&dir).expect("a directory that is not there yet");
    let roots = write_indexes(&dir, distinct);
    write_tree(&dir, &roots);
    let log = Log::open(&dir).unwrap();
    let start = Instant::now();
    assert_eq!(log.indexed().unwrap(), (BLOCKS * RECORDS) as u64);
    println!("| looking whether every block has an index | {:.0} ms |", millis(start.elapsed()));
    let text = |text: &str| Some(text.to_owned());
    let late = Timestamp::from_seconds(4_000_000_000);
    for (name, query) in [
        ("such id", Query { id: text("01980000-0000-7000-8000-00000000ffff"), ..Query::default() }),
        ("such data subject", Query { subject: Some([0xfe; 16]), ..Query::default() }),
        (
            "such account and code",
            Query { account: text("nobody"), code: text("denied"), ..Query::default() },
        ),
        ("such time", Query { since: Some(late), ..Query::default() }),
    ] {
        for run in ["", ", again"] {
            let start = Instant::now();
            assert_eq!(log.query(query.clone()).unwrap().map(Result::unwrap).count(), 0);
            println!("| finding that there is no {name}{run} | {:.0} ms |", millis(start.elapsed()));
        }
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn write_indexes(dir: &Path, distinct: usize) -> Vec<[u8; 32]> {
    fs::create_dir(dir.join("index")).unwrap();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut building, mut leaf_bytes, mut index_bytes) = (Duration::ZERO, 0, 0);
    let mut blocks = Vec::new();
    for block in 0..distinct {
        let leaves: Vec<(String, [u8; 16])> =
            (0..RECORDS).map(|n| leaf(&mut random, block * RECORDS + n)).collect();
        leaf_bytes += leaves.iter().map(|(leaf, _)| leaf.len()).sum::<usize>();
        let start = Instant::now();
        let mut builder = IndexBuilder::default();
        leaves.iter().for_each(|(leaf, tag)| builder.add(leaf.as_bytes(), Some(&[*tag])).unwrap());
        let built = builder.finish().unwrap();
        building += start.elapsed();
        index_bytes += built.bytes.len();
        blocks.push(built);
    }
    let records = (distinct * RECORDS) as f64;
    println!("| a record | {:.0} bytes |", leaf_bytes as f64 / records);
    println!("| its share of the index | {:.1} bytes |", index_bytes as f64 / records);
    println!("| building that | {:.1} µs |", building.as_secs_f64() * 1e6 / records);
    let at = |number: usize| &blocks[number % distinct];
    (0..BLOCKS).for_each(|n| fs::write(dir.join(format!("index/{n:08}.idx")), &at(n).bytes).unwrap());
    (0..BLOCKS).map(|n| at(n).root).collect()
}

/// The tree's tiles of level 2, and a checkpoint that nobody signed: a query asks no more.
fn write_tree(dir: &Path, roots: &[[u8; 32]]) {
    let level = dir.join("log/tile/2");
    fs::create_dir_all(&level).unwrap();
    for (n, tile) in roots.chunks(PER_TILE).enumerate() {
        let mut path = level.join(format!("{n:03}"));
        if tile.len() < PER_TILE {
            path.set_extension("p");
            fs::create_dir(&path).unwrap();
            path.push(tile.len().to_string());
        }
        fs::write(path, tile.concat()).unwrap();
    }
    let root = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    fs::write(dir.join("log/checkpoint"), format!("test\n{}\n{root}\n\n", roots.len() * RECORDS)).unwrap();
}

/// An exchange of a busy bridge: 30 integrations of up to 8 operations, 60 accounts, one exchange in 50 refused, and
/// customers of whom many come again.
fn leaf(random: &mut Random, n: usize) -> (String, [u8; 16]) {
    // Some integrations carry most of the traffic.
    let integration = (random.below(30) * random.below(30)) / 30;
    let operation = random.below(integration % 8 + 1);
    let account = integration * 2 + random.below(2);
    let (outcome, code, status) = match random.below(50) {
        0 => ("denied", ["rate-limited", "permission-missing", "body-invalid"][random.below(3)], 403),
        _ => ("success", "delivered", 200),
    };
    let micros = n * 200 + random.below(50_000);
    let (seconds, micros) = (micros / 1_000_000, micros % 1_000_000);
    let (minutes, seconds) = (seconds / 60, seconds % 60);
    let (hours, minutes) = (minutes / 60, minutes % 60);
    let (days, hours) = (hours / 24, hours % 24);
    let time = format!("2026-01-{:02}T{hours:02}:{minutes:02}:{seconds:02}.{micros:06}Z", days % 28 + 1);
    let id =
        format!("019b76da-a800-7{:03x}-8{:03x}-{:012x}", n & 0xfff, (n >> 12) & 0xfff, random.next() >> 16);
    let leaf = format!(
        concat!(
            r#"{{"v":2,"id":"{id}","time":"{time}","integration":"orders-to-erp-{integration}","#,
            r#""operation":"operation-{operation}","permission":"orders.read-{operation}","transport":"http","#,
            r#""source":"system-{source}","source_country":"DE","target":"erp-{target}","target_country":"FR","#,
            r#""purpose":"Fulfil orders of customers","legal_basis":"contract","subjects":["customers"],"#,
            r#""categories":["contact","orders"],"generation":3,"account":"account-{account}","#,
            r#""credential":"api_key","credential_id":"01890a5d-ac96-774b-bcce-b302099a8057","method":"GET","#,
            r#""direction":"to_source","records":1,"bytes_in":0,"bytes_out":1834,"duration_us":15000,"#,
            r#""outcome":"{outcome}","code":"{code}","status":{status},"details":2,"#,
            r#""detail":"n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg="}}"#,
        ),
        id = id,
        time = time,
        integration = integration,
        operation = operation,
        source = integration % 12,
        target = integration % 5,
        account = account,
        outcome = outcome,
        code = code,
        status = status,
    );
    let mut tag = [0; 16];
    // A million customers.
    tag[..8].copy_from_slice(&Random(random.below(1_000_000) as u64 + 1).next().to_be_bytes());
    (leaf, tag)
}

/// xorshift64* (Marsaglia 2003, Vigna 2016): the same records in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 33) as usize % bound
    }
}
