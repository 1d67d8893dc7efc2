mod journal;
mod known;
mod repetitions;
mod rows;
mod schemas;
mod versions;

use super::file::File;
use super::*;
use crate::{
    Credentials, Fingerprints, Idempotency, Integrity, IssuedCredential, IssuedKind, NewOwner, Outbox,
    OwnerKeys, OwnerKind, Reservation, SealedItems, SealerError, Settlement, StoredAnswer, Ticket,
};
use bytes::Bytes;
use ironbridge_core::{Answered, OwnerKey, Said, StoreMark};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use tempfile::TempDir;
use tokio::time::timeout;
use zeroize::Zeroizing;

#[tokio::test]
async fn keeps_every_promise_of_the_traits() {
    let place = Place::new();
    crate::suite::all(|actor| Arc::new(place.open_as(actor).unwrap())).await;
}

/// 200 reservations that wait together share one commit. Counted in the write-ahead log, whose frames say
/// whether they end a transaction (fileformat2 §4.1).
#[tokio::test]
async fn many_reservations_share_one_commit() {
    let place = Place::new();
    let store = place.open();
    let other = Connection::open(place.path()).unwrap();
    other.execute_batch("PRAGMA wal_autocheckpoint = 0; BEGIN IMMEDIATE").unwrap();
    let before = place.commits();
    let keys: Vec<String> = (0..200).map(|n| format!("key-{n}")).collect();
    let mut waiting: Vec<_> = keys.iter().map(|key| reserve(&store, key)).collect();
    other.execute_batch("ROLLBACK").unwrap();
    for reservation in &mut waiting {
        assert!(matches!(reservation.await, Ok(Reservation::Taken(_))));
    }
    let commits = place.commits() - before;
    assert!((1..=2).contains(&commits), "{commits} commits for 200 reservations");
}

#[tokio::test]
async fn a_failing_operation_undoes_only_itself() {
    let place = Place::new();
    let store = place.open();
    let lock = place.lock();
    let half = store.ask(Effect::Writes, |db| {
        db.execute("INSERT INTO sealed_item VALUES ('n', 'half', 1, x'', 0)", [])?;
        db.execute("INSERT INTO nowhere VALUES (1)", [])
    });
    let whole = store.put("n", "whole", vec![1], Timestamp(0));
    drop(lock);
    assert!(matches!(half.await, Err(StoreError::Io(_))));
    assert_eq!(whole.await, Ok(1));
    let names: Vec<_> = store.list_items("n").await.into_iter().map(|item| item.name).collect();
    assert_eq!(names, ["whole"]);
}

#[tokio::test]
async fn another_process_is_noticed() {
    let place = Place::new();
    let (bridge, command) = (place.open(), place.open());
    let mut changes = bridge.changes();
    let before = *changes.borrow_and_update();
    command.put("secret", "a", vec![1], Timestamp(0)).await.unwrap();
    timeout(PATIENCE, changes.changed()).await.unwrap().unwrap();
    assert!(bridge.generation() > before);
    assert_eq!(bridge.generation(), command.generation());
    let ticket = taken(reserve(&bridge, "k").await.unwrap());
    assert_eq!(reserve(&command, "k").await.unwrap(), Reservation::OutcomeUnknown, "not taken twice");
    bridge.settle(ticket, Settlement::Release);
    drop(bridge);
    assert!(matches!(reserve(&command, "k").await, Ok(Reservation::Taken(_))));
}

#[tokio::test]
async fn a_lock_held_too_long_is_an_error_and_then_over() {
    let place = Place::new();
    let store = place.open_impatient();
    let ticket = taken(reserve(&store, "before").await.unwrap());
    let lock = place.lock();
    let error = reserve(&store, "during").await.unwrap_err();
    assert_eq!(error, StoreError::Locked(0));
    assert!(error.retry());
    store.settle(ticket, Settlement::Finished(answer("kept")));
    assert!(store.get("n", "reading").await.is_ok(), "reading needs no lock");
    drop(lock);
    assert!(matches!(reserve(&store, "during").await, Ok(Reservation::Taken(_))));
    assert_eq!(reserve(&store, "before").await, Ok(Reservation::Finished(answer("kept"))));
}

