//! Looking after what a running bridge has open: what is remembered of the trail, and the journal's segment. Nobody else
//! writes there, so what does not lie there any more as it was written was done by another hand. Where nothing is lost
//! by that, it is put in order at once, said, and recorded: the bridge knows what belongs there, and a start would not.
//! Where records are lost, the log cannot be written, and exchanges are refused.

use crate::fault::Fault;
use crate::head::Head;
use crate::note::Note;
use crate::segment::{Link, Part};
use crate::shared::Shared;
use ironbridge_core::action::name;
use ironbridge_core::{Action, ExchangeId, OwnerKey};
use ironbridge_seal::random;
use std::io;
use std::sync::Arc;

pub(crate) struct Lookout {
    callers: Arc<OwnerKey>,
    /// What was found, and could not be put in order yet: told and recorded once it is, one of each file.
    unmended: Vec<Fault>,
    /// What has no record yet, as the queue took none.
    unrecorded: Vec<Action>,
}

/// More of them tell nothing more.
const MOST_UNRECORDED: usize = 16;

impl Lookout {
    pub fn new(callers: Arc<OwnerKey>) -> Lookout {
        Lookout { callers, unmended: Vec::new(), unrecorded: Vec::new() }
    }

    /// `all_signed` is the log's size where it holds everything that is durable.
    pub fn look(&mut self, shared: &Shared, all_signed: Option<u64>, closing: bool) -> io::Result<()> {
        let Some(head) = shared.head.get() else { return Ok(()) };
        shared.demand_place()?;
        let segment = match all_signed {
            Some(size) => self.look_at_journal(shared, size, head.newest().link, closing)?,
            None => None,
        };
        for fault in segment.into_iter().chain(head.wrong()) {
            let is_new = self.unmended.iter().all(|known| known.file != fault.file);
            if is_new && self.unmended.len() < MOST_UNRECORDED {
                self.unmended.push(fault);
            }
        }
        if !self.unmended.is_empty() {
            self.mend(shared, head, closing)?;
        } else if closing && !self.unrecorded.is_empty() {
            head.renew(&self.notes(&[])?)?;
        }
        if !closing {
            let callers = &self.callers;
            self.unrecorded.retain(|mended| shared.push(|encoded| encoded.action(mended, callers)).is_err());
        }
        Ok(())
    }

    /// Puts the head in order, and says so then: what cannot be put in order is an outage, and told as one.
    fn mend(&mut self, shared: &Shared, head: &Head, closing: bool) -> io::Result<()> {
        let mended: Vec<Action> = self.unmended.iter().map(|fault| self.action(shared, fault)).collect();
        // No more records are taken at the end: the next start writes them.
        let notes = if closing { self.notes(&mended)? } else { Vec::new() };
        if let Err(error) = head.renew(&notes) {
            let faults: Vec<String> = self.unmended.iter().map(Fault::to_string).collect();
            return Err(io::Error::other(format!(
                "another hand changed what the audit trail stands on ({}), and it cannot be put in order: {error}",
                faults.join("; ")
            )));
        }
        for fault in self.unmended.drain(..) {
            tracing::error!(%fault, "another hand changed what the audit trail stands on; it is put in order, and nothing is lost");
        }
        if !closing {
            let room = MOST_UNRECORDED.saturating_sub(self.unrecorded.len());
            self.unrecorded.extend(mended.into_iter().take(room));
        }
        Ok(())
    }

    /// What has no record yet, and these, for the next start to write.
    fn notes(&self, newest: &[Action]) -> io::Result<Vec<Note>> {
        let all = self.unrecorded.iter().chain(newest).map(|mended| Note::of(mended, &self.callers));
        all.collect::<Result<_, _>>().map_err(io::Error::other)
    }

    /// The journal needs nothing of a segment whose records are all signed, but a start does.
    fn look_at_journal(
        &self,
        shared: &Shared,
        size: u64,
        link: Link,
        closing: bool,
    ) -> io::Result<Option<Fault>> {
        let (disk, live) = (&*shared.disk, shared.live.lock().segment());
        let mut fault = live.as_ref().and_then(|segment| segment.wrong(disk, &shared.places.journal));
        if closing && live.is_some() && fault.is_none() {
            // As the next start will read it.
            let mut cursor = shared.journal_from(size);
            fault = match cursor.read(disk) {
                Err(fault) => Some(fault),
                Ok(_) => cursor.ends_before(size),
            };
        }
        if fault.is_some() {
            shared.live.lock().spoil();
        }
        // Also where that was found earlier, and no record came since that would have begun another one.
        if closing && shared.live.lock().is_spoiled() {
            drop(shared.new_segment(Part::Journal, size, link)?);
        }
        Ok(fault)
    }

    fn action(&self, shared: &Shared, fault: &Fault) -> Action {
        let now = shared.clock.now();
        let id = ExchangeId::new(now, random::bytes());
        let action = Action::done(id, now, name::MEND, "");
        Action { actor: "bridge".to_owned(), ..action }.fact("found", fault.to_string())
    }
}
