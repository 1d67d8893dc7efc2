use crate::{SecretError, SecretStore, SecretValue, field};
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

/// Longest value, in bytes. A certificate chain with its key is far below.
pub const MAX_VALUE: usize = 64 * 1024;

impl SealedStore {
    pub fn new(items: Arc<dyn SealedItems>, keys: Arc<Keys>, clock: Arc<dyn Clock>) -> SealedStore {
        SealedStore { items, keys, clock }
    }

    /// Sets a value of 1 to [`MAX_VALUE`] bytes and returns its version, from 1. Running bridges read it within
    /// a second.
    ///
    /// # Errors
    /// When name or value do not fit, or the value cannot be sealed or kept.
    pub async fn set(&self, name: &str, value: &[u8]) -> Result<u64, SecretError> {
        SecretName::new(SEALED, name)?;
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

    /// Names, newest versions and their times; never values.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list(&self) -> Result<Vec<ItemSummary>, SecretError> {
        Ok(self.items.items(NAMESPACE).await?)
    }

    /// Removes every version; false when there was none.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn remove(&self, name: &str) -> Result<bool, SecretError> {
        Ok(self.items.remove(NAMESPACE, name).await?)
    }
}

impl SecretStore for SealedStore {
    fn kind(&self) -> &'static str {
        SEALED
    }

    fn read<'a>(
        &'a self,
        name: &'a str,
        field: Option<&'a str>,
    ) -> BoxFuture<'a, Result<SecretValue, SecretError>> {
        Box::pin(async move {
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
        })
    }

    fn generation(&self) -> u64 {
        self.items.generation()
    }
}

/// What references call this store: the STORE of `secret://STORE/NAME`.
pub const SEALED: &str = "sealed";

const NAMESPACE: &str = "secret";

/// Sealed for this name only: a value moved to another name's row does not open.
fn context(name: &str) -> Vec<u8> {
    format!("secret/{name}").into_bytes()
}