#[tokio::test]
async fn a_queue_too_long_refuses_more() {
    let place = Place::new();
    let store = place.open();
    let lock = place.lock();
    // One batch is off the queue and waits for the lock.
    let mut waiting: Vec<_> = (0..10_600).map(|n| reserve(&store, &n.to_string())).collect();
    assert_eq!(waiting.pop().unwrap().await, Err(StoreError::Overloaded(10_000)));
    drop(lock);
    assert!(matches!(waiting.swap_remove(0).await, Ok(Reservation::Taken(_))));
    drop(waiting);
    assert!(matches!(reserve(&store, "after").await, Ok(_) | Err(StoreError::Overloaded(_))));
}

#[tokio::test]
async fn a_full_disk_is_an_error_and_then_over() {
    let place = Place::new();
    let store = place.open();
    let ticket = taken(reserve(&store, "k").await.unwrap());
    // As many pages as there are: what needs another fails like on a full disk. A fresh connection has no limit.
    store
        .ask(Effect::Reads, |db| {
            let pages: i64 = db.pragma_query_value(None, "page_count", |row| row.get(0))?;
            db.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))
        })
        .await
        .unwrap();
    store.settle(ticket, Settlement::Finished(answer(&"long".repeat(10_000))));
    let error = store.put("n", "big", vec![7; 100_000], Timestamp(0)).await;
    assert!(matches!(error, Ok(1) | Err(StoreError::Full(_))), "{error:?}");
    assert_eq!(
        reserve(&store, "k").await,
        Ok(Reservation::Finished(answer(&"long".repeat(10_000)))),
        "the settlement was tried again on a fresh connection"
    );
}

#[tokio::test]
async fn a_damaged_file_is_an_error_and_a_mended_one_is_used_again() {
    let place = Place::new();
    let store = place.open();
    store.put("n", "a", b"blob".to_vec(), Timestamp(0)).await.unwrap();
    let other = Connection::open(place.path()).unwrap();
    // Busy while the store's thread looks for changes.
    while other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0)).unwrap() {}
    drop(other);
    let good = fs::read(place.path()).unwrap();
    fs::write(place.path(), vec![0x5a; good.len()]).unwrap();
    // Empties the connection's cache, which still holds good pages.
    let _ = store.ask(Effect::Reads, |db| db.execute_batch("PRAGMA shrink_memory")).await;
    for _ in 0..2 {
        let seen = store.get("n", "a").await;
        assert!(matches!(seen, Err(StoreError::Corrupt(_))), "{seen:?}");
    }
    assert!(matches!(place.try_open(), Err(StoreError::Corrupt(_))));
    fs::write(place.path(), "").unwrap();
    assert!(
        matches!(store.get("n", "a").await, Err(StoreError::Corrupt(_))),
        "an empty file is no new store"
    );
    fs::write(place.path(), good).unwrap();
    assert_eq!(store.get("n", "a").await.unwrap().unwrap().sealed, b"blob");
}

/// A destroyed key is in none of the files any more, while the store and a second process are still open.
#[tokio::test]
async fn destroyed_keys_leave_no_trace() {
    let place = Place::new();
    let clock = clock();
    let store = SqliteStore::open(&place.path(), Arc::new(Xor), Arc::clone(&clock) as _, actor()).unwrap();
    let other = place.open();
    let needle: Vec<u8> = Xor.seal(&[0x77; 32], b"").unwrap();
    store.obtain(vec![offer(1, 0x77), offer(2, 2)]).await.unwrap();
    assert!(place.holds(&needle));
    // A reader of the older state keeps the log from being emptied; it is tried again.
    let reader = Connection::open(place.path()).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM owner").unwrap();
    store.put("n", "after", vec![1], NOW).await.unwrap();
    let destroyed = store.destroy([1; 32]);
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(destroyed.await, Ok(Some([0x77; 16])));
    while place.holds(&needle) {
        let later = clock.now().plus(Duration::from_secs(1));
        *clock.0.lock().unwrap() = later;
        store.owner_by_lookup([2; 32]).await.unwrap();
    }
    assert!(other.owner_by_lookup([2; 32]).await.unwrap().is_some());
}

