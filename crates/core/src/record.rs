use crate::{Action, BoxFuture, Code, Counted, Denial, Exchange, Fault, code, word};
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

/// What a target answered, in words that every transport has. An answer by which a target says that it failed is none
/// of these: the delivery refuses it (`target-failed` and its kin), so that none of it crosses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// The number that the transport has for the answer, for the record: an HTTP status. `None` where it has none.
    pub mark: Option<u16>,
    pub said: Said,
}

/// What an answer says of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// The target did what it was asked, or tells what there is.
    Done,
    /// The target will not do it. Its words stay here; the caller is told that it declined.
    Declined,
    /// The target declines for now: it did not take the request up, and the same may be sent again.
    Untaken,
}

impl Answered {
    /// Whether the caller is told so in place of the target's words.
    pub const fn is_declined(self) -> bool {
        matches!(self.said, Said::Declined | Said::Untaken)
    }
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The bridge took it over, and delivers it later; a record of its own says how that ended.
    Accepted,
    /// The target answered and the answer was passed on.
    Delivered(Answered),
    /// A stored answer was given again; nothing reached the target.
    Replayed(Answered),
    /// The target answered, and the caller, or its connection, was gone before all of the answer had passed.
    Partial(Answered),
    /// The target answered, and its answer was cut while it passed: the code says why.
    Cut(Answered, &'static Code),
    /// A control refused it; nothing reached the target.
    Denied(&'static Code),
    /// It was allowed but failed at the target or in the bridge after delivery began.
    Failed(&'static Code),
    /// The caller went away by itself before the target had answered. `sent` says whether the request may have reached it.
    Abandoned { sent: bool },
}

/// The outcomes that records, queries and reports speak of; each has its page ([`crate::word`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The answer crossed whole, or the action was done.
    Success,
    /// Taken over, to be delivered later. No crossing yet: another record says how it ended.
    Accepted,
    /// A part of the answer crossed.
    Partial,
    /// Refused before anything reached the target.
    Denied,
    /// Let through, and failed after that.
    Failed,
}

impl Outcome {
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Success => word::SUCCESS.id,
            Outcome::Accepted => word::ACCEPTED.id,
            Outcome::Partial => word::PARTIAL.id,
            Outcome::Denied => word::DENIED.id,
            Outcome::Failed => word::FAILED.id,
        }
    }
}

impl Ending {
    /// The ending that a refusal makes: before delivery a denial, after it a failure.
    pub fn refused(denial: &Denial, delivering: bool) -> Ending {
        match (delivering, denial.code.fault) {
            (false, Fault::Caller | Fault::Operator | Fault::Bridge) => Ending::Denied(denial.code),
            _ => Ending::Failed(denial.code),
        }
    }

    /// Of the crossing, not of what the target said: that stands in the status (docs/audit-format.md).
    pub const fn outcome(self) -> Outcome {
        match self {
            Ending::Accepted => Outcome::Accepted,
            Ending::Delivered(_) | Ending::Replayed(_) => Outcome::Success,
            Ending::Partial(_) | Ending::Cut(..) => Outcome::Partial,
            Ending::Denied(_) => Outcome::Denied,
            Ending::Failed(_) | Ending::Abandoned { .. } => Outcome::Failed,
        }
    }

    /// A stable word or code that says which ending it was.
    pub const fn code(self) -> &'static str {
        match self {
            // The caller is told so in place of the target's words, and the record says the same.
            Ending::Delivered(answered) if answered.is_declined() => code::TARGET_DECLINED.id,
            Ending::Accepted => word::LAID_DOWN.id,
            Ending::Delivered(_) => word::DELIVERED.id,
            Ending::Replayed(_) => word::REPLAYED.id,
            Ending::Partial(_) => word::BROKEN_OFF.id,
            Ending::Abandoned { .. } => word::CALLER_GONE.id,
            Ending::Cut(_, code) | Ending::Denied(code) | Ending::Failed(code) => code.id,
        }
    }
}

/// What the audit trail is told of one exchange. It borrows, so that a record costs one encoding and no copy.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    pub exchange: &'a Exchange,
    pub ending: Ending,
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
