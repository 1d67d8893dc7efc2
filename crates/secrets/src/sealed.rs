//! The bridge's own secret store.

use crate::{MAX_VALUE, SecretError, SecretKeeper, SecretStore, SecretValue, field};
use ironbridge_core::{BoxFuture, Clock, SecretName};
use ironbridge_seal::envelope::Keys;
use ironbridge_store::{ItemSummary, SealedItems};
use std::sync::Arc;

/// The embedded secret store: values sealed under the bridge's key-encryption key, in the bridge's own store.
///
/// A value is plain bytes, or a JSON object when references name its members.
pub struct SealedStore {
    items: Arc<dyn SealedItems>,
    keys: Arc<Keys>,
    clock: Arc<dyn Clock>,
}

impl SealedStore {
    /// Over the items of the bridge's store; `keys` seal the values.
    pub fn new(items: Arc<dyn SealedItems>, keys: Arc<Keys>, clock: Arc<dyn Clock>) -> SealedStore {
        SealedStore { items, keys, clock }
    }

    async fn seal(&self, name: &str, value: &[u8]) -> Result<u64, SecretError> {
        SecretName::new(SecretName::SEALED, name)?;
        if value.is_empty() {
            return Err(SecretError::Empty(name.into()));
        }
        if value.len() > MAX_VALUE {
            return Err(SecretError::TooLong(name.into()));
        }
        let sealed = self
            .keys
            .seal(value, &context(name))
            .map_err(|reason| SecretError::Sealed { name: name.into(), reason })?;
        Ok(self.items.put(NAMESPACE, name, sealed, self.clock.now()).await?)
    }

    async fn open(&self, name: &str, field: Option<&str>) -> Result<SecretValue, SecretError> {
        let item = self.items.get(NAMESPACE, name).await?;
        let item = item.ok_or_else(|| SecretError::Missing(name.into()))?;
        let value = self
            .keys
            .open(&item.sealed, &context(name))
            .map_err(|reason| SecretError::Sealed { name: name.into(), reason })?;
        let Some(field) = field else { return Ok(value.into()) };
        field::pick(&value, field)
            .map(SecretValue::from)
            .ok_or_else(|| SecretError::NoField { name: name.into(), field: field.into() })
    }
}

impl SecretStore for SealedStore {
    fn read<'a>(
        &'a self,
        name: &'a str,
        field: Option<&'a str>,
    ) -> BoxFuture<'a, Result<SecretValue, SecretError>> {
        Box::pin(self.open(name, field))
    }

    fn generation(&self) -> u64 {
        self.items.generation()
    }

    fn keeper(&self) -> Option<&dyn SecretKeeper> {
        Some(self)
    }
}

impl SecretKeeper for SealedStore {
    fn set<'a>(&'a self, name: &'a str, value: &'a [u8]) -> BoxFuture<'a, Result<u64, SecretError>> {
        Box::pin(self.seal(name, value))
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<ItemSummary>, SecretError>> {
        Box::pin(async { Ok(self.items.items(NAMESPACE).await?) })
    }

    fn remove<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<bool, SecretError>> {
        Box::pin(async move { Ok(self.items.remove(NAMESPACE, name).await?) })
    }
}

const NAMESPACE: &str = "secret";

/// Sealed for this name only: a value moved to another name's row does not open.
fn context(name: &str) -> Vec<u8> {
    format!("secret/{name}").into_bytes()
}
