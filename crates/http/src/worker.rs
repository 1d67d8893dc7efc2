//! What the connections of a listener share: for the life of the bridge, on every core, and on one.

use crate::handshakes::Handshakes;
use crate::offer::Offer;
use crate::unattended::Streams;
use arc_swap::ArcSwap;
use ironbridge_core::{Clock, Denial, Entropy, Exchange, IdSource, OpenExchanges, Recorder};
use ironbridge_net::gate;
use ironbridge_net::tls::server::{ListenerTls, Turns};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// What all listeners share for the life of the bridge.
pub struct Shared {
    pub trail: Arc<dyn Recorder>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub exchanges: Arc<OpenExchanges>,
}

/// One listener's HTTP service, on every core.
pub struct Front {
    pub(crate) shared: Shared,
    /// Replaced as a whole by a reload; an exchange keeps the one it started with.
    pub(crate) offer: ArcSwap<Offer>,
    pub tls: ListenerTls,
    pub(crate) limits: ArcSwap<gate::Limits>,
    pub(crate) handshakes: Handshakes,
    pub(crate) draining: watch::Sender<bool>,
    /// When what is still open ends, once that is known.
    over: watch::Sender<Option<Instant>>,
}

impl Front {
    pub fn new(shared: Shared, offer: Arc<Offer>, tls: ListenerTls, limits: gate::Limits) -> Arc<Front> {
        Arc::new(Front {
            shared,
            offer: ArcSwap::new(offer),
            tls,
            limits: ArcSwap::from_pointee(limits),
            handshakes: Handshakes::default(),
            draining: watch::Sender::new(false),
            over: watch::Sender::new(None),
        })
    }

    /// New exchanges see the new offer from now on.
    pub fn replace(&self, offer: Arc<Offer>, limits: gate::Limits) {
        self.offer.store(offer);
        self.limits.store(Arc::new(limits));
    }

    /// Connections finish what is under way and close.
    pub fn drain(&self) {
        self.draining.send_replace(true);
    }

    /// As [`Front::drain`]; what is still open after this time is cut. Called again, the earlier time counts.
    pub fn drain_within(&self, time: Duration) {
        let until = Instant::now() + time;
        self.over.send_modify(|over| *over = Some(over.map_or(until, |over| over.min(until))));
        self.drain();
    }

    /// Resolves when what is open must end.
    pub(crate) async fn over(&self) {
        let mut over = self.over.subscribe();
        loop {
            let until = *over.borrow_and_update();
            let due = async {
                match until {
                    Some(until) => sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => return,
                Ok(()) = over.changed() => {}
            }
        }
    }
}

/// One listener on one core.
pub(crate) struct Worker {
    pub front: Arc<Front>,
    pub ids: RefCell<IdSource>,
    pub turns: Turns,
    pub streams: Rc<Streams>,
}

impl Worker {
    pub fn offer(&self) -> Arc<Offer> {
        self.front.offer.load_full()
    }

    /// Has the operator's log tell of a refusal, as it has room for its kind.
    pub fn tell(&self, denial: &Denial, exchange: &Exchange) {
        self.front.offer.load().told.log(denial, exchange);
    }

    pub fn is_draining(&self) -> bool {
        *self.front.draining.borrow()
    }
}
