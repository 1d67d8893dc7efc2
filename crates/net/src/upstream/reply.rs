//! An answer's body, which gives its connection back when it ends.

use super::error::SendError;
use super::pool::Lease;
use super::share::Held;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

/// What is read of a body that nobody wants: an error page; more costs more than a new connection. Ours.
const DISCARDED: u64 = 64 * 1024;
const DISCARDING: Duration = Duration::from_secs(1);

/// A response body. Its connection returns to the pool when it ends; dropped early, it takes the connection with
/// it (HTTP/2: the stream).
pub struct PooledBody {
    inner: Incoming,
    lease: Option<Lease>,
    held: Option<Held>,
}

impl PooledBody {
    pub(super) fn new(inner: Incoming, lease: Option<Lease>) -> PooledBody {
        let mut body = PooledBody { inner, lease, held: None };
        if body.inner.is_end_stream() {
            body.release();
        }
        body
    }

    /// Counts as its account's until it ends.
    pub(super) fn held(mut self, held: Option<Held>) -> PooledBody {
        self.held = held.filter(|_| self.lease.is_some());
        self
    }

    /// What is left of it concerns nobody: it is read on, within bounds, so that the connection can be used again.
    /// (An HTTP/2 stream is reset, which its connection outlives.)
    pub fn discard(mut self) {
        let few = self.inner.size_hint().lower() <= DISCARDED;
        if few && matches!(self.lease, Some(Lease::Http1 { .. })) {
            tokio::task::spawn_local(async move {
                drop(tokio::time::timeout(DISCARDING, self.read_away()).await);
            });
        }
    }

    async fn read_away(&mut self) {
        let mut left = DISCARDED;
        while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut *self).poll_frame(cx)).await {
            let length = frame.data_ref().map_or(0, |data| data.len() as u64);
            match left.checked_sub(length) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    }

    fn release(&mut self) {
        self.held = None;
        if let Some(lease) = self.lease.take() {
            lease.release();
        }
    }
}

impl Body for PooledBody {
    type Data = Bytes;
    type Error = SendError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, SendError>>> {
        let body = self.get_mut();
        let frame = ready!(Pin::new(&mut body.inner).poll_frame(cx));
        match &frame {
            // hyper takes a reset without an error for the end (RFC 9113 §8.1 has it for requests only).
            None if matches!(body.lease, Some(Lease::Http2 { .. })) && !body.inner.is_end_stream() => {
                (body.lease, body.held) = (None, None);
                return Poll::Ready(Some(Err(SendError::BrokeOff {
                    maybe_sent: true,
                    detail: "it reset the stream before the end of its answer (RFC 9113 §7, NO_ERROR)"
                        .to_owned(),
                })));
            }
            None => body.release(),
            Some(Ok(_)) if body.inner.is_end_stream() => body.release(),
            Some(Ok(_)) => {}
            Some(Err(_)) => (body.lease, body.held) = (None, None),
        }
        Poll::Ready(frame.map(|frame| frame.map_err(|error| SendError::of_answer(&error))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
