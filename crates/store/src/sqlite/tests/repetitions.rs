//! What is kept to give an answer again.

use super::*;

#[tokio::test]
async fn expired_keys_are_swept() {
    let place = Place::new();
    let clock = Arc::new(TestClock(Mutex::new(NOW)));
    let store = SqliteStore::open(&place.path(), Arc::new(Xor), Arc::clone(&clock) as _, actor()).unwrap();
    for n in 0..1500 {
        let key = n.to_string();
        drop(store.reserve("s", &key, [0; 32].into(), NOW, Timestamp(NOW.0 + n)).await.unwrap());
    }
    *clock.0.lock().unwrap() = Timestamp(NOW.0 + 1400).plus(Duration::from_secs(3600));
    let _later = store.reserve("s", "later", [0; 32].into(), NOW, Timestamp(u64::MAX)).await.unwrap();
    let mut left = i64::MAX;
    while left > 1 {
        left = store
            .ask(Effect::Reads, |db| db.query_row("SELECT count(*) FROM idempotency", [], |row| row.get(0)))
            .await
            .unwrap();
    }
    assert_eq!(left, 1);
    let kept = store
        .ask(Effect::Reads, |db| db.query_row("SELECT max(bytes) FROM kept", [], |row| row.get::<_, i64>(0)));
    assert!((1..400).contains(&kept.await.unwrap()), "what is swept is given back");
}

#[tokio::test]
async fn answers_are_sealed_and_bound_to_their_key() {
    let place = Place::new();
    let store = place.open();
    for key in ["a", "b"] {
        let ticket = taken(reserve(&store, key).await.unwrap());
        store.settle(ticket, Settlement::Finished(answer("needle in the answer")));
    }
    assert!(matches!(reserve(&store, "a").await, Ok(Reservation::Finished(_))));
    assert!(!place.holds(b"needle in the answer"));
    store
        .ask(Effect::Writes, |db| {
            db.execute(
                "UPDATE idempotency SET answer = (SELECT answer FROM idempotency WHERE key = 'b') WHERE key = 'a'",
                [],
            )
        })
        .await
        .unwrap();
    assert!(matches!(reserve(&store, "a").await, Err(StoreError::Sealing(_))));
    assert!(matches!(reserve(&store, "b").await, Ok(Reservation::Finished(_))));
}

/// What is counted, and what there is, by account.
async fn counted(store: &SqliteStore) -> (Vec<(String, i64)>, Vec<(String, i64)>) {
    let read = |sql: String| {
        store.ask(Effect::Reads, move |db| {
            let mut select = db.prepare(&sql)?;
            let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<rusqlite::Result<Vec<(String, i64)>>>()
        })
    };
    let there = format!(
        "SELECT ' ', sum({0}) FROM idempotency UNION ALL
         SELECT substr(scope, 1, instr(scope || ' ', ' ') - 1), sum({0}) FROM idempotency GROUP BY 1",
        allowance::BYTES
    );
    (
        read("SELECT * FROM kept WHERE bytes != 0 ORDER BY 1".to_owned()).await.unwrap(),
        read(there).await.unwrap(),
    )
}

/// Another hand may say that nothing has room any more, or that everything has; and whatever was counted wrongly is right
/// again, while keys come and go.
#[tokio::test]
async fn what_is_kept_is_counted_anew_beside_what_goes_on() {
    let place = Place::new();
    let store = place.open();
    store.keep_at_most(1 << 30);
    let take = async |scope: String, key: u32| {
        let taken = store.reserve(&scope, &key.to_string(), [0; 32].into(), NOW, Timestamp(u64::MAX)).await;
        match taken.unwrap() {
            Reservation::Taken(ticket) => store.settle(ticket, Settlement::Finished(answer("an answer"))),
            other => assert_eq!(other, Reservation::Full),
        }
    };
    for key in 0..300 {
        take(format!("account-{} GET /x", key % 3), key).await;
    }
    let other = Connection::open(place.path()).unwrap();
    for (sql, full) in [
        ("UPDATE kept SET bytes = 1 << 62", true),
        ("UPDATE kept SET bytes = 9223372036854775807", true),
        ("UPDATE kept SET bytes = -9223372036854775807", false),
        ("DELETE FROM kept", false),
        ("INSERT INTO kept VALUES ('nobody', 7); UPDATE kept SET bytes = 1 << 40 WHERE account = ' '", true),
        ("DELETE FROM idempotency WHERE key < '2'", false),
        ("SELECT 1", false),
    ] {
        other.execute_batch(sql).unwrap();
        let again = store.reserve("account-1 GET /x", sql, [0; 32].into(), NOW, Timestamp(u64::MAX)).await;
        assert_eq!(again == Ok(Reservation::Full), full, "{sql}");
        drop(again);
        let goes_on = async {
            for key in 0..40 {
                take(format!("account-{} GET /{}", key % 3, sql.len()), key).await;
            }
        };
        let (counts, ()) = tokio::join!(store.count_anew(), goes_on);
        counts.unwrap();
        // What was refused meanwhile finds room now.
        take("account-9 GET /x".to_owned(), u32::try_from(sql.len()).unwrap()).await;
        let (counted, there) = counted(&store).await;
        assert_eq!(counted, there, "{sql}");
    }
}
