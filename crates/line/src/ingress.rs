//! Its listeners: one for each integration, kept across reloads where the address stays.

use crate::caller::{Offer, serve};
use crate::section::{FACTS, LineFlow, NAME};
use arc_swap::ArcSwap;
use ironbridge_core::{Action, BoxFuture, IdSource, Parting, code};
use ironbridge_engine::plan::Planned;
use ironbridge_engine::transport::{BuildError, Ingress, Prepared, Preparing};
use ironbridge_net::listen::{Connection, Handler, Limits, Listener, Options, Serving};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Connections open at once on one listener.
const MAX_CONNECTIONS: usize = 1000;

/// The listeners at work, by the address that is declared.
#[derive(Default)]
pub struct Listeners {
    running: BTreeMap<SocketAddr, Running>,
    leaving: Vec<Running>,
}

struct Running {
    name: Arc<str>,
    offer: Arc<ArcSwap<Offer>>,
    serving: Serving,
    /// When what is still open is cut.
    over: watch::Sender<Option<Instant>>,
}

/// What is taken on one address; bound already where that is new.
struct Next {
    name: Arc<str>,
    offer: Arc<Offer>,
    socket: Option<Listener>,
}

impl Ingress for Listeners {
    fn prepare<'a>(
        &'a mut self,
        from: &'a Preparing<'a>,
    ) -> BoxFuture<'a, Result<Box<dyn Prepared + 'a>, BuildError>> {
        let prepared = self.next(from);
        Box::pin(std::future::ready(
            prepared.map(|next| Box::new(Change { from, listeners: self, next }) as Box<dyn Prepared + 'a>),
        ))
    }

    fn drain(&self) {
        self.running.values().for_each(|running| running.serving.drain());
    }

    fn leave(&self, time: Duration) {
        self.all().for_each(|running| running.leave(time));
    }

    fn idle(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            for running in self.all() {
                running.serving.idle().await;
            }
        })
    }

    fn open(&self) -> usize {
        self.all().map(|running| running.serving.open()).sum()
    }

    fn addresses(&self) -> Vec<(Arc<str>, SocketAddr)> {
        self.running.values().map(|running| (Arc::clone(&running.name), running.serving.address())).collect()
    }
}

impl Listeners {
    fn all(&self) -> impl Iterator<Item = &Running> {
        self.running.values().chain(&self.leaving)
    }

    fn next(&self, from: &Preparing<'_>) -> Result<BTreeMap<SocketAddr, Next>, BuildError> {
        let mut next = BTreeMap::new();
        for planned in from.integrations() {
            let Some(flow) = planned.declared.flow.of::<LineFlow>() else { continue };
            let key = format!("integrations.{}.{NAME}.address", planned.name);
            let offer = Arc::new(offer(from, planned, flow)?);
            let socket = match self.running.contains_key(&flow.address) {
                true => None,
                false => Some(Listener::bind(flow.address).map_err(|reason| BuildError::Bind {
                    who: format!("integration {}", planned.name),
                    key: key.clone(),
                    address: flow.address,
                    reason,
                })?),
            };
            let name = planned.name.shared();
            if next.insert(flow.address, Next { name, offer, socket }).is_some() {
                return Err(BuildError::declared(key, "another integration takes lines there"));
            }
        }
        Ok(next)
    }
}

fn offer(from: &Preparing<'_>, planned: Planned<'_>, flow: &LineFlow) -> Result<Offer, BuildError> {
    let templates = flow.operations.values().map(|operation| operation.resource.clone());
    let timeouts = &from.manifest().bridge.timeouts;
    Ok(Offer {
        passages: templates.zip(from.passages(&FACTS, planned, None)?).collect(),
        undeclared: from.undeclared(&FACTS, None)?,
        trail: from.recorder(),
        clock: Arc::clone(from.clock()),
        entropy: Arc::clone(from.entropy()),
        exchanges: Arc::clone(from.exchanges()),
        line_timeout: timeouts.header,
        body_timeout: timeouts.body,
    })
}

/// The listeners of the next snapshot.
struct Change<'a> {
    from: &'a Preparing<'a>,
    listeners: &'a mut Listeners,
    next: BTreeMap<SocketAddr, Next>,
}

impl Prepared for Change<'_> {
    fn apply(self: Box<Self>) -> Vec<Action> {
        let Change { from, listeners, next } = *self;
        let mut before = std::mem::take(&mut listeners.running);
        for (address, Next { name, offer, socket }) in next {
            let running = match (before.remove(&address), socket) {
                (Some(known), _) => {
                    known.offer.store(offer);
                    Running { name, ..known }
                }
                (None, Some(socket)) => Running::start(name, socket, offer, from),
                // One without a socket had a listener before.
                (None, None) => continue,
            };
            listeners.running.insert(address, running);
        }
        listeners.leaving.retain(|running| running.serving.open() > 0);
        for gone in before.into_values() {
            gone.leave(from.drain());
            listeners.leaving.push(gone);
        }
        Vec::new()
    }
}

impl Running {
    fn start(name: Arc<str>, socket: Listener, offer: Arc<Offer>, from: &Preparing<'_>) -> Running {
        let (offer, over) = (Arc::new(ArcSwap::new(offer)), watch::Sender::new(None));
        let (offered, ends) = (Arc::clone(&offer), over.clone());
        let limits =
            Limits { max: MAX_CONNECTIONS, per_address: MAX_CONNECTIONS, exempt: Arc::new(|_| false) };
        let handler = move |_core| handler(Arc::clone(&offered), &ends);
        let serving = socket.serve(from.cores(), Options { limits, handler: Arc::new(handler) });
        Running { name, offer, serving, over }
    }

    fn leave(&self, time: Duration) {
        self.serving.drain();
        self.over.send_replace(Some(Instant::now() + time));
    }
}

/// What takes the connections of one core.
fn handler(offer: Arc<ArcSwap<Offer>>, ends: &watch::Sender<Option<Instant>>) -> Handler {
    let (ids, ends) = (Rc::new(RefCell::new(IdSource::default())), ends.clone());
    Rc::new(move |connection| {
        let (offer, ids, ends) = (offer.load_full(), Rc::clone(&ids), ends.subscribe());
        Box::pin(async move {
            let Connection { stream, peer, permit, .. } = connection;
            let parting = Arc::<Parting>::default();
            let serving = serve(stream, peer.ip(), &offer, &ids, Arc::clone(&parting));
            tokio::pin!(serving);
            tokio::select! {
                () = &mut serving => {}
                // Before what is open is dropped.
                () = over(ends) => parting.because(&code::DRAIN_OVER),
            }
            drop(permit);
        })
    })
}

/// Resolves when what is open must end.
async fn over(mut ends: watch::Receiver<Option<Instant>>) {
    let Ok(Some(until)) = ends.wait_for(Option::is_some).await.map(|until| *until) else {
        return std::future::pending().await;
    };
    sleep_until(until).await;
}