/// The process that destroyed a key was killed before it had emptied the write-ahead log.
#[tokio::test]
async fn destroyed_keys_leave_no_trace_after_a_crash() {
    let place = Place::new();
    let store = place.open();
    let needle: Vec<u8> = Xor.seal(&[0x77; 32], b"").unwrap();
    store.obtain(vec![offer(1, 0x77)]).await.unwrap();
    let reader = Connection::open(place.path()).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM owner").unwrap();
    assert_eq!(store.destroy([1; 32]).await, Ok(Some([0x77; 16])));
    let left = Place::with(place.path().to_str().unwrap());
    let log = |place: &Place| place.path().with_extension("sqlite-wal");
    fs::copy(log(&place), log(&left)).unwrap();
    assert!(left.holds(&needle));
    let store = left.open();
    assert!(!left.holds(&needle));
    assert!(store.owner_by_lookup([1; 32]).await.unwrap().is_none());
}

/// A command erases and ends while somebody reads; the bridge, which was open all along, finishes it.
#[tokio::test]
async fn an_erasure_that_a_reader_holds_up_is_finished_by_another_process() {
    let place = Place::new();
    let clock = clock();
    let bridge = SqliteStore::open(&place.path(), Arc::new(Xor), Arc::clone(&clock) as _, actor()).unwrap();
    let needle: Vec<u8> = Xor.seal(&[0x77; 32], b"").unwrap();
    bridge.obtain(vec![offer(1, 0x77)]).await.unwrap();
    assert_eq!(bridge.erasure_pending().await, Ok(false));
    let reader = Connection::open(place.path()).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM owner").unwrap();
    let command = place.open_impatient();
    assert_eq!(command.destroy([1; 32]).await, Ok(Some([0x77; 16])));
    assert_eq!(command.erasure_pending().await, Ok(true));
    drop(command);
    assert!(place.holds(&needle));
    assert_eq!(bridge.erasure_pending().await, Ok(true));
    drop(reader);
    while bridge.erasure_pending().await.unwrap() {
        let later = clock.now().plus(Duration::from_secs(1));
        *clock.0.lock().unwrap() = later;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!place.holds(&needle));
    assert!(bridge.owner_by_lookup([1; 32]).await.unwrap().is_none());
}

/// Whoever erased, and has waited for the reader, does not wait once more when it ends.
#[tokio::test]
async fn a_reader_is_waited_for_once() {
    let place = Place::new();
    let clock = clock();
    let file = File::new(&place.path(), PATIENCE * 4);
    let store = SqliteStore::open_file(file, Arc::new(Xor), Arc::clone(&clock) as _, actor()).unwrap();
    store.obtain(vec![offer(1, 0x77)]).await.unwrap();
    let reader = Connection::open(place.path()).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM owner").unwrap();
    assert!(store.destroy([1; 32]).await.unwrap().is_some());
    let later = clock.now().plus(PATIENCE * 4);
    *clock.0.lock().unwrap() = later;
    let ended = tokio::task::spawn_blocking(move || drop(store));
    timeout(PATIENCE, ended).await.unwrap().unwrap();
}

#[tokio::test]
async fn what_was_replaced_leaves_no_trace() {
    let place = Place::new();
    let store = place.open();
    let old = [0x55; 48];
    store.put("audit", "log-key", old.to_vec(), NOW).await.unwrap();
    store.put("audit", "other", vec![1], NOW).await.unwrap();
    assert!(place.holds(&old));
    assert_eq!(store.put("audit", "log-key", vec![2], NOW).await, Ok(2));
    while place.holds(&old) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(store.get("audit", "other").await.unwrap().is_some());
}

#[tokio::test]
async fn owners_keys_are_sealed_and_bound_to_their_tag() {
    let place = Place::new();
    let store = place.open();
    store.obtain(vec![offer(1, 0x71), offer(2, 0x72)]).await.unwrap();
    assert!(!place.holds(&[0x71; 32]));
    store
        .ask(Effect::Writes, |db| db.execute("UPDATE owner SET sealed = (SELECT max(sealed) FROM owner)", []))
        .await
        .unwrap();
    assert!(matches!(store.owner_by_lookup([1; 32]).await, Err(StoreError::Sealing(_))));
}

