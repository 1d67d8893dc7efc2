//! The keys of owners: obtained at first use, found again by a keyed hash, and destroyed.

use crate::cache::Cache;
use ironbridge_core::{BoxFuture, Clock, Denial, OwnerKey, OwnerTag, SubjectKeys, code};
use ironbridge_seal::envelope::Keys;
use ironbridge_seal::{hash, random};
use ironbridge_store::{Lookup, NewOwner, OwnerKeys, OwnerKind, SealedItems, StoreError};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The keys of owners, made at first use and kept at hand.
///
/// The store finds an owner by HMAC-SHA256 of kind and id under a pepper that is sealed in the store, so that a
/// copy of the store without the key file says neither who the owners are nor whether somebody is among them.
///
/// A key that was destroyed by another process is let go as soon as the store tells of the change, within 250 ms:
/// by the next exchange, and without one by whoever calls [`Owners::forget_destroyed`] upon every change.
pub struct Owners {
    store: Arc<dyn OwnerKeys>,
    pepper: Zeroizing<Vec<u8>>,
    cache: Mutex<Cache>,
}

/// Keys at hand; each takes about 200 bytes.
const CAPACITY: usize = 100_000;

/// Where the pepper is sealed.
const NAMESPACE: &str = "privacy";
const PEPPER: &str = "pepper";
const PEPPER_LEN: usize = 32;

impl Owners {
    /// Opens the pepper, and makes it when there is none.
    ///
    /// # Errors
    /// When the store cannot be read or written, or the pepper does not open.
    pub async fn open(
        store: Arc<dyn OwnerKeys>,
        items: Arc<dyn SealedItems>,
        keys: &Keys,
        clock: &dyn Clock,
    ) -> Result<Owners, StoreError> {
        let context = format!("{NAMESPACE}/{PEPPER}");
        let item = match items.get(NAMESPACE, PEPPER).await? {
            Some(item) => item,
            None => {
                let fresh = Zeroizing::new(random::bytes::<PEPPER_LEN>());
                let sealed = keys.seal(fresh.as_slice(), context.as_bytes()).map_err(sealing)?;
                items.put_first(NAMESPACE, PEPPER, sealed, clock.now()).await?
            }
        };
        let pepper = keys.open(&item.sealed, context.as_bytes()).map_err(sealing)?;
        if pepper.len() != PEPPER_LEN {
            return Err(StoreError::Corrupt(format!("`{context}` has {} bytes", pepper.len())));
        }
        Ok(Owners { store, pepper, cache: Mutex::new(Cache::new(CAPACITY)) })
    }

    /// The key of a data subject, made if there is none.
    ///
    /// # Errors
    /// When the store cannot be read or written; so for all that follow.
    pub async fn subject(&self, id: &str) -> Result<Arc<OwnerKey>, StoreError> {
        self.one(OwnerKind::Subject, id).await
    }

    /// The keys of data subjects, in the order of their ids; made where there are none. Keys that are not at hand
    /// cost one round trip to the store together.
    pub async fn subjects(&self, ids: &[Box<str>]) -> Result<Vec<Arc<OwnerKey>>, StoreError> {
        self.obtain(OwnerKind::Subject, ids.iter().map(|id| &**id)).await
    }

    /// The key of an account, made if there is none.
    pub async fn account(&self, name: &str) -> Result<Arc<OwnerKey>, StoreError> {
        self.one(OwnerKind::Account, name).await
    }

    /// The key of all whom nothing identifies.
    pub async fn callers(&self) -> Result<Arc<OwnerKey>, StoreError> {
        self.one(OwnerKind::Callers, "").await
    }

    /// The key of a data subject if there is one: to look for a person without leaving a trace of one.
    pub async fn find_subject(&self, id: &str) -> Result<Option<Arc<OwnerKey>>, StoreError> {
        let lookup = self.lookup(OwnerKind::Subject, id);
        Ok(self.store.owner_by_lookup(lookup).await?.map(Arc::new))
    }

