//! What an exchange holds of bodies: counted, bounded, judged away from the core where it is large, and gone as soon
//! as nobody needs it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use bytes::Bytes;
use ironbridge_core::memory::{Charge, Memory};
use ironbridge_core::*;
use std::future::{Future, pending};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::thread::{self, ThreadId};

#[derive(Default)]
struct Trail(Mutex<Vec<(&'static str, usize)>>);

impl Recorder for Trail {
    fn ready(&self) -> Result<(), Box<Denial>> {
        Ok(())
    }
    fn append(&self, record: Record<'_>) -> Result<Position, Box<Denial>> {
        let account = record.exchange.account().map_or(0, |account| account.name.len());
        self.0.lock().unwrap().push((record.ending.code(), account));
        Ok(Position(0))
    }
    fn act(&self, _: &Action) -> Result<Position, Box<Denial>> {
        Ok(Position(0))
    }
    fn durable(&self, _: Position) -> BoxFuture<'_, Result<(), Box<Denial>>> {
        Box::pin(async { Ok(()) })
    }
}

const fn row(side: Side, phase: Phase) -> Row {
    Row { place: 0, id: "", side, phase, name: "scripted", what: "" }
}
static KNOWN: Row = row(Side::Request, Phase::Authenticate);
static OF_REQUESTS: Row = row(Side::Request, Phase::Inspect);
static OF_REPLIES: Row = row(Side::Reply, Phase::Inspect);

/// Says who the caller is.
struct Known;
impl Control for Known {
    fn row(&self) -> &'static Row {
        &KNOWN
    }
    fn judge<'a>(&'a self, exchange: &'a mut Exchange) -> Judgement<'a> {
        let account = Account {
            name: "shop".into(),
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

/// Reads bodies as JSON and remembers on which threads, and what was stored of the reply.
#[derive(Default)]
struct Looking {
    threads: Mutex<Vec<ThreadId>>,
    settled: Mutex<Vec<Option<Bytes>>>,
    /// Judging, which comes after reading, has no end.
    hangs: bool,
    of_reply: bool,
}
impl Control for Looking {
    fn row(&self) -> &'static Row {
        if self.of_reply { &OF_REPLIES } else { &OF_REQUESTS }
    }
    fn reads(&self) -> Reads {
        Reads { request: Reading::Json, reply: Reading::Json }
    }
    fn inspect(&self, exchange: &mut Exchange) -> Result<(), Box<Denial>> {
        self.threads.lock().unwrap().push(thread::current().id());
        let Exchange { request, reply, .. } = exchange;
        for document in [request, reply].into_iter().filter_map(|payload| payload.document()) {
            match document.json() {
                Ok(_) => {}
                Err(json::JsonFault::Unheld(full)) => return Err(full.denial(&code::BODY_TOO_LARGE)),
                Err(_) => return Err((&code::JSON_MALFORMED).into()),
            }
        }
        Ok(())
    }
    fn judge<'a>(&'a self, _: &'a mut Exchange) -> Judgement<'a> {
        if self.hangs { Judgement::Later(Box::pin(pending())) } else { Judgement::PASS }
    }
    fn settle(&self, exchange: &Exchange, _: &Ending) {
        self.settled.lock().unwrap().push(exchange.reply.bytes().cloned());
    }
}

struct Target {
    request: Bytes,
    memory: Arc<Memory>,
    reply: Bytes,
    /// What was held when the request was delivered.
    held: Arc<AtomicU64>,
}

impl Target {
    fn new(request: &str, reply: &str, memory: &Arc<Memory>) -> Target {
        let (request, reply) = (request.to_owned().into(), reply.to_owned().into());
        Target { request, reply, memory: Arc::clone(memory), held: Arc::default() }
    }

    fn held(&self) -> u64 {
        self.held.load(Ordering::SeqCst)
    }
}

impl Delivery for Target {
    fn deliver<'a>(
        &'a self,
        _: Cleared<'a>,
        _: &'a mut dyn Source,
    ) -> LocalFuture<'a, Result<Box<dyn Reply>, Box<Denial>>> {
        self.held.store(self.memory.held(), Ordering::SeqCst);
        Box::pin(async { Ok(Box::new(Held(self.reply.clone(), &code::REPLY_TOO_LARGE)) as Box<dyn Reply>) })
    }
}

