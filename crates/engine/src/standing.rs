//! Whether the store is still the one that this bridge opened. Where another hand set it back, or put another file in its
//! place, what commands revoke does not arrive here any more: then no exchange is let in.

use crate::services::Services;
use ironbridge_audit::Trail;
use ironbridge_core::action::name;
use ironbridge_core::{Action, BoxFuture, Denial, Outcome, Position, Record, Recorder, code, word};
use ironbridge_store::{Changes, StoreError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// As often as a checkpoint comes.
const LOOK: Duration = Duration::from_secs(1);
/// For so long a store may fail to be read: a disk that stutters is not a store that is gone.
const UNREAD: Duration = Duration::from_secs(5);

/// The trail, which takes no new exchange while the store is not as it was left.
pub struct Standing {
    pub trail: Arc<Trail>,
    pub store_fell: Arc<AtomicBool>,
}

impl Recorder for Standing {
    fn ready(&self) -> Result<(), Box<Denial>> {
        if self.store_fell.load(Ordering::Relaxed) {
            return Err(Box::new(
                Denial::new(&code::STORE_UNAVAILABLE).internal("the store is not the one that was left"),
            ));
        }
        self.trail.ready()
    }

    fn append(&self, record: Record<'_>) -> Result<Position, Box<Denial>> {
        self.trail.append(record)
    }

    fn act(&self, action: &Action) -> Result<Position, Box<Denial>> {
        self.trail.act(action)
    }

    fn durable(&self, position: Position) -> BoxFuture<'_, Result<(), Box<Denial>>> {
        self.trail.durable(position)
    }
}

/// Looks with every change and once a second, and says what was found once.
pub async fn watch_store(services: Arc<Services>) {
    let mut changes = services.home.store.changes();
    let mut unread = None;
    loop {
        changes.borrow_and_update();
        let found = services.home.store.stands().await;
        let since = match &found {
            Err(error) if is_of_the_file(error) => Some(unread.unwrap_or_else(Instant::now)),
            _ => None,
        };
        unread = since;
        let fell = services.store_fell.load(Ordering::Relaxed);
        match found {
            Err(error @ (StoreError::Altered { .. } | StoreError::Newer { .. })) if !fell => {
                services.store_fell.store(true, Ordering::Relaxed);
                tracing::error!(%error, "no exchange is let in until the store is as it was left, or the bridge was restarted");
                if matches!(error, StoreError::Altered { .. }) {
                    let refused = services.action(name::STORE_REFUSE, "store");
                    services.note(refused.not_done(Outcome::Failed, &word::ROW_ALTERED)).await;
                }
            }
            Err(error) if !fell && since.is_some_and(|since| since.elapsed() >= UNREAD) => {
                services.store_fell.store(true, Ordering::Relaxed);
                tracing::error!(%error, "no exchange is let in until the store can be read: what is revoked does not arrive here");
            }
            Ok(()) if fell => {
                services.store_fell.store(false, Ordering::Relaxed);
                tracing::info!("the store is as it was left again");
            }
            _ => {}
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// That others hold or fill the store for a while does not keep it from being read.
fn is_of_the_file(error: &StoreError) -> bool {
    !matches!(error, StoreError::Locked(_) | StoreError::Overloaded(_) | StoreError::Full(_))
}
