use crate::{
    Cleared, Clock, Denial, Document, Ending, Exchange, Payload, Pipeline, Position, Record, Recorder, Stop,
    StoredAnswer,
};
use bytes::Bytes;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a transport does for the runner in the course of one exchange.
pub trait Crossing {
    /// The target's reply, its body not yet read.
    type Reply;

    /// Reads the whole request body, at most `limit` bytes.
    fn read_request(&mut self, limit: u64) -> impl Future<Output = Result<Bytes, Box<Denial>>>;

    /// Delivers to the target and waits for the head of its reply.
    fn deliver(&mut self, cleared: Cleared<'_>) -> impl Future<Output = Result<Self::Reply, Box<Denial>>>;

    fn reply_facts(&self, reply: &Self::Reply) -> ReplyFacts;

    /// Reads the whole body of the reply, at most `limit` bytes.
    fn read_reply(
        &mut self,
        reply: &mut Self::Reply,
        limit: u64,
    ) -> impl Future<Output = Result<Bytes, Box<Denial>>>;
}

#[derive(Debug, Clone, Copy)]
pub struct ReplyFacts {
    pub status: u16,
    /// Body length in bytes, where the target announced it.
    pub length: Option<u64>,
    /// Whether reply controls apply: false for a switched protocol, whose bytes are not a reply body.
    pub has_body: bool,
}

/// What the transport answers with. Every variant but `Delivered` is already recorded.
pub enum Answer<R> {
    /// Pass the reply on. `body` is there when a control held it; otherwise the reply streams, and the
    /// [`Tail`] must be told how that ended.
    Delivered {
        reply: R,
        body: Option<Bytes>,
        tail: Box<Tail>,
    },
    /// Give this stored answer.
    Replayed {
        answer: Box<StoredAnswer>,
        exchange: Box<Exchange>,
    },
    Denied {
        denial: Box<Denial>,
        exchange: Box<Exchange>,
    },
}

/// Takes one exchange across the bridge: request controls, delivery, reply controls, settlement, record.
///
/// Whatever happens, one record is written: also when this future is dropped because the caller went away. If
/// the trail cannot take the record, the answer is a refusal.
pub async fn cross<C: Crossing>(
    pipeline: &Arc<Pipeline>,
    trail: &Arc<dyn Recorder>,
    clock: &Arc<dyn Clock>,
    exchange: Exchange,
    crossing: &mut C,
) -> Answer<C::Reply> {
    let mut open = Tail {
        exchange: Some(Box::new(exchange)),
        pipeline: Arc::clone(pipeline),
        trail: Arc::clone(trail),
        clock: Arc::clone(clock),
        stage: Stage::Judging,
    };
    match carry(&mut open, crossing).await {
        Ok((reply, body)) => open.answered(reply, body).await,
        Err(stop) => open.stopped(stop).await,
    }
}

async fn carry<C: Crossing>(open: &mut Tail, crossing: &mut C) -> Result<(C::Reply, Option<Bytes>), Stop> {
    open.trail.ready()?;
    let pipeline = Arc::clone(&open.pipeline);
    let Some(exchange) = open.exchange.as_deref_mut() else {
        return Err(Denial::new(&crate::code::INTERNAL).into());
    };
    pipeline.open(exchange).await?;
    if pipeline.reads_request() {
        exchange.request =
            Payload::Whole(Document::new(crossing.read_request(pipeline.max_request()).await?));
    }
    let cleared = pipeline.clear(exchange).await?;
    open.stage = Stage::Delivering;
    let mut reply = crossing.deliver(cleared).await?;
    let facts = crossing.reply_facts(&reply);
    open.stage = Stage::Replied { status: facts.status };
    if !pipeline.reads_reply() || !facts.has_body {
        exchange.bytes_out = facts.length.unwrap_or(0);
        return Ok((reply, None));
    }
    let body = crossing.read_reply(&mut reply, pipeline.max_reply()).await?;
    exchange.reply = Payload::Whole(Document::new(body));
    pipeline.judge_reply(exchange).await?;
    let body = exchange.reply.bytes().cloned();
    exchange.bytes_out = body.as_ref().map_or(0, |body| u64::try_from(body.len()).unwrap_or(u64::MAX));
    Ok((reply, body))
}

/// An exchange that is not yet recorded. Dropped before it ends, it records that the caller went away.
pub struct Tail {
    exchange: Option<Box<Exchange>>,
    pipeline: Arc<Pipeline>,
    trail: Arc<dyn Recorder>,
    clock: Arc<dyn Clock>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Judging,
    Delivering,
    /// The target's reply is here and on its way to the caller.
    Replied {
        status: u16,
    },
    /// As before, and the record is already durable: only a broken answer is still worth telling.
    Recorded {
        status: u16,
    },
}

impl Tail {
    /// The exchange, until it ends.
    pub fn exchange(&self) -> Option<&Exchange> {
        self.exchange.as_deref()
    }

