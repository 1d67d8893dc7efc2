//! What the store knows of its rows: set back, bounded, written once.

use super::*;
use ironbridge_core::action;

/// One part of what is known, as it was before, does not go with the other as it is; and all of it, as it was before an
/// owner's key was made or destroyed, is a store that was set back.
#[tokio::test]
async fn what_is_known_of_owners_is_not_put_back() {
    for (made_first, parts, erased) in [
        (true, "'head'", false),
        (true, "'head'", true),
        (true, "'head', 'rows'", true),
        (false, "'head', 'rows'", false),
        (false, "'rows'", true),
    ] {
        let place = Place::new();
        let store = place.open();
        store.obtain(vec![offer(1, 1), offer(2, 2)]).await.unwrap();
        if made_first {
            store.put("secret", "a", vec![1], NOW).await.unwrap();
        }
        let noted = store.mark().await.unwrap();
        let other = Connection::open(place.path()).unwrap();
        let keep = format!(
            "CREATE TEMP TABLE l AS SELECT * FROM ledger WHERE part IN ({parts});
             CREATE TEMP TABLE o AS SELECT * FROM owner"
        );
        other.execute_batch(&keep).unwrap();
        match erased {
            true => assert!(store.destroy([1; 32]).await.unwrap().is_some()),
            false => assert_eq!(store.obtain(vec![offer(3, 3)]).await.unwrap().len(), 1),
        }
        let newest = store.mark().await.unwrap();
        other
            .execute_batch(
                "INSERT OR REPLACE INTO ledger SELECT * FROM l; DELETE FROM owner; INSERT INTO owner SELECT * FROM o",
            )
            .unwrap();
        let fell = store.stands().await;
        assert!(matches!(fell, Err(StoreError::Altered { .. })), "{parts} {erased}: {fell:?}");
        drop(store);
        // Nothing but the mark that is remembered elsewhere tells, once all of it is of one moment.
        match place.try_open() {
            Ok(store) => {
                assert!(store.grew_from(noted).await.unwrap() && !store.grew_from(newest).await.unwrap());
                store.obtain(vec![offer(5, 5), offer(6, 6)]).await.unwrap();
                store.obtain(vec![offer(7, 7)]).await.unwrap();
                assert!(!store.grew_from(newest).await.unwrap(), "however many are made since");
            }
            Err(error) => assert!(matches!(error, StoreError::Altered { .. }), "{parts}: {error}"),
        }
    }
}

/// Everything of before, with what the store knew of it, put back beside a running bridge and before a command.
#[tokio::test]
async fn a_store_that_was_set_back_while_it_is_open_does_not_count() {
    for (then, kept) in [
        ("", true),
        // Counted up again, with steps of its own.
        ("again", true),
        // The lots as well, as they were and as they are now.
        ("", false),
        ("again", false),
    ] {
        let place = Place::new();
        let store = place.open();
        store.insert(credential(), 99).await.unwrap();
        store.mark().await.unwrap();
        let other = Connection::open(place.path()).unwrap();
        let copy = |into: &str| {
            let tables = ["credential", "outbox", "ledger", "step"];
            let sql = tables.map(|name| format!("CREATE TEMP TABLE {into}_{name} AS SELECT * FROM {name};"));
            other.execute_batch(&sql.concat()).unwrap();
        };
        copy("before");
        assert!(store.revoke("key-1", NOW).await.unwrap());
        let newest = store.mark().await.unwrap();
        copy("after");
        let put_back = |from: &str, tables: &[&str]| {
            let sql =
                |name: &&str| format!("DELETE FROM {name}; INSERT INTO {name} SELECT * FROM {from}_{name};");
            let sql: String = tables.iter().map(sql).collect();
            other.execute_batch(&(sql + "UPDATE meta SET generation = generation + 1")).unwrap();
        };
        let all = ["credential", "outbox", "ledger", "step"];
        put_back("before", if kept { &all[..3] } else { &all });
        if then == "again" {
            let command = place.open();
            for name in ["a", "b", "c"] {
                command.put("secret", name, vec![1], NOW).await.unwrap();
            }
            assert!(command.mark().await.unwrap().changes > newest.changes);
            assert!(!command.grew_from(newest).await.unwrap(), "{then} {kept}");
        }
        let altered = |error: StoreError| {
            assert!(
                matches!(&error, StoreError::Altered { what, .. } if what.contains("set back")),
                "{error}"
            );
        };
        altered(store.issued(None).await.unwrap_err());
        altered(store.mark().await.unwrap_err());
        altered(store.pending(9).await.unwrap_err());
        altered(store.put("secret", "d", vec![1], NOW).await.unwrap_err());
        altered(store.altered().await.unwrap_err());
        // As it was left it counts again.
        put_back("after", &all);
        assert_eq!(store.issued(None).await.unwrap()[0].revoked, Some(NOW));
        assert_eq!(store.mark().await.unwrap(), newest);
    }
}

