//! Records that were asked for, and the newest ones.

use super::entries::{Backward, Follow, Records, Stored};
use super::log::Log;
use super::query::{Order, Query};
use super::search::Search;
use crate::detail;
use crate::fault::{Fault, FaultKind};
use crate::index::BLOCKS;
use crate::merkle::{Hash, check_inclusion, leaf_hash};
use crate::tiles::{self, Kind, WIDTH};
use ironbridge_seal::hash::base64;

impl Log {
    /// The records that match, those not yet integrated included. Of the blocks that have an index only the
    /// bundles are read that it points at, the others from one end to the other; nothing is held but one bundle
    /// and the records not yet integrated. A fault ends it, but not one of what lies beside the records: that is told by
    /// [`Log::damage`], also where a person's records may be among those whose detail is missing.
    pub fn query(&self, query: Query) -> Result<Records, Fault> {
        let limit = query.limit.unwrap_or(usize::MAX);
        let records = Search::new(self, &query, BLOCKS).records()?;
        let (log, by_subject) = (self.clone(), query.subject.is_some());
        // A person's records are known by their detail only: without it, none would be found, and nothing said.
        let records = records.inspect(move |record| {
            if let (Ok(stored), true) = (record, by_subject)
                && let Err(fault) = log.demand_detail(stored)
            {
                log.note_damage(fault);
            }
        });
        let mut failed = false;
        let until_fault = records.take_while(move |record| !std::mem::replace(&mut failed, record.is_err()));
        let wanted = move |record: &Result<Stored, Fault>| match record {
            Ok(stored) => query.matches(stored),
            Err(_) => true,
        };
        Ok(Box::new(until_fault.filter(wanted).take(limit)))
    }

    /// On the bridge's own machine, a record that retention did not touch has the detail that it commits to beside it.
    fn demand_detail(&self, stored: &Stored) -> Result<(), Fault> {
        let commitments: Vec<Hash> = stored.details.iter().map(|piece| piece.commitment).collect();
        let entry = &stored.entry;
        let whole = entry.details == 0 || base64(&detail::root(&commitments)) == entry.detail;
        if self.trust.key.is_none() || whole || stored.index < self.believed_kept()?.detail {
            return Ok(());
        }
        let (kind, said) = match stored.details.is_empty() {
            true => (FaultKind::Missing, "the record's detail is missing, and no retention says so"),
            false => (FaultKind::Altered, "the detail is not what the record commits to"),
        };
        Err(Fault::new(kind, "detail", said).entry(stored.index))
    }

    /// The first record of an action in that order, if the signed tree holds it: what is concluded from it must not come
    /// from a bundle or an index that somebody altered.
    pub(crate) fn recorded(&self, action: &str, order: Order) -> Result<Option<Stored>, Fault> {
        let head = self.unverified_checkpoint()?;
        for stored in self.query(Query { action: Some(action.to_owned()), order, ..Query::default() })? {
            let stored = stored?;
            if stored.index >= head.size {
                continue;
            }
            let leaf = leaf_hash(stored.json.as_bytes());
            let path = self.prove_inclusion(stored.index, head.size)?;
            if !check_inclusion(&head.root, head.size, stored.index, &leaf, &path) {
                let file = tiles::named(Kind::Entries, stored.index / WIDTH, WIDTH);
                let detail = format!("this record of {action} is not the one that was signed");
                return Err(Fault::new(FaultKind::Altered, file, detail).entry(stored.index));
            }
            return Ok(Some(stored));
        }
        Ok(None)
    }

    /// The last `count` records, oldest first.
    pub fn tail(&self, count: usize) -> Result<Vec<Stored>, Fault> {
        let mut records: Vec<Stored> = Backward::new(self, 0)?.take(count).collect::<Result<_, _>>()?;
        records.reverse();
        Ok(records)
    }

    /// All records from this index on. It ends at the newest, and goes on when asked again later.
    pub fn follow(&self, index: u64) -> Follow {
        Follow::from(self, index)
    }
}
