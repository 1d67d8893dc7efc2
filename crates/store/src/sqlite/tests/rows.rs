//! Rows that another hand wrote.

use super::*;

/// A row that another hand put in, or changed, opens nothing and says nothing.
#[tokio::test]
async fn rows_of_another_hand_do_not_count() {
    let genuine = "INSERT INTO credential SELECT 'copied', kind, account, hash, created, expires, revoked, last_used, seal FROM credential";
    for (sql, altered) in [
        (genuine, "copied"),
        (
            "INSERT INTO credential (id, kind, account, hash, created, expires) VALUES ('new', 'api-key', 'erp', zeroblob(32), 1, 9000000)",
            "new",
        ),
        (
            "INSERT INTO credential VALUES ('sealed', 'api-key', 'erp', zeroblob(32), 1, 9, NULL, NULL, x'00ff')",
            "sealed",
        ),
        (
            "INSERT INTO credential VALUES ('odd', 'no such kind', 'erp', zeroblob(32), 1, 9, NULL, NULL, NULL)",
            "odd",
        ),
        ("UPDATE credential SET id = 'key-2'", "key-2"),
        ("UPDATE credential SET account = 'admin'", "key-1"),
        ("UPDATE credential SET hash = zeroblob(32)", "key-1"),
        ("UPDATE credential SET expires = expires + 1", "key-1"),
        ("UPDATE credential SET created = 0", "key-1"),
        ("UPDATE credential SET kind = 'client-secret'", "key-1"),
        ("UPDATE credential SET revoked = 1", "key-1"),
        ("UPDATE credential SET seal = NULL", "key-1"),
        ("UPDATE credential SET seal = (SELECT seal FROM outbox)", "key-1"),
    ] {
        let place = Place::new();
        let store = place.open();
        store.insert(credential()).await.unwrap();
        assert!(store.altered().await.unwrap().is_empty());
        let before = Credentials::list(&store, None).await.unwrap();
        Connection::open(place.path()).unwrap().execute(sql, []).unwrap();
        assert_eq!(store.altered().await.unwrap(), [altered], "{sql}");
        let listed = Credentials::list(&store, None).await.unwrap();
        assert!(listed.iter().all(|listed| before.contains(listed)), "{sql}");
        assert!(!store.revoke(altered, NOW).await.unwrap(), "{sql}");
    }
}

/// Nobody revokes a revocation, and what was revoked stays sealed.
#[tokio::test]
async fn a_revocation_is_part_of_the_seal() {
    let place = Place::new();
    let store = place.open();
    store.insert(credential()).await.unwrap();
    store.touch(vec![("key-1".into(), NOW.plus(Duration::from_secs(1)))]).await.unwrap();
    assert!(store.revoke("key-1", NOW).await.unwrap());
    assert_eq!(Credentials::list(&store, None).await.unwrap()[0].revoked, Some(NOW));
    Connection::open(place.path()).unwrap().execute("UPDATE credential SET revoked = NULL", []).unwrap();
    assert!(Credentials::list(&store, None).await.unwrap().is_empty());
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
        "UPDATE outbox SET id = randomblob(16)",
        "UPDATE outbox SET seal = NULL",
        "DELETE FROM outbox; INSERT INTO outbox VALUES (9, randomblob(16), 1, 'key.issue', 'x', 'erp', '[]', 'bridge', NULL)",
    ] {
        let place = Place::new();
        let store = place.open();
        store.insert(credential()).await.unwrap();
        assert_eq!(store.pending(9).await.unwrap()[0].name, "key.issue");
        Connection::open(place.path()).unwrap().execute_batch(sql).unwrap();
        let [told] = <[ironbridge_core::Action; 1]>::try_from(store.pending(9).await.unwrap()).unwrap();
        let said = (&*told.name, &*told.object, &*told.code, &*told.actor, &*told.account);
        assert_eq!(said, ("store.refuse", "outbox", "row-altered", "", ""), "{sql}");
        store.done(vec![told.id]).await.unwrap();
        assert_eq!(store.count().await, Ok(0), "{sql}");
    }
}
