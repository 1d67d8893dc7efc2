//! What every implementation must do. Run [`all`] on yours, with a way to open it anew on the same data.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::{
    Actor, Credentials, Fingerprints, Idempotency, IssuedCredential, IssuedKind, NewOwner, Outbox, OwnerKeys,
    OwnerKind, Reservation, SealedItems, Settlement, Store, StoreError, Ticket,
};
use bytes::Bytes;
use ironbridge_core::{Action, Answered, ExchangeId, OwnerKey, Said, StoredAnswer, Timestamp, action};
use std::sync::Arc;

/// # Panics
/// When the implementation does not keep a promise of the traits.
pub async fn all(open: impl Fn(Actor) -> Arc<dyn Store>) {
    let open = || open(Actor::new(ACTOR));
    credentials(&*open()).await;
    sealed_items(&*open()).await;
    owner_keys(&*open()).await;
    changes_leave_their_action(&*open()).await;
    actions_wait_until_they_are_done(&*open()).await;
    marks(&*open()).await;
    idempotency(&*open()).await;
    what_is_kept_has_a_bound(&*open()).await;
    nothing_is_remembered_of_who_was_erased(&*open()).await;
    unheard_reservations_are_released(&*open()).await;
    changes_are_told(&*open()).await;
    what_was_kept_outlives_the_process(open).await;
}

async fn credentials(store: &dyn Credentials) {
    assert_eq!(store.issued(None).await.unwrap(), []);
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
        store.insert(credential.clone(), 99).await.unwrap();
    }
    let other = IssuedCredential { account: "other".into(), ..first.clone() };
    assert_eq!(store.insert(other, 99).await, Err(StoreError::Conflict("key-1".into())));
    assert_eq!(store.issued(None).await.unwrap(), [second.clone(), first.clone()], "oldest first");
    assert_eq!(store.issued(Some("erp")).await.unwrap(), [first]);
    assert_eq!(store.issued(Some("nobody")).await.unwrap(), []);

    let used = |id: &str, at| (id.to_owned(), Timestamp(at));
    store
        .touch(vec![used("key-1", 30), used("key-1", 20), used(&second.id, 5), used("none", 1)])
        .await
        .unwrap();
    store.touch(vec![]).await.unwrap();
    let listed = store.issued(None).await.unwrap();
    assert_eq!(listed[1].last_used, Some(Timestamp(30)), "times never go back");
    assert_eq!(listed[0].last_used, Some(Timestamp(12)), "times never go back");

    assert!(store.revoke("key-1", Timestamp(40)).await.unwrap());
    assert!(!store.revoke("key-1", Timestamp(50)).await.unwrap(), "the first revocation stands");
    assert!(!store.revoke("none", Timestamp(50)).await.unwrap());
    assert_eq!(store.issued(Some("erp")).await.unwrap()[0].revoked, Some(Timestamp(40)));
}

async fn sealed_items(store: &dyn SealedItems) {
    assert_eq!(store.get("secret", "a").await.unwrap(), None);
    assert_eq!(store.put("secret", "a", b"one".to_vec(), Timestamp(1)).await.unwrap(), 1);
    assert_eq!(store.put("secret", "a", b"two".to_vec(), Timestamp(2)).await.unwrap(), 2);
    assert_eq!(store.put("secret", "b", Vec::new(), Timestamp(3)).await.unwrap(), 1);
    assert_eq!(store.put("key", "a", b"elsewhere".to_vec(), Timestamp(4)).await.unwrap(), 1);
    let newest = store.get("secret", "a").await.unwrap().unwrap();
    assert_eq!((newest.version, newest.sealed, newest.created), (2, b"two".to_vec(), Timestamp(2)));
    let listed: Vec<_> = store.items("secret").await.unwrap();
    let listed: Vec<_> = listed.iter().map(|i| (i.name.as_str(), i.version, i.created)).collect();
    assert_eq!(listed, [("a", 2, Timestamp(2)), ("b", 1, Timestamp(3))]);
    assert_eq!(store.put("secret", "a", b"three".to_vec(), Timestamp(3)).await.unwrap(), 3);
    assert_eq!(store.get("secret", "a").await.unwrap().unwrap().sealed, b"three");
    assert_eq!(store.put_over("secret", "a", b"late".to_vec(), Timestamp(3), 2).await.unwrap(), None);
    assert_eq!(store.put_over("secret", "none", b"late".to_vec(), Timestamp(3), 1).await.unwrap(), None);
    assert_eq!(store.get("secret", "a").await.unwrap().unwrap().sealed, b"three");
    assert_eq!(store.put_over("secret", "a", b"three".to_vec(), Timestamp(3), 3).await.unwrap(), Some(4));
    assert!(store.remove("secret", "a").await.unwrap());
    assert!(!store.remove("secret", "a").await.unwrap());
    assert_eq!(store.get("secret", "a").await.unwrap(), None, "no older version comes to light");
    assert!(store.get("key", "a").await.unwrap().is_some());

    let first = store.put_first("key", "first", b"mine".to_vec(), Timestamp(5)).await.unwrap();
    assert_eq!(
        (first.version, first.sealed.as_slice(), first.created),
        (1, b"mine".as_slice(), Timestamp(5))
    );
    let second = store.put_first("key", "first", b"theirs".to_vec(), Timestamp(6)).await.unwrap();
    assert_eq!(second, first, "whoever comes later uses what is there");
}