    /// The keys of these tags, as far as they were not destroyed: to read detail.
    pub async fn by_tags(&self, tags: &[OwnerTag]) -> Result<HashMap<OwnerTag, Arc<OwnerKey>>, StoreError> {
        let keys = self.store.owners_by_tag(tags.to_vec()).await?;
        Ok(keys.into_iter().map(|key| (key.tag, Arc::new(key))).collect())
    }

    /// Destroys the key of a data subject, and with it all detail that was sealed under it. Returns the tag, which
    /// still says which records held some; `None` when there is no such subject. The store leaves the action
    /// `subject.erase` in the outbox.
    pub async fn erase_subject(&self, id: &str) -> Result<Option<OwnerTag>, StoreError> {
        self.store.destroy(self.lookup(OwnerKind::Subject, id)).await
    }

    /// Lets keys at hand go if the store has changed since: any of them may have been destroyed.
    pub fn forget_destroyed(&self) {
        self.cache.lock().advance(self.store.generation());
    }

    /// Whether the keys in the store are those that the bridge left there: none was taken away by another hand, or put
    /// back. Reads them all.
    pub async fn are_whole(&self) -> Result<bool, StoreError> {
        self.store.owners_whole().await
    }

    /// Whether something that was destroyed may still be in the store's files, because another process reads an older
    /// state of them. Whoever has the store open then finishes it.
    pub async fn erasure_pending(&self) -> Result<bool, StoreError> {
        self.store.erasure_pending().await
    }

    async fn one(&self, kind: OwnerKind, id: &str) -> Result<Arc<OwnerKey>, StoreError> {
        let key = self.obtain(kind, std::iter::once(id)).await?.pop();
        key.ok_or_else(|| StoreError::Io("it gave no key".into()))
    }

    async fn obtain(
        &self,
        kind: OwnerKind,
        ids: impl Iterator<Item = &str>,
    ) -> Result<Vec<Arc<OwnerKey>>, StoreError> {
        let lookups: Vec<Lookup> = ids.map(|id| self.lookup(kind, id)).collect();
        let generation = self.store.generation();
        let at_hand: Vec<Option<Arc<OwnerKey>>> = {
            let mut cache = self.cache.lock();
            cache.advance(generation);
            lookups.iter().map(|lookup| cache.find(lookup)).collect()
        };
        let missing = lookups.iter().zip(&at_hand).filter(|(_, key)| key.is_none());
        let missing: Vec<Lookup> = missing.map(|(lookup, _)| *lookup).collect();
        if missing.is_empty() {
            return Ok(at_hand.into_iter().flatten().collect());
        }
        let offered = missing.iter().map(|lookup| NewOwner { lookup: *lookup, kind, key: fresh() }).collect();
        let stored = self.store.obtain(offered).await?;
        if stored.len() != missing.len() {
            return Err(StoreError::Corrupt("it gave other owners than were asked for".into()));
        }
        let mut stored = missing.into_iter().zip(stored.into_iter().map(Arc::new));
        let mut cache = self.cache.lock();
        let keys = at_hand.into_iter().map(|key| {
            key.or_else(|| {
                let (lookup, key) = stored.next()?;
                cache.keep(generation, lookup, Arc::clone(&key));
                Some(key)
            })
        });
        Ok(keys.flatten().collect())
    }

    /// The zero byte keeps kind and id apart: no kind's name holds one.
    fn lookup(&self, kind: OwnerKind, id: &str) -> Lookup {
        hash::hmac_sha256(&self.pepper, &[kind.name().as_bytes(), b"\0", id.as_bytes()])
    }
}

impl SubjectKeys for Owners {
    fn keys<'a>(&'a self, ids: &'a [Box<str>]) -> BoxFuture<'a, Result<Vec<Arc<OwnerKey>>, Box<Denial>>> {
        Box::pin(async move {
            self.subjects(ids).await.map_err(|error| {
                Box::new(
                    Denial::new(&code::AUDIT_UNAVAILABLE).internal(format_args!("owners' keys: {error}")),
                )
            })
        })
    }
}

fn fresh() -> OwnerKey {
    OwnerKey::new(random::bytes(), random::bytes())
}

fn sealing(error: impl std::fmt::Display) -> StoreError {
    StoreError::Sealing(format!("`{NAMESPACE}/{PEPPER}`: {error}"))
}
