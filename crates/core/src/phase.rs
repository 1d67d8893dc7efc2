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
