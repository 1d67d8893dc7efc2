//! Rows that another hand wrote.

use super::*;

/// A row that another hand put in, or changed, opens nothing and says nothing.
#[tokio::test]
async fn rows_of_another_hand_do_not_count() {
    let genuine = "INSERT INTO credential SELECT 'copied', kind, account, hash, created, expires, revoked, last_used FROM credential";
    for (sql, altered) in [
        (genuine, &["credential/copied"][..]),
        (
            "INSERT INTO credential (id, kind, account, hash, created, expires) VALUES ('new', 'api-key', 'erp', zeroblob(32), 1, 9000000)",
            &["credential/new"],
        ),
        (
            "INSERT INTO credential VALUES ('odd', 'no such kind', 'erp', zeroblob(32), 1, 9, NULL, NULL)",
            &["credential/odd"],
        ),
        ("UPDATE credential SET id = 'key-2'", &["credential/key-2", "credential/key-1"]),
        ("UPDATE credential SET account = 'admin'", &["credential/key-1"]),
        ("UPDATE credential SET hash = zeroblob(32)", &["credential/key-1"]),
        ("UPDATE credential SET expires = expires + 1", &["credential/key-1"]),
        ("UPDATE credential SET created = 0", &["credential/key-1"]),
        ("UPDATE credential SET kind = 'client-secret'", &["credential/key-1"]),
        ("UPDATE credential SET revoked = 1", &["credential/key-1"]),
        ("DELETE FROM credential", &["credential/key-1"]),
        ("UPDATE sealed_item SET sealed = x'00'", &["item/secret/a"]),
        ("UPDATE sealed_item SET name = 'b'", &["item/secret/a", "item/secret/b"]),
        ("UPDATE sealed_item SET namespace = 'ca'", &["item/ca/a", "item/secret/a"]),
        ("UPDATE sealed_item SET created = 9", &["item/secret/a"]),
        ("UPDATE sealed_item SET version = 9", &["item/secret/a"]),
        (
            "INSERT INTO sealed_item SELECT namespace, name, 9, sealed, created FROM sealed_item",
            &["item/secret/a"],
        ),
        ("DELETE FROM sealed_item", &["item/secret/a"]),
    ] {
        let place = Place::new();
        let store = place.open();
        store.insert(credential(), 99).await.unwrap();
        store.put("secret", "a", b"sealed".to_vec(), NOW).await.unwrap();
        assert!(store.altered().await.unwrap().is_empty());
        let before = store.issued(None).await.unwrap();
        Connection::open(place.path()).unwrap().execute(sql, []).unwrap();
        drop(store);
        let store = place.open();
        assert_eq!(store.altered().await.unwrap(), altered, "{sql}");
        let listed = store.issued(None).await.unwrap();
        assert!(listed.iter().all(|listed| before.contains(listed)), "{sql}");
        if altered[0].starts_with("credential/") {
            // What was there is revoked for good; of what never was there is nothing to revoke.
            for id in altered {
                let id = id.strip_prefix("credential/").unwrap();
                assert_eq!(store.revoke(id, NOW).await.unwrap(), id == "key-1", "{sql}");
            }
            assert!(!store.altered().await.unwrap().contains(&"credential/key-1".to_owned()), "{sql}");
        } else {
            assert_items_are_refused_and_mended(&store, altered, sql).await;
        }
    }
}

/// A row that is hidden from the command that revokes it, and put back once that is done.
#[tokio::test]
async fn what_is_hidden_from_a_revocation_does_not_come_back() {
    for hide in
        ["DELETE FROM credential", "UPDATE credential SET account = 'x'", "UPDATE credential SET id = 'y'"]
    {
        let place = Place::new();
        let store = place.open();
        store.insert(credential(), 99).await.unwrap();
        let other = Connection::open(place.path()).unwrap();
        other.execute_batch(&format!("CREATE TEMP TABLE c AS SELECT * FROM credential; {hide}")).unwrap();
        assert!(store.revoke("key-1", NOW).await.unwrap(), "{hide}");
        assert!(!store.revoke("key-1", NOW).await.unwrap(), "{hide}");
        let told = store.pending(9).await.unwrap();
        assert_eq!((&*told[1].name, &*told[1].object), ("key.revoke", "key-1"), "{hide}");
        other.execute_batch("DELETE FROM credential; INSERT INTO credential SELECT * FROM c").unwrap();
        assert!(store.issued(None).await.unwrap().is_empty(), "{hide}");
        assert_eq!(store.altered().await.unwrap(), ["credential/key-1"], "{hide}");
    }
}

