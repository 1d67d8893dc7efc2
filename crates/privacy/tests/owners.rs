//! Owners' keys, on a real store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use ironbridge_core::{OwnerKey, OwnerTag, SubjectKeys, SystemClock, code};
use ironbridge_privacy::Owners;
use ironbridge_seal::envelope::Keys;
use ironbridge_store::{
    Actor, Changes, Lookup, NewOwner, Outbox, OwnerKeys, SealedItems, Sealer, SealerError, SqliteStore,
    StoreError, StoreFuture,
};
use std::sync::Arc;
use tempfile::TempDir;
use zeroize::Zeroizing;

#[tokio::test]
async fn everyone_has_a_key_of_their_own_and_keeps_it() {
    let place = Place::new();
    let owners = place.open().await.owners;
    let ada = owners.subject("ada").await.unwrap();
    let account = owners.account("ada").await.unwrap();
    let callers = owners.callers().await.unwrap();
    for (one, other) in [(&ada, &account), (&account, &callers), (&callers, &ada)] {
        assert_ne!(one.tag, other.tag);
        assert_ne!(one.expose(), other.expose());
    }
    let ids: Vec<Box<str>> = ["new", "ada", "other", "new", ""].map(Into::into).into();
    let keys = owners.subjects(&ids).await.unwrap();
    assert_eq!(keys.len(), 5);
    assert_eq!((keys[1].tag, keys[0].tag), (ada.tag, keys[3].tag));
    assert_eq!(tags(&owners.keys(&ids).await.unwrap()), tags(&keys));
    assert_eq!(owners.subjects(&[]).await.unwrap().len(), 0);
    drop(owners);

    let again = place.open().await.owners;
    assert_eq!(tags(&again.subjects(&ids).await.unwrap()), tags(&keys));
    assert_eq!(again.subject("ada").await.unwrap().expose(), ada.expose());
    assert_eq!(again.callers().await.unwrap().tag, callers.tag);
}

#[tokio::test]
async fn looking_makes_no_owner_and_reading_opens_by_tag() {
    let place = Place::new();
    let owners = place.open().await.owners;
    assert!(owners.find_subject("ada").await.unwrap().is_none());
    assert!(owners.find_subject("ada").await.unwrap().is_none());
    let ada = owners.subject("ada").await.unwrap();
    assert_eq!(owners.find_subject("ada").await.unwrap().unwrap().tag, ada.tag);
    let account = owners.account("erp").await.unwrap();
    let found = owners.by_tags(&[account.tag, [9; 16], ada.tag]).await.unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[&ada.tag].expose(), ada.expose());
}

#[tokio::test]
async fn an_erased_subject_is_gone_here_and_in_other_processes() {
    let place = Place::new();
    let (bridge, command) = (place.open().await, place.open().await);
    let ada = bridge.owners.subject("ada").await.unwrap();
    let bob = bridge.owners.subject("bob").await.unwrap();
    assert_eq!(command.owners.subject("ada").await.unwrap().tag, ada.tag);
    let mut changes = bridge.store.changes();
    changes.borrow_and_update();
    assert_eq!(command.owners.erase_subject("ada").await.unwrap(), Some(ada.tag));
    assert_eq!(command.owners.erase_subject("ada").await.unwrap(), None);
    assert!(command.owners.find_subject("ada").await.unwrap().is_none());
    changes.changed().await.unwrap();
    let anew = bridge.owners.subject("ada").await.unwrap();
    assert_ne!(anew.tag, ada.tag, "a subject that comes back is a new one");
    assert_ne!(anew.expose(), ada.expose());
    assert!(bridge.owners.by_tags(&[ada.tag]).await.unwrap().is_empty());
    assert_eq!(bridge.owners.subject("bob").await.unwrap().tag, bob.tag);
    let left = bridge.store.pending(9).await.unwrap();
    assert_eq!(left.last().unwrap().name, "subject.erase");
}

/// Without an exchange, too: upkeep tells it of every change.
#[tokio::test]
async fn an_idle_bridge_forgets_a_destroyed_key() {
    let place = Place::new();
    let (bridge, command) = (place.open().await, place.open().await);
    let in_memory = Arc::downgrade(&bridge.owners.subject("ada").await.unwrap());
    let mut changes = bridge.store.changes();
    changes.borrow_and_update();
    bridge.owners.forget_destroyed();
    assert!(in_memory.upgrade().is_some(), "nothing was destroyed yet");
    command.owners.erase_subject("ada").await.unwrap();
    changes.changed().await.unwrap();
    bridge.owners.forget_destroyed();
    assert!(in_memory.upgrade().is_none());
}

