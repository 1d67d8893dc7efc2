//! Looking after what a running bridge has open: what is remembered of the trail, and the journal's segment. Nobody else
//! writes there, so what does not lie there any more as it was written was done by another hand. Where nothing is lost
//! by that, it is put in order at once, said, and recorded: the bridge knows what belongs there, and a start would not.
//! Where records are lost, the log cannot be written, and exchanges are refused.

use crate::fault::Fault;
use crate::head::Note;
use crate::segment::{Link, Part};
use crate::shared::Shared;
use ironbridge_core::action::name;
use ironbridge_core::{Action, ExchangeId, OwnerKey};
use ironbridge_seal::random;
use std::io;
use std::sync::Arc;

pub(crate) struct Lookout {
    callers: Arc<OwnerKey>,
}

impl Lookout {
    pub fn new(callers: Arc<OwnerKey>) -> Lookout {
        Lookout { callers }
    }

    /// `all_signed` is the log's size where it holds everything that is durable.
    pub fn look(&self, shared: &Shared, all_signed: Option<u64>, closing: bool) -> io::Result<()> {
        let Some(head) = shared.head.get() else { return Ok(()) };
        let segment = match all_signed {
            Some(size) => self.look_at_journal(shared, size, head.newest().link, closing)?,
            None => None,
        };
        let Some(fault) = segment.into_iter().chain(head.sync()?).next() else { return Ok(()) };
        let mended = self.action(shared, &fault);
        // Whoever closes the trail takes no more records: the next start writes it.
        let note =
            if closing { Some(Note::of(&mended, &self.callers).map_err(io::Error::other)?) } else { None };
        head.renew(note.as_ref())?;
        tracing::error!(%fault, "another hand changed what the audit trail stands on; it was put in order, and nothing is lost");
        if !closing && let Err(denial) = shared.push(|encoded| encoded.action(&mended, &self.callers)) {
            tracing::error!(%denial, "that has no record");
        }
        Ok(())
    }

    /// The journal needs nothing of a segment whose records are all signed, but a start does.
    fn look_at_journal(
        &self,
        shared: &Shared,
        size: u64,
        link: Link,
        closing: bool,
    ) -> io::Result<Option<Fault>> {
        let Some(segment) = shared.live.lock().segment() else { return Ok(None) };
        let disk = &*shared.disk;
        let mut fault = segment.wrong(disk, &shared.places.journal);
        if closing && fault.is_none() {
            // As the next start will read it.
            let mut cursor = shared.journal_from(size);
            fault = match cursor.read(disk) {
                Err(fault) => Some(fault),
                Ok(_) => cursor.ends_before(size),
            };
        }
        if fault.is_some() {
            shared.live.lock().spoil();
            if closing {
                drop(shared.new_segment(Part::Journal, size, link)?);
            }
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