async fn marks(store: &dyn Store) {
    let actions = store.count().await.unwrap();
    assert_eq!(store.kept_mark("log").await.unwrap(), None);
    for sealed in [b"one".to_vec(), b"two".to_vec()] {
        store.keep_mark("log", sealed.clone()).await.unwrap();
        assert_eq!(store.kept_mark("log").await.unwrap(), Some(sealed));
    }
    assert_eq!(store.kept_mark("other").await.unwrap(), None);
    assert_eq!(store.count().await.unwrap(), actions, "nothing was done that is to be recorded");
}

async fn owner_keys(store: &dyn OwnerKeys) {
    assert_eq!(store.obtain(vec![]).await.unwrap().len(), 0);
    let made = store.obtain(vec![offer(1, 1), offer(2, 2), offer(1, 9)]).await.unwrap();
    let made: Vec<_> = made.iter().map(plain).collect();
    assert_eq!(made, [1, 2, 1].map(|n| plain(&offer(n, n).key)), "in their order, one key for each");
    let found = store.obtain(vec![offer(3, 3), offer(2, 8)]).await.unwrap();
    assert_eq!(found.iter().map(plain).collect::<Vec<_>>(), [3, 2].map(|n| plain(&offer(n, n).key)));

    let by_lookup = store.owner_by_lookup([2; 32]).await.unwrap().unwrap();
    assert_eq!(plain(&by_lookup), plain(&offer(2, 2).key));
    assert!(store.owner_by_lookup([9; 32]).await.unwrap().is_none());
    let by_tag = store.owners_by_tag(vec![[3; 16], [9; 16], [1; 16]]).await.unwrap();
    let mut by_tag: Vec<_> = by_tag.iter().map(plain).collect();
    by_tag.sort_unstable();
    assert_eq!(by_tag, [1, 3].map(|n| plain(&offer(n, n).key)));

    let doubled = store.obtain(vec![offer(4, 4), offer(5, 4)]).await;
    assert!(doubled.is_err(), "a tag is one owner's");
    assert!(store.owner_by_lookup([4; 32]).await.unwrap().is_none(), "all or none");

    assert_eq!(store.destroy([2; 32]).await.unwrap(), Some([2; 16]));
    assert_eq!(store.destroy([2; 32]).await.unwrap(), None);
    assert!(store.owner_by_lookup([2; 32]).await.unwrap().is_none());
    assert_eq!(store.owners_by_tag(vec![[2; 16]]).await.unwrap().len(), 0);
    let anew = store.obtain(vec![offer(2, 7)]).await.unwrap();
    assert_eq!(plain(&anew[0]), plain(&offer(2, 7).key), "nothing of the old one comes back");
}

