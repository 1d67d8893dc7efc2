//! What every implementation must do. Run [`all`] on yours, with a way to open it anew on the same data.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::{
    Credentials, Idempotency, IssuedCredential, IssuedKind, Reservation, SealedItems, Settlement, StoreError,
    Ticket,
};
use bytes::Bytes;
use ironbridge_core::{StoredAnswer, Timestamp};

/// # Panics
/// When the implementation does not keep a promise of the traits.
pub async fn all<S: Credentials + SealedItems + Idempotency>(open: impl Fn() -> S) {
    credentials(&open()).await;
    sealed_items(&open()).await;
    idempotency(&open()).await;
    unheard_reservations_are_released(&open()).await;
    changes_are_told(&open()).await;
    what_was_kept_outlives_the_process(open).await;
}

async fn credentials(store: &impl Credentials) {
    assert_eq!(store.list(None).await.unwrap(), []);
    let first = IssuedCredential {
        id: "key-1".into(),
        kind: IssuedKind::ApiKey,
        account: "erp".into(),
        hash: [0xff; 32],
        created: Timestamp(10),
        expires: Timestamp(100),
        revoked: None,
        last_used: None,
    };
    let second = IssuedCredential {
        id: "cert'); DROP TABLE credential; --\0é".into(),
        kind: IssuedKind::Certificate,
        account: "crm".into(),
        hash: [0; 32],
        created: Timestamp(9),
        expires: Timestamp(i64::MAX.cast_unsigned()),
        revoked: Some(Timestamp(11)),
        last_used: Some(Timestamp(12)),
    };
    for credential in [&first, &second] {
        store.insert(credential.clone()).await.unwrap();
    }
    let other = IssuedCredential { account: "other".into(), ..first.clone() };
    assert_eq!(store.insert(other).await, Err(StoreError::Conflict("key-1".into())));
    assert_eq!(store.list(None).await.unwrap(), [second.clone(), first.clone()], "oldest first");
    assert_eq!(store.list(Some("erp")).await.unwrap(), [first]);
    assert_eq!(store.list(Some("nobody")).await.unwrap(), []);

    let used = |id: &str, at| (id.to_owned(), Timestamp(at));
    store
        .touch(vec![used("key-1", 30), used("key-1", 20), used(&second.id, 5), used("none", 1)])
        .await
        .unwrap();
    store.touch(vec![]).await.unwrap();
    let listed = store.list(None).await.unwrap();
    assert_eq!(listed[1].last_used, Some(Timestamp(30)), "times never go back");
    assert_eq!(listed[0].last_used, Some(Timestamp(12)), "times never go back");

    assert!(store.revoke("key-1", Timestamp(40)).await.unwrap());
    assert!(!store.revoke("key-1", Timestamp(50)).await.unwrap(), "the first revocation stands");
    assert!(!store.revoke("none", Timestamp(50)).await.unwrap());
    assert_eq!(store.list(Some("erp")).await.unwrap()[0].revoked, Some(Timestamp(40)));
}

async fn sealed_items(store: &impl SealedItems) {
    assert_eq!(store.get("secret", "a").await.unwrap(), None);
    assert_eq!(store.put("secret", "a", b"one".to_vec(), Timestamp(1)).await.unwrap(), 1);
    assert_eq!(store.put("secret", "a", b"two".to_vec(), Timestamp(2)).await.unwrap(), 2);
    assert_eq!(store.put("secret", "b", Vec::new(), Timestamp(3)).await.unwrap(), 1);
    assert_eq!(store.put("key", "a", b"elsewhere".to_vec(), Timestamp(4)).await.unwrap(), 1);
    let newest = store.get("secret", "a").await.unwrap().unwrap();
    assert_eq!((newest.version, newest.sealed, newest.created), (2, b"two".to_vec(), Timestamp(2)));
    let listed: Vec<_> = store.list("secret").await.unwrap();
    let listed: Vec<_> = listed.iter().map(|i| (i.name.as_str(), i.version, i.created)).collect();
    assert_eq!(listed, [("a", 2, Timestamp(2)), ("b", 1, Timestamp(3))]);
    assert!(store.remove("secret", "a").await.unwrap());
    assert!(!store.remove("secret", "a").await.unwrap());
    assert_eq!(store.get("secret", "a").await.unwrap(), None, "no older version comes to light");
    assert!(store.get("key", "a").await.unwrap().is_some());
}