/// The change, its action and what is known of both stand or fall together.
#[tokio::test]
async fn a_change_whose_action_cannot_be_left_does_not_happen() {
    let place = Place::new();
    let sealer = Arc::new(Failing::default());
    let store = SqliteStore::open(&place.path(), Arc::clone(&sealer) as _, clock(), actor()).unwrap();
    sealer.0.store(true, Ordering::Relaxed);
    assert!(store.insert(credential(), 99).await.is_err());
    assert!(store.put("secret", "a", vec![1], NOW).await.is_err());
    sealer.0.store(false, Ordering::Relaxed);
    assert_eq!(store.issued(None).await, Ok(vec![]));
    assert_eq!(store.get("secret", "a").await, Ok(None));
    assert_eq!((store.count().await, store.altered().await), (Ok(0), Ok(vec![])));
}

#[test]
fn files_are_for_their_owner_only() {
    let place = Place::new();
    let _store = place.open();
    assert_eq!(mode(&place.directory()), 0o700);
    for entry in fs::read_dir(place.directory()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[test]
fn files_that_others_can_reach_are_refused() {
    let place = Place::new();
    drop(place.open());
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o640)).unwrap();
    let error = place.try_open().err().unwrap();
    assert!(error.to_string().contains("run `chmod 600 "), "{error}");
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(place.directory(), fs::Permissions::from_mode(0o770)).unwrap();
    let error = place.try_open().err().unwrap();
    assert!(error.to_string().contains("run `chmod 700 "), "{error}");
}

#[test]
fn what_is_no_store_is_refused() {
    let place = Place::new();
    drop(place.open());
    let db = Connection::open(place.path()).unwrap();
    db.pragma_update(None, "user_version", 9).unwrap();
    assert_eq!(place.try_open().err(), Some(StoreError::Newer { found: 9, known: 8 }));
    db.pragma_update(None, "user_version", 0).unwrap();
    assert!(matches!(place.try_open().err(), Some(StoreError::Open { .. })), "another program's");
    drop(db);
    fs::write(place.path(), "not a database, but long enough to look for a header in it".repeat(20)).unwrap();
    assert!(matches!(place.try_open().err(), Some(StoreError::Corrupt(_))));
    fs::remove_file(place.path()).unwrap();
    fs::create_dir(place.path()).unwrap();
    assert!(place.try_open().is_err());
}

#[test]
fn many_may_make_the_store_at_once() {
    let place = Place::new();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| drop(place.open()));
        }
    });
}

const NOW: Timestamp = Timestamp::from_seconds(1_000);
/// For what happens in milliseconds unless it is broken.
const PATIENCE: Duration = Duration::from_secs(30);

struct Place(TempDir);

impl Place {
    fn new() -> Place {
        Place(TempDir::new().unwrap())
    }

    fn with(fixture: &str) -> Place {
        let place = Place::new();
        fs::create_dir(place.directory()).unwrap();
        fs::set_permissions(place.directory(), fs::Permissions::from_mode(0o700)).unwrap();
        fs::copy(fixture, place.path()).unwrap();
        fs::set_permissions(place.path(), fs::Permissions::from_mode(0o600)).unwrap();
        place
    }

