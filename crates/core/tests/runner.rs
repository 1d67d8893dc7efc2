//! Every ending is recorded, settled once, and refused when the trail cannot take it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use bytes::Bytes;
use ironbridge_core::memory::Charge;
use ironbridge_core::*;
use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Default)]
struct Trail {
    endings: Mutex<Vec<(Ending, bool)>>,
    bytes_out: Mutex<Vec<u64>>,
    broken: AtomicBool,
    /// Takes records and cannot keep them.
    forgets: AtomicBool,
    durable_asked: AtomicU64,
}

impl Trail {
    fn check(&self) -> Result<(), Box<Denial>> {
        if self.broken.load(Ordering::SeqCst) { Err((&code::AUDIT_UNAVAILABLE).into()) } else { Ok(()) }
    }
}

impl Recorder for Trail {
    fn ready(&self) -> Result<(), Box<Denial>> {
        self.check()
    }
    fn append(&self, record: Record<'_>) -> Result<Position, Box<Denial>> {
        self.bytes_out.lock().unwrap().push(record.exchange.bytes_out);
        self.check()?;
        self.endings.lock().unwrap().push((record.ending, record.amends));
        Ok(Position(0))
    }
    fn act(&self, _: &Action) -> Result<Position, Box<Denial>> {
        self.check().map(|()| Position(0))
    }
    fn durable(&self, _: Position) -> BoxFuture<'_, Result<(), Box<Denial>>> {
        self.durable_asked.fetch_add(1, Ordering::SeqCst);
        Box::pin(async {
            let denial = Denial::new(&code::AUDIT_UNAVAILABLE).retry_after(Duration::from_secs(1));
            if self.forgets.load(Ordering::SeqCst) { Err(Box::new(denial)) } else { self.check() }
        })
    }
}

fn row(phase: Phase) -> &'static Row {
    Box::leak(Box::new(Row { place: 0, id: "", side: Side::Request, phase, name: "scripted", what: "" }))
}

/// Says who the caller is, the way `identity` would.
struct Known;
impl Control for Known {
    fn row(&self) -> &'static Row {
        row(Phase::Authenticate)
    }
    fn judge<'a>(&'a self, exchange: &'a mut Exchange) -> Judgement<'a> {
        let account = Account {
            name: "a".into(),
            system: "s".into(),
            permissions: PermissionSet::default(),
            addresses: vec![],
            owner: None,
        };
        let credential = Credential { kind: CredentialKind::ApiKey, id: "k".into(), expires: None };
        exchange.principal = Some(Principal::verified(Arc::new(account), Arc::new(credential), None));
        Judgement::PASS
    }
}

/// A control of any phase with any verdict, which counts how often it was settled.
struct Scripted {
    phase: Phase,
    reads: Reads,
    verdict: fn() -> Verdict,
    settled: AtomicU64,
}
impl Control for Scripted {
    fn row(&self) -> &'static Row {
        row(self.phase)
    }
    fn reads(&self) -> Reads {
        self.reads
    }
    fn judge<'a>(&'a self, _: &'a mut Exchange) -> Judgement<'a> {
        Judgement::Later(Box::pin(async { (self.verdict)() }))
    }
    fn settle(&self, _: &Exchange, _: &Ending) {
        self.settled.fetch_add(1, Ordering::SeqCst);
    }
}

const DONE: Answered = Answered { mark: Some(200), said: Said::Done };

#[derive(Default, Clone, Copy)]
struct Target {
    fails: bool,
    hangs: bool,
}
impl Delivery for Target {
    fn deliver<'a>(
        &'a self,
        _: Cleared<'a>,
        _: &'a mut dyn Source,
    ) -> LocalFuture<'a, Result<Box<dyn Reply>, Box<Denial>>> {
        Box::pin(async move {
            match self {
                Target { hangs: true, .. } => pending().await,
                Target { fails: true, .. } => Err((&code::TARGET_UNREACHABLE).into()),
                _ => Ok(Box::new(Reached(DONE)) as Box<dyn Reply>),
            }
        })
    }
}

/// A caller whose body is `{}`.
struct Asking;
impl Source for Asking {
    fn read_request<'a>(
        &'a mut self,
        _: u64,
        _: &'a mut Charge,
    ) -> LocalFuture<'a, Result<Bytes, Box<Denial>>> {
        Box::pin(async { Ok(Bytes::from_static(b"{}")) })
    }
    fn take_body(&mut self) -> Option<Box<dyn Inflow>> {
        None
    }
}

