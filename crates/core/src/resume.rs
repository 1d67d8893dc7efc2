//! How what was laid down goes on.

use crate::accepted::Accepted;
use crate::memory::Charge;
use crate::{
    Answer, Clock, Denial, Document, Exchange, ExchangeId, Flow, Inflow, LaidDown, LocalFuture, Origin,
    Payload, Pipeline, Principal, Recorder, Said, Settled, Source, Spooled, Stop, Subject, SubjectKeys, Tail,
    code,
};
use bytes::Bytes;
use std::sync::Arc;

/// How things stand when an exchange goes on: under the manifest of this moment, not of when it was accepted.
pub struct Resumption<'a> {
    /// Where its own record goes.
    pub trail: &'a Arc<dyn Recorder>,
    /// The time by which it is judged now.
    pub clock: &'a Arc<dyn Clock>,
    /// Whose keys its data is sealed under.
    pub subjects: &'a dyn SubjectKeys,
    /// A new one: its record is another than that of the acceptance.
    pub id: ExchangeId,
    /// The operation that has its names now; [`Flow::undeclared`] where none has.
    pub flow: Arc<Flow>,
    /// The controls of that operation, as they are declared now.
    pub pipeline: &'a Arc<Pipeline>,
    /// Whom `identity` knows by its account's name and its credential's id now, or why nobody may go on with it.
    pub principal: Result<Principal, Box<Denial>>,
}

/// Lets what was laid down go on, if its account may still do this, and anything may go to its target. What is refused is
/// recorded, as everything that comes of it is, under an id of its own beside that of the acceptance.
pub async fn resume(mut laid: LaidDown, now: Resumption<'_>) -> Result<Accepted, Answer> {
    let Resumption { trail, clock, subjects, id, flow, pipeline, principal } = now;
    let origin = Origin::Spool(Spooled { accepted: laid.id, address: laid.address });
    let mut exchange = Exchange::new(id, clock.now(), clock.monotonic(), flow, origin);
    exchange.asked = std::mem::take(&mut laid.asked);
    exchange.marks = std::mem::take(&mut laid.marks);
    exchange.request_records = laid.records;
    let mut tail = Tail::new(pipeline, trail, clock, exchange);
    tail.resumed = true;
    match tail.go_on(principal, laid, subjects).await {
        Ok(()) => Ok(Accepted::again(tail)),
        Err(stop) => Err(tail.stop(stop).await),
    }
}

impl Tail {
    async fn go_on(
        &mut self,
        principal: Result<Principal, Box<Denial>>,
        laid: LaidDown,
        subjects: &dyn SubjectKeys,
    ) -> Result<(), Stop> {
        self.trail.ready()?;
        let (pipeline, exchange) = (&self.pipeline, &mut self.exchange);
        exchange.principal = Some(principal?);
        laid.is_of(exchange)?;
        pipeline.clear_again(exchange).await?;
        let LaidDown { payload, subjects: ids, .. } = laid;
        let mut charge = pipeline.charge(exchange);
        charge.grow_to(payload.len()).map_err(|full| full.denial(&code::BODY_TOO_LARGE))?;
        exchange.request = Payload::Whole(Document::held(payload, charge));
        if !ids.is_empty() {
            let owners = subjects.keys(&ids).await?;
            let known = ids.iter().zip(owners).map(|(id, owner)| Subject { id: id.clone(), owner });
            exchange.subjects = known.collect();
        }
        Ok(())
    }
}

impl LaidDown {
    /// It goes on as what it was accepted as, or not at all: an operation that is not declared any more has no controls
    /// that would refuse it, and those of another one judge something else.
    fn is_of(&self, exchange: &Exchange) -> Result<(), Box<Denial>> {
        let Some(operation) = &exchange.flow.operation else { return Err((&code::OPERATION_UNKNOWN).into()) };
        let account = exchange.account().map_or("", |account| &account.name);
        let now = [&*exchange.flow.integration.name, &*operation.name, account];
        if now == [&*self.integration, &*self.operation, &*self.account] {
            return Ok(());
        }
        Err(Denial::new(&code::INTERNAL).internal("it was accepted as something else").into())
    }
}

/// The caller's side of what was laid down: whoever called has gone, and its body is in the exchange.
pub struct NoCaller;

impl Source for NoCaller {
    fn read_request<'a>(
        &'a mut self,
        _: u64,
        _: &'a mut Charge,
    ) -> LocalFuture<'a, Result<Bytes, Box<Denial>>> {
        Box::pin(std::future::ready(Ok(Bytes::new())))
    }

    fn take_body(&mut self) -> Option<Box<dyn Inflow>> {
        None
    }
}

impl Answer {
    /// Ends an exchange that nobody waits for: what its target answered goes no further than the record. For the spool,
    /// how far it came.
    pub fn settle(self) -> Settled {
        match self {
            Answer::Delivered { reply, tail, .. } => {
                let said = reply.facts().answered.said;
                reply.discard();
                tail.finish();
                if said == Said::Untaken { Settled::Untaken } else { Settled::Done }
            }
            Answer::Replayed { .. } | Answer::Accepted { .. } => Settled::Done,
            Answer::Denied { denial, tail } => {
                let code = denial.code;
                match (tail.begun, code.retry) {
                    (true, _) if !code.reach.is_untouched() => Settled::Done,
                    (_, true) => Settled::Untaken,
                    (_, false) => Settled::Refused(code),
                }
            }
        }
    }
}