/// A body, and what it is refused with where there is no room for it.
struct Held(Bytes, &'static Code);

impl Held {
    fn read_whole(&self, charge: &mut Charge) -> Result<Bytes, Box<Denial>> {
        charge.grow_to(self.0.len()).map_err(|full| full.denial(self.1))?;
        Ok(self.0.clone())
    }
}

impl Source for Held {
    fn read_request<'a>(
        &'a mut self,
        _: u64,
        charge: &'a mut Charge,
    ) -> LocalFuture<'a, Result<Bytes, Box<Denial>>> {
        Box::pin(async { self.read_whole(charge) })
    }
    fn take_body(&mut self) -> Option<Box<dyn Inflow>> {
        None
    }
}

impl Reply for Held {
    fn facts(&self) -> ReplyFacts {
        ReplyFacts { answered: Answered { mark: None, said: Said::Done }, length: None, has_body: true }
    }
    fn read<'a>(&'a mut self, _: u64, charge: &'a mut Charge) -> LocalFuture<'a, Result<Bytes, Box<Denial>>> {
        Box::pin(async { self.read_whole(charge) })
    }
    fn take_body(&mut self) -> Option<Box<dyn Inflow>> {
        None
    }
}

struct Scene {
    trail: Arc<Trail>,
    memory: Arc<Memory>,
    pipeline: Arc<Pipeline>,
}

impl Scene {
    fn new(memory: u64, controls: Vec<Arc<dyn Control>>) -> Scene {
        let memory = Memory::new(memory);
        let pipeline = Pipeline::new(controls, Bounds { request: Some(1 << 30), reply: Some(1 << 30) });
        let pipeline = Arc::new(pipeline.within(Arc::new(Room::new(Arc::clone(&memory)))));
        Scene { trail: Arc::default(), memory, pipeline }
    }

    async fn cross(&self, target: &Target) -> Answer {
        let flow = Arc::new(Flow::new(Arc::new(IntegrationFacts::default()), None, 1));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let exchange =
            Exchange::new(ExchangeId::default(), clock.now(), clock.monotonic(), flow, Peer::default());
        let trail: Arc<dyn Recorder> = self.trail.clone();
        let mut source = Held(target.request.clone(), &code::BODY_TOO_LARGE);
        cross(&self.pipeline, &trail, &clock, exchange, &mut source, target).await
    }
}