/// What others and this process do meanwhile is what became of it, whatever fails and is rolled back.
#[tokio::test]
async fn a_store_grows_from_every_mark_it_had() {
    let place = Place::new();
    let (store, command) = (place.open(), place.open());
    let mut marks = vec![StoreMark::default(), store.mark().await.unwrap()];
    for turn in 0..40_u8 {
        let by = if turn % 3 == 0 { &command } else { &store };
        let name = turn.to_string();
        by.put("secret", &name, vec![turn], NOW).await.unwrap();
        assert!(store.insert(IssuedCredential { id: name, ..credential() }, 99).await.is_ok());
        assert!(by.insert(IssuedCredential { id: turn.to_string(), ..credential() }, 99).await.is_err());
        if turn % 5 == 0 {
            let waiting = store.pending(99).await.unwrap();
            store.done(waiting.iter().map(|action| action.id).collect()).await.unwrap();
        }
        marks.push(command.mark().await.unwrap());
        store.noted(*marks.last().unwrap()).await.unwrap();
    }
    drop(store);
    let store = place.open();
    for mark in &marks {
        assert!(store.grew_from(*mark).await.unwrap() && command.grew_from(*mark).await.unwrap());
        let other = StoreMark { step: [9; 32], ..*mark };
        assert!(*mark == StoreMark::default() || !store.grew_from(other).await.unwrap());
    }
    // Without lots there is no way from there to here.
    let other = Connection::open(place.path()).unwrap();
    other.execute("DELETE FROM step WHERE number = (SELECT max(number) FROM step)", []).unwrap();
    let [.., before, last] = marks[..] else { panic!() };
    assert!(store.grew_from(last).await.unwrap() && !store.grew_from(before).await.unwrap());
}