struct Reached(Answered);
impl Reply for Reached {
    fn facts(&self) -> ReplyFacts {
        ReplyFacts { answered: self.0, length: None, has_body: true }
    }
    fn read<'a>(&'a mut self, _: u64, _: &'a mut Charge) -> LocalFuture<'a, Result<Bytes, Box<Denial>>> {
        Box::pin(async { Ok(Bytes::from_static(b"reply")) })
    }
    fn take_body(&mut self) -> Option<Box<dyn Inflow>> {
        None
    }
}

struct Scene {
    trail: Arc<Trail>,
    control: Arc<Scripted>,
    durable: bool,
    target: Target,
}

impl Scene {
    fn new(phase: Phase, verdict: fn() -> Verdict) -> Scene {
        let control = Scripted { phase, reads: Reads::NOTHING, verdict, settled: AtomicU64::new(0) };
        Scene { trail: Arc::default(), control: Arc::new(control), durable: false, target: Target::default() }
    }

    async fn cross(&self) -> Answer {
        let controls: Vec<Arc<dyn Control>> = vec![self.control.clone(), Arc::new(Known)];
        let pipeline = Arc::new(Pipeline::new(controls, Bounds { request: Some(10), reply: Some(10) }));
        let integration = IntegrationFacts { durable: self.durable, ..IntegrationFacts::default() };
        let flow = Arc::new(Flow::new(Arc::new(integration), None, 1));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let exchange =
            Exchange::new(ExchangeId::default(), clock.now(), clock.monotonic(), flow, Peer::default());
        let trail: Arc<dyn Recorder> = self.trail.clone();
        cross(&pipeline, &trail, &clock, exchange, &mut Asking, &self.target).await
    }

    fn endings(&self) -> Vec<(Ending, bool)> {
        self.trail.endings.lock().unwrap().clone()
    }

    fn settled(&self) -> u64 {
        self.control.settled.load(Ordering::SeqCst)
    }
}

fn pass() -> Verdict {
    Ok(())
}

fn deny() -> Verdict {
    Err(Denial::new(&code::RATE_LIMITED).into())
}