fn large() -> String {
    format!("[{}0]", r#"{"a":0},"#.repeat(64 << 10))
}

#[tokio::test]
async fn what_was_read_is_given_back_before_delivery_and_the_rest_with_the_answer() {
    let reading = Arc::new(Looking::default());
    let scene = Scene::new(64 << 20, vec![Arc::new(Known), reading.clone()]);
    let target = Target::new(&large(), "[1]", &scene.memory);
    let answer = scene.cross(&target).await;
    // The body itself, and the room for an ordinary reply; what was read of it took six times as much.
    assert_eq!(target.held(), large().len() as u64 + (8 << 10));
    assert_eq!(scene.memory.held(), 3);
    drop(answer);
    // What was settled may still be on its way to a store.
    assert_eq!(scene.memory.held(), 3);
    reading.settled.lock().unwrap().clear();
    assert_eq!(scene.memory.held(), 0);
}

#[tokio::test]
async fn large_bodies_are_judged_on_another_thread_and_small_ones_here() {
    let (request, reply) =
        (Arc::new(Looking::default()), Arc::new(Looking { of_reply: true, ..Looking::default() }));
    let scene = Scene::new(64 << 20, vec![Arc::new(Known), request.clone(), reply.clone()]);
    let here = thread::current().id();
    for (body, answered, is_here) in
        [("{}", "{}", (true, true)), (&large(), "{}", (false, true)), ("{}", &large(), (true, false))]
    {
        assert!(matches!(
            scene.cross(&Target::new(body, answered, &scene.memory)).await,
            Answer::Delivered { .. }
        ));
        let was_here = |control: &Looking| control.threads.lock().unwrap().pop() == Some(here);
        assert_eq!((was_here(&request), was_here(&reply)), is_here);
    }
}

#[tokio::test]
async fn a_caller_that_leaves_while_a_large_body_is_judged_is_recorded_as_who_it_is() {
    let scene = Scene::new(64 << 20, vec![Arc::new(Known), Arc::new(Looking::default())]);
    let target = Target::new(&large(), "{}", &scene.memory);
    {
        let mut crossing = pin!(scene.cross(&target));
        assert!(crossing.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    assert_eq!(*scene.trail.0.lock().unwrap(), [("caller-gone", 4)]);
}

#[tokio::test]
async fn a_reply_that_no_control_let_pass_is_no_answer_to_keep() {
    let settled = Arc::new(Looking::default());
    let hangs = Arc::new(Looking { hangs: true, of_reply: true, ..Looking::default() });
    let scene = Scene::new(1 << 20, vec![Arc::new(Known), settled.clone(), hangs]);
    let target = Target::new("{}", r#"{"hidden":1}"#, &scene.memory);
    {
        let mut crossing = pin!(scene.cross(&target));
        assert!(crossing.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    assert_eq!(*scene.trail.0.lock().unwrap(), [("broken-off", 4)]);
    assert_eq!(*settled.settled.lock().unwrap(), [None]);
}

/// The target has acted by then, so the caller must not be told to send it again.
#[tokio::test]
async fn without_room_for_a_reply_nobody_is_told_to_come_back() {
    let large = large();
    let scene = Scene::new((large.len() * 20) as u64, vec![Arc::new(Known), Arc::new(Looking::default())]);
    let others: Vec<Charge> = (0..19)
        .map(|other| {
            let mut charge = scene.memory.charge(&other.to_string());
            charge.grow_to(large.len()).unwrap();
            charge
        })
        .collect();
    let target = Target::new("{}", &large, &scene.memory);
    let Answer::Denied { denial, .. } = scene.cross(&target).await else { panic!() };
    assert_eq!((denial.code.id, denial.retry_after), ("reply-not-held", None));
    assert!(target.held() > 0, "it was delivered");
    drop(others);
    assert_eq!(scene.memory.held(), 0);
}

#[tokio::test]
async fn without_room_an_exchange_is_refused_before_anything_happens() {
    let large = large();
    for (memory, others, expected) in [
        // The body alone is more than may ever be held, or what is read of it.
        (large.len(), 0, "body-too-large"),
        (large.len() * 4, 0, "body-too-large"),
        // It would fit if others held less.
        (large.len() * 20, large.len() * 18, "bridge-full"),
        // There must be room for a reply.
        (24 << 10, 0, "body-too-large"),
    ] {
        let scene = Scene::new(memory as u64, vec![Arc::new(Known), Arc::new(Looking::default())]);
        let held = scene.memory.charge("");
        let mut others_hold: Vec<Charge> = Vec::new();
        let mut left = others;
        while left > 0 {
            let mut charge = scene.memory.charge(&left.to_string());
            let step = left.min(large.len());
            charge.grow_to(step).unwrap();
            left -= step;
            others_hold.push(charge);
        }
        let target = Target::new(&large, "{}", &scene.memory);
        let Answer::Denied { denial, .. } = scene.cross(&target).await else { panic!("{expected}") };
        assert_eq!(denial.code.id, expected);
        assert_eq!(denial.retry_after.is_some(), expected == "bridge-full");
        assert_eq!(target.held(), 0, "nothing was delivered");
        drop((held, others_hold));
        assert_eq!(scene.memory.held(), 0);
    }
}