    fn directory(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn path(&self) -> PathBuf {
        self.directory().join("store.sqlite")
    }

    fn open(&self) -> SqliteStore {
        self.try_open().unwrap()
    }

    fn try_open(&self) -> Result<SqliteStore, StoreError> {
        self.open_as(actor())
    }

    fn open_as(&self, actor: Actor) -> Result<SqliteStore, StoreError> {
        SqliteStore::open(&self.path(), Arc::new(Xor), clock(), actor)
    }

    fn open_impatient(&self) -> SqliteStore {
        let file = File::new(&self.path(), Duration::from_millis(50));
        SqliteStore::open_file(file, Arc::new(Xor), clock(), actor()).unwrap()
    }

    /// Holds the write lock, as another process would, until it is dropped.
    fn lock(&self) -> Connection {
        let other = Connection::open(self.path()).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        other
    }

    fn commits(&self) -> usize {
        let log = fs::read(self.path().with_extension("sqlite-wal")).unwrap();
        if log.is_empty() {
            return 0;
        }
        let page = usize::try_from(u32::from_be_bytes(log[8..12].try_into().unwrap())).unwrap();
        log[32..].chunks_exact(24 + page).filter(|frame| frame[4..8] != [0; 4]).count()
    }

    /// Whether any of the files does.
    fn holds(&self, needle: &[u8]) -> bool {
        self.count(needle) > 0
    }

    /// How often all of the files do.
    fn count(&self, needle: &[u8]) -> usize {
        let entries = fs::read_dir(self.directory()).unwrap();
        let count = |bytes: Vec<u8>| bytes.windows(needle.len()).filter(|part| *part == needle).count();
        entries.map(|entry| count(fs::read(entry.unwrap().path()).unwrap())).sum()
    }
}

impl SqliteStore {
    async fn list_items(&self, namespace: &str) -> Vec<crate::ItemSummary> {
        self.items(namespace).await.unwrap()
    }
}

/// Not a cipher: binds a context and hides the text, which is all the store relies on.
struct Xor;

impl Sealer for Xor {
    fn seal(&self, plain: &[u8], context: &[u8]) -> Result<Vec<u8>, SealerError> {
        Ok(context.iter().chain(plain).map(|byte| byte ^ 0xa5).collect())
    }

    fn open(&self, sealed: &[u8], context: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealerError> {
        let plain: Vec<u8> = sealed.iter().map(|byte| byte ^ 0xa5).collect();
        let plain = plain.strip_prefix(context).ok_or_else(|| SealerError("other context".into()))?;
        Ok(plain.to_vec().into())
    }

    /// FNV-1a four times, which stays what it is in stored files.
    fn mac(&self, key: &[u8; 32], text: &[u8]) -> [u8; 32] {
        let mut sum = [0; 32];
        for (place, word) in (0..).zip(sum.chunks_exact_mut(8)) {
            let step = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            let sum = key.iter().chain(text).fold(0xcbf2_9ce4_8422_2325 ^ place, step);
            word.copy_from_slice(&sum.to_be_bytes());
        }
        sum
    }
}

/// Seals nothing while it is told not to.
#[derive(Default)]
struct Failing(AtomicBool);

impl Sealer for Failing {
    fn seal(&self, plain: &[u8], context: &[u8]) -> Result<Vec<u8>, SealerError> {
        match self.0.load(Ordering::Relaxed) {
            true => Err(SealerError("told not to".into())),
            false => Xor.seal(plain, context),
        }
    }

    fn open(&self, sealed: &[u8], context: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealerError> {
        Xor.open(sealed, context)
    }

    fn mac(&self, key: &[u8; 32], text: &[u8]) -> [u8; 32] {
        Xor.mac(key, text)
    }
}

struct TestClock(Mutex<Timestamp>);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.now().micros())
    }
}

fn clock() -> Arc<TestClock> {
    Arc::new(TestClock(Mutex::new(NOW)))
}

fn actor() -> Actor {
    Actor::new("cli:ada")
}

fn offer(lookup: u8, key: u8) -> NewOwner {
    NewOwner { lookup: [lookup; 32], kind: OwnerKind::Subject, key: OwnerKey::new([key; 16], [key; 32]) }
}

fn reserve<'a>(store: &'a SqliteStore, key: &str) -> StoreFuture<'a, Reservation> {
    store.reserve("scope", key, [1; 32].into(), NOW, Timestamp::from_seconds(2_000))
}

fn taken(reservation: Reservation) -> Ticket {
    match reservation {
        Reservation::Taken(ticket) => ticket,
        other => panic!("not taken: {other:?}"),
    }
}

fn answer(body: &str) -> StoredAnswer {
    StoredAnswer {
        answered: Answered { mark: Some(200), said: Said::Done },
        content_type: None,
        fields: Vec::new(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        schema: None,
        subjects: None,
    }
}

fn credential() -> IssuedCredential {
    IssuedCredential {
        id: "key-1".into(),
        kind: IssuedKind::ApiKey,
        account: "erp".into(),
        hash: [7; 32],
        created: NOW,
        expires: Timestamp::from_seconds(2_000),
        revoked: None,
        last_used: Some(NOW),
    }
}

fn mode(path: &std::path::Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}