/// A bridge sees new persons while a command waits for an answer, or somebody copies part after part: however many they
/// are, nobody is told that another hand set the store back.
#[tokio::test]
async fn who_is_far_behind_is_not_told_that_the_store_was_set_back() {
    let place = Place::new();
    let bridge = place.open();
    bridge.insert(credential(), 99).await.unwrap();
    let (copied, waits) = (bridge.mark().await.unwrap(), place.open());
    assert!(waits.altered().await.unwrap().is_empty());
    let go_on = |steps: u64| {
        bridge.queue.ask(Effect::Writes, move |turn| {
            let (db, keeper) = (turn.db, turn.keeper);
            let ledger = turn.head()?;
            for _ in 0..steps {
                ledger.write(db, keeper)?;
            }
            Ok(())
        })
    };
    let skip = |steps: u64| {
        bridge.queue.ask(Effect::Writes, move |turn| {
            turn.head()?.skip(steps);
            Ok(())
        })
    };
    for _ in 0..3 {
        go_on(10_000).await.unwrap();
        bridge.noted(bridge.mark().await.unwrap()).await.unwrap();
    }
    assert!(bridge.grew_from(copied).await.unwrap());
    waits.put("secret", "a", vec![1], NOW).await.unwrap();
    let set_back = StoreMark { step: [9; 32], ..copied };
    assert!(!bridge.grew_from(set_back).await.unwrap());
    // As far as it is remembered, and then further.
    for (steps, outran) in [(steps::KEPT - 100_000, false), (200_000, true)] {
        skip(steps).await.unwrap();
        bridge.noted(bridge.mark().await.unwrap()).await.unwrap();
        let fell = waits.put("secret", "b", vec![1], NOW).await.unwrap_err();
        // The first time there are no steps that lead over what was skipped: it might as well be another's.
        assert_eq!(matches!(fell, StoreError::Outran(steps::KEPT)), outran, "{fell}");
        assert_eq!(fell.to_string().contains("set back"), !outran, "{fell}");
        assert!(!fell.to_string().contains("restore") || !outran, "{fell}");
        assert_eq!(bridge.grew_from(copied).await.is_err(), outran);
        assert!(waits.altered().await.is_err(), "nothing is believed until it begins again");
    }
    let again = place.open();
    again.put("secret", "c", vec![1], NOW).await.unwrap();
    assert_eq!(again.list_items("secret").await.len(), 2);
}

/// Whoever only takes the steps away does not make it one that came too far to tell.
#[tokio::test]
async fn a_store_without_its_steps_is_one_that_was_set_back() {
    let place = Place::new();
    let (store, waits) = (place.open(), place.open());
    let before = waits.mark().await.unwrap();
    for name in ["a", "b", "c"] {
        store.put("secret", name, vec![1], NOW).await.unwrap();
    }
    let (next, last) = (before.changes + 1, before.changes + 3);
    for taken in [format!("= {last}"), format!("= {next}"), "> 0".to_owned()] {
        Connection::open(place.path())
            .unwrap()
            .execute(&format!("DELETE FROM step WHERE number {taken}"), [])
            .unwrap();
        let fell = waits.put("secret", "d", vec![1], NOW).await.unwrap_err();
        assert!(matches!(&fell, StoreError::Altered { what, .. } if what.contains("set back")), "{fell}");
        assert_eq!(store.grew_from(before).await, Ok(false), "{taken}");
    }
}

/// What an earlier version left knows no steps: its count counts once, and from then on it has steps too.
#[tokio::test]
async fn a_ledger_without_steps_takes_one_when_it_is_opened() {
    let place = Place::with(versions::VERSION_5);
    let store = place.open();
    let mark = store.mark().await.unwrap();
    assert!(!mark.is_counted());
    let counted = StoreMark { step: [0; 32], ..mark };
    for (changes, grew) in [(mark.changes - 1, true), (mark.changes, true), (mark.changes + 1, false)] {
        assert_eq!(store.grew_from(StoreMark { changes, ..counted }).await.unwrap(), grew);
    }
    drop(store);
    assert_eq!(place.open().mark().await.unwrap(), mark);
    let again = Place::with(versions::VERSION_5).open();
    assert!(!again.grew_from(mark).await.unwrap(), "the same copy, opened once more");
}

/// What versions 5 and 6 knew of their owners is gone on with where it fits, and never again where it does not.
#[tokio::test]
async fn owners_of_an_older_ledger_are_as_whole_as_they_were() {
    for fixture in [versions::VERSION_5, versions::VERSION_6] {
        for (sql, whole) in [
            ("", true),
            ("DELETE FROM owner", false),
            ("DELETE FROM ledger WHERE part = 'owners'", false),
            ("UPDATE ledger SET sealed = x'00' WHERE part = 'owners'", false),
        ] {
            let place = Place::with(fixture);
            let other = Connection::open(place.path()).unwrap();
            other.execute_batch(sql).unwrap();
            drop(other);
            let store = place.open();
            assert_eq!(store.owners_whole().await.unwrap(), whole, "{sql}");
            store.obtain(vec![offer(8, 8)]).await.unwrap();
            assert_eq!(store.owners_whole().await.unwrap(), whole, "{sql}");
        }
    }
}