async fn changes_leave_their_action(store: &dyn Store) {
    drain(store).await;
    let key = IssuedCredential {
        id: "recorded".into(),
        kind: IssuedKind::ClientSecret,
        account: "erp".into(),
        hash: [1; 32],
        created: NOW,
        expires: LATER,
        revoked: None,
        last_used: None,
    };
    store.insert(key.clone(), 99).await.unwrap();
    assert!(store.insert(key, 99).await.is_err());
    store.revoke("recorded", NOW).await.unwrap();
    store.revoke("recorded", NOW).await.unwrap();
    store.touch(vec![("recorded".into(), LATER)]).await.unwrap();
    store.put("secret", "erp", vec![1], NOW).await.unwrap();
    store.put("secret", "erp", vec![2], NOW).await.unwrap();
    store.put("ca", "root", vec![3], NOW).await.unwrap();
    store.put_first("ca", "root", vec![4], NOW).await.unwrap();
    store.put("audit", "log-key", vec![5], NOW).await.unwrap();
    store.put("token-endpoint", "signing-key", vec![6], NOW).await.unwrap();
    store.remove("secret", "erp").await.unwrap();
    store.remove("secret", "erp").await.unwrap();
    store.obtain(vec![offer(60, 60)]).await.unwrap();
    store.destroy([60; 32]).await.unwrap();
    store.destroy([60; 32]).await.unwrap();

    let left = store.pending(100).await.unwrap();
    let told: Vec<(&str, &str, &str)> =
        left.iter().map(|action| (&*action.name, &*action.object, &*action.account)).collect();
    assert_eq!(
        told,
        [
            ("key.issue", "recorded", "erp"),
            ("key.revoke", "recorded", "erp"),
            ("secret.set", "erp", ""),
            ("secret.set", "erp", ""),
            ("secret.set", "ca/root", ""),
            ("log_key.rotate", "audit/log-key", ""),
            ("signing_key.rotate", "token-endpoint/signing-key", ""),
            ("secret.remove", "erp", ""),
            ("subject.erase", "3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c", ""),
        ],
        "one for each change, none for what changed nothing"
    );
    assert!(left.iter().all(|action| action.actor == ACTOR));
    assert_eq!(left[0].facts, [("kind".into(), "client_secret".to_owned())]);
    assert_eq!(left[3].facts, [("version".into(), "2".to_owned())]);
    let mut ids: Vec<_> = left.iter().map(|action| action.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), left.len());
}

async fn actions_wait_until_they_are_done(store: &dyn Outbox) {
    drain(store).await;
    let noted = |n: u128| {
        Action::done(ExchangeId::from_u128(n), NOW, action::name::CERTIFICATE_ISSUE, format!("device-{n}"))
            .account("crm")
            .fact("serial", "0a")
            .fact("\"quoted\"", "é\n")
    };
    for n in [3, 1, 2] {
        store.note(noted(n)).await.unwrap();
    }
    assert!(store.note(noted(1)).await.is_err(), "an id is one action's");
    assert_eq!(store.count().await.unwrap(), 3);
    let first = store.pending(2).await.unwrap();
    let ids = |actions: &[Action]| actions.iter().map(|action| action.id.to_u128()).collect::<Vec<_>>();
    assert_eq!(ids(&first), [3, 1], "in the order in which they were done");
    let (read, written) = (&first[0], noted(3));
    assert_eq!((&read.name, &read.object), (&written.name, &written.object));
    assert_eq!((&read.account, &read.facts), (&written.account, &written.facts));
    assert_eq!((read.time, &*read.code, &*read.actor), (NOW, "done", ACTOR));
    store.done(vec![first[0].id, ExchangeId::from_u128(99)]).await.unwrap();
    store.done(vec![first[0].id]).await.unwrap();
    assert_eq!(ids(&store.pending(9).await.unwrap()), [1, 2]);
    drain(store).await;
}

async fn drain(store: &dyn Outbox) {
    let left = store.pending(u32::MAX).await.unwrap();
    store.done(left.iter().map(|action| action.id).collect()).await.unwrap();
    assert_eq!(store.count().await.unwrap(), 0);
}

fn offer(lookup: u8, key: u8) -> NewOwner {
    NewOwner { lookup: [lookup; 32], kind: OwnerKind::Subject, key: OwnerKey::new([key; 16], [key; 32]) }
}

fn plain(key: &OwnerKey) -> ([u8; 16], [u8; 32]) {
    (key.tag, *key.expose())
}

