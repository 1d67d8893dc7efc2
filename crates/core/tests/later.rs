//! What is accepted now and delivered later: laid down once it lies, delivered only as far as it is permitted then, and
//! recorded at both ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use bytes::Bytes;
use ironbridge_core::memory::Charge;
use ironbridge_core::uri::Query;
use ironbridge_core::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Id, id of the acceptance, ending.
type Recorded = (ExchangeId, Option<ExchangeId>, Ending);

#[derive(Default)]
struct Trail {
    recorded: Mutex<Vec<Recorded>>,
    bytes_out: Mutex<Vec<u64>>,
    forgets: AtomicBool,
    hangs: AtomicBool,
}
impl Recorder for Trail {
    fn ready(&self) -> Result<(), Box<Denial>> {
        Ok(())
    }
    fn append(&self, record: Record<'_>) -> Result<Position, Box<Denial>> {
        let Record { exchange, ending, .. } = record;
        self.bytes_out.lock().unwrap().push(exchange.bytes_out);
        let accepted = match &exchange.origin {
            Origin::Spool(spooled) => Some(spooled.accepted),
            _ => None,
        };
        self.recorded.lock().unwrap().push((exchange.id, accepted, ending));
        Ok(Position(0))
    }
    fn act(&self, _: &Action) -> Result<Position, Box<Denial>> {
        Ok(Position(0))
    }
    fn durable(&self, _: Position) -> BoxFuture<'_, Result<(), Box<Denial>>> {
        let (forgets, hangs) = (self.forgets.load(Ordering::SeqCst), self.hangs.load(Ordering::SeqCst));
        Box::pin(async move {
            if hangs {
                pending::<()>().await;
            }
            if forgets { Err((&code::AUDIT_UNAVAILABLE).into()) } else { Ok(()) }
        })
    }
}

static AUTHENTICATE: Row =
    Row { place: 0, name: "known", id: "A", phase: Phase::Authenticate, side: Side::Request, what: "" };
static AUTHORISE: Row =
    Row { place: 0, name: "may", id: "B", phase: Phase::Authorise, side: Side::Request, what: "" };
static INSPECT: Row =
    Row { place: 0, name: "look", id: "C", phase: Phase::Inspect, side: Side::Request, what: "" };

fn principal() -> Principal {
    let account = Account {
        name: "shop".into(),
        system: "s".into(),
        permissions: PermissionSet::default(),
        addresses: vec![],
        owner: None,
    };
    let credential = Credential { kind: CredentialKind::ApiKey, id: "k".into(), expires: None };
    Principal::verified(Arc::new(account), Arc::new(credential), None)
}

/// A control that counts how often it judged and was settled.
struct Counting {
    row: &'static Row,
    judged: AtomicU64,
    settled: Mutex<Vec<Ending>>,
    refuses: AtomicBool,
}
impl Counting {
    fn new(row: &'static Row) -> Arc<Counting> {
        let (judged, settled, refuses) = Default::default();
        Arc::new(Counting { row, judged, settled, refuses })
    }
    fn counts(&self) -> (u64, u64) {
        (self.judged.load(Ordering::SeqCst), self.settled.lock().unwrap().len() as u64)
    }
}
impl Control for Counting {
    fn row(&self) -> &'static Row {
        self.row
    }
    fn judge<'a>(&'a self, exchange: &'a mut Exchange) -> Judgement<'a> {
        self.judged.fetch_add(1, Ordering::SeqCst);
        if self.row.phase == Phase::Authenticate {
            exchange.principal = Some(principal());
        }
        match self.refuses.load(Ordering::SeqCst) {
            true => Judgement::deny(Denial::new(&code::TARGET_SUSPENDED)),
            false => Judgement::PASS,
        }
    }
    fn settle(&self, _: &Exchange, ending: &Ending) {
        self.settled.lock().unwrap().push(*ending);
    }
}

struct Asking(&'static str);
impl Source for Asking {
    fn read_request<'a>(
        &'a mut self,
        limit: u64,
        _: &'a mut Charge,
    ) -> LocalFuture<'a, Result<Bytes, Box<Denial>>> {
        let body = Bytes::from(std::mem::take(&mut self.0));
        let fits = body.len() as u64 <= limit;
        Box::pin(async move { if fits { Ok(body) } else { Err((&code::BODY_TOO_LARGE).into()) } })
    }
    fn take_body(&mut self) -> Option<Box<dyn Inflow>> {
        None
    }
}