async fn idempotency(store: &impl Idempotency) {
    let ticket = taken(reserve(store, "k").await);
    assert_eq!(reserve(store, "k").await, Reservation::InProgress);
    let other = store.reserve(SCOPE, "k", [2; 32], NOW, LATER).await.unwrap();
    assert_eq!(other, Reservation::Mismatch);
    let elsewhere = store.reserve("another scope", "k", [2; 32], NOW, LATER).await.unwrap();
    assert!(matches!(elsewhere, Reservation::Taken(_)));

    store.settle(ticket, Settlement::Finished(answer()));
    assert_eq!(reserve(store, "k").await, Reservation::Finished(answer()), "a settlement is seen at once");
    assert_eq!(reserve(store, "k").await, Reservation::Finished(answer()), "and again");
    let other = store.reserve(SCOPE, "k", [2; 32], NOW, LATER).await.unwrap();
    assert_eq!(other, Reservation::Mismatch);
    let bare = StoredAnswer { status: 204, content_type: None, body: Bytes::new() };
    store.settle(taken(reserve(store, "bare").await), Settlement::Finished(bare.clone()));
    assert_eq!(reserve(store, "bare").await, Reservation::Finished(bare));

    store.settle(taken(reserve(store, "released").await), Settlement::Release);
    store.settle(taken(reserve(store, "released").await), Settlement::Unknown);
    assert_eq!(reserve(store, "released").await, Reservation::OutcomeUnknown);

    let late = taken(reserve(store, "expiring").await);
    let before = store.reserve(SCOPE, "expiring", [1; 32], Timestamp(LATER.0 - 1), LATER).await.unwrap();
    assert_eq!(before, Reservation::InProgress);
    let after = store.reserve(SCOPE, "expiring", [3; 32], LATER, Timestamp(LATER.0 * 2)).await.unwrap();
    let next = taken(after);
    store.settle(late, Settlement::Finished(answer()));
    let now = store.reserve(SCOPE, "expiring", [3; 32], LATER, LATER).await.unwrap();
    assert_eq!(now, Reservation::InProgress, "a late settlement does not touch the next holder's");
    store.settle(next, Settlement::Release);
}

async fn unheard_reservations_are_released(store: &impl Idempotency) {
    drop(store.reserve(SCOPE, "unheard", [1; 32], NOW, LATER));
    // The release follows the reservation through the queue; something must pass in between.
    while reserve(store, "unheard").await == Reservation::InProgress {}
}

async fn changes_are_told<S: Credentials + SealedItems + Idempotency>(store: &S) {
    let mut seen = store.generation();
    assert_eq!(*store.changes().borrow(), seen);
    let mut rose = |what: &str| {
        let now = store.generation();
        assert!(now > seen, "{what}");
        seen = now;
    };
    store.put("told", "a", vec![1], NOW).await.unwrap();
    rose("put");
    store.remove("told", "a").await.unwrap();
    rose("remove");
    store.revoke("key-1", NOW).await.unwrap();
    rose("revoke");
    reserve(store, "told").await;
    store.touch(vec![("key-1".into(), Timestamp(99))]).await.unwrap();
    assert_eq!(store.generation(), seen, "keys and last-used times do not count");
}

async fn what_was_kept_outlives_the_process<S>(open: impl Fn() -> S)
where
    S: Credentials + SealedItems + Idempotency,
{
    let store = open();
    let generation = store.generation();
    let credentials = Credentials::list(&store, None).await.unwrap();
    store.put("kept", "a", b"blob".to_vec(), NOW).await.unwrap();
    store.settle(taken(reserve(&store, "finished").await), Settlement::Finished(answer()));
    store.settle(taken(reserve(&store, "unknown").await), Settlement::Unknown);
    let _never_settled = taken(reserve(&store, "open").await);
    drop(store);

    let store = open();
    assert!(store.generation() > generation);
    assert_eq!(Credentials::list(&store, None).await.unwrap(), credentials);
    assert_eq!(store.get("kept", "a").await.unwrap().unwrap().sealed, b"blob");
    assert_eq!(reserve(&store, "finished").await, Reservation::Finished(answer()));
    assert_eq!(reserve(&store, "unknown").await, Reservation::OutcomeUnknown);
    assert_eq!(reserve(&store, "open").await, Reservation::OutcomeUnknown, "left open by the one before");
}

async fn reserve(store: &impl Idempotency, key: &str) -> Reservation {
    store.reserve(SCOPE, key, [1; 32], NOW, LATER).await.unwrap()
}

fn taken(reservation: Reservation) -> Ticket {
    match reservation {
        Reservation::Taken(ticket) => ticket,
        other => panic!("not taken: {other:?}"),
    }
}

fn answer() -> StoredAnswer {
    StoredAnswer {
        status: 201,
        content_type: Some("application/json".into()),
        body: Bytes::from_static(b"{\"id\":1}"),
    }
}

const SCOPE: &str = "erp/orders.create";
const NOW: Timestamp = Timestamp::from_seconds(1_000);
const LATER: Timestamp = Timestamp::from_seconds(2_000);