    /// Counts bytes of a streaming reply as they pass.
    pub fn count_out(&mut self, bytes: u64) {
        if let Some(exchange) = self.exchange.as_deref_mut() {
            exchange.bytes_out = exchange.bytes_out.saturating_add(bytes);
        }
    }

    /// A streaming reply starts: from here on its bytes are counted as they pass.
    pub fn starts_streaming(&mut self) {
        if let (Some(exchange), Stage::Replied { .. }) = (self.exchange.as_deref_mut(), self.stage) {
            exchange.bytes_out = 0;
        }
    }

    /// The answer reached its end.
    pub fn finish(mut self: Box<Self>) {
        if let Stage::Replied { status } = self.stage {
            self.end(Ending::Delivered { status }, false);
        }
        self.exchange = None;
    }

    async fn answered<R>(mut self, reply: R, body: Option<Bytes>) -> Answer<R> {
        let (Stage::Replied { status }, Some(exchange)) = (self.stage, self.exchange.as_deref()) else {
            return self.stopped(Denial::new(&crate::code::INTERNAL).into()).await;
        };
        let ending = Ending::Delivered { status };
        if exchange.flow.integration.durable {
            self.pipeline.settle(exchange, &ending);
            if let Err(denial) = self.record_durably(ending).await {
                return self.unrecorded(denial);
            }
            self.stage = Stage::Recorded { status };
        }
        Answer::Delivered { reply, body, tail: Box::new(self) }
    }

    async fn stopped<R>(mut self, stop: Stop) -> Answer<R> {
        let ending = match &stop {
            Stop::Replay(answer) => Ending::Replayed { status: answer.status },
            Stop::Deny(denial) => Ending::refused(denial, self.stage != Stage::Judging),
        };
        if let Some(exchange) = self.exchange.as_deref() {
            self.pipeline.settle(exchange, &ending);
        }
        if let Err(denial) = self.record_durably(ending).await {
            return self.unrecorded(denial);
        }
        let exchange = self.exchange.take().unwrap_or_else(|| Box::new(nowhere()));
        match stop {
            Stop::Replay(answer) => Answer::Replayed { answer, exchange },
            Stop::Deny(denial) => Answer::Denied { denial, exchange },
        }
    }

    /// The trail failed: the caller is refused whatever had been decided.
    fn unrecorded<R>(mut self, denial: Box<Denial>) -> Answer<R> {
        let exchange = self.exchange.take().unwrap_or_else(|| Box::new(nowhere()));
        Answer::Denied { denial, exchange }
    }

    async fn record_durably(&self, ending: Ending) -> Result<(), Box<Denial>> {
        let (Some(position), durable) = self.append(ending, false)? else { return Ok(()) };
        if durable { self.trail.durable(position).await } else { Ok(()) }
    }

    fn append(&self, ending: Ending, amends: bool) -> Result<(Option<Position>, bool), Box<Denial>> {
        let Some(exchange) = self.exchange.as_deref() else { return Ok((None, false)) };
        let duration = self.clock.monotonic().saturating_sub(exchange.started);
        let position = self.trail.append(Record { exchange, ending, duration, amends })?;
        Ok((Some(position), exchange.flow.integration.durable))
    }

    /// Ends without waiting.
    fn end(&mut self, ending: Ending, amends: bool) {
        if let Some(exchange) = self.exchange.as_deref().filter(|_| !amends) {
            self.pipeline.settle(exchange, &ending);
        }
        // Nobody is left to be refused: the trail itself reports that it cannot be written, and `ready` refuses
        // the next exchange.
        let _ = self.append(ending, amends);
        self.exchange = None;
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        if self.exchange.is_none() {
            return;
        }
        match self.stage {
            Stage::Judging | Stage::Delivering => self.end(Ending::Abandoned { delivered: false }, false),
            Stage::Replied { status } => self.end(Ending::Partial { status }, false),
            Stage::Recorded { status } => self.end(Ending::Partial { status }, true),
        }
    }
}

/// Stands in where an exchange was already taken; no path reaches it.
fn nowhere() -> Exchange {
    let flow = Arc::new(crate::Flow::undeclared("none", 0));
    Exchange::new(Default::default(), Default::default(), Default::default(), flow, Default::default())
}