/// Keeps the bodies that reached it.
#[derive(Default)]
struct Target {
    bodies: Mutex<Vec<Bytes>>,
    fails: Option<&'static Code>,
}
impl Delivery for Target {
    fn deliver<'a>(
        &'a self,
        cleared: Cleared<'a>,
        _: &'a mut dyn Source,
    ) -> LocalFuture<'a, Result<Box<dyn Reply>, Box<Denial>>> {
        self.bodies.lock().unwrap().extend(cleared.exchange().request.bytes().cloned());
        let failed = self.fails;
        Box::pin(async move { failed.map_or(Ok(Box::new(Taken) as Box<dyn Reply>), |code| Err(code.into())) })
    }
}

const DONE: Answered = Answered { mark: None, said: Said::Done };

struct Taken;
impl Reply for Taken {
    fn facts(&self) -> ReplyFacts {
        ReplyFacts { answered: DONE, length: Some(7), has_body: true }
    }
    fn read<'a>(&'a mut self, _: u64, _: &'a mut Charge) -> LocalFuture<'a, Result<Bytes, Box<Denial>>> {
        Box::pin(async { Ok(Bytes::new()) })
    }
    fn take_body(&mut self) -> Option<Box<dyn Inflow>> {
        None
    }
}

/// In memory, as bytes; what was taken is in nobody else's hands.
#[derive(Default)]
struct Held {
    lies: Mutex<BTreeMap<ExchangeId, Vec<u8>>>,
    settled: Mutex<Vec<(ExchangeId, Settled)>>,
    full: AtomicBool,
    hangs: AtomicBool,
}
impl Spool for Held {
    fn lay_down(&self, laid: LaidDown) -> BoxFuture<'_, Result<(), Box<Denial>>> {
        Box::pin(async move {
            if self.full.load(Ordering::SeqCst) {
                return Err((&code::STORE_UNAVAILABLE).into());
            }
            self.lies.lock().unwrap().insert(laid.id, laid.write());
            if self.hangs.load(Ordering::SeqCst) { pending().await } else { Ok(()) }
        })
    }
    fn withdraw(&self, id: ExchangeId) -> BoxFuture<'_, bool> {
        Box::pin(async move { self.lies.lock().unwrap().remove(&id).is_some() })
    }
    fn take(&self) -> BoxFuture<'_, LaidDown> {
        Box::pin(async {
            match self.lies.lock().unwrap().pop_first() {
                Some((_, bytes)) => LaidDown::read(&bytes.into()).unwrap(),
                None => panic!("nothing lies there"),
            }
        })
    }
    fn settle(&self, id: ExchangeId, settled: Settled) -> BoxFuture<'_, ()> {
        self.settled.lock().unwrap().push((id, settled));
        Box::pin(async {})
    }
}

struct Keys;
impl SubjectKeys for Keys {
    fn keys<'a>(&'a self, ids: &'a [Box<str>]) -> BoxFuture<'a, Result<Vec<Arc<OwnerKey>>, Box<Denial>>> {
        Box::pin(async { Ok(ids.iter().map(|_| Arc::new(OwnerKey::new([1; 16], [2; 32]))).collect()) })
    }
}

struct Scene {
    trail: Arc<Trail>,
    recorder: Arc<dyn Recorder>,
    clock: Arc<dyn Clock>,
    pipeline: Arc<Pipeline>,
    spool: Held,
    target: Target,
    may: Arc<Counting>,
    look: Arc<Counting>,
}

const FIRST: ExchangeId = ExchangeId::from_u128(1);
const SECOND: ExchangeId = ExchangeId::from_u128(2);

fn flow(name: &str) -> Arc<Flow> {
    let integration =
        IntegrationFacts { name: "orders".into(), durable: true, ..IntegrationFacts::default() };
    let mut table = PermissionTable::default();
    let permission = table.intern("orders:write");
    let operation = OperationFacts { name: name.into(), permission, permission_name: "orders:write".into() };
    Arc::new(Flow::new(Arc::new(integration), Some(operation), 1))
}

impl Scene {
    fn new() -> Scene {
        let (may, look) = (Counting::new(&AUTHORISE), Counting::new(&INSPECT));
        let controls: Vec<Arc<dyn Control>> = vec![Counting::new(&AUTHENTICATE), may.clone(), look.clone()];
        let trail = Arc::<Trail>::default();
        Scene {
            recorder: trail.clone(),
            trail,
            clock: Arc::new(SystemClock::default()),
            pipeline: Arc::new(Pipeline::new(controls, Bounds { request: Some(100), reply: None })),
            spool: Held::default(),
            target: Target::default(),
            may,
            look,
        }
    }

