//! What retention left of a log, as far as its file and the log's own records agree.

use super::log::Log;
use super::query::Order;
use crate::fault::{Fault, FaultKind};
use crate::retained::{Announced, Retained};
use ironbridge_core::action::name;

impl Log {
    /// Index of the first record that retention kept. The records before it are gone, their hashes are not.
    pub fn first_kept(&self) -> Result<u64, Fault> {
        Ok(self.believed_kept()?.records)
    }

    /// How much of the trail retention left, as it lies beside the log: who concludes from it asks
    /// `believed_kept`.
    pub fn kept(&self) -> Result<Retained, Fault> {
        match self.whole {
            true => Ok(Retained::default()),
            false => Retained::read(&*self.disk, &self.places.log),
        }
    }

    /// Notes where `kept` says more than the log's own records announce: what is read then is not whole.
    pub fn check_kept(&self) -> Result<(), Fault> {
        self.kept()?;
        if let Err(fault) = self.rightly_kept() {
            self.note_damage(fault);
        }
        Ok(())
    }

    /// Whether the fault may be that retention dropped more since it had left so much: what is missing is no theft
    /// then, but read too late.
    pub fn was_dropped(&self, fault: &Fault, kept: Retained) -> Result<bool, Fault> {
        Ok(fault.kind == FaultKind::Missing && self.kept()? != kept)
    }

    /// What is missing already, as far as the log's own records allow it: `kept` is a file that anybody who can write
    /// there can raise, and a retention that began from it would sign what somebody stole.
    pub fn rightly_kept(&self) -> Result<Retained, Fault> {
        let kept = self.kept()?;
        if kept == Retained::default() {
            return Ok(kept);
        }
        kept.beyond(self.announced()?).map_or(Ok(kept), Err)
    }

    /// How much of the trail is gone by right, for whoever passes over it. On the bridge's own machine that is no more
    /// than the log's own records announce, whatever lies beside them, and where nobody can tell, it is nothing: detail
    /// that somebody hides for a while must not count as dropped, nor a record as one that nobody is to be sent.
    pub(crate) fn believed_kept(&self) -> Result<Retained, Fault> {
        let kept = self.kept()?;
        if self.trust.key.is_none() {
            return Ok(kept);
        }
        let known = *self.announced.lock();
        if kept.max(known.kept) == known.kept {
            return Ok(kept);
        }
        // It is announced before it is done: only a log that grew can say more.
        let size = self.unverified_checkpoint()?.size;
        if size == known.size {
            return Ok(kept.min(known.kept));
        }
        // Nor does a search that failed say more until then, and whoever passes many records over asks for each.
        let found = self.announced().unwrap_or_else(|fault| {
            self.note_damage(fault);
            known.kept
        });
        let known = Announced { size, kept: known.kept.max(found) };
        *self.announced.lock() = known;
        Ok(kept.min(known.kept))
    }

    /// What the newest retention announced, in a record that the signed tree holds, whatever `kept` would hide of it.
    pub(crate) fn announced(&self) -> Result<Retained, Fault> {
        match self.as_if_whole().recorded(name::RETENTION, Order::NewestFirst) {
            Ok(newest) => {
                Ok(newest.and_then(|stored| Retained::announced(stored.json.as_bytes())).unwrap_or_default())
            }
            // What a retention dropped lies below its record, and that is looked for from above.
            Err(fault) if fault.kind == FaultKind::Missing && fault.file.starts_with("log/tile/entries") => {
                Ok(Retained::default())
            }
            Err(fault) => Err(fault),
        }
    }
}