/// Only what is as it was left; what is not, `altered` tells.
#[tokio::test]
async fn items_of_another_hand_are_not_listed() {
    for (sql, listed) in [
        ("INSERT INTO sealed_item VALUES ('secret', 'c', 1, x'00', 1)", &["a", "b"][..]),
        ("DELETE FROM sealed_item WHERE name = 'a'", &["b"]),
        ("UPDATE sealed_item SET name = 'c' WHERE name = 'a'", &["b"]),
        ("UPDATE sealed_item SET version = 7 WHERE name = 'a'", &["b"]),
        ("INSERT INTO sealed_item SELECT namespace, name, 0, sealed, created FROM sealed_item", &["a", "b"]),
    ] {
        let place = Place::new();
        let store = place.open();
        for name in ["a", "b"] {
            store.put("secret", name, b"sealed".to_vec(), NOW).await.unwrap();
        }
        Connection::open(place.path()).unwrap().execute(sql, []).unwrap();
        let names: Vec<_> = store.list_items("secret").await.into_iter().map(|item| item.name).collect();
        assert_eq!(names, listed, "{sql}");
    }
}

async fn assert_items_are_refused_and_mended(store: &SqliteStore, altered: &[&str], sql: &str) {
    for item in altered {
        let (namespace, name) = item["item/".len()..].split_once('/').unwrap();
        let refused =
            |error: StoreError| assert!(matches!(error, StoreError::Altered { .. }), "{sql}: {error}");
        refused(store.get(namespace, name).await.unwrap_err());
        refused(store.put_first(namespace, name, vec![1], NOW).await.unwrap_err());
        refused(store.put_over(namespace, name, vec![1], NOW, 1).await.unwrap_err());
        store.put(namespace, name, vec![2], NOW).await.unwrap();
        assert_eq!(store.get(namespace, name).await.unwrap().unwrap().sealed, [2], "{sql}");
        assert!(store.remove(namespace, name).await.unwrap());
    }
    assert!(store.altered().await.unwrap().is_empty());
}

/// What is put back as it was before does not count, and what was taken away is missed.
#[tokio::test]
async fn rows_that_are_put_back_do_not_count() {
    let place = Place::new();
    let store = place.open();
    store.insert(credential(), 99).await.unwrap();
    store.put("secret", "a", b"old".to_vec(), NOW).await.unwrap();
    store.obtain(vec![offer(1, 1), offer(2, 2)]).await.unwrap();
    assert!(store.owners_whole().await.unwrap());
    let other = Connection::open(place.path()).unwrap();
    other
        .execute_batch(
            "CREATE TEMP TABLE c AS SELECT * FROM credential; CREATE TEMP TABLE i AS SELECT * FROM sealed_item;
             CREATE TEMP TABLE o AS SELECT * FROM owner; CREATE TEMP TABLE w AS SELECT * FROM outbox;
             CREATE TEMP TABLE l AS SELECT * FROM ledger WHERE part = 'owners';",
        )
        .unwrap();
    store.revoke("key-1", NOW).await.unwrap();
    store.put("secret", "a", b"new".to_vec(), NOW).await.unwrap();
    store.destroy([1; 32]).await.unwrap();
    let left = store.pending(99).await.unwrap();
    store.done(left.iter().map(|action| action.id).collect()).await.unwrap();
    assert!(store.altered().await.unwrap().is_empty() && store.owners_whole().await.unwrap());
    other
        .execute_batch(
            "INSERT OR REPLACE INTO credential SELECT * FROM c; DELETE FROM sealed_item;
             INSERT INTO sealed_item SELECT * FROM i; INSERT OR IGNORE INTO owner SELECT * FROM o;
             INSERT INTO outbox SELECT * FROM w;",
        )
        .unwrap();
    drop(store);
    let store = place.open();
    assert_eq!(store.altered().await.unwrap(), ["credential/key-1", "item/secret/a"]);
    assert!(store.issued(None).await.unwrap().is_empty());
    assert!(store.pending(99).await.unwrap().iter().all(|action| &*action.code == "row-altered"));
    assert!(!store.owners_whole().await.unwrap());
    // Whatever is done from then on.
    store.destroy([2; 32]).await.unwrap();
    store.obtain(vec![offer(3, 3)]).await.unwrap();
    assert!(!store.owners_whole().await.unwrap());
}