    async fn accept(&self, source: &mut Asking) -> Accepted {
        let mut exchange =
            Exchange::new(FIRST, self.clock.now(), self.clock.monotonic(), flow("put"), Peer::default());
        exchange.asked.verb = "PUT".into();
        exchange.asked.deduplication_key = Some(DeduplicationKey::new("k"));
        let accepted = accept(&self.pipeline, &self.recorder, &self.clock, exchange, source).await;
        accepted.unwrap_or_else(|_| panic!("refused"))
    }

    async fn lay_down(&self, body: &'static str) -> Answer {
        let mut source = Asking(body);
        self.accept(&mut source).await.lay_down(&mut source, &self.spool).await
    }

    async fn resume(&self, principal: Result<Principal, Box<Denial>>) -> Result<Accepted, Answer> {
        self.resume_as(flow("put"), principal).await
    }

    async fn resume_as(
        &self,
        flow: Arc<Flow>,
        principal: Result<Principal, Box<Denial>>,
    ) -> Result<Accepted, Answer> {
        let laid = self.spool.take().await;
        assert_eq!((&*laid.account, &*laid.integration, &*laid.operation), ("shop", "orders", "put"));
        let now = Resumption {
            trail: &self.recorder,
            clock: &self.clock,
            subjects: &Keys,
            id: SECOND,
            flow,
            pipeline: &self.pipeline,
            principal,
        };
        resume(laid, now).await
    }

    fn recorded(&self) -> Vec<Recorded> {
        self.trail.recorded.lock().unwrap().clone()
    }

    fn lie(&self) -> usize {
        self.spool.lies.lock().unwrap().len()
    }
}

#[tokio::test]
async fn what_is_laid_down_is_delivered_later_under_a_record_of_its_own() {
    let scene = Scene::new();
    assert!(matches!(scene.lay_down("order 7").await, Answer::Accepted { .. }));
    assert_eq!(scene.recorded(), [(FIRST, None, Ending::Accepted)]);
    assert!(scene.target.bodies.lock().unwrap().is_empty(), "nothing is delivered yet");

    let accepted = scene.resume(Ok(principal())).await.unwrap_or_else(|_| panic!("refused"));
    assert_eq!(&*accepted.exchange().asked.verb, "PUT");
    assert!(accepted.exchange().acts_once(), "its key was held when it was accepted");
    let settled = accepted.deliver(&mut NoCaller, &scene.target).await.settle();
    assert_eq!(settled, Settled::Done);
    assert_eq!(*scene.target.bodies.lock().unwrap(), ["order 7"]);
    assert_eq!(scene.recorded()[1..], [(SECOND, Some(FIRST), Ending::Delivered(DONE))]);
    assert_eq!(*scene.trail.bytes_out.lock().unwrap(), [0, 0], "its answer passes to nobody");
    assert_eq!(scene.may.counts(), (2, 1), "judged again; settled when it was laid down");
    assert_eq!(scene.look.counts(), (1, 1), "its body is judged once");
}

#[tokio::test]
async fn what_is_accepted_may_be_delivered_at_once() {
    let scene = Scene::new();
    let mut source = Asking("now");
    let accepted = scene.accept(&mut source).await;
    assert!(scene.recorded().is_empty(), "it is not over");
    let Answer::Delivered { tail, .. } = accepted.deliver(&mut source, &scene.target).await else { panic!() };
    tail.finish();
    assert_eq!(scene.recorded(), [(FIRST, None, Ending::Delivered(DONE))]);
}