#[tokio::test]
async fn a_delivered_exchange_is_recorded_when_its_answer_ended() {
    let scene = Scene::new(Phase::Throttle, pass);
    let Answer::Delivered { reply, body: None, mut tail } = scene.cross().await else { panic!() };
    assert_eq!(reply.facts().answered, DONE);
    assert!(scene.endings().is_empty(), "not before the answer ended");
    tail.count_out(7);
    assert_eq!(tail.exchange().bytes_out, 7);
    tail.finish();
    assert_eq!(scene.endings(), [(Ending::Delivered(DONE), false)]);
    assert_eq!(scene.settled(), 1);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_partial() {
    let scene = Scene::new(Phase::Throttle, pass);
    drop(scene.cross().await);
    assert_eq!(scene.endings(), [(Ending::Partial(DONE), false)]);
    assert_eq!(scene.settled(), 1);
}

#[tokio::test]
async fn an_answer_that_is_cut_says_why() {
    let cut = Ending::Cut(DONE, &code::STREAM_IDLE);
    for durable in [false, true] {
        let scene = Scene { durable, ..Scene::new(Phase::Throttle, pass) };
        let Answer::Delivered { tail, .. } = scene.cross().await else { panic!() };
        tail.cut(&code::STREAM_IDLE);
        assert_eq!(scene.endings().last(), Some(&(cut, durable)));
        assert_eq!((cut.code(), cut.outcome().name(), scene.settled()), ("stream-idle", "partial", 1));
    }
}

#[tokio::test]
async fn a_durable_exchange_is_on_disk_before_its_answer_and_amended_if_that_breaks() {
    let scene = Scene { durable: true, ..Scene::new(Phase::Throttle, pass) };
    let answer = scene.cross().await;
    assert_eq!(scene.endings(), [(Ending::Delivered(DONE), false)]);
    assert_eq!(scene.trail.durable_asked.load(Ordering::SeqCst), 1);
    let Answer::Delivered { tail, .. } = &answer else { panic!() };
    let exchange = tail.exchange();
    assert!(
        exchange.uncounted_out && !exchange.uncounted_in,
        "the target did not say how long its answer is"
    );
    drop(answer);
    assert_eq!(scene.endings().last(), Some(&(Ending::Partial(DONE), true)));
    assert_eq!(scene.settled(), 1);
}

#[tokio::test]
async fn a_durable_record_that_could_not_count_is_amended_with_what_crossed() {
    for (broken, ending) in [(false, Ending::Delivered(DONE)), (true, Ending::Partial(DONE))] {
        let scene = Scene { durable: true, ..Scene::new(Phase::Throttle, pass) };
        let Answer::Delivered { mut tail, .. } = scene.cross().await else { panic!() };
        tail.count_out(40);
        tail.count_out(18);
        if broken {
            drop(tail)
        } else {
            tail.finish()
        }
        assert_eq!(scene.endings(), [(Ending::Delivered(DONE), false), (ending, true)]);
        assert_eq!(*scene.trail.bytes_out.lock().unwrap(), [0, 58]);
        assert_eq!(scene.settled(), 1);
    }
}

#[tokio::test]
async fn a_denial_is_recorded_in_every_phase_and_reaches_nothing() {
    for phase in Phase::ALL {
        let scene = Scene::new(phase, deny);
        let Answer::Denied { denial, .. } = scene.cross().await else { panic!("{phase:?}") };
        assert_eq!(denial.code, &code::RATE_LIMITED);
        assert_eq!(scene.endings(), [(Ending::Denied(&code::RATE_LIMITED), false)]);
        assert_eq!(scene.settled(), 1);
    }
}

#[tokio::test]
async fn a_failing_target_is_a_failure_not_a_denial() {
    let scene = Scene { target: Target { fails: true, hangs: false }, ..Scene::new(Phase::Admit, pass) };
    let Answer::Denied { .. } = scene.cross().await else { panic!() };
    assert_eq!(scene.endings(), [(Ending::Failed(&code::TARGET_UNREACHABLE), false)]);
}

#[tokio::test]
async fn a_caller_that_goes_away_during_delivery_is_recorded() {
    let scene = Scene { target: Target { hangs: true, fails: false }, ..Scene::new(Phase::Admit, pass) };
    let waited = tokio::time::timeout(std::time::Duration::from_millis(5), scene.cross()).await;
    assert!(waited.is_err());
    assert_eq!(scene.endings(), [(Ending::Abandoned { sent: true }, false)]);
    assert_eq!(scene.settled(), 1);
}

#[tokio::test]
async fn a_stored_answer_is_given_and_recorded() {
    let scene = Scene::new(Phase::Replay, || {
        let answer = StoredAnswer {
            answered: Answered { mark: Some(201), said: Said::Done },
            content_type: None,
            fields: Vec::new(),
            body: Bytes::from_static(b"again"),
            schema: None,
            subjects: None,
        };
        Err(Stop::Replay(Box::new(answer)))
    });
    let Answer::Replayed { answer, tail } = scene.cross().await else { panic!() };
    assert_eq!(tail.exchange().bytes_out, 5);
    assert_eq!(answer.answered.mark, Some(201));
    assert_eq!(scene.endings(), [(Ending::Replayed(Answered { mark: Some(201), said: Said::Done }), false)]);
}

#[tokio::test]
async fn without_a_trail_nothing_crosses() {
    let scene = Scene::new(Phase::Admit, pass);
    scene.trail.broken.store(true, Ordering::SeqCst);
    let Answer::Denied { denial, .. } = scene.cross().await else { panic!() };
    assert_eq!(denial.code, &code::AUDIT_UNAVAILABLE);
    scene.trail.broken.store(false, Ordering::SeqCst);
    assert!(matches!(scene.cross().await, Answer::Delivered { .. }), "and it resumes by itself");
}

/// Whoever sends again what may have been done has it done twice.
#[tokio::test]
async fn what_fails_once_the_target_may_have_acted_does_not_ask_to_be_sent_again() {
    for (verdict, fails, expected) in [
        (deny as fn() -> Verdict, false, &code::AUDIT_UNAVAILABLE),
        (pass, false, &code::ANSWER_WITHHELD),
        (pass, true, &code::ANSWER_WITHHELD),
    ] {
        let target = Target { fails, ..Target::default() };
        let scene = Scene { durable: true, target, ..Scene::new(Phase::Throttle, verdict) };
        scene.trail.forgets.store(true, Ordering::SeqCst);
        let Answer::Denied { denial, tail } = scene.cross().await else { panic!() };
        assert_eq!(denial.code, expected);
        assert_eq!(denial.retry_after.is_some(), expected.retry);
        drop(tail);
        assert_eq!((scene.endings().len(), scene.settled()), (1, 1), "recorded and settled once");
    }
}

#[tokio::test]
async fn bodies_are_held_only_when_a_control_reads_them() {
    let mut scene = Scene::new(Phase::Inspect, pass);
    let Answer::Delivered { tail, .. } = scene.cross().await else { panic!() };
    assert!(tail.exchange().request.bytes().is_none());
    drop(tail);
    Arc::get_mut(&mut scene.control).unwrap().reads =
        Reads { request: Reading::Bytes, reply: Reading::Bytes };
    let Answer::Delivered { tail, body, .. } = scene.cross().await else { panic!() };
    assert!(tail.exchange().request.bytes().is_none(), "the target has it");
    assert_eq!(body.unwrap(), "reply");
}
