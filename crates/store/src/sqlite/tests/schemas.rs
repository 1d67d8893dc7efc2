//! A file whose schema another hand changed.

use super::*;

/// What could have the file itself undo a revocation or an erasure that a command confirms.
const PLANTED: &[&str] = &[
    "CREATE TRIGGER t AFTER UPDATE ON credential WHEN new.revoked IS NOT NULL BEGIN
         UPDATE credential SET revoked = NULL; END",
    "CREATE TABLE stash AS SELECT * FROM ledger;
     CREATE TRIGGER t AFTER INSERT ON ledger WHEN new.part = 'rows' BEGIN
         UPDATE ledger SET sealed = (SELECT sealed FROM stash WHERE part = 'rows') WHERE part = 'rows'; END",
    "CREATE TABLE stash AS SELECT * FROM owner;
     CREATE TRIGGER t AFTER DELETE ON owner BEGIN INSERT INTO owner SELECT * FROM stash; END",
    "CREATE TRIGGER t BEFORE DELETE ON owner BEGIN SELECT raise(IGNORE); END",
    "CREATE TRIGGER t AFTER INSERT ON outbox BEGIN DELETE FROM outbox WHERE id = new.id; END",
    "CREATE TRIGGER \"with `odd\nname\" AFTER INSERT ON outbox BEGIN SELECT 1; END",
    "CREATE VIEW v AS SELECT * FROM credential",
    "ALTER TABLE credential RENAME TO real; CREATE VIEW credential AS SELECT * FROM real;
     CREATE TRIGGER t INSTEAD OF UPDATE ON credential BEGIN SELECT 1; END",
    "CREATE TABLE stash (a)",
    "CREATE TABLE stash (owner REFERENCES owner (tag) ON DELETE CASCADE)",
    "CREATE INDEX i ON owner (kind)",
    "CREATE UNIQUE INDEX i ON credential (account) WHERE revoked IS NOT NULL",
    "CREATE INDEX i ON credential (coalesce(revoked, 0))",
    "DROP INDEX idempotency_expires",
    "DROP INDEX idempotency_expires; CREATE INDEX idempotency_expires ON idempotency (expires DESC)",
    "DROP INDEX idempotency_expires; CREATE INDEX idempotency_expires ON idempotency (expires) WHERE 0",
    "DROP TABLE step; CREATE TABLE step (number INTEGER PRIMARY KEY, lots TEXT NOT NULL) STRICT",
    "DROP TABLE step; CREATE TABLE step (number INTEGER PRIMARY KEY, lots BLOB NOT NULL)",
    "DROP TABLE step; CREATE TABLE step (number INTEGER PRIMARY KEY, lots BLOB NOT NULL) STRICT, WITHOUT ROWID",
    "DROP TABLE step; CREATE TABLE step (number INTEGER PRIMARY KEY ON CONFLICT IGNORE, lots BLOB NOT NULL) STRICT",
    "DROP TABLE step; CREATE TABLE \"step\" (number INTEGER PRIMARY KEY, lots BLOB NOT NULL) STRICT",
    "DROP TABLE step; CREATE TABLE step (number INTEGER PRIMARY KEY, lots BLOB NOT NULL /* x */) STRICT",
    "ALTER TABLE outbox ADD COLUMN hidden TEXT",
    "ALTER TABLE outbox ADD COLUMN made TEXT GENERATED ALWAYS AS (name || '') VIRTUAL",
    "ALTER TABLE credential RENAME COLUMN revoked TO used",
    "CREATE VIRTUAL TABLE f USING fts5 (a)",
    "CREATE VIRTUAL TABLE r USING rtree (a, b, c)",
    "ANALYZE",
    "CREATE TABLE s (a INTEGER PRIMARY KEY AUTOINCREMENT)",
    "PRAGMA application_id = 7",
    "PRAGMA user_version = 5",
    "PRAGMA user_version = 1",
    "PRAGMA user_version = -1",
    "PRAGMA auto_vacuum = 1; VACUUM",
];

