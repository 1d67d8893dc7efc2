//! Upkeep of a running bridge, in the background.

use crate::services::Services;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::AbortHandle;

/// Last-used times are written together, this often.
const LAST_USED: Duration = Duration::from_secs(30);
const DAILY: Duration = Duration::from_secs(24 * 3600);

pub fn start(services: &Arc<Services>) -> Vec<AbortHandle> {
    [
        tokio::spawn(follow_credentials(Arc::clone(services))).abort_handle(),
        tokio::spawn(write_last_used(Arc::clone(services))).abort_handle(),
        tokio::spawn(rotate_signing_key(Arc::clone(services))).abort_handle(),
    ]
    .into()
}

/// Keys issued or revoked by a command take effect here within the store's notice.
async fn follow_credentials(services: Arc<Services>) {
    use ironbridge_store::Changes;
    let mut changes = services.home.store.changes();
    while changes.changed().await.is_ok() {
        for ring in [&services.api_keys, &services.client_secrets] {
            if let Err(error) = ring.reload().await {
                tracing::error!(%error, "issued credentials could not be read again");
            }
        }
    }
}

async fn write_last_used(services: Arc<Services>) {
    loop {
        tokio::time::sleep(LAST_USED).await;
        for ring in [&services.api_keys, &services.client_secrets] {
            if let Err(error) = ring.flush_last_used().await {
                tracing::warn!(%error, "last-used times could not be written");
            }
        }
    }
}

async fn rotate_signing_key(services: Arc<Services>) {
    loop {
        match services.signing.rotate_if_due(services.clock.now()).await {
            Ok(true) => tracing::info!("the token endpoint signs with a new key"),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "the token endpoint's signing key could not be rotated"),
        }
        tokio::time::sleep(DAILY).await;
    }
}