async fn idempotency(store: &dyn Idempotency) {
    let ticket = taken(reserve(store, "k").await);
    assert_eq!(reserve(store, "k").await, Reservation::InProgress);
    let other = store.reserve(SCOPE, "k", [2; 32].into(), NOW, LATER).await.unwrap();
    assert_eq!(other, Reservation::Mismatch);
    let elsewhere = store.reserve("another scope", "k", [2; 32].into(), NOW, LATER).await.unwrap();
    assert!(matches!(elsewhere, Reservation::Taken(_)));

    store.settle(ticket, Settlement::Finished(answer()));
    assert_eq!(reserve(store, "k").await, Reservation::Finished(answer()), "a settlement is seen at once");
    assert_eq!(reserve(store, "k").await, Reservation::Finished(answer()), "and again");
    let other = store.reserve(SCOPE, "k", [2; 32].into(), NOW, LATER).await.unwrap();
    assert_eq!(other, Reservation::Mismatch);
    let bare = StoredAnswer {
        answered: Answered { mark: Some(204), said: Said::Done },
        content_type: None,
        fields: Vec::new(),
        body: Bytes::new(),
        schema: None,
        subjects: None,
    };
    store.settle(taken(reserve(store, "bare").await), Settlement::Finished(bare.clone()));
    assert_eq!(reserve(store, "bare").await, Reservation::Finished(bare));

    store.settle(taken(reserve(store, "released").await), Settlement::Release);
    store.settle(taken(reserve(store, "released").await), Settlement::Unknown);
    assert_eq!(reserve(store, "released").await, Reservation::OutcomeUnknown);

    let late = taken(reserve(store, "expiring").await);
    let before =
        store.reserve(SCOPE, "expiring", [1; 32].into(), Timestamp(LATER.0 - 1), LATER).await.unwrap();
    assert_eq!(before, Reservation::InProgress);
    let after =
        store.reserve(SCOPE, "expiring", [3; 32].into(), LATER, Timestamp(LATER.0 * 2)).await.unwrap();
    let next = taken(after);
    store.settle(late, Settlement::Finished(answer()));
    let now = store.reserve(SCOPE, "expiring", [3; 32].into(), LATER, LATER).await.unwrap();
    assert_eq!(now, Reservation::InProgress, "a late settlement does not touch the next holder's");
    store.settle(next, Settlement::Release);
}

const MINUTE: std::time::Duration = std::time::Duration::from_secs(60);

async fn what_is_kept_has_a_bound(store: &dyn Idempotency) {
    let answer =
        |bytes: usize| Settlement::Finished(StoredAnswer { body: vec![7; bytes].into(), ..answer() });
    let ask = async |scope: &str, key: &str, now: Timestamp| {
        store.reserve(scope, key, [1; 32].into(), now, now.plus(MINUTE)).await.unwrap()
    };
    store.keep_at_most(100_000);
    store.settle(taken(ask("alice erp/pay", "a", NOW).await), answer(20_000));
    store.settle(taken(ask("alice erp/pay", "b", NOW).await), answer(40_000));
    assert_eq!(ask("alice erp/book", "c", NOW).await, Reservation::Full, "one account fills half of it");
    let kept = ask("alice erp/pay", "a", NOW).await;
    assert!(matches!(kept, Reservation::Finished(_)), "what is kept is given again: {kept:?}");
    store.settle(taken(ask("bob erp/pay", "a", NOW).await), Settlement::Release);
    store.settle(taken(ask("bob erp/pay", "a", NOW).await), answer(10_000));
    // What expired makes room where its key is used again, and so does a bound that is raised.
    let later = NOW.plus(MINUTE + MINUTE / 2);
    store.settle(taken(ask("alice erp/pay", "b", later).await), Settlement::Unknown);
    store.settle(taken(ask("alice erp/book", "c", later).await), Settlement::Release);
    store.keep_at_most(1);
    assert_eq!(ask("carol erp/pay", "a", later).await, Reservation::Full);
    store.keep_at_most(u64::MAX);
    store.settle(taken(ask("carol erp/pay", "a", later).await), Settlement::Release);
}

/// Of what concerned somebody who was erased, only that the key was used is left.
async fn nothing_is_remembered_of_who_was_erased(store: &dyn Store) {
    let concerning = |tags: &[u8]| Fingerprints {
        owners: tags.iter().map(|tag| [*tag; 16]).collect(),
        ..Fingerprints::from([1; 32])
    };
    store.obtain(vec![offer(90, 90), offer(91, 91), offer(92, 92)]).await.unwrap();
    for (key, request, reply) in [
        ("of-request", &[90, 91][..], &[][..]),
        ("of-reply", &[], &[91, 90]),
        ("of-another", &[91], &[92]),
        ("of-nobody", &[], &[]),
        ("of-one-already-erased", &[], &[93]),
    ] {
        let ticket = taken(store.reserve(SCOPE, key, concerning(request), NOW, LATER).await.unwrap());
        let same = Ticket { scope: ticket.scope.clone(), key: ticket.key.clone(), holder: ticket.holder };
        store.concerns(same, reply.iter().map(|tag| [*tag; 16]).collect());
        store.settle(ticket, Settlement::Finished(answer()));
    }
    let ticket = taken(store.reserve(SCOPE, "under-way", concerning(&[90]), NOW, LATER).await.unwrap());
    store.destroy([90; 32]).await.unwrap();
    store.settle(ticket, Settlement::Finished(answer()));
    for (key, expected) in [
        ("of-request", Reservation::OutcomeUnknown),
        ("of-reply", Reservation::OutcomeUnknown),
        ("of-another", Reservation::Finished(answer())),
        ("of-nobody", Reservation::Finished(answer())),
        ("of-one-already-erased", Reservation::OutcomeUnknown),
        ("under-way", Reservation::OutcomeUnknown),
    ] {
        assert_eq!(reserve(store, key).await, expected, "{key}");
    }
    let other = store.reserve(SCOPE, "of-request", [2; 32].into(), NOW, LATER).await.unwrap();
    assert_eq!(other, Reservation::OutcomeUnknown, "nobody can tell what it was");
}

