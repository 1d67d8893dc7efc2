//! What a transport answers with, and how an exchange that goes no further gets there.

use crate::tail::{Stage, after_delivery, length};
use crate::{Denial, Document, Ending, Exchange, Payload, Reply, Stop, StoredAnswer, Tail, code};
use bytes::Bytes;

/// What the transport answers with. Only `Delivered` may still be unrecorded: its [`Tail`] must be told how the
/// answer ended.
pub enum Answer {
    /// Pass the reply on. `body` is there when a control held it; otherwise the reply streams.
    Delivered {
        /// What the target answered.
        reply: Box<dyn Reply>,
        /// All of its body, where a control held it.
        body: Option<Bytes>,
        /// To be told how the answer ended.
        tail: Box<Tail>,
    },
    /// Give this stored answer.
    Replayed {
        /// As it was kept, cut to what crosses now.
        answer: Box<StoredAnswer>,
        /// Already recorded.
        tail: Box<Tail>,
    },
    /// Say that it was taken over, and will be delivered.
    Accepted {
        /// Already recorded.
        tail: Box<Tail>,
    },
    /// Say that it was refused, and no more than the denial has for the caller.
    Denied {
        /// Why.
        denial: Box<Denial>,
        /// Already recorded.
        tail: Box<Tail>,
    },
}

impl Answer {
    /// What was answered.
    pub fn exchange(&self) -> &Exchange {
        match self {
            Answer::Delivered { tail, .. }
            | Answer::Replayed { tail, .. }
            | Answer::Accepted { tail }
            | Answer::Denied { tail, .. } => tail.exchange(),
        }
    }
}

impl Tail {
    pub(crate) async fn stop(mut self: Box<Self>, stop: Stop) -> Answer {
        let stop = match stop {
            Stop::Replay(answer) => Box::pin(self.again(answer)).await.map_or_else(Stop::Deny, Stop::Replay),
            Stop::Deny(denial) => Stop::Deny(after_delivery(self.stage, denial)),
        };
        let ending = match &stop {
            Stop::Replay(answer) => {
                self.exchange.bytes_out = length(&answer.body);
                Ending::Replayed(answer.answered)
            }
            Stop::Deny(denial) => {
                self.exchange.refused_by.clone_from(&denial.by);
                Ending::refused(denial, self.stage != Stage::Judging)
            }
        };
        self.exchange.request = Payload::Streamed;
        let taken = self.record(ending);
        let stage = std::mem::replace(&mut self.stage, Stage::Ended);
        match (taken.await, stop) {
            (Err(denial), _) => Answer::Denied { denial: after_delivery(stage, denial), tail: self },
            (Ok(()), Stop::Deny(denial)) => Answer::Denied { denial, tail: self },
            (Ok(()), Stop::Replay(answer)) => Answer::Replayed { answer, tail: self },
        }
    }

    /// A stored answer counts like one that was just read, and crosses as far as one would now: since it was stored,
    /// less may have been declared.
    async fn again(&mut self, mut answer: Box<StoredAnswer>) -> Result<Box<StoredAnswer>, Box<Denial>> {
        let (pipeline, exchange) = (&self.pipeline, &mut self.exchange);
        let mut charge = pipeline.charge(exchange);
        charge.grow_to(answer.body.len()).map_err(|full| full.denial(&code::BRIDGE_FULL))?;
        if length(&answer.body) > pipeline.max_reply() {
            return Err(not_again(&Denial::new(&code::REPLY_TOO_LARGE)));
        }
        exchange.reply_media_type.clone_from(&answer.content_type);
        exchange.reply = Payload::Whole(Document::held(std::mem::take(&mut answer.body), charge));
        let judged = pipeline.minimise_again(exchange).await;
        let kept = std::mem::take(&mut exchange.reply);
        match judged {
            Ok(()) => answer.body = kept.bytes().cloned().unwrap_or_default(),
            Err(Stop::Deny(denial)) if denial.code.retry => return Err(denial),
            Err(Stop::Deny(denial)) => return Err(not_again(&denial)),
            Err(Stop::Replay(_)) => return Err(not_again(&Denial::new(&code::INTERNAL))),
        }
        Ok(answer)
    }
}

/// A stored answer that would not cross as it is, for this reason.
fn not_again(why: &Denial) -> Box<Denial> {
    let internal = format!("the stored answer would not cross as the operation is declared now: {why}");
    Box::new(Denial::new(&code::IDEMPOTENCY_UNKNOWN_OUTCOME).internal(internal))
}
