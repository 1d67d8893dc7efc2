use crate::memory::Charge;
use crate::{
    Answered, Clock, Code, Delivery, Denial, Document, Ending, Exchange, Payload, Pipeline, Record, Recorder,
    Reply, ReplyFacts, Source, Stop, StoredAnswer, code,
};
use bytes::Bytes;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Takes one exchange across the bridge: request controls, delivery, reply controls, settlement, record.
///
/// Whatever happens, one record is written: also when this future is dropped because the caller went away. If
/// the trail cannot take the record, the answer is a refusal.
pub fn cross<'c>(
    pipeline: &Arc<Pipeline>,
    trail: &Arc<dyn Recorder>,
    clock: &Arc<dyn Clock>,
    exchange: Exchange,
    source: &'c mut dyn Source,
    delivery: &'c dyn Delivery,
) -> impl Future<Output = Answer> + use<'c> {
    // Before the future is made, which therefore holds the exchange by its box alone.
    let mut tail = Box::new(Tail {
        exchange,
        pipeline: Arc::clone(pipeline),
        trail: Arc::clone(trail),
        clock: Arc::clone(clock),
        stage: Stage::Judging,
        streaming: None,
        passed: 0,
    });
    async move {
        match tail.carry(source, delivery).await {
            Ok((reply, body)) => tail.answer(reply, body).await,
            Err(stop) => tail.stop(stop).await,
        }
    }
}

/// What the transport answers with. Only `Delivered` may still be unrecorded: its [`Tail`] must be told how the
/// answer ended.
pub enum Answer {
    /// Pass the reply on. `body` is there when a control held it; otherwise the reply streams.
    Delivered {
        reply: Box<dyn Reply>,
        body: Option<Bytes>,
        tail: Box<Tail>,
    },
    /// Give this stored answer.
    Replayed {
        answer: Box<StoredAnswer>,
        tail: Box<Tail>,
    },
    Denied {
        denial: Box<Denial>,
        tail: Box<Tail>,
    },
}

impl Answer {
    pub fn exchange(&self) -> &Exchange {
        match self {
            Answer::Delivered { tail, .. } | Answer::Replayed { tail, .. } | Answer::Denied { tail, .. } => {
                tail.exchange()
            }
        }
    }
}

/// An exchange on its way to its record. Dropped before it ended, it records that the caller went away.
pub struct Tail {
    exchange: Exchange,
    pipeline: Arc<Pipeline>,
    trail: Arc<dyn Recorder>,
    clock: Arc<dyn Clock>,
    stage: Stage,
    /// What the target said of a reply that streams.
    streaming: Option<ReplyFacts>,
    /// Bytes of the answer that passed so far.
    passed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Judging,
    Delivering,
    /// The target's reply is here, and nothing of it may cross yet.
    Reading(Answered),
    /// The target's reply is here and on its way to the caller.
    Replied(Answered),
    /// As before, and the record is already taken: only what it could not know is still worth telling.
    Recorded(Answered),
    Ended,
}

/// Held for the reply before the request is delivered, in bytes: that there is no room for a reply of ordinary size
/// must be known while nothing has happened.
const FORESEEN: usize = 8 << 10;

impl Tail {
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

    async fn carry(
        &mut self,
        source: &mut dyn Source,
        delivery: &dyn Delivery,
    ) -> Result<(Box<dyn Reply>, Option<Bytes>), Stop> {
        self.trail.ready()?;
        let (pipeline, exchange) = (&self.pipeline, &mut self.exchange);
        pipeline.open(exchange).await?;
        if let Some(denial) = exchange.refused.take() {
            return Err(denial.into());
        }
        if pipeline.reads().request.is_whole() {
            let mut charge = pipeline.charge(exchange);
            let body = source.read_request(pipeline.max_request(), &mut charge).await?;
            exchange.request = Payload::Whole(Document::held(body, charge));
        } else if pipeline.max_request() == 0 && exchange.asked.has_body {
            // One may be announced and be empty.
            source.read_request(0, &mut Charge::default()).await?;
        }
        let cleared = pipeline.clear(exchange).await?;
        let mut charge = Charge::default();
        if pipeline.reads().reply.is_whole() {
            charge = pipeline.charge(cleared.exchange());
            charge.grow_to(FORESEEN).map_err(|full| full.denial(&code::BRIDGE_FULL))?;
        }
        self.stage = Stage::Delivering;
        let mut reply = delivery.deliver(cleared, source).await?;
        // The target has it; nobody looks at it again.
        exchange.request = Payload::Streamed;
        let facts = reply.facts();
        if exchange.reservation.is_some() {
            exchange.reply_fields = reply.fields();
        }
        if !pipeline.reads().reply.is_whole() || !facts.has_body {
            reply.last_look(None).wait().await?;
            self.stage = Stage::Replied(facts.answered);
            self.streaming = Some(facts);
            return Ok((reply, None));
        }
        self.stage = Stage::Reading(facts.answered);
        exchange.reply_media_type = reply.media_type();
        let body = reply.read(pipeline.max_reply(), &mut charge).await?;
        exchange.reply = Payload::Whole(Document::held(body, charge));
        pipeline.judge_reply(exchange).await?;
        reply.last_look(exchange.reply.bytes()).wait().await?;
        self.stage = Stage::Replied(facts.answered);
        Ok((reply, exchange.reply.bytes().cloned()))
    }

    async fn answer(mut self: Box<Self>, reply: Box<dyn Reply>, body: Option<Bytes>) -> Answer {
        if let (Stage::Replied(answered), true) = (self.stage, self.exchange.flow.integration.durable) {
            self.foresee(body.as_ref());
            let taken = self.record(Ending::Delivered(answered));
            self.stage = Stage::Recorded(answered);
            if let Err(denial) = taken.await {
                let denial = after_delivery(self.stage, denial);
                self.stage = Stage::Ended;
                return Answer::Denied { denial, tail: self };
            }
        }
        Answer::Delivered { reply, body, tail: self }
    }

    /// What is recorded before the answer passes counts what is known of it: a reply that streams may not say its
    /// length, and a switched protocol has none in either direction.
    fn foresee(&mut self, body: Option<&Bytes>) {
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

    async fn stop(mut self: Box<Self>, stop: Stop) -> Answer {
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

    /// Settles and records now; the future that comes back resolves when the answer may be given.
    fn record(&self, ending: Ending) -> impl Future<Output = Result<(), Box<Denial>>> + use<> {
        self.pipeline.settle(&self.exchange, &ending);
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

    /// Settles and records when nobody is left to be refused. Should the trail fail, it says so itself, and
    /// `ready` refuses the next exchange.
    fn end(&mut self, ending: Ending) {
        self.pipeline.settle(&self.exchange, &ending);
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

/// A stored answer that would not cross as it is, for this reason.
fn not_again(why: &Denial) -> Box<Denial> {
    let internal = format!("the stored answer would not cross as the operation is declared now: {why}");
    Box::new(Denial::new(&code::IDEMPOTENCY_UNKNOWN_OUTCOME).internal(internal))
}

fn length(body: &Bytes) -> u64 {
    u64::try_from(body.len()).unwrap_or(u64::MAX)
}

/// What the bridge fails in once the target has answered, or may have acted: what may be sent again before must not
/// be any more.
fn after_delivery(stage: Stage, denial: Box<Denial>) -> Box<Denial> {
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
            Stage::Ended => {}
        }
    }
}
