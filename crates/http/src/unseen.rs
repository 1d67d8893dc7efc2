//! Requests that the HTTP/2 library refuses before the service sees them, and connections that it ends: they have no
//! answer of ours, but they have a record.

use crate::desk::{Caller, refuse_unread};
use crate::worker::Worker;
use ironbridge_core::{Code, Denial, code};
use ironbridge_net::frames::{FrameState, Refused};
use ironbridge_net::protocol::broken_http2;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

/// Refused requests on one connection. Callers that mean well have none; hyper ends the connection about here too, but
/// not over header sections.
const MOST_REFUSED: u64 = 64;

/// Records what the library refused, each time it is polled. Resolves when the caller has had enough patience.
pub(crate) async fn watch(worker: &Rc<Worker>, caller: &Rc<Caller>, seen: &FrameState) {
    poll_fn(|_| {
        record(worker, caller, seen.refused(caller.gate.arrived()), None);
        if seen.told() > MOST_REFUSED { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    caller.parting.because(&code::HTTP2_REFUSED);
}

/// Records what was still on its way when the connection ended, or else that it ended over a broken protocol.
pub(crate) fn ended(worker: &Rc<Worker>, caller: &Rc<Caller>, seen: &FrameState, ended: &hyper::Result<()>) {
    let why = match ended {
        Err(error) => seen.cut().map(str::to_owned).or_else(|| broken_http2(error)),
        Ok(()) => None,
    };
    if why.is_some() {
        caller.parting.because(&code::HTTP2_REFUSED);
    }
    let refused = seen.refused_at_end(caller.gate.arrived(), why.is_some());
    record(worker, caller, refused, why.as_deref());
}

fn record(worker: &Rc<Worker>, caller: &Rc<Caller>, refused: Refused, why: Option<&str>) {
    let other = if worker.is_draining() { &code::BRIDGE_DRAINING } else { &code::HTTP2_REFUSED };
    for (code, count) in [(&code::HEADER_TOO_LARGE, refused.large), (other, refused.other)] {
        if count > 0 {
            append(worker, caller, code, count, why.map(str::to_owned));
        }
    }
}

/// Beside the connection: it must not wait for the trail, and has nobody to answer. One task for all, because a caller
/// may send thousands before the library looks at one of them.
fn append(worker: &Rc<Worker>, caller: &Rc<Caller>, code: &'static Code, count: u64, why: Option<String>) {
    let (worker, caller) = (Rc::clone(worker), Rc::clone(caller));
    tokio::task::spawn_local(async move {
        for place in 1..=count.min(MOST_REFUSED) {
            let mut denial = Denial { internal: why.clone(), ..Denial::new(code) };
            if place == MOST_REFUSED && count > MOST_REFUSED {
                denial = denial.internal(format!("and {} more of this connection", count - MOST_REFUSED));
            }
            drop(refuse_unread(&worker, &worker.offer(), &caller, denial).await);
        }
    });
}
