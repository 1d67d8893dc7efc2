//! What the audit trail is told of an exchange, and what takes it. Nothing here knows how a record is written.

use crate::{Action, BoxFuture, Counted, Denial, Ending, Exchange};
use std::time::Duration;

/// How far a store came: a store that comes later with a lower number, or of another life, was set back or exchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreMark {
    /// Random, given once; zeros mean that nothing is known.
    pub life: [u8; 16],
    /// How often what it remembers of its own rows, owners' keys among them, was written.
    pub changes: u64,
    /// Where that led to: each time a step further, by chance. Zeros of a store that an earlier version wrote.
    pub step: [u8; 32],
}

impl StoreMark {
    /// Whether a store with this mark can be the one that had `before`. That it is, only the store can tell, which knows
    /// its steps; but not of a mark that an earlier version wrote ([`StoreMark::is_counted`]).
    pub fn can_follow(self, before: StoreMark) -> bool {
        before == StoreMark::default()
            || (self.life == before.life
                && match self.changes == before.changes {
                    true => before.is_counted() || self.step == before.step,
                    false => self.changes > before.changes,
                })
    }

    /// Whether nothing but the count is known.
    pub fn is_counted(self) -> bool {
        self.step == [0; 32]
    }
}

/// What the audit trail is told of one exchange. It borrows, so that a record costs one encoding and no copy.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// What crossed, or did not.
    pub exchange: &'a Exchange,
    /// How it ended.
    pub ending: Ending,
    /// From arrival to the ending.
    pub duration: Duration,
    /// True for a second record of the same exchange: its first was written before the answer was sent, and
    /// the answer then broke off.
    pub amends: bool,
}

impl Record<'_> {
    /// The transport's number of the ending: the target's own where it answered, else the one that the caller was refused
    /// with.
    pub fn mark(&self) -> Option<u16> {
        match self.ending {
            Ending::Delivered(answered)
            | Ending::Replayed(answered)
            | Ending::Partial(answered)
            | Ending::Cut(answered, _) => answered.mark,
            Ending::Denied(code) | Ending::Failed(code) => {
                (self.exchange.flow.integration.transport.mark)(code)
            }
            Ending::Accepted | Ending::Abandoned { .. } => None,
        }
    }

    /// How many records of data crossed; `None` where that is not known.
    pub fn records(&self) -> Option<u64> {
        let exchange = self.exchange;
        let toward_target = exchange.bytes_in() > 0 || exchange.uncounted_in;
        let back = exchange.bytes_out > 0 || exchange.uncounted_out;
        let request = toward_target.then_some(exchange.request_records);
        // Of what broke off, nobody knows how much arrived; a stored answer is not read again.
        let (request, reply) = match self.ending {
            Ending::Accepted | Ending::Denied(_) | Ending::Abandoned { sent: false } => (None, None),
            Ending::Failed(_) | Ending::Abandoned { sent: true } => (request, None),
            Ending::Delivered(answered) if answered.is_declined() => (request, None),
            Ending::Delivered(_) => (request, back.then_some(exchange.reply_records)),
            Ending::Replayed(_) => (None, back.then_some(Counted::No)),
            Ending::Partial(_) | Ending::Cut(..) => (request, back.then_some(Counted::No)),
        };
        match (request, reply) {
            (Some(request), Some(reply)) => Counted::in_all(&[request, reply]),
            (Some(one), None) | (None, Some(one)) => Counted::in_all(&[one]),
            (None, None) => Some(0),
        }
    }
}

/// A record's place in the audit trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

/// Where records go. Implemented by `audit`.
pub trait Recorder: Send + Sync {
    /// Whether the next record can be taken. Asked before an exchange is judged, so that nothing crosses that
    /// could not be recorded.
    fn ready(&self) -> Result<(), Box<Denial>>;

    /// Takes the record and gives it a place in the trail's order. Does not wait.
    fn append(&self, record: Record<'_>) -> Result<Position, Box<Denial>>;

    /// As `append`, for what an administrator or the bridge itself did.
    fn act(&self, action: &Action) -> Result<Position, Box<Denial>>;

    /// Resolves once everything up to `position` would survive a power cut.
    fn durable(&self, position: Position) -> BoxFuture<'_, Result<(), Box<Denial>>>;
}
