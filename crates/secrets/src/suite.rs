//! What every secret store must do. Run [`all`] on yours.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use crate::{SecretError, SecretStore, SecretValue, Secrets};
use ironbridge_core::{BoxFuture, SecretName};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Sets a value as somebody else than the bridge does, and returns once it is set.
pub type SetElsewhere<'a> = &'a dyn Fn(&'static str, &'static [u8]) -> BoxFuture<'a, ()>;

/// A store says within a second that a value changed; a test on a busy machine waits for longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// # Panics
/// When the store does not keep a promise of [`SecretStore`].
pub async fn all(store: Arc<dyn SecretStore>, set: SetElsewhere<'_>) {
    what_is_set_is_read(&*store, set).await;
    another_value_is_in_use_by_itself(Secrets::new([("under-test".to_owned(), store)]), set).await;
}

async fn what_is_set_is_read(store: &dyn SecretStore, set: SetElsewhere<'_>) {
    let missing = Err(SecretError::Missing("none".to_owned()));
    assert_eq!(text(store.read("none", None).await), missing);
    set("whole", b"first").await;
    assert_eq!(text(store.read("whole", None).await), Ok("first".to_owned()));
    let no_field = SecretError::NoField { name: "whole".to_owned(), field: "id".to_owned() };
    assert_eq!(text(store.read("whole", Some("id")).await), Err(no_field));
    set("parts", br#"{"id":"a","key":"b"}"#).await;
    assert_eq!(text(store.read("parts", Some("key")).await), Ok("b".to_owned()));
    set("whole", b"second").await;
    assert_eq!(text(store.read("whole", None).await), Ok("second".to_owned()));
}

async fn another_value_is_in_use_by_itself(secrets: Secrets, set: SetElsewhere<'_>) {
    let name = SecretName::new("under-test", "rotates").unwrap();
    let used = secrets.in_use(&name).unwrap();
    assert!(used.at_hand().is_none(), "nobody has read it");
    assert!(used.value().await.is_err(), "there is none");
    let mut before: Option<SecretValue> = None;
    for value in ["one", "two", "two", "three"] {
        set("rotates", value.as_bytes()).await;
        let since = Instant::now();
        let newest = loop {
            match used.value().await {
                Ok(newest) if newest.expose() == value.as_bytes() => break newest,
                other => assert!(since.elapsed() < PATIENCE, "{value}: {other:?} is still in use"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        assert!(used.is_current(&newest));
        if let Some(before) = before {
            assert_eq!(before.is(&newest), before.expose() == newest.expose(), "the same stays as it is");
        }
        before = Some(newest);
    }
}

fn text(read: Result<SecretValue, SecretError>) -> Result<String, SecretError> {
    read.map(|value| String::from_utf8(value.expose().to_vec()).unwrap())
}
