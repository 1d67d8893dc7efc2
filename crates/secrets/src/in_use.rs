//! The one cache between a secret store and whoever shows the secret, with the one rule of how fresh it is.

use crate::{SecretError, SecretStore, SecretValue};
use arc_swap::ArcSwapOption;
use ironbridge_core::SecretName;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Mutex;

/// A secret that a running bridge uses: its value lies in memory, and is good for as long as its store's
/// [`generation`](SecretStore::generation) stays the same. Each use compares that, so another value is in use within a
/// second of being set.
///
/// Whoever makes something of the value (a header field, an access token) keeps the [`SecretValue`] beside it, asks
/// [`InUse::is_current`] at each use, and needs no rule of its own.
pub struct InUse {
    name: SecretName,
    store: Arc<dyn SecretStore>,
    /// Read without a lock.
    held: ArcSwapOption<Held>,
    /// One reads for all who wait; why it could not, the last time.
    reading: Mutex<Option<SecretError>>,
    /// How often somebody has read.
    read: AtomicU64,
}

struct Held {
    /// The store's, asked before the value was read: what changed in between is read again.
    generation: u64,
    outcome: Result<SecretValue, SecretError>,
}

impl InUse {
    pub(crate) fn new(name: SecretName, store: Arc<dyn SecretStore>) -> InUse {
        let (held, reading) = (ArcSwapOption::empty(), Mutex::default());
        InUse { name, store, held, reading, read: AtomicU64::new(0) }
    }

    /// What the manifest calls it.
    pub fn name(&self) -> &SecretName {
        &self.name
    }

    /// Whether this is the newest value, as far as is known without waiting.
    pub fn is_current(&self, value: &SecretValue) -> bool {
        let held = self.held.load();
        held.as_ref().is_some_and(|held| {
            held.generation == self.store.generation()
                && held.outcome.as_ref().is_ok_and(|newest| newest.is(value))
        })
    }

    /// The newest value, or why there is none; `None` where that has to be waited for.
    pub fn at_hand(&self) -> Option<Result<SecretValue, SecretError>> {
        let held = self.held.load();
        let held = held.as_ref().filter(|held| held.generation == self.store.generation())?;
        Some(held.outcome.clone())
    }

    /// The newest value.
    ///
    /// # Errors
    /// When secret or field do not exist, or the value cannot be read.
    pub async fn value(&self) -> Result<SecretValue, SecretError> {
        if let Some(known) = self.at_hand() {
            return known;
        }
        let asked = self.read.load(Ordering::Relaxed);
        let mut failed = self.reading.lock().await;
        if let Some(known) = self.at_hand() {
            return known;
        }
        // Those who waited for an attempt that failed do not each wait for one more.
        if let Some(error) = &*failed
            && self.read.load(Ordering::Relaxed) != asked
        {
            return Err(error.clone());
        }
        let outcome = self.read_anew().await;
        *failed = outcome.as_ref().err().cloned();
        self.read.fetch_add(1, Ordering::Relaxed);
        outcome
    }

    async fn read_anew(&self) -> Result<SecretValue, SecretError> {
        let generation = self.store.generation();
        let read = self.store.read(self.name.name(), self.name.field()).await;
        // The same value in another place would look like another to whoever made something of it.
        let known = self.held.load().as_ref().and_then(|held| held.outcome.clone().ok());
        let outcome = read.map(|read| known.filter(|known| known.expose() == read.expose()).unwrap_or(read));
        // What the store itself could not do, it may do the next time. What it says of the secret stands until it changes.
        if !matches!(outcome, Err(SecretError::Store(_))) {
            self.held.store(Some(Arc::new(Held { generation, outcome: outcome.clone() })));
        }
        outcome
    }
}

impl fmt::Debug for InUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)
    }
}
