//! Files of every schema there was.

use super::*;
use crate::sqlite::allowance::BYTES;

/// A file written by schema version 1 still opens, with all it holds, and is brought up to date.
#[tokio::test]
async fn version_1_still_opens() {
    let place = Place::with(VERSION_1);
    let store = place.open();
    holds_what_version_1_held(&store).await;
    let adopted = store.pending(9).await.unwrap();
    assert_eq!(
        (adopted.len(), &*adopted[0].name),
        (1, "store.adopt"),
        "what was done before is nobody's to record now"
    );
    let facts = [("credentials", "1"), ("actions", "0"), ("items", "1"), ("owners", "0")];
    assert_eq!(adopted[0].facts, facts.map(|(name, value)| (name.into(), value.to_owned())));
    store.done(vec![adopted[0].id]).await.unwrap();
    store.obtain(vec![offer(1, 1)]).await.unwrap();
    assert!(store.revoke("key-1", NOW).await.unwrap());
    assert_eq!(store.pending(9).await.unwrap()[0].object, "key-1");
    drop(store);
    let tables = |(version, parts): (i64, Vec<(String, Option<String>, i64)>)| {
        (version, parts.into_iter().map(|(name, sql, _)| (name, sql)).collect::<Vec<_>>())
    };
    assert_eq!(tables(schema(&place.path())), tables(schema(VERSION_8.as_ref())));
}

#[tokio::test]
async fn versions_2_to_8_still_open() {
    for fixture in [VERSION_2, VERSION_3, VERSION_4, VERSION_5, VERSION_6, VERSION_7, VERSION_8] {
        holds_what_version_2_held(&Place::with(fixture).open()).await;
    }
}

/// Keys and answers of before count as if they had been counted all along.
#[tokio::test]
async fn what_is_kept_is_counted_when_a_store_is_brought_up_to_date() {
    let counted = |store: &SqliteStore| {
        let counted = format!(
            "SELECT (SELECT sum({BYTES}) FROM idempotency), (SELECT sum(bytes) FROM kept WHERE account = ' '),
                    (SELECT sum(bytes) FROM kept WHERE account <> ' ')"
        );
        store.ask(Effect::Reads, move |db| {
            db.query_row(&counted, [], |row| {
                Ok([row.get::<_, Option<i64>>(0)?, row.get(1)?, row.get(2)?].map(|sum| sum.unwrap_or(0)))
            })
        })
    };
    for fixture in [VERSION_1, VERSION_7, VERSION_8] {
        let place = Place::with(fixture);
        let store = place.open();
        let [rows, all, accounts] = counted(&store).await.unwrap();
        assert!(rows > 300 && rows == all && rows == accounts, "{rows} {all} {accounts}");
        for (key, settlement) in [("b", Settlement::Release), ("c", Settlement::Finished(answer("kept")))] {
            store.settle(taken(reserve(&store, key).await.unwrap()), settlement);
        }
        let concerns = taken(reserve(&store, "d").await.unwrap());
        store.obtain(vec![offer(7, 7)]).await.unwrap();
        store.concerns(concerns, vec![[7; 16]]);
        store.destroy([7; 32]).await.unwrap();
        let [rows, all, accounts] = counted(&store).await.unwrap();
        assert!(rows > 600 && rows == all && rows == accounts, "{rows} {all} {accounts}");
    }
}

/// What another hand wrote into a store of version 4 is not adopted with the rest.
#[tokio::test]
async fn rows_of_another_hand_in_version_4_are_not_adopted() {
    let place = Place::with(VERSION_4);
    let other = Connection::open(place.path()).unwrap();
    other
        .execute_batch(
            "INSERT INTO credential SELECT 'forged', kind, account, hash, created, expires, NULL, NULL, seal
             FROM credential; UPDATE outbox SET object = 'other' WHERE number = 1",
        )
        .unwrap();
    drop(other);
    let store = place.open();
    assert_eq!(store.issued(None).await.unwrap(), [credential()]);
    assert_eq!(store.altered().await.unwrap(), ["credential/forged"]);
    assert_eq!(&*store.pending(9).await.unwrap()[0].name, "store.refuse");
}

async fn holds_what_version_2_held(store: &SqliteStore) {
    holds_what_version_1_held(store).await;
    let owner = store.owner_by_lookup([1; 32]).await.unwrap().unwrap();
    assert_eq!((owner.tag, owner.expose()), ([2; 16], &[2; 32]));
    let left = store.pending(9).await.unwrap();
    let left: Vec<_> = left.iter().map(|action| (&*action.name, &*action.object, &*action.actor)).collect();
    assert_eq!(left[..2], [("key.issue", "key-1", "cli:ada"), ("secret.set", "a", "cli:ada")]);
    assert!(left[2..].iter().all(|(name, ..)| *name == "store.adopt"));
}