#[tokio::test]
async fn what_is_not_permitted_any_more_is_refused_and_recorded() {
    for (suspended, gone, expected) in [
        (true, None, &code::TARGET_SUSPENDED),
        (false, Some(&code::ACCOUNT_UNKNOWN), &code::ACCOUNT_UNKNOWN),
        (false, Some(&code::OPERATION_UNKNOWN), &code::OPERATION_UNKNOWN),
    ] {
        let scene = Scene::new();
        scene.lay_down("order 7").await;
        scene.may.refuses.store(suspended, Ordering::SeqCst);
        let principal = gone.map_or_else(|| Ok(principal()), |code: &'static Code| Err(code.into()));
        let Err(answer) = scene.resume(principal).await else { panic!("{}", expected.id) };
        assert_eq!(answer.settle() == Settled::Untaken, expected.retry, "{}", expected.id);
        assert_eq!(scene.recorded()[1..], [(SECOND, Some(FIRST), Ending::Denied(expected))]);
        assert!(scene.target.bodies.lock().unwrap().is_empty());
        assert_eq!(scene.look.counts(), (1, 1), "what did not judge again is not settled again");
    }
}

/// The controls of another operation judge something else, and where nothing is declared there are none to refuse it.
#[tokio::test]
async fn what_was_laid_down_goes_on_as_what_it_was_or_not_at_all() {
    let other = Account { name: "other".into(), ..Account::clone(principal().account()) };
    let other = Principal::verified(Arc::new(other), Arc::clone(principal().credential()), None);
    for (flow, principal, expected) in [
        (
            Arc::new(Flow::undeclared(IntegrationFacts::default().transport, 1)),
            principal(),
            &code::OPERATION_UNKNOWN,
        ),
        (flow("delete"), principal(), &code::INTERNAL),
        (flow("put"), other, &code::INTERNAL),
    ] {
        let scene = Scene::new();
        scene.lay_down("order 7").await;
        let Err(Answer::Denied { denial, .. }) = scene.resume_as(flow, Ok(principal)).await else { panic!() };
        assert_eq!(denial.code, expected);
        assert_eq!(scene.recorded()[1..], [(SECOND, Some(FIRST), Ending::Denied(expected))]);
    }
}

#[tokio::test]
async fn the_spool_learns_whether_the_target_may_have_acted() {
    for (fails, settled) in [
        (&code::TARGET_UNREACHABLE, Settled::Untaken),
        (&code::TARGET_UNAVAILABLE, Settled::Untaken),
        (&code::TARGET_TIMEOUT, Settled::Done),
        (&code::TARGET_BROKE_OFF, Settled::Done),
    ] {
        let mut scene = Scene::new();
        scene.target.fails = Some(fails);
        scene.lay_down("order 7").await;
        let accepted = scene.resume(Ok(principal())).await.unwrap_or_else(|_| panic!("refused"));
        let answer = accepted.deliver(&mut NoCaller, &scene.target).await;
        assert_eq!(answer.settle(), settled, "{}", fails.id);
        assert_eq!(scene.recorded()[1..], [(SECOND, Some(FIRST), Ending::Failed(fails))]);
    }
}

#[tokio::test]
async fn what_cannot_be_laid_down_or_recorded_is_not_taken_over() {
    let scene = Scene::new();
    scene.spool.full.store(true, Ordering::SeqCst);
    let Answer::Denied { denial, .. } = scene.lay_down("order 7").await else { panic!() };
    assert_eq!(denial.code, &code::STORE_UNAVAILABLE);
    assert_eq!(scene.recorded(), [(FIRST, None, Ending::Denied(&code::STORE_UNAVAILABLE))]);

    let scene = Scene::new();
    scene.trail.forgets.store(true, Ordering::SeqCst);
    let Answer::Denied { denial, .. } = scene.lay_down("order 7").await else { panic!() };
    assert_eq!((denial.code, scene.lie()), (&code::AUDIT_UNAVAILABLE, 0), "it is taken back");
    let settled = scene.look.settled.lock().unwrap().clone();
    assert_eq!(settled, [Ending::Denied(&code::AUDIT_UNAVAILABLE)], "so that its key is free");

    let scene = Scene::new();
    let large = "x".repeat(101).leak();
    let Answer::Denied { denial, .. } = scene.lay_down(large).await else { panic!() };
    assert_eq!((denial.code, scene.lie()), (&code::BODY_TOO_LARGE, 0));
}

#[tokio::test]
async fn a_caller_that_leaves_is_recorded_as_far_as_it_came() {
    let scene = Scene::new();
    drop(scene.accept(&mut Asking("x")).await);
    assert_eq!(scene.recorded(), [(FIRST, None, Ending::Abandoned { sent: false })]);

    let scene = Scene::new();
    scene.spool.hangs.store(true, Ordering::SeqCst);
    let waited = tokio::time::timeout(std::time::Duration::from_millis(5), scene.lay_down("x")).await;
    assert!(waited.is_err());
    assert_eq!(scene.recorded(), [(FIRST, None, Ending::Abandoned { sent: true })], "it may lie there");

    let scene = Scene::new();
    scene.trail.hangs.store(true, Ordering::SeqCst);
    let waited = tokio::time::timeout(std::time::Duration::from_millis(5), scene.lay_down("x")).await;
    assert!(waited.is_err());
    assert_eq!(scene.recorded(), [(FIRST, None, Ending::Accepted)]);
    assert_eq!(
        *scene.look.settled.lock().unwrap(),
        [Ending::Accepted],
        "it lies there, and will be delivered"
    );
}

fn text() -> impl Strategy<Value = Box<str>> {
    any::<String>().prop_map(Into::into)
}

fn laid() -> impl Strategy<Value = LaidDown> {
    let names = (text(), text(), text(), text(), 0usize..4);
    let asked = (
        text(),
        text(),
        proptest::collection::vec((text(), text()), 0..3),
        "([a-z]{1,5}(=[a-z0-9.]{0,5})?)?",
        proptest::option::of(text()),
        any::<bool>(),
    );
    let rest = (proptest::collection::vec(text(), 0..3), 0u8..3, any::<u64>(), any::<Vec<u8>>());
    (any::<u128>(), any::<u64>(), proptest::option::of(any::<std::net::IpAddr>()), names, asked, rest)
        .prop_map(|(id, received, address, names, asked, (subjects, counted, count, payload))| {
            let (integration, operation, account, credential, kind) = names;
            let (verb, resource, parameters, query, optional, has_body) = asked;
            LaidDown {
                id: ExchangeId::from_u128(id),
                received: Timestamp(received),
                integration,
                operation,
                account,
                credential: (CredentialKind::ALL[kind], credential),
                address,
                asked: Asked {
                    verb,
                    resource,
                    parameters: parameters.into_iter().map(|(name, value)| ((*name).into(), value)).collect(),
                    query: Query::parse(&query).unwrap(),
                    media_type: optional.clone(),
                    encoding: optional.clone(),
                    deduplication_key: optional.as_deref().map(DeduplicationKey::new),
                    repeats: vec![],
                    has_body,
                },
                marks: vec![("file".into(), "a.csv".into())],
                subjects,
                records: [Counted::No, Counted::Seen(count), Counted::Named(count)][usize::from(counted)],
                payload: payload.into(),
            }
        })
}

proptest! {
    #[test]
    fn what_was_laid_down_reads_as_it_was(laid in laid()) {
        let bytes = Bytes::from(laid.write());
        let read = LaidDown::read(&bytes).unwrap();
        prop_assert_eq!(format!("{read:?}"), format!("{laid:?}"));
        prop_assert_eq!(read.write(), bytes);
    }

    #[test]
    fn other_bytes_are_refused(cut in 0usize..200, flipped in 0usize..200, laid in laid()) {
        let mut bytes = laid.write();
        let payload = bytes.len() - laid.payload.len();
        let flipped = flipped % payload;
        bytes[flipped] ^= 1;
        // Whatever is read, it is read without a panic, and what is not this format is refused.
        let read = LaidDown::read(&bytes.clone().into());
        prop_assert!(read.is_err() || flipped >= 23);
        bytes.truncate(cut % payload);
        prop_assert!(LaidDown::read(&bytes.into()).is_err());
    }
}

/// Written by the first version of the format.
#[test]
fn the_format_stays() {
    let written = "ironbridge laid down 1\n{\"id\":\"00000000-0000-0000-0000-000000000001\",\"received\":5,\"integration\":\"orders\",\"operation\":\"put\",\"account\":\"shop\",\"credential_kind\":\"api_key\",\"credential\":\"k\",\"address\":\"192.0.2.7\",\"verb\":\"PUT\",\"resource\":\"/7\",\"parameters\":[[\"id\",\"7\"]],\"query\":\"a=b\",\"media_type\":\"application/json\",\"encoding\":null,\"deduplication_key\":\"x\",\"has_body\":true,\"marks\":[[\"file\",\"a.csv\"]],\"subjects\":[\"p1\"],\"records\":3,\"named\":false}\n{\"n\":1}\n";
    let laid = LaidDown::read(&Bytes::from_static(written.as_bytes())).unwrap();
    assert_eq!((&*laid.asked.resource, &laid.payload[..]), ("/7", &b"{\"n\":1}\n"[..]));
    assert_eq!((laid.records, &*laid.subjects[0]), (Counted::Seen(3), "p1"));
    assert_eq!(laid.write(), written.as_bytes());
    for other in ["", "ironbridge laid down 2\n{}\n", "ironbridge laid down 1\n{}"] {
        assert_eq!(LaidDown::read(&Bytes::from_static(other.as_bytes())).unwrap_err(), Unreadable::Format);
    }
    let unknown = written.replace("\"named\"", "\"other\":1,\"named\"");
    assert!(matches!(LaidDown::read(&unknown.into_bytes().into()), Err(Unreadable::Head(_))));
}
