//! A secret in use whose store fails: who waited fails together, what the store says of a secret stands until it changes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use ironbridge_core::{BoxFuture, SecretName};
use ironbridge_secrets::{SecretError, SecretStore, SecretValue, Secrets};
use ironbridge_store::StoreError;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::task::yield_now;

/// Has no secret, and says why not in the way that the test sets.
struct Failing {
    error: Mutex<SecretError>,
    generation: AtomicU64,
    reads: AtomicUsize,
}

impl Failing {
    fn with(error: SecretError) -> Arc<Failing> {
        Arc::new(Failing {
            error: Mutex::new(error),
            generation: AtomicU64::new(1),
            reads: AtomicUsize::new(0),
        })
    }

    fn reads(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }
}

impl SecretStore for Failing {
    fn read<'a>(&'a self, _: &'a str, _: Option<&'a str>) -> BoxFuture<'a, Result<SecretValue, SecretError>> {
        Box::pin(async {
            self.reads.fetch_add(1, Ordering::Relaxed);
            // So that others come to wait.
            yield_now().await;
            yield_now().await;
            Err(self.error.lock().unwrap().clone())
        })
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }
}

fn secrets(store: &Arc<Failing>) -> Secrets {
    Secrets::new([("vault".to_owned(), Arc::clone(store) as Arc<dyn SecretStore>)])
}

fn name() -> SecretName {
    SecretName::new("vault", "erp-token").unwrap()
}

#[tokio::test]
async fn a_transient_failure_is_shared_by_who_waited_and_by_nobody_after() {
    let failure = SecretError::Store(StoreError::Locked(5));
    let store = Failing::with(failure.clone());
    let secret = secrets(&store).in_use(&name()).unwrap();
    let (one, two, three) = tokio::join!(secret.value(), secret.value(), secret.value());
    for outcome in [one, two, three] {
        assert_eq!(outcome.err(), Some(failure.clone()));
    }
    assert_eq!(store.reads(), 1);
    assert!(secret.at_hand().is_none());
    assert_eq!(secret.value().await.err(), Some(failure));
    assert_eq!(store.reads(), 2);
}

#[tokio::test]
async fn what_the_store_says_of_a_secret_stands_until_it_changes() {
    let missing = SecretError::Missing("erp-token".to_owned());
    let store = Failing::with(missing.clone());
    let secret = secrets(&store).in_use(&name()).unwrap();
    for _ in 0..3 {
        assert_eq!(secret.value().await.err(), Some(missing.clone()));
    }
    assert_eq!(store.reads(), 1);
    let other = SecretError::Empty("erp-token".to_owned());
    *store.error.lock().unwrap() = other.clone();
    assert_eq!(secret.at_hand().and_then(Result::err), Some(missing));
    store.generation.store(2, Ordering::Relaxed);
    assert!(secret.at_hand().is_none());
    assert_eq!(secret.value().await.err(), Some(other));
    assert_eq!(store.reads(), 2);
}

#[tokio::test]
async fn a_store_that_is_not_there_is_told_at_once() {
    let store = Failing::with(SecretError::Missing(String::new()));
    let name = SecretName::new("other", "erp-token").unwrap();
    let unknown = SecretError::UnknownStore { name: name.clone(), known: vec!["vault".to_owned()] };
    assert_eq!(secrets(&store).in_use(&name).err(), Some(unknown.clone()));
    assert_eq!(secrets(&store).read(&name).await.err(), Some(unknown));
    assert_eq!(store.reads(), 0);
}