/// With its action, and whatever else is done in the same transaction; what fails leaves nothing of it.
#[tokio::test]
async fn what_is_known_is_written_once_a_transaction() {
    let place = Place::new();
    let store = place.open();
    store.insert(credential(), 99).await.unwrap();
    store.obtain(vec![offer(1, 1), offer(2, 2)]).await.unwrap();
    assert!(store.obtain(vec![offer(3, 3), offer(4, 3)]).await.is_err());
    let before = store.mark().await.unwrap().changes;
    let lock = place.lock();
    let first = store.put("secret", "a", vec![1], NOW);
    let jobs: Vec<_> = (0..50).map(|n| store.put("secret", &format!("s{n}"), vec![n], NOW)).collect();
    let refused = store.insert(credential(), 99);
    let half = store.queue.ask(Effect::Changes, |turn| {
        let keeper = turn.keeper;
        let ledger = turn.ledger()?;
        ledger.put(keeper, ledger::Entry::Item, b"secret/s1", &[vec![1]]);
        ledger.put(keeper, ledger::Entry::Item, b"secret/half", &[vec![1]]);
        ledger.remove(ledger::Entry::Item, b"secret/s2");
        ledger.remove(ledger::Entry::Item, b"secret/s1");
        ledger.add_owner(keeper, &[vec![1]]);
        Err::<(), _>(StoreError::Conflict("half".into()).into())
    });
    let erased = store.destroy([2; 32]);
    drop(lock);
    assert!(first.await.is_ok() && refused.await.is_err() && half.await.is_err());
    assert_eq!(erased.await, Ok(Some([2; 16])));
    for job in jobs {
        job.await.unwrap();
    }
    // The first may have gone into a transaction of its own.
    assert!(store.mark().await.unwrap().changes - before <= 2);
    assert!(store.owners_whole().await.unwrap() && store.altered().await.unwrap().is_empty());
    assert_eq!((store.count().await, store.list_items("secret").await.len()), (Ok(53), 51));
}

const DAY: u64 = 24 * 3600;

/// A store with as many credentials as it keeps, which an older version left; `revoked` in SQL, by the number `n`.
fn full_of(expires: u64, revoked: &str) -> (Place, SqliteStore) {
    let place = Place::with(versions::VERSION_2);
    let fill = format!(
        "DELETE FROM credential;
         WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 9999)
         INSERT INTO credential SELECT 'k' || n, 'api-key', 'of-' || n, zeroblob(32), 1, {expires}000000, {revoked}, NULL
         FROM n"
    );
    Connection::open(place.path()).unwrap().execute_batch(&fill).unwrap();
    let store = place.open();
    (place, store)
}

/// What is known of rows is bounded, as each change writes all of it. What ended days ago makes room, and that is told.
#[tokio::test]
async fn what_is_known_of_rows_is_bounded() {
    for (expires, revoked, made) in [
        (2 * DAY, "NULL", 1_000),
        (90 * DAY, "172800000000", 1_000),
        (90 * DAY, "CASE n WHEN 7 THEN 172800000000 END", 1),
        (90 * DAY, "NULL", 0),
    ] {
        let (place, store) = full_of(expires, revoked);
        // As if they had ended long ago; nobody is passed over for them.
        let foreign = "WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 1500)
            INSERT INTO credential SELECT 'x' || n, 'api-key', 'x', zeroblob(32), 1, 1, NULL, NULL FROM n";
        Connection::open(place.path()).unwrap().execute_batch(foreign).unwrap();
        let one = |created: u64| IssuedCredential {
            id: created.to_string(),
            account: created.to_string(),
            created: Timestamp::from_seconds(created),
            expires: Timestamp::from_seconds(200 * DAY),
            ..credential()
        };
        // What ended less than three days ago is still wanted.
        for at in [2, 2 * DAY + 3600, 5 * DAY - 1] {
            let full = store.insert(one(at), 2).await;
            assert!(matches!(full, Err(StoreError::TooMany { most: 10_000, .. })), "{at}: {full:?}");
        }
        assert!(
            store.revoke("k1", Timestamp::from_seconds(4 * DAY)).await.is_ok(),
            "what takes away always has room"
        );
        let issued = store.insert(one(5 * DAY), 2).await;
        let told = store.pending(u32::MAX).await.unwrap();
        let told: Vec<_> = told.iter().filter(|action| action.name == action::name::KEY_FORGET).collect();
        if made == 0 {
            assert!(issued.is_err() && told.is_empty());
            continue;
        }
        issued.unwrap();
        assert_eq!(store.issued(None).await.unwrap().len(), 10_001 - made);
        assert_eq!((told.len(), &*told[0].facts[0].1), (1, &*made.to_string()));
    }
}

