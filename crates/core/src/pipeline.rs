use crate::{Control, Denial, Ending, Exchange, Judgement, Phase, Stop, Verdict};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// The controls of one operation, sorted by phase once, when the manifest is loaded.
pub struct Pipeline {
    /// Request controls of the phases that precede the body.
    early: Box<[Arc<dyn Control>]>,
    /// Request controls of the phases that may read the body.
    late: Box<[Arc<dyn Control>]>,
    reply: Box<[Arc<dyn Control>]>,
    reads_request: bool,
    reads_reply: bool,
    max_request: u64,
    max_reply: u64,
}

impl Pipeline {
    /// `max_request` and `max_reply` bound, in bytes, the bodies that controls hold whole.
    ///
    /// Controls of the same phase keep the order they were given in.
    pub fn new(
        mut request: Vec<Arc<dyn Control>>,
        mut reply: Vec<Arc<dyn Control>>,
        max_request: u64,
        max_reply: u64,
    ) -> Pipeline {
        request.sort_by_key(|control| control.phase());
        reply.sort_by_key(|control| control.phase());
        let reads_request = request.iter().any(|control| control.reads().request());
        let reads_reply = request.iter().chain(&reply).any(|control| control.reads().reply());
        let late = request.split_off(request.partition_point(|control| control.phase().precedes_body()));
        Pipeline {
            early: request.into(),
            late: late.into(),
            reply: reply.into(),
            reads_request,
            reads_reply,
            max_request,
            max_reply,
        }
    }

    /// The order in which controls run: their phase and name, requests first.
    pub fn order(&self) -> impl Iterator<Item = (&'static str, Phase, &'static str)> + '_ {
        let request = self.early.iter().chain(&self.late).map(|control| ("request", control));
        let reply = self.reply.iter().map(|control| ("reply", control));
        request.chain(reply).map(|(side, control)| (side, control.phase(), control.name()))
    }

    pub fn max_request(&self) -> u64 {
        self.max_request
    }

    pub fn max_reply(&self) -> u64 {
        self.max_reply
    }

    pub(crate) fn reads_request(&self) -> bool {
        self.reads_request
    }

    pub(crate) fn reads_reply(&self) -> bool {
        self.reads_reply
    }

    /// Everything that is decided before a byte of the body is read. The runner calls it; a transport does for
    /// endpoints of the bridge's own.
    pub async fn open(&self, exchange: &mut Exchange) -> Verdict {
        run(&self.early, exchange).await
    }

    /// The rest of the request's controls. The only place that makes a [`Cleared`].
    pub(crate) async fn clear<'x>(&self, exchange: &'x mut Exchange) -> Result<Cleared<'x>, Stop> {
        if exchange.principal.is_none() {
            let denial = Denial::new(&crate::code::CREDENTIALS_MISSING);
            return Err(denial.internal("no authenticate control ran").into());
        }
        run(&self.late, exchange).await?;
        Ok(Cleared(exchange))
    }

    pub(crate) async fn judge_reply(&self, exchange: &mut Exchange) -> Verdict {
        run(&self.reply, exchange).await
    }

    pub(crate) fn settle(&self, exchange: &Exchange, ending: &Ending) {
        for control in self.early.iter().chain(&self.late).chain(&self.reply) {
            control.settle(exchange, ending);
        }
    }
}

async fn run(controls: &[Arc<dyn Control>], exchange: &mut Exchange) -> Verdict {
    for control in controls {
        match control.judge(exchange) {
            Judgement::Now(verdict) => verdict?,
            Judgement::Later(verdict) => verdict.await?,
        }
    }
    Ok(())
}

/// An exchange that every request control let pass. Delivery takes nothing else, and only [`Pipeline`] makes one:
/// its field is private and it has no constructor.
#[derive(Debug)]
pub struct Cleared<'x>(&'x mut Exchange);

impl Cleared<'_> {
    pub fn exchange(&self) -> &Exchange {
        self.0
    }

    /// Counts request bytes that go to the target.
    pub fn count_in(&mut self, bytes: u64) {
        self.0.bytes_in = self.0.bytes_in.saturating_add(bytes);
    }

    /// A counter for a body that streams to the target with unknown length.
    pub fn counter_in(&mut self) -> Arc<AtomicU64> {
        Arc::clone(self.0.streamed_in.get_or_insert_default())
    }
}
