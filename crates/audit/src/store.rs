//! Whether the store that lies beside the trail is what became of the one that the trail was written with.

use crate::fault::{Fault, FaultKind};
use ironbridge_core::StoreMark;

const STORE: &str = "store.sqlite";

/// A store, asked after what is remembered of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct StoreSeen {
    /// How far it came.
    pub mark: StoreMark,
    /// An earlier mark that it was found to have grown from: what is remembered of it, or it was set back.
    pub grew_from: Option<StoreMark>,
    /// It came so far since that mark that it cannot tell.
    pub outran: bool,
}

impl StoreSeen {
    /// Whether it is what became of the one that had this mark.
    ///
    /// # Errors
    /// A fault where it is not what became of the one that had this mark.
    pub(crate) fn follows(&self, before: StoreMark) -> Result<(), Fault> {
        let told = self.grew_from == Some(before) || before.is_counted() || before == self.mark;
        if told && self.mark.can_follow(before) {
            return Ok(());
        }
        Err(Fault::new(FaultKind::RolledBack, STORE, self.set_back(before)))
    }

    /// What a store is that does not follow the one before.
    fn set_back(&self, before: StoreMark) -> String {
        let again = "what was revoked, replaced or erased since may be there again";
        if self.mark.life != before.life {
            return format!("the store is another one than the trail was written with; {again}");
        }
        let (now, before) = (self.mark.changes, before.changes);
        if self.outran && now >= before {
            let since = now.saturating_sub(before);
            return format!(
                "the store counts {since} changes of its rows since what is remembered of the trail was written, and has \
                 forgotten what leads from there, so nobody can tell whether it was set back; if this is a copy of a running \
                 bridge, take another one with less time between `audit-head` and the store; else {again}"
            );
        }
        if now >= before {
            return format!(
                "the store was set back, and changed since: of the {before} changes of its rows that were made, it has not seen the last; {again}"
            );
        }
        format!(
            "the store was set back: it has seen {now} changes of its rows, but {before} were made; {again}"
        )
    }
}