/// Of owners it is known that one is missing, was added or is another.
#[tokio::test]
async fn owners_of_another_hand_are_noticed() {
    for sql in [
        "DELETE FROM owner WHERE tag = (SELECT min(tag) FROM owner)",
        "DELETE FROM owner",
        "UPDATE owner SET kind = 'account'",
        "UPDATE owner SET created = created + 1",
        "UPDATE owner SET sealed = x'00'",
        "INSERT INTO owner VALUES (zeroblob(32), zeroblob(16), 'subject', x'00', 1)",
    ] {
        let place = Place::new();
        let store = place.open();
        store.obtain(vec![offer(1, 1), offer(2, 2)]).await.unwrap();
        store.obtain(vec![offer(1, 1), offer(4, 4)]).await.unwrap();
        assert!(store.owners_whole().await.unwrap());
        Connection::open(place.path()).unwrap().execute(sql, []).unwrap();
        assert!(!store.owners_whole().await.unwrap(), "{sql}");
        // Whoever is still there can be erased.
        let there = store.owner_by_lookup([2; 32]).await.ok().flatten().is_some();
        assert_eq!(
            store.destroy([2; 32]).await.unwrap().is_some(),
            there || sql.contains("SET sealed = x'00'"),
            "{sql}"
        );
        assert!(!store.owners_whole().await.unwrap(), "{sql}");
    }
}

/// A store without its ledger is nobody's, and it gets no other one.
#[tokio::test]
async fn a_store_is_adopted_once() {
    for sql in [
        "DELETE FROM ledger WHERE part = 'rows'",
        "UPDATE ledger SET sealed = x'00' WHERE part = 'rows'",
        "UPDATE ledger SET sealed = (SELECT sealed FROM ledger WHERE part = 'head') WHERE part = 'rows'",
        "UPDATE ledger SET sealed = (SELECT sealed FROM ledger WHERE part = 'rows') WHERE part = 'head'",
        "DELETE FROM ledger WHERE part = 'head'",
        "UPDATE ledger SET sealed = x'00' WHERE part = 'head'",
        "PRAGMA user_version = 4",
        "DELETE FROM ledger; PRAGMA user_version = 4",
    ] {
        let place = Place::new();
        let store = place.open();
        store.insert(credential(), 99).await.unwrap();
        Connection::open(place.path()).unwrap().execute_batch(sql).unwrap();
        if !sql.contains("user_version") {
            assert!(store.issued(None).await.is_err(), "{sql}");
        }
        drop(store);
        assert!(place.try_open().is_err(), "{sql}");
    }
    // Whoever makes it look like one of an older version makes another store of it.
    let place = Place::new();
    let store = place.open();
    let mark = store.mark().await.unwrap();
    assert!(mark.can_follow(mark) && mark.can_follow(StoreMark::default()));
    store.insert(credential(), 99).await.unwrap();
    let later = store.mark().await.unwrap();
    assert!(later.can_follow(mark) && !mark.can_follow(later));
    drop(store);
    fs::write(place.path(), fs::read(versions::VERSION_4).unwrap()).unwrap();
    assert!(!place.open().mark().await.unwrap().can_follow(later));
}

/// Nobody revokes a revocation, and what was revoked stays so.
#[tokio::test]
async fn a_revocation_is_part_of_what_is_known() {
    let place = Place::new();
    let store = place.open();
    store.insert(credential(), 99).await.unwrap();
    store.touch(vec![("key-1".into(), NOW.plus(Duration::from_secs(1)))]).await.unwrap();
    assert!(store.revoke("key-1", NOW).await.unwrap());
    assert_eq!(store.issued(None).await.unwrap()[0].revoked, Some(NOW));
    Connection::open(place.path()).unwrap().execute("UPDATE credential SET revoked = NULL", []).unwrap();
    assert!(store.issued(None).await.unwrap().is_empty());
}

