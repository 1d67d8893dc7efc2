//! In which order controls judge: by the side on which they stand, the phase, and the row of the table. Holds no control.

/// The fixed order in which controls judge an exchange. The order of the variants *is* the order of execution:
/// it is the same for everyone and cannot be configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// May this connection be heard at all?
    Admit,
    /// Who is it?
    Authenticate,
    /// May it do this, for this purpose?
    Authorise,
    /// How often?
    Throttle,
    /// Is it well-formed and true?
    Inspect,
    /// Is it new?
    Replay,
    /// What of it may cross?
    Minimise,
    /// In which form?
    Protect,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Phase; 8] = [
        Phase::Admit,
        Phase::Authenticate,
        Phase::Authorise,
        Phase::Throttle,
        Phase::Inspect,
        Phase::Replay,
        Phase::Minimise,
        Phase::Protect,
    ];

    /// Whether controls of this phase run before a byte of the body is read.
    pub const fn precedes_body(self) -> bool {
        matches!(self, Phase::Admit | Phase::Authenticate | Phase::Authorise | Phase::Throttle)
    }

    /// As the manual calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Phase::Admit => "admit",
            Phase::Authenticate => "authenticate",
            Phase::Authorise => "authorise",
            Phase::Throttle => "throttle",
            Phase::Inspect => "inspect",
            Phase::Replay => "replay",
            Phase::Minimise => "minimise",
            Phase::Protect => "protect",
        }
    }
}

/// On which way across a control stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// From the caller to the target.
    Request,
    /// Back from the target.
    Reply,
}

/// One row of the control order. What is said of a control's place is said here alone: the control names its row, a
/// [`Pipeline`](crate::Pipeline) sorts by it, and the manual prints it.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    /// Counted through the whole table from 0. Within a phase, the lower runs first.
    pub place: usize,
    /// The control's ids in the catalogue, such as `E4`.
    pub id: &'static str,
    /// Controls of requests run before the delivery, those of replies after it.
    pub side: Side,
    /// Comes before the place, so that no body is looked at before it may be read.
    pub phase: Phase,
    /// A short noun such as `rate limit`.
    pub name: &'static str,
    /// What it refuses or changes, in a few words.
    pub what: &'static str,
}

impl Row {
    /// What rows are sorted by.
    pub const fn rank(&self) -> (Side, Phase, usize) {
        (self.side, self.phase, self.place)
    }
}
