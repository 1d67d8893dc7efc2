//! What comes of a connection's bytes, request by request.

use super::Limits;
use super::chunked::{Chunked, From, Progress};
use super::head::{Framing, Head, Verdict};
use ironbridge_core::Code;

/// Follows a connection's requests from one to the next.
pub(super) struct Judge {
    limits: Limits,
    phase: Phase,
    /// Heads that passed so far.
    heads: u64,
    /// Whether the request in hand asks for an upgrade.
    upgrade: bool,
}

enum Phase {
    Head(Head),
    Length(u64),
    Chunked(Chunked),
}

/// What became of a run of bytes.
#[derive(Debug, PartialEq)]
pub(super) struct Judged {
    /// How many, from the first, may pass.
    pub passed: usize,
    pub then: Then,
}

#[derive(Debug, PartialEq)]
pub(super) enum Then {
    /// The rest, if any, is the beginning of a head.
    More,
    /// The next head is refused.
    Refuse(&'static Code),
    /// The body in hand is malformed.
    Fault(&'static Code),
    /// A request that asks for an upgrade is complete; what follows may not be HTTP.
    Upgrade,
}

impl Judge {
    pub fn new(limits: Limits) -> Judge {
        Judge { limits, phase: Phase::next(), heads: 0, upgrade: false }
    }

    pub fn heads(&self) -> u64 {
        self.heads
    }

    pub fn is_between_requests(&self) -> bool {
        matches!(self.phase, Phase::Head(_))
    }

    /// Within a head, `bytes` begin where the head begins; else where the last call's `passed` ended.
    pub fn judge(&mut self, bytes: &[u8]) -> Judged {
        let mut passed = 0;
        loop {
            let rest = bytes.get(passed..).unwrap_or_default();
            if rest.is_empty() {
                return Judged { passed, then: Then::More };
            }
            match &mut self.phase {
                Phase::Head(head) => match head.scan(rest, &self.limits) {
                    Verdict::Partial => return Judged { passed, then: Then::More },
                    Verdict::Refused(code) => return Judged { passed, then: Then::Refuse(code) },
                    Verdict::Complete(complete) => {
                        passed += complete.length;
                        self.heads += 1;
                        self.upgrade = complete.upgrade;
                        self.phase = match complete.framing {
                            Framing::Chunked => Phase::Chunked(Chunked::new(From::Caller)),
                            Framing::Length(length @ 1..) => Phase::Length(length),
                            Framing::None | Framing::Length(0) => Phase::next(),
                        };
                    }
                },
                Phase::Length(left) => {
                    let taken = usize::try_from(*left).map_or(rest.len(), |left| left.min(rest.len()));
                    passed += taken;
                    *left -= taken as u64;
                    if *left == 0 {
                        self.phase = Phase::next();
                    }
                }
                Phase::Chunked(body) => match body.scan(rest, &self.limits) {
                    Progress::More => return Judged { passed: bytes.len(), then: Then::More },
                    Progress::Fault(code) => return Judged { passed, then: Then::Fault(code) },
                    Progress::Done(length) => {
                        passed += length;
                        self.phase = Phase::next();
                    }
                },
            }
            if self.upgrade && self.is_between_requests() {
                self.upgrade = false;
                return Judged { passed, then: Then::Upgrade };
            }
        }
    }
}

impl Phase {
    fn next() -> Phase {
        Phase::Head(Head::default())
    }
}
