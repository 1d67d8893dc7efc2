//! Exchanges to record, and trails to record them in.

use crate::memory_disk::MemoryDisk;
use ironbridge_audit::disk::Disk;
use ironbridge_audit::{Anchor, AuditError, Log, Options, Trail, TrailKey};
use ironbridge_core::{
    Account, Answered, Clock, Code, Credential, CredentialKind, Denial, Ending, Exchange, ExchangeId, Flow,
    IntegrationFacts, OperationFacts, OwnerKey, Peer, PermissionTable, Position, Principal, Record, Recorder,
    Said, SystemClock, SystemFacts, Timestamp, TransportFacts, code,
};
use ironbridge_seal::note::NoteSigner;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

static TRANSPORT: TransportFacts =
    TransportFacts { name: "http", marks: "HTTP status", mark: |_| Some(429), mark_of_kind: |_| None };

pub const ORIGIN: &str = "example.com/bridge-1";
/// 2026-01-01T00:00:00Z, when the first exchange begins; the next a second later.
pub const START: u64 = 1_767_225_600;

pub fn signer() -> NoteSigner {
    NoteSigner::from_seed(ORIGIN, &[7; 32]).unwrap()
}

pub fn callers() -> Arc<OwnerKey> {
    Arc::new(OwnerKey::new([1; 16], [2; 32]))
}

pub fn options(dir: impl Into<PathBuf>) -> Options {
    Options { max_lag: Duration::from_millis(1), retry: Duration::from_millis(1), ..plain_options(dir) }
}

pub fn plain_options(dir: impl Into<PathBuf>) -> Options {
    let dir = dir.into();
    let anchor = anchor(&dir);
    Options::new(dir, ORIGIN, signer().try_into().unwrap(), callers(), anchor)
}

/// As of a trail that may be new. The head lies in the audit directory, so that it is copied with it.
pub fn anchor(dir: &Path) -> Anchor {
    Anchor { key: TrailKey::new(&[3; 32]), head: dir.join("head"), begun: false, mark: None }
}

pub fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock::default())
}

pub fn open(dir: &Path) -> Trail {
    Trail::open(options(dir), clock()).unwrap()
}

/// Where trails on a memory disk live.
pub const MEMORY: &str = "/data/audit";

pub fn open_memory(disk: &Arc<MemoryDisk>) -> Result<Trail, AuditError> {
    let disk: Arc<dyn Disk> = Arc::clone(disk) as _;
    Trail::open_on(disk, options(MEMORY), clock())
}

pub fn memory_log(disk: &Arc<MemoryDisk>) -> Log {
    let disk: Arc<dyn Disk> = Arc::clone(disk) as _;
    Log::open_on(disk, MEMORY).unwrap()
}

pub fn flow(name: &str) -> Arc<Flow> {
    let permission = PermissionTable::default().intern("orders.read");
    let integration = IntegrationFacts {
        name: name.into(),
        transport: &TRANSPORT,
        source: SystemFacts { name: "shop".into(), country: "DE".into() },
        target: SystemFacts { name: "erp".into(), country: "FR".into() },
        purpose: "Fulfil orders".into(),
        legal_basis: "contract".into(),
        subjects: vec!["customers".into()],
        categories: vec!["contact".into(), "orders".into()],
        disclosure: "",
        durable: true,
    };
    let operation = OperationFacts { name: "list".into(), permission, permission_name: "orders.read".into() };
    Arc::new(Flow::new(Arc::new(integration), Some(operation), 1))
}

/// The exchange whose id and time tell its number.
pub fn exchange(number: u64, flow: &Arc<Flow>) -> Exchange {
    let id = ExchangeId::from_u128(u128::from(number));
    let mut exchange = Exchange::new(
        id,
        Timestamp::from_seconds(START + number),
        Duration::from_secs(number),
        Arc::clone(flow),
        Peer::at([0, 0, 0, 0].into()),
    );
    let account = Account {
        name: format!("account-{}", number % 3).into(),
        system: "shop".into(),
        permissions: Default::default(),
        addresses: Vec::new(),
        owner: None,
    };
    let credential = Credential { kind: CredentialKind::ApiKey, id: "key-1".into(), expires: None };
    exchange.principal = Some(Principal::verified(Arc::new(account), Arc::new(credential), None));
    exchange.asked.verb = "GET".into();
    exchange.bytes_out = number;
    // As version 3 was first written: it told unknown and none alike.
    exchange.reply_records = ironbridge_core::Counted::Seen(0);
    exchange
}

/// Every fifth is refused.
pub fn append(trail: &Trail, number: u64, flow: &Arc<Flow>) -> Result<Position, Box<Denial>> {
    append_refusing(&code::RATE_LIMITED, trail, number, flow)
}

/// The same with another refusal: those of a limit share records where many come at once.
pub fn append_refusing(
    refusal: &'static Code,
    trail: &Trail,
    number: u64,
    flow: &Arc<Flow>,
) -> Result<Position, Box<Denial>> {
    let ending = match number % 5 {
        4 => Ending::Denied(refusal),
        _ => Ending::Delivered(Answered { mark: Some(200), said: Said::Done }),
    };
    let exchange = exchange(number, flow);
    trail.append(Record { exchange: &exchange, ending, duration: Duration::from_micros(250), amends: false })
}

pub fn id(number: u64) -> String {
    ExchangeId::from_u128(u128::from(number)).to_string()
}

pub fn wait(trail: &Trail, position: Position) -> Result<(), Box<Denial>> {
    runtime().block_on(trail.durable(position))
}

pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Records `numbers` and waits until the last is durable.
pub fn record(trail: &Trail, numbers: std::ops::Range<u64>) {
    let flow = flow("orders");
    let last = numbers.map(|number| append(trail, number, &flow).unwrap()).last();
    wait(trail, last.unwrap()).unwrap();
}

/// A trail that integrates nothing until it closes.
pub fn open_lagging(dir: &Path) -> Trail {
    Trail::open(Options { max_lag: Duration::from_secs(3600), ..options(dir) }, clock()).unwrap()
}

/// A closed trail of so many records.
pub fn closed(dir: &Path, count: u64) {
    let trail = open_lagging(dir);
    if count > 0 {
        record(&trail, 0..count);
    }
    trail.close().unwrap();
}

/// The trail that every format's fixture holds: 300 records in the log, three more in the journal of a bridge that
/// was killed.
pub fn fixture(dir: &Path) {
    let running = tempfile::tempdir().unwrap();
    closed(running.path(), 300);
    let trail = open_lagging(running.path());
    record(&trail, 300..303);
    // Before the trail is closed, which would integrate the three.
    copy_all(running.path(), dir);
    drop(trail);
    std::fs::remove_file(dir.join("lock")).unwrap();
    std::fs::remove_dir(dir.join("tmp")).unwrap();
}

/// Until the condition holds; a test that waits in vain is stopped by whoever runs it.
pub fn eventually(mut holds: impl FnMut() -> bool) {
    while !holds() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub fn verify(log: &Log) -> ironbridge_audit::Verified {
    log.verify(None, &mut |_, _| {}).unwrap()
}

pub fn copy_all(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy_all(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