async fn holds_what_version_1_held(store: &SqliteStore) {
    assert_eq!(store.issued(None).await.unwrap(), [credential()]);
    assert_eq!(store.get("secret", "a").await.unwrap().unwrap().sealed, b"sealed");
    // As a bridge does before it serves; these fingerprints stand for their own keyed ones.
    store.key_fingerprints(Box::new(|plain| *plain)).await.unwrap();
    assert_eq!(reserve(store, "finished").await, Ok(Reservation::Finished(answer("kept"))));
    assert_eq!(reserve(store, "open").await, Ok(Reservation::OutcomeUnknown));
}

/// What is written today is what version 8 wrote. Should this fail, the schema changed: keep version 8 as it is, give
/// the new one a number, and copy what is written here to a fixture of its own.
#[tokio::test]
async fn the_current_schema_is_version_8() {
    let place = Place::new();
    let store = place.open();
    store.insert(credential(), 99).await.unwrap();
    store.put("secret", "a", b"sealed".to_vec(), NOW).await.unwrap();
    store.settle(taken(reserve(&store, "finished").await.unwrap()), Settlement::Finished(answer("kept")));
    let _open = reserve(&store, "open").await.unwrap();
    store.obtain(vec![offer(1, 2)]).await.unwrap();
    drop(store);
    assert_eq!(schema(&place.path()), schema(VERSION_8.as_ref()));
}

/// What was remembered without a key is told apart as it was, and is not left in the file.
#[tokio::test]
async fn fingerprints_without_a_key_are_put_under_one() {
    let place = Place::with(VERSION_3);
    let store = place.open();
    assert_eq!(reserve(&store, "finished").await, Ok(Reservation::OutcomeUnknown), "not to be told before");
    let before = place.count(&[1; 32]);
    store.key_fingerprints(Box::new(|plain| plain.map(|byte| byte ^ 0x5a))).await.unwrap();
    // Those of both rows are gone, also out of the write-ahead log; an owner is looked up by the same bytes.
    assert_eq!(place.count(&[1; 32]), before - 2);
    let asked = |whole, without_fields| Fingerprints { whole, without_fields, owners: Vec::new() };
    let later = Timestamp::from_seconds(2_000);
    for (request, expected) in [
        (asked([1 ^ 0x5a; 32], [9; 32]), Reservation::Mismatch),
        (asked([9; 32], [2 ^ 0x5a; 32]), Reservation::Mismatch),
        (asked([9; 32], [1 ^ 0x5a; 32]), Reservation::Finished(answer("kept"))),
    ] {
        assert_eq!(store.reserve("scope", "finished", request, NOW, later).await, Ok(expected));
    }
    // Once: what is keyed stays as it is.
    store.key_fingerprints(Box::new(|_| [0; 32])).await.unwrap();
    let again = store.reserve("scope", "finished", asked([9; 32], [1 ^ 0x5a; 32]), NOW, later).await;
    assert_eq!(again, Ok(Reservation::Finished(answer("kept"))));
}

/// The version, and every table and index with its number of rows.
fn schema(path: &Path) -> (i64, Vec<(String, Option<String>, i64)>) {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY | rusqlite::OpenFlags::SQLITE_OPEN_URI;
    let db = Connection::open_with_flags(format!("file:{}?immutable=1", path.display()), flags).unwrap();
    let version = db.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    let mut parts = db.prepare("SELECT name, sql, type FROM sqlite_schema ORDER BY name").unwrap();
    let parts = parts.query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?))).unwrap();
    let counted = parts.map(|part| {
        let (name, sql, kind): (String, Option<String>, String) = part.unwrap();
        let count = format!("SELECT count(*) FROM \"{name}\"");
        let rows = if kind == "table" { db.query_row(&count, (), |row| row.get(0)).unwrap() } else { 0 };
        (name, sql, rows)
    });
    (version, counted.collect())
}

const VERSION_1: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/v1.sqlite");
pub(super) const VERSION_2: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/v2.sqlite");
const VERSION_3: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/v3.sqlite");
pub(super) const VERSION_4: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/v4.sqlite");
pub(super) const VERSION_5: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/v5.sqlite");
pub(super) const VERSION_6: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/v6.sqlite");
const VERSION_7: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/v7.sqlite");
const VERSION_8: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/v8.sqlite");
