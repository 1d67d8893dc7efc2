//! A transport of lines over TCP, which shows what a transport needs, and that it needs no more.
//!
//! It is never in the binary: it has no TLS, and nobody but its own tests speaks it. It must not know another transport,
//! and no other room knows it.
//!
//! One exchange a connection. The request is one line, and a body in pieces:
//!
//! ```text
//! PUT /orders/7 apikey=KEY key=VALUE id=VALUE type=application/json
//! +17
//! {"quantity": "3"}
//! .
//! ```
//!
//! of which everything but the resource may be left out; `token=` is for bearer tokens. It is answered with
//! `OK type=MEDIA` and a body in pieces, or with `REFUSED CODE` and nothing more.
#![warn(missing_docs)]

mod caller;
mod ingress;
mod section;
mod target;
mod wire;

pub use section::{LineFlow, LineOperation, LineTarget};

use ingress::Listeners;
use ironbridge_core::TransportFacts;
use ironbridge_engine::transport::{Egress, Ingress, Transport};
use ironbridge_manifest::Sections;
use section::{FACTS, NAME};
use std::sync::Arc;
use target::Targets;

/// The transport, to be given to [`ironbridge_engine::Bridge::start_with`].
pub struct Line;

impl Transport for Line {
    fn facts(&self) -> &'static TransportFacts {
        &FACTS
    }

    fn sections(&self, known: Sections) -> Sections {
        let known = known.flow::<LineFlow>(NAME, "The flow of lines over TCP.");
        known.target::<LineTarget>(NAME, "How the bridge reaches it with lines over TCP.")
    }

    fn ingress(&self) -> Box<dyn Ingress> {
        Box::new(Listeners::default())
    }

    fn egress(&self) -> Arc<dyn Egress> {
        Arc::new(Targets)
    }
}
