//! How an exchange ends, in words that every transport has. It knows no number of any of them but as a mark for the record.

use crate::{Code, Denial, Fault, code, word};

/// What a target answered, in words that every transport has. An answer by which a target says that it failed is none
/// of these: the delivery refuses it (`target-failed` and its kin), so that none of it crosses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// The number that the transport has for the answer, for the record: an HTTP status. `None` where it has none.
    pub mark: Option<u16>,
    /// What it says of the request.
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
    /// The caller went away by itself before the target had answered.
    Abandoned {
        /// Whether the request may have reached it.
        sent: bool,
    },
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
    /// As records hold it.
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
