//! What the gate and the transport of one connection know together.

use ironbridge_core::Code;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::time::Instant;

/// What the gate and the transport of one connection know together. It travels outside the byte stream, so no
/// caller can imitate it. (hyper wants upgradable connections to be `Send`, hence atomics; nothing contends.)
pub struct GateState {
    /// Requests handed to the service, and those whose [`InService`] is gone.
    arrived: AtomicU64,
    finished: AtomicU64,
    begun: Instant,
    /// When the last of them was gone: nanoseconds after `begun`, 0 for never.
    rested: AtomicU64,
    /// Which request, counted from 0, is the refused one, and which asks for an upgrade.
    refused_at: AtomicU64,
    upgrade_at: AtomicU64,
    refusal: OnceLock<&'static Code>,
    body_fault: OnceLock<&'static Code>,
    decision: Mutex<Decision>,
    /// Set, then kept, when somebody waits until everything is served.
    waits: AtomicBool,
    waiting: Mutex<Option<Waker>>,
}

const NONE: u64 = u64::MAX;

enum Decision {
    Open(Option<Waker>),
    Accepted,
    Declined,
}

/// What a request that hyper hands to the service is.
pub enum Arrival {
    /// A request that passed.
    Request(InService),
    /// A request that passed and asks for an upgrade; the gate reads nothing more until it is decided.
    Upgrade(InService, Upgrade),
    /// Not a request: the gate refused what arrived, and hyper sees a stand-in whose method, target and fields
    /// mean nothing. Answer with the code's problem document; the connection closes after it.
    Refused(InService, &'static Code),
}

impl GateState {
    pub(super) fn new() -> GateState {
        GateState {
            arrived: AtomicU64::new(0),
            finished: AtomicU64::new(0),
            begun: Instant::now(),
            rested: AtomicU64::new(0),
            refused_at: AtomicU64::new(NONE),
            upgrade_at: AtomicU64::new(NONE),
            refusal: OnceLock::new(),
            body_fault: OnceLock::new(),
            decision: Mutex::new(Decision::Open(None)),
            waits: AtomicBool::new(false),
            waiting: Mutex::new(None),
        }
    }

    /// For HTTP/2, where no gate is needed: it counts requests, and no more.
    pub fn ungated() -> Arc<GateState> {
        Arc::new(GateState::new())
    }

    /// Call exactly once for every request that hyper hands to the service, in order, before the first await.
    pub fn arrival(self: &Arc<Self>) -> Arrival {
        let index = self.arrived.fetch_add(1, Ordering::Relaxed);
        let service = InService(self.clone());
        if index == self.refused_at.load(Ordering::Acquire)
            && let Some(code) = self.refusal.get()
        {
            return Arrival::Refused(service, code);
        }
        if index == self.upgrade_at.load(Ordering::Acquire) {
            return Arrival::Upgrade(service, Upgrade { state: self.clone(), accepted: false });
        }
        Arrival::Request(service)
    }

    /// Why the body of the request in service was cut off, if its chunks or trailers were at fault.
    pub fn body_fault(&self) -> Option<&'static Code> {
        self.body_fault.get().copied()
    }

    pub(super) fn refuse(&self, head: u64, code: &'static Code) {
        // The first refusal is the only one: the gate stops there.
        let _ = self.refusal.set(code);
        self.refused_at.store(head, Ordering::Release);
    }

    pub(super) fn cut_body(&self, code: &'static Code) {
        let _ = self.body_fault.set(code);
    }

    pub(super) fn ask_upgrade(&self, head: u64) {
        *self.decision() = Decision::Open(None);
        self.upgrade_at.store(head, Ordering::Release);
    }

    /// Whether the upgrade was accepted, once that is decided.
    pub(super) fn poll_decision(&self, cx: &Context<'_>) -> Poll<bool> {
        match &mut *self.decision() {
            Decision::Accepted => Poll::Ready(true),
            Decision::Declined => Poll::Ready(false),
            Decision::Open(waker) => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// How many requests were handed to the service.
    pub fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::Acquire)
    }

    /// How many of the requests that arrived have been served; `None` while one is being served.
    pub fn served(&self) -> Option<u64> {
        let finished = self.finished.load(Ordering::Acquire);
        (self.arrived.load(Ordering::Acquire) == finished).then_some(finished)
    }

    /// Resolves when no request is being served.
    pub(super) fn poll_served(&self, cx: &Context<'_>) -> Poll<()> {
        if self.served().is_none() {
            *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
            self.waits.store(true, Ordering::Release);
        }
        if self.served().is_some() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Since when no request has been in service: the inner `None` is "since the beginning", the outer one says that
    /// one is, or that the connection switched protocols.
    pub fn idle_since(&self) -> Option<Option<std::time::Instant>> {
        self.served()?;
        if matches!(*self.decision(), Decision::Accepted) {
            return None;
        }
        let rested = self.rested.load(Ordering::Relaxed);
        Some((rested > 0).then(|| (self.begun + Duration::from_nanos(rested)).into_std()))
    }

    fn decide(&self, decision: Decision) {
        let before = std::mem::replace(&mut *self.decision(), decision);
        if let Decision::Open(Some(waker)) = before {
            waker.wake();
        }
    }

    fn decision(&self) -> MutexGuard<'_, Decision> {
        self.decision.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keep it until the answer has ended: while one lives, the connection does not count as idle.
pub struct InService(Arc<GateState>);

impl Drop for InService {
    fn drop(&mut self) {
        let rested = u64::try_from(self.0.begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.0.rested.store(rested.max(1), Ordering::Relaxed);
        self.0.finished.fetch_add(1, Ordering::Release);
        if self.0.waits.load(Ordering::Acquire)
            && let Some(waker) = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            waker.wake();
        }
    }
}

/// The decision on an upgrade. Dropping it declines, and the connection goes on with ordinary requests.
pub struct Upgrade {
    state: Arc<GateState>,
    accepted: bool,
}

impl Upgrade {
    /// Call before answering 101: from now on bytes pass unread.
    pub fn accept(mut self) {
        self.accepted = true;
        self.state.decide(Decision::Accepted);
    }
}

impl Drop for Upgrade {
    fn drop(&mut self) {
        if !self.accepted {
            self.state.decide(Decision::Declined);
        }
    }
}
