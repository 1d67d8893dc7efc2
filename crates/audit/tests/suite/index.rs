//! The index at its real size, over trails that a bridge wrote.

use crate::exchanges::{START, closed, exchange, flow, id, open_lagging, record};
use ironbridge_audit::disk::{Disk, DiskFile, Lock, RealDisk};
use ironbridge_audit::{Indexer, Log, Order, Query};
use ironbridge_core::{Answered, Ending, OwnerKey, Record, Recorder, Said, Subject, Timestamp};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const BLOCK: u64 = 65_536;

fn indexes(log: &Log, query: &Query) -> Vec<u64> {
    log.query(query.clone()).unwrap().map(|stored| stored.unwrap().index).collect()
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// One and a half blocks in the log, some more records in the journal.
#[test]
fn an_indexed_trail_answers_as_one_that_is_read_through() {
    let dir = tempfile::tempdir().unwrap();
    closed(dir.path(), BLOCK + 1_000);
    let trail = open_lagging(dir.path());
    record(&trail, BLOCK + 1_000..BLOCK + 1_010);
    let watched = Arc::new(Watched::default());
    let log = Log::open_on(Arc::clone(&watched) as Arc<dyn Disk>, dir.path()).unwrap();
    let late = Timestamp::from_seconds(START + BLOCK - 3);
    let newest = Order::NewestFirst;
    let queries = [
        Query { id: Some(id(40_000)), ..Query::default() },
        Query { since: Some(late), ..Query::default() },
        Query { since: Some(late), order: newest, account: text("account-2"), ..Query::default() },
        Query { code: text("rate-limited"), limit: Some(3), ..Query::default() },
        Query { code: text("rate-limited"), limit: Some(300), order: newest, ..Query::default() },
        Query { source: text("shop"), target: text("erp"), until: Some(late), ..Query::default() },
        Query { action: text("key.issue"), ..Query::default() },
        Query { integration: text("orders"), outcome: text("failed"), ..Query::default() },
    ];
    let scanned: Vec<Vec<u64>> = queries.iter().map(|query| indexes(&log, query)).collect();
    assert_eq!(scanned[0], [40_000]);
    assert_eq!(scanned[1].len(), 1_013);
    assert_eq!(log.indexed(), Ok(0));

    let mut indexer = Indexer::new(log.clone());
    assert_eq!(indexer.catch_up(), Ok(true));
    assert_eq!(indexer.catch_up(), Ok(false));
    assert_eq!(log.indexed(), Ok(BLOCK));
    for (query, expected) in queries.iter().zip(&scanned) {
        assert_eq!(&indexes(&log, query), expected, "{query:?}");
    }
    // Of the block's 256 bundles it took one, besides those that no index covers yet.
    watched.bundles.lock().unwrap().clear();
    indexes(&log, &queries[0]);
    let read = watched.bundles.lock().unwrap().clone();
    let names: Vec<String> = read.iter().map(|path| path.to_string_lossy().into_owned()).collect();
    assert_eq!(names, ["entries/156", "entries/256", "entries/257", "entries/258", "entries/259.p/232"]);
    trail.close().unwrap();
}

/// A log set back to an earlier copy goes on with other records under the same numbers.
#[test]
fn an_index_of_other_records_is_not_believed() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    closed(dir.path(), BLOCK);
    let trail = open_lagging(other.path());
    record(&trail, 5..BLOCK + 5);
    trail.close().unwrap();
    Log::open(other.path()).unwrap().reindex(&mut |_, _| {}).unwrap();
    std::fs::create_dir(dir.path().join("index")).unwrap();
    std::fs::copy(other.path().join("index/00000000.idx"), dir.path().join("index/00000000.idx")).unwrap();
    let log = Log::open(dir.path()).unwrap();
    assert_eq!(log.indexed(), Ok(0));
    assert_eq!(indexes(&log, &Query { id: Some(id(3)), ..Query::default() }), [3]);
    let mut told = Vec::new();
    log.reindex(&mut |done, of| told.push((done, of))).unwrap();
    assert_eq!(told, [(0, BLOCK), (BLOCK, BLOCK)]);
    assert_eq!(log.indexed(), Ok(BLOCK));
    assert_eq!(indexes(&log, &Query { id: Some(id(3)), ..Query::default() }), [3]);
}

/// Detail that is not beside the log today may be put back tomorrow.
#[test]
fn data_subjects_are_found_wherever_their_detail_is() {
    const TAG: [u8; 16] = [9; 16];
    let dir = tempfile::tempdir().unwrap();
    let trail = open_lagging(dir.path());
    let flow = flow("orders");
    let owner = Arc::new(OwnerKey::new(TAG, [5; 32]));
    let named: Vec<u64> = (0..BLOCK + 300).filter(|n| n % 20_000 == 7).collect();
    for number in 0..BLOCK + 300 {
        let mut exchange = exchange(number, &flow);
        if named.contains(&number) {
            exchange.subjects.push(Subject { id: "customer-1".into(), owner: Arc::clone(&owner) });
        }
        let ending = Ending::Delivered(Answered { mark: Some(200), said: Said::Done });
        let record = Record { exchange: &exchange, ending, duration: Duration::ZERO, amends: false };
        while trail.ready().is_err() {
            std::thread::yield_now();
        }
        trail.append(record).unwrap();
    }
    trail.close().unwrap();
    let watched = Arc::new(Watched::default());
    let log = Log::open_on(Arc::clone(&watched) as Arc<dyn Disk>, dir.path()).unwrap();
    let query = Query { subject: Some(TAG), ..Query::default() };
    let reindex = || log.reindex(&mut |_, _| {}).unwrap();
    let aside = |from: &str, to: &str| std::fs::rename(dir.path().join(from), dir.path().join(to)).unwrap();

    assert_eq!(indexes(&log, &query), named);
    reindex();
    watched.bundles.lock().unwrap().clear();
    assert_eq!(indexes(&log, &query), named);
    // One for each of four records, and two that no index covers yet.
    assert!(watched.bundles.lock().unwrap().len() <= named.len() + 2);
    aside("detail", "elsewhere");
    assert_eq!(indexes(&log, &query), [] as [u64; 0]);
    reindex();
    aside("elsewhere", "detail");
    assert_eq!(indexes(&log, &query), named);
}

/// Real files, and which bundles were read.
#[derive(Default)]
struct Watched {
    bundles: Mutex<Vec<PathBuf>>,
}

impl Disk for Watched {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_dir_all(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        RealDisk.create(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_dir(path)
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_file(path)
    }

    fn sync_all(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_all(path)
    }

    fn read_at(&self, path: &Path, offset: u64, limit: usize) -> io::Result<Vec<u8>> {
        let text = path.to_string_lossy();
        if let Some((_, name)) = text.split_once("/tile/")
            && name.starts_with("entries/")
        {
            self.bundles.lock().unwrap().push(name.into());
        }
        RealDisk.read_at(path, offset, limit)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        RealDisk.lock(path)
    }
}
