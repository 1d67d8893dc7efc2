//! What lasts is looked at again: a stream or a WebSocket ends once its caller would not be let in any more, because its
//! credential expired or was revoked, or because a reload took its account, its address, its permission or the operation
//! away.

use crate::route::Route;
use crate::routes::Found;
use crate::unattended::{LOOK, Streams};
use crate::worker::Worker;
use http::Method;
use ironbridge_core::{Code, Denial, Exchange, Fault, Stop, code};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::time::Instant;

pub struct Lasting {
    worker: Rc<Worker>,
    /// As it was found when it began.
    route: Arc<Route>,
    due: Instant,
    looking: Option<Pin<Box<dyn Future<Output = Option<&'static Code>>>>>,
}

impl Lasting {
    pub(crate) fn new(worker: &Rc<Worker>, route: &Arc<Route>, now: Instant) -> Lasting {
        let (worker, route) = (Rc::clone(worker), Arc::clone(route));
        Lasting { worker, route, due: now + LOOK, looking: None }
    }

    /// Where a stream is looked after that hyper does not ask for more.
    pub(crate) fn streams(&self) -> Rc<Streams> {
        Rc::clone(&self.worker.streams)
    }

    /// The operator learns why it is cut, as of every other refusal.
    pub(crate) fn tell(&self, denial: &Denial, exchange: &Exchange) {
        self.worker.tell(denial, exchange);
    }

    /// When it began, as long as nobody has looked.
    pub(crate) fn begun(&self) -> Instant {
        self.due - LOOK
    }

    /// When to look next.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// Looks, if it is time to. What the caller would be refused with.
    pub fn poll(
        &mut self,
        exchange: &Exchange,
        now: Instant,
        context: &mut Context<'_>,
    ) -> Option<&'static Code> {
        let looking = match &mut self.looking {
            Some(looking) => looking,
            none => {
                if now < self.due {
                    return None;
                }
                self.due = now + LOOK;
                none.insert(Box::pin(look(&self.worker, &self.route, exchange, |_| true)))
            }
        };
        match looking.as_mut().poll(context) {
            Poll::Pending => None,
            Poll::Ready(refused) => {
                self.looking = None;
                refused
            }
        }
    }

    /// Resolves when the listener, which a reload took away, has had its time.
    pub async fn listener_is_over(&self) {
        self.worker.front.over().await;
    }

    /// Looks until a WebSocket would be refused.
    pub async fn refused(&self, exchange: &Exchange) -> &'static Code {
        loop {
            tokio::time::sleep(LOOK).await;
            if let Some(code) = look(&self.worker, &self.route, exchange, |route| route.upgrades).await {
                return code;
            }
        }
    }
}

/// Judges the same caller for the same request as it would be now: the same operation, and still by that path. What the bridge cannot tell is no reason to end
/// anything: that an issuer's keys cannot be read, for example.
fn look<F: Fn(&Route) -> bool>(
    worker: &Worker,
    begun: &Route,
    exchange: &Exchange,
    still_does: F,
) -> impl Future<Output = Option<&'static Code>> + use<F> {
    let (offer, clock) = (worker.offer(), &worker.front.shared.clock);
    let asked = format!("{}{}", begun.mount, exchange.asked.resource);
    let found = Method::from_bytes(exchange.asked.verb.as_bytes()).map(|it| offer.routes.find(&it, &asked));
    let route = match found {
        Ok(Found::Route(route)) if route.flow.is_same(&begun.flow) && still_does(route) => {
            Some(Arc::clone(route))
        }
        _ => None,
    };
    let again = route.map(|route| {
        let (now, flow) = (clock.now(), Arc::clone(&route.flow));
        let mut again = Exchange::new(exchange.id, now, clock.monotonic(), flow, exchange.origin.clone());
        again.presented = exchange.presented.clone();
        (route, again)
    });
    let before = exchange.account().map(|account| Arc::clone(&account.name));
    async move {
        let Some((route, mut again)) = again else { return Some(&code::OPERATION_UNKNOWN) };
        match route.pipeline.recognise(&mut again).await {
            Err(Stop::Deny(denial)) => (denial.code.fault == Fault::Caller).then_some(denial.code),
            Err(Stop::Replay(_)) => None,
            Ok(()) if again.account().map(|account| &account.name) != before.as_ref() => {
                Some(&code::ACCOUNT_UNKNOWN)
            }
            Ok(()) => None,
        }
    }
}
