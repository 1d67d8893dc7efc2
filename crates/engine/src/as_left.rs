//! Whether the store is the one that was left, judged in one way by whoever opens it: a start, which compares the whole
//! trail besides, and every command.

use crate::home::{TRAIL_HEAD, is_there};
use crate::{Home, HomeError};
use ironbridge_audit::{Fault, FaultKind, StoreSeen};
use ironbridge_core::StoreMark;
use ironbridge_store::StoreError;

impl Home {
    /// Compares the store with what is remembered of it beside the trail. A running bridge may be at work: it notes how
    /// far the store came once that is on disk, so what is read of its note first is never ahead of the store.
    ///
    /// # Errors
    /// [`HomeError::NotAsLeft`] where the store was set back or is another one, or where nobody can tell; others where
    /// it cannot be read.
    pub async fn demand_as_left(&self) -> Result<(), HomeError> {
        let Some(anchor) = self.trail_anchor().await? else {
            // Of before a bridge first ran.
            return match is_there(&self.dir().join(TRAIL_HEAD)) {
                false => Ok(()),
                true => Err(HomeError::NotAsLeft(head_of_another())),
            };
        };
        let Some(remembered) = anchor.remembered().map_err(HomeError::NotAsLeft)? else { return Ok(()) };
        let seen = self.store_seen(remembered.store).await?;
        anchor.judge_store(&self.audit_dir(), &remembered, &seen).map_err(HomeError::NotAsLeft)
    }

    /// The store as it is now, asked after an earlier mark, which must have been read before.
    pub(crate) async fn store_seen(&self, before: StoreMark) -> Result<StoreSeen, HomeError> {
        let (grew_from, outran) = match self.store.grew_from(before).await {
            Err(StoreError::Outran(_)) => (None, true),
            grew => (grew?.then_some(before), false),
        };
        Ok(StoreSeen { mark: self.store.mark().await?, grew_from, outran })
    }
}

fn head_of_another() -> Fault {
    let detail =
        "it goes with another store than the one that lies here, which is older, or another bridge's";
    let kind = FaultKind::RolledBack;
    Fault { file: TRAIL_HEAD.into(), offset: None, entry: None, kind, detail: detail.to_owned() }
}
