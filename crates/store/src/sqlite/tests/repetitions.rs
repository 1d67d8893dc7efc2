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
