//! An HTTP caller's side of an exchange.

use crate::request::Inbound;
use bytes::Bytes;
use http::HeaderValue;
use http::request::Parts;
use http_body::Body;
use ironbridge_core::memory::Charge;
use ironbridge_core::{Denial, Inflow, LocalFuture, Source, code};
use ironbridge_net::frames::Arriving;
use ironbridge_net::gate::GateState;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Sleep, sleep, timeout};

/// One request as it came over HTTP. What a delivery over HTTP takes of it besides the words of the exchange is here to
/// be read: no header section is copied on its way.
pub(crate) struct HttpSource {
    pub parts: Parts,
    /// The path below the integration's own as it is delivered, where that is not its decoded form.
    pub spelling: Option<Box<str>>,
    pub inbound: Inbound,
    /// For the whole request body, and for a pause in one that streams.
    pub body_timeout: Duration,
    /// Knows why the framing of an HTTP/1 body was refused.
    pub gate: Arc<GateState>,
    /// The caller asked to switch protocols, and the operation allows it.
    pub upgrades: bool,
    /// Says over which version it came.
    pub via: HeaderValue,
}

impl HttpSource {
    /// What was wrong with the body's framing, where that is why it did not come.
    pub fn body_fault(&self) -> Option<Box<Denial>> {
        self.gate.body_fault().map(Into::into)
    }
}

impl Source for HttpSource {
    fn read_request<'a>(
        &'a mut self,
        limit: u64,
        charge: &'a mut Charge,
    ) -> LocalFuture<'a, Result<Bytes, Box<Denial>>> {
        Box::pin(async move {
            match timeout(self.body_timeout, self.inbound.read_whole(limit, charge)).await {
                Ok(Err(denial)) => Err(self.body_fault().unwrap_or(denial)),
                Ok(body) => body,
                Err(_) => Err((&code::REQUEST_TIMEOUT).into()),
            }
        })
    }

    fn take_body(&mut self) -> Option<Box<dyn Inflow>> {
        let body = self.inbound.take()?;
        let (gate, pause) = (Arc::clone(&self.gate), self.body_timeout);
        Some(Box::new(Coming { body, gate, pause, alarm: None }))
    }
}

/// A request body on its way to a target that is not reached over HTTP. Trailers do not cross with it.
struct Coming {
    body: Arriving,
    gate: Arc<GateState>,
    pause: Duration,
    /// Armed only while the caller pauses.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Inflow for Coming {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Box<Denial>>>> {
        loop {
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
                let pause = self.pause;
                let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep(pause)));
                return alarm.as_mut().poll(context).map(|()| Some(Err((&code::REQUEST_TIMEOUT).into())));
            };
            self.alarm = None;
            match frame {
                None => return Poll::Ready(None),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
                Some(Err(error)) => {
                    let fault = self.gate.body_fault().map(Into::into);
                    return Poll::Ready(Some(Err(fault.unwrap_or_else(|| crate::request::unread(error)))));
                }
            }
        }
    }

    fn length(&self) -> Option<u64> {
        self.body.size_hint().exact()
    }
}
