//! The controls of one operation, in their order. It knows no control by name, and no transport.

use crate::memory::{Charge, Full, Memory};
use crate::{
    Cleared, Control, Denial, Document, Ending, Exchange, Judgement, Judges, Phase, Reading, Reads, Row,
    Side, Verdict, code,
};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The controls of one operation, sorted by their rows once, when the manifest is loaded.
pub struct Pipeline {
    /// Request controls of the phases that precede the body.
    early: Box<[Arc<dyn Control>]>,
    /// Request controls of the phases that may read the body, phase by phase.
    late: Box<[Step]>,
    reply: Box<[Step]>,
    room: Arc<Room>,
    reads: Reads,
    max_request: u64,
    max_reply: u64,
}

/// The controls of one phase.
type Step = Arc<[Arc<dyn Control>]>;

/// The largest bodies, in bytes, as far as they are declared. Nothing declared bounds what streams past, and a declared 0
/// refuses a body.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bounds {
    /// Of the request.
    pub request: Option<u64>,
    /// Of the reply.
    pub reply: Option<u64>,
}

/// The largest body that is held whole where nothing is declared, in bytes.
pub const DEFAULT_MAX_BODY: u64 = 1 << 20;

/// What all exchanges of a bridge share to hold and judge bodies.
pub struct Room {
    /// What is held of bodies, over all exchanges.
    pub memory: Arc<Memory>,
    /// Started with the first large body.
    judges: OnceLock<Judges>,
}

/// From this size on, in bytes, a body is judged on another thread. Reading a quarter of a mebibyte and holding it
/// against a schema takes 2 to 5 ms.
const LARGE: usize = 256 << 10;

/// How long whoever found no memory is asked to wait.
const COME_BACK: Duration = Duration::from_secs(1);

impl Room {
    /// Room within this memory, with threads for large bodies once one comes.
    pub fn new(memory: Arc<Memory>) -> Room {
        Room { memory, judges: OnceLock::new() }
    }

    /// Half as many threads as cores: the rest goes on with small exchanges.
    fn judges(&self) -> &Judges {
        self.judges.get_or_init(|| {
            let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
            Judges::start(cores.div_ceil(2))
        })
    }
}

impl Full {
    /// The refusal of a body for which there is no room; `never` is the code where there never is.
    pub fn denial(self, never: &'static crate::Code) -> Box<Denial> {
        Box::new(match self {
            Full::Now => Denial::new(&code::BRIDGE_FULL).retry_after(COME_BACK),
            Full::Ever => Denial::new(never).detail("more than the bridge can hold at once for one account"),
        })
    }
}

impl Pipeline {
    /// Sorts the controls by their rows, in whatever order they come; those of the same row stay as they are. How large
    /// bodies may be follows from what the controls read, where nothing is declared.
    pub fn new(mut controls: Vec<Arc<dyn Control>>, declared: Bounds) -> Pipeline {
        controls.sort_by_key(|control| control.row().rank());
        let reads = controls.iter().map(|control| control.reads()).fold(Reads::NOTHING, Reads::and);
        let reply =
            controls.split_off(controls.partition_point(|control| control.row().side == Side::Request));
        let precedes_body = |control: &Arc<dyn Control>| control.row().phase.precedes_body();
        let late = controls.split_off(controls.partition_point(precedes_body));
        Pipeline {
            early: controls.into(),
            late: steps(&late),
            reply: steps(&reply),
            room: Arc::new(Room::new(Memory::new(u64::MAX))),
            reads,
            max_request: bound(declared.request, reads.request),
            max_reply: bound(declared.reply, reads.reply),
        }
    }

    /// Holds and judges bodies in this room; without, in one of its own that has no bound.
    pub fn within(self, room: Arc<Room>) -> Pipeline {
        Pipeline { room, ..self }
    }

    /// Where what is held for an exchange is counted.
    pub fn charge(&self, exchange: &Exchange) -> Charge {
        self.room.memory.charge(exchange.account().map_or("", |account| &account.name))
    }