/// Written into the schema's own table, which needs no more than a sqlite3 shell.
const WRITTEN: &[&str] = &[
    "UPDATE sqlite_master SET sql = replace(sql, 'length(hash) = 32', 'length(hash) > 3') WHERE name = 'credential'",
    "UPDATE sqlite_master SET sql = replace(sql, 'revoked   INTEGER', 'revoked INTEGER CHECK (revoked IS NULL)') WHERE name = 'credential'",
    "UPDATE sqlite_master SET sql = replace(sql, ' NOT NULL PRIMARY KEY', ' NOT NULL PRIMARY KEY ON CONFLICT IGNORE') WHERE name = 'ledger'",
    "UPDATE sqlite_master SET sql = replace(sql, 'id        TEXT', 'id TEXT COLLATE nocase') WHERE name = 'credential'",
    "UPDATE sqlite_master SET sql = sql || ' -- not ours' WHERE name = 'step'",
    "UPDATE sqlite_master SET rootpage = (SELECT rootpage FROM sqlite_master WHERE name = 'step') WHERE name = 'ledger'",
    "INSERT INTO sqlite_master VALUES ('trigger', 't', 'outbox', 0, 'CREATE TRIGGER t AFTER INSERT ON outbox BEGIN DELETE FROM outbox; END')",
    "INSERT INTO sqlite_master SELECT type, 'twice', 'twice', rootpage, 'CREATE TABLE twice (a)' FROM sqlite_master WHERE name = 'owner'",
    "INSERT INTO sqlite_master SELECT * FROM sqlite_master WHERE name = 'step'",
    "DELETE FROM sqlite_master WHERE name = 'idempotency_expires'",
    "DELETE FROM sqlite_master WHERE name = 'sqlite_autoindex_owner_2'",
];

/// Written by hand without a change of the cookie, which is what tells a connection that the schema changed.
fn plant(place: &Place, sql: &str, tell: bool) {
    let other = Connection::open(place.path()).unwrap();
    other.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false).unwrap();
    let cookie: i64 = other.pragma_query_value(None, "schema_version", |row| row.get(0)).unwrap();
    match sql.contains("sqlite_master") {
        true => {
            other.pragma_update(None, "writable_schema", true).unwrap();
            other.execute_batch(sql).unwrap();
            if tell {
                other.pragma_update(None, "schema_version", cookie + 1).unwrap();
            }
        }
        false => other.execute_batch(sql).unwrap(),
    }
}

fn is_altered<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> bool {
    matches!(answer, Err(StoreError::Altered { .. }))
}

async fn filled(place: &Place) -> SqliteStore {
    let store = place.open();
    store.insert(credential(), 99).await.unwrap();
    store.put("secret", "a", vec![1], NOW).await.unwrap();
    store.obtain(vec![offer(1, 1), offer(2, 2)]).await.unwrap();
    store
}

/// Beside a running bridge, which notices, and whose connection does nothing by such a schema.
#[tokio::test]
async fn a_schema_that_is_changed_beside_an_open_store_is_refused() {
    for sql in PLANTED {
        let place = Place::new();
        let store = filled(&place).await;
        if sql.contains("VACUUM") {
            // Nobody can while the store is open.
            continue;
        }
        plant(&place, sql, true);
        let version = sql.contains("user_version") || sql.contains("application_id");
        if !version {
            assert!(is_altered(store.revoke("key-1", NOW).await), "{sql}");
            assert!(is_altered(store.destroy([1; 32]).await), "{sql}");
            assert!(is_altered(store.put("secret", "a", vec![2], NOW).await), "{sql}");
            assert!(is_altered(store.issued(None).await), "{sql}");
        }
        assert!(is_altered(store.owners_whole().await), "{sql}");
        assert!(is_altered(store.stands().await), "{sql}");
    }
}

#[tokio::test]
async fn a_file_whose_schema_is_another_does_not_open() {
    for sql in PLANTED.iter().chain(WRITTEN) {
        let place = Place::new();
        drop(filled(&place).await);
        plant(&place, sql, true);
        let error = place.try_open().err().unwrap();
        let expected = matches!(error, StoreError::Altered { .. } | StoreError::Corrupt(_))
            || *sql == "PRAGMA user_version = -1";
        assert!(expected, "{sql}: {error}");
        assert!(!error.to_string().contains('\n'), "{sql}: {error}");
        let looking = SqliteStore::open_to_read(&place.path(), Arc::new(Xor), clock());
        assert!(looking.is_err(), "{sql}");
        let tables = Connection::open(place.path()).unwrap();
        let kept = tables.query_row("SELECT count(*) FROM owner", [], |row| row.get::<_, i64>(0));
        assert!(kept.is_err() || kept == Ok(2), "{sql}");
    }
}

