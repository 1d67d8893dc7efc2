//! Whether the store is still the one that this bridge opened. Where another hand set it back, or put another file in its
//! place, what commands revoke does not arrive here any more: then no exchange is let in.

use crate::services::Services;
use ironbridge_core::action::name;
use ironbridge_core::{Outcome, word};
use ironbridge_store::{HANGS, StoreError};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// As often as a checkpoint comes.
const LOOK: Duration = Duration::from_secs(1);
/// For so long a store may fail to be read: a disk that stutters is not a store that is gone.
const UNREAD: Duration = Duration::from_secs(5);

/// Looks with every change and once a second, and says what was found once.
pub async fn follow(services: Arc<Services>) {
    let mut changes = services.home.store.changes();
    let (mut unread, mut told) = (None, None);
    loop {
        changes.borrow_and_update();
        let found = tokio::time::timeout(HANGS, services.home.store.stands()).await;
        let hangs = found.is_err();
        let found = found.unwrap_or_else(|_| Err(StoreError::Io("its disk does not answer".to_owned())));
        unread = match &found {
            Err(error) if is_of_the_file(error) => Some(unread.unwrap_or_else(Instant::now)),
            _ => None,
        };
        let fell = match &found {
            Ok(()) => None,
            Err(StoreError::Altered { .. } | StoreError::Outran(_) | StoreError::Newer { .. }) => {
                Some(Fell::Altered)
            }
            Err(_) if hangs || unread.is_some_and(|since| since.elapsed() >= UNREAD) => Some(Fell::Unread),
            // Not yet, or no more: what was found before holds.
            Err(_) => told,
        };
        services.store_fell.store(fell.is_some(), Ordering::Relaxed);
        if fell != std::mem::replace(&mut told, fell) {
            tell(&services, fell, found).await;
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Why nothing is let in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fell {
    Altered,
    Unread,
}

async fn tell(services: &Services, fell: Option<Fell>, found: Result<(), StoreError>) {
    match (fell, found) {
        (Some(Fell::Altered), Err(error)) => {
            tracing::error!(%error, "no exchange is let in until the store is as it was left, or the bridge was restarted");
            if matches!(error, StoreError::Altered { .. }) {
                let refused = services.action(name::STORE_REFUSE, "store");
                services.note(refused.not_done(Outcome::Failed, &word::ROW_ALTERED)).await;
            }
        }
        (_, Err(error)) => {
            tracing::error!(%error, "no exchange is let in until the store can be read: what is revoked does not arrive here");
        }
        (_, Ok(())) => tracing::info!("the store is as it was left again"),
    }
}

/// That others hold or fill the store for a while does not keep it from being read.
fn is_of_the_file(error: &StoreError) -> bool {
    !matches!(error, StoreError::Locked(_) | StoreError::Overloaded(_) | StoreError::Full(_))
}