    /// The rows of the controls, in the order in which they run.
    pub fn order(&self) -> impl Iterator<Item = &'static Row> {
        let with_bodies = self.late.iter().chain(&self.reply).flat_map(|step| &**step);
        self.early.iter().chain(with_bodies).map(|control| control.row())
    }

    /// What of the bodies its controls hold whole.
    pub fn reads(&self) -> Reads {
        self.reads
    }

    /// Largest request body, in bytes.
    pub fn max_request(&self) -> u64 {
        self.max_request
    }

    /// Largest reply body, in bytes.
    pub fn max_reply(&self) -> u64 {
        self.max_reply
    }

    /// Everything that is decided before a byte of the body is read. The runner calls it; a transport does for
    /// endpoints of the bridge's own.
    pub async fn open(&self, exchange: &mut Exchange) -> Verdict {
        judge(&self.early, exchange).await
    }

    /// Whether the caller would be let in now: from where it comes, who it is and what it may do, without what counts.
    pub async fn recognise(&self, exchange: &mut Exchange) -> Verdict {
        for control in &self.early {
            if control.is_asked_again() {
                wait(control.judge(exchange)).await?;
            }
        }
        Ok(())
    }

    /// The rest of the request's controls. What they let pass may be delivered.
    pub(crate) async fn clear(&self, exchange: &mut Exchange) -> Verdict {
        known(exchange)?;
        self.run(&self.late, exchange).await
    }

    /// What was let in before, judged as it would be now: may its account do this, and may anything go to this target?
    /// What was counted, read and reserved when it was let in stays so.
    pub(crate) async fn clear_again(&self, exchange: &mut Exchange) -> Verdict {
        known(exchange)?;
        for control in self.early.iter().filter(|control| control.row().phase == Phase::Authorise) {
            wait(control.judge(exchange)).await?;
        }
        Ok(())
    }

    /// For delivery, of an exchange that was let in. The only place that makes a [`Cleared`].
    pub(crate) fn cleared<'x>(&self, exchange: &'x mut Exchange) -> Cleared<'x> {
        Cleared::of(exchange, self.max_request, self.max_reply)
    }

    pub(crate) async fn judge_reply(&self, exchange: &mut Exchange) -> Verdict {
        self.run(&self.reply, exchange).await
    }

    /// Holds back of a stored answer what a reply would lose now. Controls of earlier phases judged the whole reply,
    /// which is not there any more.
    pub(crate) async fn minimise_again(&self, exchange: &mut Exchange) -> Verdict {
        let first = self.reply.partition_point(|step| phase(step) < Some(Phase::Minimise));
        let after = self.reply.partition_point(|step| phase(step) <= Some(Phase::Minimise));
        self.run(self.reply.get(first..after).unwrap_or_default(), exchange).await
    }

    async fn run(&self, steps: &[Step], exchange: &mut Exchange) -> Verdict {
        for step in steps {
            if exchange.holds() < LARGE {
                inspect(step, exchange)?;
            } else {
                self.inspect_away(step, exchange).await?;
            }
            judge(step, exchange).await?;
        }
        Ok(())
    }

    /// Inspects on another thread. Should the caller go away meanwhile, what is left here is enough for the record.
    fn inspect_away<'a>(
        &'a self,
        step: &Step,
        exchange: &'a mut Exchange,
    ) -> crate::BoxFuture<'a, Result<(), Box<Denial>>> {
        let step = Arc::clone(step);
        Box::pin(async move {
            let left = exchange.without_bodies();
            let mut away = std::mem::replace(exchange, left);
            let work = move || {
                let verdict = inspect(&step, &mut away);
                (away, verdict)
            };
            let Some((back, verdict)) = self.room.judges().run(work).await else {
                return Err(Box::new(Denial::new(&code::INTERNAL).internal("judging a body panicked")));
            };
            *exchange = back;
            verdict
        })
    }

    /// Of what was let in before, nothing is left to settle but what its reply's controls hold.
    pub(crate) fn settle_again(&self, exchange: &Exchange, ending: &Ending) {
        self.reply.iter().flat_map(|step| &**step).for_each(|control| control.settle(exchange, ending));
    }

    pub(crate) fn settle(&self, exchange: &Exchange, ending: &Ending) {
        let with_bodies = self.late.iter().chain(&self.reply).flat_map(|step| &**step);
        for control in self.early.iter().chain(with_bodies) {
            control.settle(exchange, ending);
        }
    }
}

/// Nothing goes on whose caller nobody knows.
fn known(exchange: &Exchange) -> Verdict {
    match exchange.principal {
        Some(_) => Ok(()),
        None => {
            let denial = Denial::new(&code::CREDENTIALS_MISSING);
            Err(denial.internal("no authenticate control ran").into())
        }
    }
}

fn bound(declared: Option<u64>, reading: Reading) -> u64 {
    declared.unwrap_or(if reading.is_whole() { DEFAULT_MAX_BODY } else { u64::MAX })
}

fn phase(step: &Step) -> Option<Phase> {
    step.first().map(|control| control.row().phase)
}

fn steps(controls: &[Arc<dyn Control>]) -> Box<[Step]> {
    controls.chunk_by(|a, b| a.row().phase == b.row().phase).map(Step::from).collect()
}

/// What was read of a body lasts as long as the controls of one phase that look at it.
fn inspect(controls: &[Arc<dyn Control>], exchange: &mut Exchange) -> Result<(), Box<Denial>> {
    let verdict = controls.iter().try_for_each(|control| control.inspect(exchange));
    for payload in [&mut exchange.request, &mut exchange.reply] {
        payload.document().into_iter().for_each(Document::forget);
    }
    verdict
}

async fn judge(controls: &[Arc<dyn Control>], exchange: &mut Exchange) -> Verdict {
    for control in controls {
        wait(control.judge(exchange)).await?;
    }
    Ok(())
}

async fn wait(judgement: Judgement<'_>) -> Verdict {
    match judgement {
        Judgement::Now(verdict) => verdict,
        Judgement::Later(verdict) => verdict.await,
    }
}
