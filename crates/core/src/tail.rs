//! How an exchange ends: settled once, and recorded once, whatever becomes of it.

use crate::{
    Answered, Clock, Code, Denial, Ending, Exchange, Payload, Pipeline, Record, Recorder, ReplyFacts, code,
};
use bytes::Bytes;
use std::future::Future;
use std::sync::Arc;

/// An exchange on its way to its record. Dropped before it ended, it records that the caller went away.
pub struct Tail {
    pub(crate) exchange: Exchange,
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) trail: Arc<dyn Recorder>,
    clock: Arc<dyn Clock>,
    pub(crate) stage: Stage,
    /// What the target said of a reply that streams.
    pub(crate) streaming: Option<ReplyFacts>,
    /// Bytes of the answer that passed so far.
    passed: u64,
    /// It was let in before.
    pub(crate) resumed: bool,
    /// Delivery began.
    pub(crate) begun: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nothing of it has left the bridge.
    Judging,
    /// Something of it may have.
    Delivering,
    /// The target's reply is here, and nothing of it may cross yet.
    Reading(Answered),
    /// The target's reply is here and on its way to the caller.
    Replied(Answered),
    /// As before, and the record is already taken: only what it could not know is still worth telling.
    Recorded(Answered),
    /// It lies in a spool, and is not settled yet.
    LaidDown,
    Ended,
}

impl Tail {
    pub(crate) fn new(
        pipeline: &Arc<Pipeline>,
        trail: &Arc<dyn Recorder>,
        clock: &Arc<dyn Clock>,
        exchange: Exchange,
    ) -> Box<Tail> {
        Box::new(Tail {
            exchange,
            pipeline: Arc::clone(pipeline),
            trail: Arc::clone(trail),
            clock: Arc::clone(clock),
            stage: Stage::Judging,
            streaming: None,
            passed: 0,
            resumed: false,
            begun: false,
        })
    }

    /// What it will record.
    pub fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// Counts bytes of the answer as they pass.
    pub fn count_out(&mut self, bytes: u64) {
        self.passed = self.passed.saturating_add(bytes);
        if let Stage::Replied(_) = self.stage {
            self.exchange.bytes_out = self.exchange.bytes_out.saturating_add(bytes);
        }
    }

    /// Counts bytes toward the target that belong to no request body: a switched protocol's.
    pub fn count_in(&mut self, bytes: u64) {
        self.exchange.bytes_in = self.exchange.bytes_in.saturating_add(bytes);
    }

    /// The answer reached its end.
    pub fn finish(mut self: Box<Self>) {
        match self.stage {
            Stage::Replied(answered) => self.end(Ending::Delivered(answered)),
            Stage::Recorded(answered) if self.exchange.uncounted_out || self.exchange.uncounted_in => {
                self.amend(Ending::Delivered(answered));
            }
            _ => {}
        }
        self.stage = Stage::Ended;
    }

    /// The answer is cut while it passes, for this reason.
    pub fn cut(mut self: Box<Self>, code: &'static Code) {
        match self.stage {
            Stage::Replied(answered) => self.end(Ending::Cut(answered, code)),
            Stage::Recorded(answered) => self.amend(Ending::Cut(answered, code)),
            _ => {}
        }
        self.stage = Stage::Ended;
    }

    /// What is recorded before the answer passes counts what is known of it: a reply that streams may not say its
    /// length, and a switched protocol has none in either direction.
    pub(crate) fn foresee(&mut self, body: Option<&Bytes>) {
        let exchange = &mut self.exchange;
        match (body, self.streaming) {
            (Some(body), _) => exchange.bytes_out = length(body),
            (None, Some(facts)) => {
                exchange.bytes_out = facts.length.unwrap_or(0);
                exchange.uncounted_out = facts.length.is_none();
                exchange.uncounted_in = facts.length.is_none() && !facts.has_body;
            }
            (None, None) => {}
        }
    }

    /// Records now; the future that comes back resolves when that would survive a power cut, if it has to.
    pub(crate) fn take(&self, ending: Ending) -> impl Future<Output = Result<(), Box<Denial>>> + use<> {
        let taken = self.append(ending, false);
        let trail = self.exchange.flow.integration.durable.then(|| Arc::clone(&self.trail));
        async move {
            let position = taken?;
            match trail {
                Some(trail) => trail.durable(position).await,
                None => Ok(()),
            }
        }
    }

    /// Settles and records now; the future that comes back resolves when the answer may be given.
    pub(crate) fn record(&self, ending: Ending) -> impl Future<Output = Result<(), Box<Denial>>> + use<> {
        self.settle(&ending);
        self.take(ending)
    }

    pub(crate) fn settle(&self, ending: &Ending) {
        if self.resumed {
            self.pipeline.settle_again(&self.exchange, ending);
        } else {
            self.pipeline.settle(&self.exchange, ending);
        }
    }

    /// Settles and records when nobody is left to be refused. Should the trail fail, it says so itself, and
    /// `ready` refuses the next exchange.
    fn end(&mut self, ending: Ending) {
        self.settle(&ending);
        let _ = self.append(ending, false);
    }

    /// Records what crossed, where the record that is on disk already could not know it.
    fn amend(&mut self, ending: Ending) {
        self.exchange.bytes_out = self.passed;
        (self.exchange.uncounted_in, self.exchange.uncounted_out) = (false, false);
        let _ = self.append(ending, true);
    }

    fn append(&self, ending: Ending, amends: bool) -> Result<crate::Position, Box<Denial>> {
        let duration = self.clock.monotonic().saturating_sub(self.exchange.started);
        self.trail.append(Record { exchange: &self.exchange, ending, duration, amends })
    }
}

pub(crate) fn length(body: &Bytes) -> u64 {
    u64::try_from(body.len()).unwrap_or(u64::MAX)
}

/// What the bridge fails in once the target has answered, or may have acted: what may be sent again before must not
/// be any more.
pub(crate) fn after_delivery(stage: Stage, denial: Box<Denial>) -> Box<Denial> {
    let ours = [&code::AUDIT_UNAVAILABLE, &code::STORE_UNAVAILABLE].contains(&denial.code);
    let code = match stage {
        Stage::Judging => return denial,
        Stage::Reading(_) if *denial.code == code::BRIDGE_FULL => &code::REPLY_NOT_HELD,
        _ if ours => &code::ANSWER_WITHHELD,
        _ => return denial,
    };
    Box::new(Denial { code, retry_after: None, detail: None, ..*denial })
}

impl Drop for Tail {
    fn drop(&mut self) {
        // The caller went away, unless the bridge ended the connection.
        let parted = self.exchange.origin.parting();
        let refused = |code, sent| Ending::refused(&Denial::new(code), sent);
        let cut = |answered| match parted {
            Some(code) => Ending::Cut(answered, code),
            None => Ending::Partial(answered),
        };
        match self.stage {
            Stage::Judging => self.end(match parted {
                Some(code) => refused(code, false),
                None => Ending::Abandoned { sent: false },
            }),
            Stage::Delivering => self.end(match self.exchange.broken_off.or(parted) {
                Some(code) => refused(code, true),
                None => Ending::Abandoned { sent: true },
            }),
            Stage::Reading(answered) => {
                // What no control let pass must not be kept as an answer.
                self.exchange.reply = Payload::Streamed;
                self.end(cut(answered));
            }
            Stage::Replied(answered) => self.end(cut(answered)),
            Stage::Recorded(answered) => self.amend(cut(answered)),
            Stage::LaidDown => self.settle(&Ending::Accepted),
            Stage::Ended => {}
        }
    }
}