async fn unheard_reservations_are_released(store: &dyn Idempotency) {
    drop(store.reserve(SCOPE, "unheard", [1; 32].into(), NOW, LATER));
    // The release follows the reservation through the queue; something must pass in between.
    while reserve(store, "unheard").await == Reservation::InProgress {}
}

async fn changes_are_told(store: &dyn Store) {
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
    store
        .note(Action::done(ExchangeId::from_u128(9), NOW, action::name::CERTIFICATE_ISSUE, "a"))
        .await
        .unwrap();
    rose("note");
    let owner = offer(77, 77);
    store.obtain(vec![offer(77, 77)]).await.unwrap();
    assert_eq!(store.generation(), seen, "a new owner's key is in nobody's memory");
    let mut rose = |what: &str| {
        let now = store.generation();
        assert!(now > seen, "{what}");
        seen = now;
    };
    store.destroy(owner.lookup).await.unwrap();
    rose("destroy");
    store.done(vec![ExchangeId::from_u128(9)]).await.unwrap();
    reserve(store, "told").await;
    store.touch(vec![("key-1".into(), Timestamp(99))]).await.unwrap();
    assert_eq!(store.generation(), seen, "keys and last-used times do not count");
}

async fn what_was_kept_outlives_the_process(open: impl Fn() -> Arc<dyn Store>) {
    let store = open();
    let generation = store.generation();
    let credentials = store.issued(None).await.unwrap();
    store.put("kept", "a", b"blob".to_vec(), NOW).await.unwrap();
    store.obtain(vec![offer(50, 50)]).await.unwrap();
    let waiting = store.count().await.unwrap();
    store.settle(taken(reserve(&*store, "finished").await), Settlement::Finished(answer()));
    store.settle(taken(reserve(&*store, "unknown").await), Settlement::Unknown);
    let _never_settled = taken(reserve(&*store, "open").await);
    drop(store);

    let store = open();
    assert!(store.generation() > generation);
    assert_eq!(store.issued(None).await.unwrap(), credentials);
    assert_eq!(store.get("kept", "a").await.unwrap().unwrap().sealed, b"blob");
    let kept = store.owner_by_lookup([50; 32]).await.unwrap().unwrap();
    assert_eq!(plain(&kept), plain(&offer(50, 50).key));
    assert_eq!(store.count().await.unwrap(), waiting);
    assert_eq!(reserve(&*store, "finished").await, Reservation::Finished(answer()));
    assert_eq!(reserve(&*store, "unknown").await, Reservation::OutcomeUnknown);
    assert_eq!(reserve(&*store, "open").await, Reservation::OutcomeUnknown, "left open by the one before");
}

async fn reserve(store: &dyn Idempotency, key: &str) -> Reservation {
    store.reserve(SCOPE, key, [1; 32].into(), NOW, LATER).await.unwrap()
}

fn taken(reservation: Reservation) -> Ticket {
    match reservation {
        Reservation::Taken(ticket) => ticket,
        other => panic!("not taken: {other:?}"),
    }
}

fn answer() -> StoredAnswer {
    StoredAnswer {
        fields: vec![("location".into(), b"/orders/7".as_slice().into())],
        answered: Answered { mark: Some(201), said: Said::Done },
        content_type: Some("application/json".into()),
        body: Bytes::from_static(b"{\"id\":1}"),
        schema: Some([7; 32]),
        subjects: None,
    }
}

/// Who the suite acts as.
const ACTOR: &str = "suite:é";
const SCOPE: &str = "erp/orders.create";
const NOW: Timestamp = Timestamp::from_seconds(1_000);
const LATER: Timestamp = Timestamp::from_seconds(2_000);