#[tokio::test]
async fn actions_of_another_hand_are_not_repeated() {
    for sql in [
        "UPDATE outbox SET actor = 'command:somebody-else(0)'",
        "UPDATE outbox SET object = 'key-9'",
        "UPDATE outbox SET account = ''",
        "UPDATE outbox SET facts = '[]'",
        "UPDATE outbox SET facts = 'not json'",
        "UPDATE outbox SET name = 'key.revoke'",
        "UPDATE outbox SET time = 1",
        "DELETE FROM outbox",
        "UPDATE outbox SET id = randomblob(16)",
        "INSERT INTO outbox VALUES (9, randomblob(16), 1, 'key.issue', 'x', 'erp', '[]', 'bridge'); DELETE FROM outbox WHERE number < 9",
    ] {
        let place = Place::new();
        let store = place.open();
        store.insert(credential(), 99).await.unwrap();
        assert_eq!(store.pending(9).await.unwrap()[0].name, "key.issue");
        Connection::open(place.path()).unwrap().execute_batch(sql).unwrap();
        let told = store.pending(9).await.unwrap();
        assert_eq!(store.count().await, Ok(u64::try_from(told.len()).unwrap()), "{sql}");
        let said = |told: &ironbridge_core::Action| {
            (told.name.to_string(), told.object.clone(), told.actor.clone() + &told.account)
        };
        assert!(
            told.iter().all(|told| said(told) == ("store.refuse".into(), "outbox".into(), String::new())),
            "{sql}"
        );
        let codes: Vec<&str> = told.iter().map(|told| &*told.code).collect();
        let expected: &[&str] = match sql {
            "DELETE FROM outbox" => &["row-removed"],
            moved if moved.contains("randomblob") => &["row-altered", "row-removed"],
            _ => &["row-altered"],
        };
        assert_eq!(codes, expected, "{sql}");
        store.done(told.iter().map(|told| told.id).collect()).await.unwrap();
        assert_eq!((store.count().await, store.pending(9).await.unwrap().len()), (Ok(0), 0), "{sql}");
    }
}

/// Whoever only looks changes no byte, whatever state the store is in, and reads what was last written.
#[tokio::test]
async fn looking_changes_nothing() {
    let files = |place: &Place| -> Vec<(PathBuf, Vec<u8>)> {
        let entries = fs::read_dir(place.directory()).unwrap().map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = entries.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
        files.sort();
        files
    };
    let look = |place: &Place| SqliteStore::open_to_read(&place.path(), Arc::new(Xor), clock());
    // Open elsewhere, killed, closed.
    let (place, killed) = (Place::new(), Place::new());
    let store = place.open();
    store.put("secret", "a", b"sealed".to_vec(), NOW).await.unwrap();
    fs::create_dir(killed.directory()).unwrap();
    for (path, bytes) in files(&place) {
        fs::write(killed.directory().join(path.file_name().unwrap()), bytes).unwrap();
    }
    assert_eq!(files(&killed).len(), 3);
    let mut states = vec![(place, Some(store)), (killed, None)];
    let closed = Place::new();
    drop({
        let store = closed.open();
        store.put("secret", "a", b"sealed".to_vec(), NOW).await.unwrap();
        store
    });
    states.push((closed, None));
    for (place, _open) in &states {
        let before = files(place);
        let looking = look(place).unwrap();
        assert_eq!(looking.get("secret", "a").await.unwrap().unwrap().sealed, b"sealed");
        assert!(looking.put("secret", "a", b"other".to_vec(), NOW).await.is_err());
        assert!(looking.altered().await.unwrap().is_empty());
        drop(looking);
        assert!(files(place) == before, "{:?}", before.iter().map(|(path, _)| path).collect::<Vec<_>>());
    }
    let old = Place::with(versions::VERSION_4);
    let before = files(&old);
    assert_eq!(look(&old).err(), Some(StoreError::Older { found: 4, known: 8 }));
    assert!(files(&old) == before);
    let none = Place::new();
    assert!(look(&none).is_err() && !none.directory().exists());
}

/// A copy that takes the place of the file, or of what SQLite keeps beside it, is another store.
#[tokio::test]
async fn a_file_that_was_replaced_while_it_is_open_is_noticed() {
    for ending in ["", "-wal", "-shm"] {
        for gone in [false, true] {
            let place = Place::new();
            let store = place.open();
            store.insert(credential(), 99).await.unwrap();
            assert_eq!(store.stands().await, Ok(()));
            let mut path = place.path().into_os_string();
            path.push(ending);
            let (path, aside) = (PathBuf::from(path), place.directory().join("aside"));
            fs::rename(&path, &aside).unwrap();
            if !gone {
                fs::copy(&aside, &path).unwrap();
            }
            for _ in 0..2 {
                let error = store.stands().await.unwrap_err();
                assert!(matches!(error, StoreError::Altered { .. }), "{ending} {error}");
            }
            if ending.is_empty() {
                fs::rename(&aside, &path).unwrap();
                assert_eq!(store.stands().await, Ok(()), "as it was left");
            }
        }
    }
}
