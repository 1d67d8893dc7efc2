//! What every destination works with.

use crate::backoff::Backoff;
use crate::trouble::Trouble;
use ironbridge_audit::{Log, SignedCheckpoint};
use ironbridge_core::{Clock, Entropy};
use ironbridge_seal::note::NoteVerifier;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// What every destination works with.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub log: Log,
    pub keys: Vec<NoteVerifier>,
    pub heads: watch::Receiver<Option<SignedCheckpoint>>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub retry: Duration,
    pub longest_retry: Duration,
}

impl Surroundings {
    pub fn backoff(&self) -> Backoff {
        Backoff::new(self.retry, self.longest_retry, Arc::clone(&self.entropy))
    }

    /// Reads the log off the runtime's threads.
    pub async fn blocking<T, E, F>(&self, work: F) -> Result<T, Trouble>
    where
        T: Send + 'static,
        E: std::fmt::Display + Send + 'static,
        F: FnOnce(&Surroundings) -> Result<T, E> + Send + 'static,
    {
        let around = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&around)).await;
        done.map_err(Trouble::new)?.map_err(Trouble::new)
    }
}
