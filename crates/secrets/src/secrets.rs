//! The registry of secret stores: where a reference leads.

use crate::{InUse, SecretError, SecretKeeper, SecretStore, SecretValue};
use ironbridge_core::SecretName;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Every secret that a manifest can name, by the store that its reference names. Whoever needs a secret asks here, and
/// knows no store.
pub struct Secrets {
    stores: BTreeMap<String, Arc<dyn SecretStore>>,
}

impl Secrets {
    /// Stores under the names that references call them by.
    pub fn new(stores: impl IntoIterator<Item = (String, Arc<dyn SecretStore>)>) -> Secrets {
        Secrets { stores: stores.into_iter().collect() }
    }

    /// The value as the store has it now, for who needs it once: at `check`, at a start, at a reload.
    ///
    /// # Errors
    /// When store, secret or field do not exist, or the value cannot be read.
    pub async fn read(&self, name: &SecretName) -> Result<SecretValue, SecretError> {
        self.store(name)?.read(name.name(), name.field()).await
    }

    /// The secret for who uses it again and again.
    ///
    /// # Errors
    /// When there is no such store. What else is wrong, using it tells.
    pub fn in_use(&self, name: &SecretName) -> Result<InUse, SecretError> {
        Ok(InUse::new(name.clone(), Arc::clone(self.store(name)?)))
    }

    /// Where the values of the store that references call so are set and removed.
    ///
    /// # Errors
    /// When this bridge keeps no such store.
    pub fn keeper(&self, store: &str) -> Result<&dyn SecretKeeper, SecretError> {
        let keeper = self.stores.get(store).and_then(|store| store.keeper());
        keeper.ok_or_else(|| SecretError::KeptElsewhere(store.to_owned()))
    }

    /// What references call the stores that there are.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.stores.keys().map(String::as_str)
    }

    fn store(&self, name: &SecretName) -> Result<&Arc<dyn SecretStore>, SecretError> {
        self.stores.get(name.store()).ok_or_else(|| SecretError::UnknownStore {
            name: name.clone(),
            known: self.names().map(str::to_owned).collect(),
        })
    }
}