#[tokio::test]
async fn the_store_does_not_say_who_the_owners_are() {
    let place = Place::new();
    let opened = place.open().await;
    let ada = opened.owners.subject("ada@example.com").await.unwrap();
    for entry in std::fs::read_dir(place.folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        for needle in [b"ada@example.com".as_slice(), ada.expose()] {
            assert!(!bytes.windows(needle.len()).any(|part| part == needle));
        }
    }
    // The same id under another pepper is another row.
    let other = Place::new();
    assert!(other.open().await.owners.find_subject("ada@example.com").await.unwrap().is_none());
}

#[tokio::test]
async fn two_that_start_at_once_use_one_pepper() {
    let place = Place::new();
    let (one, other) = tokio::join!(place.open(), place.open());
    let ada = one.owners.subject("ada").await.unwrap();
    assert_eq!(other.owners.find_subject("ada").await.unwrap().unwrap().tag, ada.tag);
}

#[tokio::test]
async fn keys_that_cannot_be_had_refuse() {
    let place = Place::new();
    let store = place.store();
    let items = Arc::clone(&store) as Arc<dyn SealedItems>;
    let clock = SystemClock::default();
    let owners = Owners::open(Arc::new(Broken(store)), items, &place.keys, &clock).await.unwrap();
    let denial = owners.keys(&["ada".into()]).await.unwrap_err();
    assert_eq!(denial.code, &code::AUDIT_UNAVAILABLE);
    assert_eq!(denial.detail, None, "nothing of it is for the caller");
}

#[tokio::test]
async fn a_wrong_key_file_is_told() {
    let place = Place::new();
    drop(place.open().await);
    let stranger = Keys::ephemeral().unwrap();
    let store = place.store();
    let items = Arc::clone(&store) as Arc<dyn SealedItems>;
    let error = Owners::open(store, items, &stranger, &SystemClock::default()).await.err().unwrap();
    assert!(error.to_string().contains("`privacy/pepper`"), "{error}");
}

fn tags(keys: &[Arc<OwnerKey>]) -> Vec<[u8; 16]> {
    keys.iter().map(|key| key.tag).collect()
}

/// A store that can tell its generation and nothing else.
struct Broken(Arc<SqliteStore>);

impl Changes for Broken {
    fn changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.0.changes()
    }
}

impl OwnerKeys for Broken {
    fn obtain(&self, _: Vec<NewOwner>) -> StoreFuture<'_, Vec<OwnerKey>> {
        Box::pin(std::future::ready(Err(StoreError::Overloaded(1))))
    }
    fn owner_by_lookup(&self, _: Lookup) -> StoreFuture<'_, Option<OwnerKey>> {
        Box::pin(std::future::ready(Err(StoreError::Overloaded(1))))
    }
    fn owners_by_tag(&self, _: Vec<OwnerTag>) -> StoreFuture<'_, Vec<OwnerKey>> {
        Box::pin(std::future::ready(Err(StoreError::Overloaded(1))))
    }
    fn destroy(&self, _: Lookup) -> StoreFuture<'_, Option<OwnerTag>> {
        Box::pin(std::future::ready(Err(StoreError::Overloaded(1))))
    }
    fn owners_whole(&self) -> StoreFuture<'_, bool> {
        Box::pin(std::future::ready(Err(StoreError::Overloaded(1))))
    }
    fn erasure_pending(&self) -> StoreFuture<'_, bool> {
        Box::pin(std::future::ready(Err(StoreError::Overloaded(1))))
    }
}

struct Place {
    folder: TempDir,
    keys: Arc<Keys>,
}

struct Opened {
    owners: Owners,
    store: Arc<SqliteStore>,
}

impl Place {
    fn new() -> Place {
        Place { folder: TempDir::new().unwrap(), keys: Arc::new(Keys::ephemeral().unwrap()) }
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("store.sqlite")
    }

    fn store(&self) -> Arc<SqliteStore> {
        let (sealer, clock) = (Arc::new(Envelopes(Arc::clone(&self.keys))), Arc::new(SystemClock::default()));
        Arc::new(SqliteStore::open(&self.path(), sealer, clock, Actor::new("test")).unwrap())
    }

    async fn open(&self) -> Opened {
        let store = self.store();
        let items = Arc::clone(&store) as Arc<dyn SealedItems>;
        let clock = SystemClock::default();
        let owners = Owners::open(Arc::clone(&store) as _, items, &self.keys, &clock).await.unwrap();
        Opened { owners, store }
    }
}

struct Envelopes(Arc<Keys>);

impl Sealer for Envelopes {
    fn seal(&self, plain: &[u8], context: &[u8]) -> Result<Vec<u8>, SealerError> {
        self.0.seal(plain, context).map_err(|error| SealerError(error.to_string()))
    }

    fn open(&self, sealed: &[u8], context: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealerError> {
        self.0.open(sealed, context).map_err(|error| SealerError(error.to_string()))
    }

    fn mac(&self, key: &[u8; 32], text: &[u8]) -> [u8; 32] {
        ironbridge_seal::hash::hmac_sha256(key, &[text])
    }
}