/// So is what waits for its record; but what takes something away is done all the same.
#[tokio::test]
async fn what_waits_for_its_record_is_bounded() {
    let place = Place::with(versions::VERSION_2);
    let other = Connection::open(place.path()).unwrap();
    other
        .execute_batch(
            "WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 9999)
             INSERT INTO outbox (id, time, name, object, account, facts, actor)
             SELECT randomblob(16), 1, 'subject.erase', n, '', '[]', 'x' FROM n",
        )
        .unwrap();
    drop(other);
    let store = place.open();
    let full = |done: Result<(), StoreError>| {
        assert!(matches!(&done, Err(StoreError::TooMany { most: 10_000, .. })), "{done:?}");
    };
    full(store.insert(IssuedCredential { id: "new".into(), ..credential() }, 99).await);
    full(store.put("secret", "new", vec![1], NOW).await.map(drop));
    full(store.destroy([1; 32]).await.map(drop));
    assert!(store.owner_by_lookup([1; 32]).await.unwrap().is_some(), "nothing of it was done");
    assert!(store.revoke("key-1", NOW).await.unwrap() && store.remove("secret", "a").await.unwrap());
    let waiting = store.pending(20).await.unwrap();
    store.done(waiting.iter().map(|action| action.id).collect()).await.unwrap();
    assert!(store.destroy([1; 32]).await.unwrap().is_some());
}

/// In the transaction that adds it, so that commands that run beside each other do not both find room.
#[tokio::test]
async fn no_more_are_live_than_may_be() {
    let place = Place::new();
    let stores = [place.open(), place.open(), place.open()];
    let issue = |n: usize| {
        stores[n % 3].insert(IssuedCredential { id: n.to_string(), last_used: None, ..credential() }, 2)
    };
    let issued: Vec<_> = (0..12).map(issue).collect();
    let (mut good, mut refused) = (0, 0);
    for issued in issued {
        match issued.await {
            Ok(()) => good += 1,
            Err(StoreError::TooManyLive { most: 2, .. }) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!((good, refused), (2, 10));
    let store = &stores[0];
    let live = store.issued(None).await.unwrap();
    // Of another kind or account, and once one is revoked or has expired.
    let other = |id: &str| IssuedCredential { id: id.into(), last_used: None, ..credential() };
    let secret = IssuedCredential { kind: IssuedKind::ClientSecret, ..other("secret") };
    assert!(store.insert(secret, 2).await.is_ok());
    assert!(store.insert(IssuedCredential { account: "crm".into(), ..other("crm") }, 2).await.is_ok());
    assert!(store.insert(other("third"), 2).await.is_err());
    store.revoke(&live[0].id, NOW).await.unwrap();
    assert!(store.insert(other("third"), 2).await.is_ok());
    let later = IssuedCredential {
        created: credential().expires,
        expires: Timestamp::from_seconds(9_000),
        ..other("later")
    };
    assert!(store.insert(later, 2).await.is_ok());
}
