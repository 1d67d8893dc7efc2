//! Where a connection's requests meet what its listener offers.

use crate::answer;
use crate::answer_body::AnswerBody;
use crate::offer::Offer;
use crate::worker::Worker;
use http::Response;
use ironbridge_core::{Denial, Exchange, Flow, Parting, Peer, PeerCertificate, cross};
use ironbridge_net::frames::FrameState;
use ironbridge_net::gate::GateState;
use ironbridge_net::listen::Permit;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

/// Who is at the other end of a connection.
pub(crate) struct Caller {
    pub address: IpAddr,
    /// The address that the connection was made to.
    pub local: Option<IpAddr>,
    pub certificate: Option<Arc<PeerCertificate>>,
    /// Counts requests; with HTTP/1 it also says what the framing gate found.
    pub gate: Arc<GateState>,
    /// What is known of the connection's frames, with HTTP/2.
    pub frames: Option<Rc<FrameState>>,
    /// While one is held, the connection counts as open; it outlives HTTP where the protocol was switched.
    pub counted: Rc<Permit>,
    /// Why the bridge ends the connection, once it does.
    pub parting: Arc<Parting>,
}

/// What arrived was refused before it was a request: there is nothing to look at, but there is a record.
pub(crate) async fn refuse_unread(
    worker: &Rc<Worker>,
    offer: &Offer,
    caller: &Caller,
    denial: Denial,
) -> Response<AnswerBody> {
    let desk = Desk { worker, offer, caller };
    let mut exchange = desk.exchange(&offer.undeclared.flow, offer.proxies.caller_unread(caller.address));
    exchange.refused = Some(Box::new(denial));
    desk.refuse(exchange).await
}

pub(crate) struct Desk<'a> {
    pub worker: &'a Rc<Worker>,
    pub offer: &'a Offer,
    pub caller: &'a Caller,
}

/// An answer without a target. It is boxed, so that the exchanges which cross need no room for it.
pub(crate) type Unasked<'a> = Pin<Box<dyn Future<Output = Response<AnswerBody>> + 'a>>;

impl Desk<'_> {
    /// Refuses what matched nothing declared, after the admit controls have counted it.
    pub fn refuse(&self, exchange: Exchange) -> Unasked<'_> {
        Box::pin(async move {
            let shared = &self.worker.front.shared;
            let pipeline = &self.offer.undeclared.pipeline;
            let (mut source, delivery) = (answer::Nowhere, &answer::Nowhere);
            let answer = cross(pipeline, &shared.trail, &shared.clock, exchange, &mut source, delivery).await;
            answer::respond_nowhere(self.offer, answer)
        })
    }

    pub fn exchange(&self, flow: &Arc<Flow>, address: Option<IpAddr>) -> Exchange {
        let shared = &self.worker.front.shared;
        let now = shared.clock.now();
        let id = self.worker.ids.borrow_mut().next(now, shared.entropy.as_ref());
        let Caller { certificate, parting, .. } = self.caller;
        let peer = Peer { address, certificate: certificate.clone(), parting: Arc::clone(parting) };
        Exchange::new(id, now, shared.clock.monotonic(), Arc::clone(flow), peer)
    }
}
