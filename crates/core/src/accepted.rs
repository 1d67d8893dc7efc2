//! An exchange that was let in, and where it goes from there: to its target now, or into a spool.

use crate::memory::Charge;
use crate::tail::{Stage, after_delivery};
use crate::{
    Answer, Clock, Delivery, Denial, Document, Ending, Exchange, LaidDown, Payload, Pipeline, Recorder,
    Reply, Source, Spool, Stop, Tail, code,
};
use bytes::Bytes;
use std::future::Future;
use std::sync::Arc;

/// An exchange that every request control let pass, as a value of its own: it can be delivered now, or be laid down and
/// delivered later. Only [`accept`] and [`crate::resume`] make one. Dropped, it is recorded as given up, with nothing
/// sent.
pub struct Accepted(Box<Tail>);

/// Runs the request controls of one exchange. What they refuse is recorded, and the answer says so.
///
/// Whatever happens, one record is written: also when this future, or what comes of it, is dropped because the caller
/// went away. If the trail cannot take the record, the answer is a refusal.
pub fn accept<'c>(
    pipeline: &Arc<Pipeline>,
    trail: &Arc<dyn Recorder>,
    clock: &Arc<dyn Clock>,
    exchange: Exchange,
    source: &'c mut dyn Source,
) -> impl Future<Output = Result<Accepted, Answer>> + use<'c> {
    // Before the future is made, which therefore holds the exchange by its box alone.
    Accepted::let_in(Tail::new(pipeline, trail, clock, exchange), source)
}

/// Takes one exchange across the bridge at once: request controls, delivery, reply controls, settlement, record.
pub fn cross<'c>(
    pipeline: &Arc<Pipeline>,
    trail: &Arc<dyn Recorder>,
    clock: &Arc<dyn Clock>,
    exchange: Exchange,
    source: &'c mut dyn Source,
    delivery: &'c dyn Delivery,
) -> impl Future<Output = Answer> + use<'c> {
    let tail = Tail::new(pipeline, trail, clock, exchange);
    async move {
        match Accepted::let_in(tail, source).await {
            Ok(accepted) => accepted.deliver(source, delivery).await,
            Err(answer) => answer,
        }
    }
}

impl Accepted {
    async fn let_in(mut tail: Box<Tail>, source: &mut dyn Source) -> Result<Accepted, Answer> {
        match tail.let_in(source).await {
            Ok(()) => Ok(Accepted(tail)),
            Err(stop) => Err(tail.stop(stop).await),
        }
    }

    /// One that was let in before, and may go on.
    pub(crate) fn again(tail: Box<Tail>) -> Accepted {
        Accepted(tail)
    }

    /// What was accepted.
    pub fn exchange(&self) -> &Exchange {
        self.0.exchange()
    }

    /// Delivers it, and lets the reply through as far as its controls do.
    pub async fn deliver(self, source: &mut dyn Source, delivery: &dyn Delivery) -> Answer {
        let Accepted(mut tail) = self;
        match tail.carry(source, delivery).await {
            Ok((reply, body)) => tail.pass(reply, body).await,
            Err(stop) => tail.stop(stop).await,
        }
    }

    /// Takes it over: once it lies in the spool, and the record says so, its caller need not wait for its delivery.
    pub async fn lay_down(self, source: &mut dyn Source, spool: &dyn Spool) -> Answer {
        let Accepted(mut tail) = self;
        if let Err(denial) = tail.lay_down(source, spool).await {
            return tail.stop(denial.into()).await;
        }
        tail.exchange.request = Payload::Streamed;
        let taken = tail.take(Ending::Accepted);
        tail.stage = Stage::LaidDown;
        let Err(denial) = taken.await else {
            tail.settle(&Ending::Accepted);
            tail.stage = Stage::Ended;
            return Answer::Accepted { tail };
        };
        // What no record tells of must not be delivered, unless it is on its way already.
        let stage = if spool.withdraw(tail.exchange.id).await { Stage::Judging } else { Stage::Delivering };
        let denial = after_delivery(stage, denial);
        tail.settle(&Ending::refused(&denial, stage == Stage::Delivering));
        tail.stage = Stage::Ended;
        Answer::Denied { denial, tail }
    }
}

/// Held for the reply before the request is delivered, in bytes: that there is no room for a reply of ordinary size
/// must be known while nothing has happened.
const FORESEEN: usize = 8 << 10;

impl Tail {
    /// The request's controls.
    async fn let_in(&mut self, source: &mut dyn Source) -> Result<(), Stop> {
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
        pipeline.clear(exchange).await
    }

    /// Delivery, and the reply's controls.
    async fn carry(
        &mut self,
        source: &mut dyn Source,
        delivery: &dyn Delivery,
    ) -> Result<(Box<dyn Reply>, Option<Bytes>), Stop> {
        let (pipeline, exchange) = (&self.pipeline, &mut self.exchange);
        let cleared = pipeline.cleared(exchange);
        let mut charge = Charge::default();
        if pipeline.reads().reply.is_whole() {
            charge = pipeline.charge(cleared.exchange());
            charge.grow_to(FORESEEN).map_err(|full| full.denial(&code::BRIDGE_FULL))?;
        }
        (self.stage, self.begun) = (Stage::Delivering, true);
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

    async fn lay_down(&mut self, source: &mut dyn Source, spool: &dyn Spool) -> Result<(), Box<Denial>> {
        if self.exchange.request.bytes().is_none() {
            let mut charge = self.pipeline.charge(&self.exchange);
            let body = source.read_request(self.pipeline.max_request(), &mut charge).await?;
            self.exchange.request = Payload::Whole(Document::held(body, charge));
        }
        let laid = LaidDown::of(&self.exchange)?;
        // Should the caller leave meanwhile, it may lie there all the same.
        self.stage = Stage::Delivering;
        let lies = spool.lay_down(laid).await;
        self.stage = Stage::Judging;
        lies
    }

    async fn pass(mut self: Box<Self>, reply: Box<dyn Reply>, body: Option<Bytes>) -> Answer {
        if let (Stage::Replied(answered), true) = (self.stage, self.exchange.flow.integration.durable) {
            // Of what goes on from a spool, the answer passes to nobody.
            if !self.resumed {
                self.foresee(body.as_ref());
            }
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
}
