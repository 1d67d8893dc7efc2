use crate::{SecretError, SecretValue};
use arc_swap::ArcSwap;
use ironbridge_core::{BoxFuture, SecretName};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Every secret a manifest can name.
pub struct Secrets {
    stores: BTreeMap<String, Arc<dyn SecretStore>>,
    /// Read without a lock: every exchange with an injected credential looks here.
    kept: ArcSwap<HashMap<SecretName, Kept>>,
}

/// One place where secrets are kept.
pub trait SecretStore: Send + Sync {
    /// What it is, for people: `sealed`.
    fn kind(&self) -> &'static str;

    /// The newest value, or one member of it.
    fn read<'a>(
        &'a self,
        name: &'a str,
        field: Option<&'a str>,
    ) -> BoxFuture<'a, Result<SecretValue, SecretError>>;

    /// A number that changes when any value may have changed. A value is kept in memory for as long as this
    /// stays the same, so that a new value reaches a running bridge without a restart.
    fn generation(&self) -> u64;
}

impl Secrets {
    /// Stores under the names that references call them by.
    pub fn new(stores: impl IntoIterator<Item = (String, Arc<dyn SecretStore>)>) -> Secrets {
        Secrets { stores: stores.into_iter().collect(), kept: ArcSwap::default() }
    }

    /// The value, from memory if the store has not changed since it was read.
    ///
    /// # Errors
    /// When store, secret or field do not exist, or the value cannot be read.
    pub async fn read(&self, name: &SecretName) -> Result<SecretValue, SecretError> {
        let store = self.store(name)?;
        if let Some(value) = self.kept(name, store.as_ref()) {
            return Ok(value);
        }
        // Asked before the value is read: a change in between makes the kept value stale, not the other way.
        let generation = store.generation();
        let value = store.read(name.name(), name.field()).await?;
        self.keep(name, Kept { generation, value: value.clone() });
        Ok(value)
    }

    /// The value if it is in memory and current; never waits.
    pub fn at_hand(&self, name: &SecretName) -> Option<SecretValue> {
        self.kept(name, self.stores.get(name.store())?.as_ref())
    }

    fn store(&self, name: &SecretName) -> Result<&Arc<dyn SecretStore>, SecretError> {
        self.stores.get(name.store()).ok_or_else(|| SecretError::UnknownStore {
            name: name.clone(),
            known: self.stores.keys().cloned().collect(),
        })
    }

    fn kept(&self, name: &SecretName, store: &dyn SecretStore) -> Option<SecretValue> {
        let kept = self.kept.load();
        let kept = kept.get(name)?;
        (kept.generation == store.generation()).then(|| kept.value.clone())
    }

    /// Lets go of every value that its store has left behind, too, so that it is cleared.
    fn keep(&self, name: &SecretName, fresh: Kept) {
        self.kept.rcu(|kept| {
            let current = kept.iter().filter(|(name, kept)| {
                self.stores.get(name.store()).is_some_and(|store| store.generation() == kept.generation)
            });
            let mut next: HashMap<_, _> = current.map(|(name, kept)| (name.clone(), kept.clone())).collect();
            next.insert(name.clone(), fresh.clone());
            next
        });
    }
}

#[derive(Clone)]
struct Kept {
    generation: u64,
    value: SecretValue,
}