/// What does not change the cookie changes nothing for who has the store open; the next look finds it all the same.
#[tokio::test]
async fn a_schema_that_is_written_without_a_word_is_found_and_does_nothing() {
    for sql in WRITTEN {
        let place = Place::new();
        let store = filled(&place).await;
        plant(&place, sql, false);
        let revoked = store.revoke("key-1", NOW).await;
        let erased = store.destroy([1; 32]).await;
        assert!(revoked == Ok(true) || is_altered(revoked), "{sql}");
        assert!(matches!(erased, Ok(Some(_))) || is_altered(erased), "{sql}");
        let listed = store.issued(None).await.unwrap_or_default();
        assert!(listed.iter().all(|listed| listed.revoked.is_some()), "{sql}");
        assert!(!matches!(store.owner_by_lookup([1; 32]).await, Ok(Some(_))), "{sql}");
        assert!(is_altered(store.stands().await), "{sql}");
    }
}

/// A connection of the store's runs nothing that stands in the file, should it come to that.
#[tokio::test]
async fn nothing_in_the_file_acts_by_itself() {
    let place = Place::new();
    drop(filled(&place).await);
    plant(
        &place,
        "CREATE TABLE told (a); CREATE TRIGGER t AFTER DELETE ON owner BEGIN INSERT INTO told VALUES (1); END; CREATE VIEW v AS SELECT 1",
        true,
    );
    let db = Connection::open(place.path()).unwrap();
    super::super::schema::distrust(&db).unwrap();
    db.execute("DELETE FROM owner", []).unwrap();
    assert_eq!(db.query_row("SELECT count(*) FROM told", [], |row| row.get::<_, i64>(0)), Ok(0));
    assert!(db.query_row("SELECT * FROM v", [], |_| Ok(())).is_err());
    assert!(db.execute("INSERT INTO sqlite_master VALUES ('table', 'a', 'a', 0, '')", []).is_err());
}

/// Spaces are a version's own; what SQLite makes of `ALTER TABLE` may differ in them.
#[tokio::test]
async fn spaces_of_a_schema_do_not_count() {
    let place = Place::new();
    drop(filled(&place).await);
    plant(
        &place,
        "UPDATE sqlite_master SET sql = replace(replace(sql, '    ', ' '), '(', ' ( ') WHERE name LIKE '%o%' AND sql IS NOT NULL",
        true,
    );
    assert!(place.open().altered().await.unwrap().is_empty());
}

/// Whoever ran a tool over the store is told how to get out, and only what does no more than that.
#[tokio::test]
async fn what_an_operator_put_there_comes_out_as_it_is_told() {
    for (sql, told) in [
        ("ANALYZE", true),
        (
            "CREATE TABLE _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER); CREATE TABLE _litestream_lock (id INTEGER)",
            true,
        ),
        (
            "CREATE TABLE mine (a UNIQUE, b); CREATE INDEX of_mine ON mine (b); CREATE VIEW v AS SELECT * FROM mine",
            true,
        ),
        ("CREATE TRIGGER t AFTER INSERT ON outbox BEGIN SELECT 1; END", true),
        ("CREATE INDEX mine ON owner (kind)", true),
        ("CREATE VIRTUAL TABLE f USING fts5 (a)", true),
        ("PRAGMA application_id = 7", true),
        ("PRAGMA auto_vacuum = 1; VACUUM", true),
        ("PRAGMA user_version = 5", false),
        ("DROP INDEX idempotency_expires", false),
        ("CREATE TABLE \"x'; rm -rf $HOME; '\" (a)", false),
        ("CREATE TABLE \"x\"\"; DROP TABLE owner; --\" (a)", false),
    ] {
        let place = Place::new();
        drop(place.open());
        Connection::open(place.path()).unwrap().execute_batch(sql).unwrap();
        let mut left = 9;
        let last = loop {
            let error = match place.try_open() {
                Ok(_) => break None,
                Err(error) => error.to_string(),
            };
            left -= 1;
            let Some((_, way)) = error.split_once("sqlite3 store.sqlite '").filter(|_| left > 0) else {
                break Some(error);
            };
            let way = way.split_once("')").unwrap().0;
            Connection::open(place.path()).unwrap().execute_batch(way).unwrap();
        };
        assert_eq!(last.is_none(), told, "{sql}: {last:?}");
    }
}
