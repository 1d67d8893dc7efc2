//! Key material in the store: sealed before it goes there, wiped when it comes back and is used.

use ironbridge_core::Timestamp;
use ironbridge_seal::envelope::{Keys, SealError};
use ironbridge_store::{SealedItems, StoreError};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Why key material could not be kept or read; the operator mends it.
#[derive(Debug, thiserror::Error)]
pub enum KeptKeyError {
    /// The store could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another key file sealed it, or it was changed.
    #[error("`{item}` in the store cannot be sealed or opened: {reason}")]
    Sealed {
        /// Its namespace and name in the store.
        item: String,
        /// What the library says.
        reason: SealError,
    },
    /// What was sealed is not what it should be.
    #[error("`{item}` in the store cannot be read: {reason}")]
    Unreadable {
        /// Its namespace and name in the store.
        item: String,
        /// What the library says.
        reason: String,
    },
    /// The library says no.
    #[error("a key or certificate could not be made: {0}")]
    Making(String),
}

/// One named item.
pub(crate) struct SealedKey {
    items: Arc<dyn SealedItems>,
    keys: Arc<Keys>,
    namespace: &'static str,
    name: &'static str,
}

impl SealedKey {
    pub fn new(
        items: Arc<dyn SealedItems>,
        keys: Arc<Keys>,
        namespace: &'static str,
        name: &'static str,
    ) -> SealedKey {
        SealedKey { items, keys, namespace, name }
    }

    pub async fn read(&self) -> Result<Option<Zeroizing<Vec<u8>>>, KeptKeyError> {
        let Some(item) = self.items.get(self.namespace, self.name).await? else { return Ok(None) };
        let opened = self.keys.open(&item.sealed, self.item().as_bytes());
        opened.map(Some).map_err(|reason| self.sealed(reason))
    }

    pub async fn write(&self, plain: &[u8], now: Timestamp) -> Result<(), KeptKeyError> {
        let sealed = self.keys.seal(plain, self.item().as_bytes()).map_err(|reason| self.sealed(reason))?;
        self.items.put(self.namespace, self.name, sealed, now).await?;
        Ok(())
    }

    /// Keeps what was made at first use, unless another process was faster: what is kept then.
    pub async fn write_first(
        &self,
        plain: &[u8],
        now: Timestamp,
    ) -> Result<Zeroizing<Vec<u8>>, KeptKeyError> {
        let sealed = self.keys.seal(plain, self.item().as_bytes()).map_err(|reason| self.sealed(reason))?;
        let item = self.items.put_first(self.namespace, self.name, sealed, now).await?;
        self.keys.open(&item.sealed, self.item().as_bytes()).map_err(|reason| self.sealed(reason))
    }

    pub fn unreadable(&self, reason: impl ToString) -> KeptKeyError {
        KeptKeyError::Unreadable { item: self.item(), reason: reason.to_string() }
    }

    fn sealed(&self, reason: SealError) -> KeptKeyError {
        KeptKeyError::Sealed { item: self.item(), reason }
    }

    /// Also the seal's context: an item moved to another name does not open.
    fn item(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}
