//! A request's body on its way to a target, and once more where it has to be sent again.

use super::error::BodyFault;
use super::sent::{Room, Sent};
use crate::Names;
use crate::frames::{Arriving, Unread};
use crate::protocol::is_malformed;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::time::Sleep;

/// What any body's error can be turned into.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request body on its way to a target.
#[derive(Default)]
pub enum OutBody {
    /// None at all.
    #[default]
    Empty,
    /// Whole, as the pipeline read and cleared it.
    Full(Bytes),
    /// As it comes from the caller, unread.
    Stream(StreamedBody),
    /// From elsewhere.
    Boxed(Pin<Box<dyn Body<Data = Bytes, Error = BoxError>>>),
}

impl OutBody {
    /// Streams what a caller sends, counting it, up to `max` bytes of data and with pauses up to `pause`; of the
    /// fields that follow it, those that `trailers` lets pass.
    pub fn stream(
        body: impl Into<Arriving>,
        max: u64,
        pause: Duration,
        count: Arc<AtomicU64>,
        trailers: Arc<Names>,
    ) -> OutBody {
        let source = Source {
            body: body.into(),
            max,
            count,
            pause,
            trailers,
            alarm: None,
            waiting: None,
            fault: None,
            sent: Sent::default(),
            turn: 0,
        };
        OutBody::Stream(StreamedBody::of(&Rc::new(RefCell::new(source)), VecDeque::new(), 0))
    }

    /// Keeps what is sent of it, within bounds, so that it can be sent again. Of a body that does not stream there is
    /// nothing to keep.
    pub fn again(&self, room: &Rc<Room>) -> Option<Again> {
        let OutBody::Stream(streamed) = self else { return None };
        streamed.source.borrow_mut().sent = Sent::within(room);
        Some(Again(Rc::clone(&streamed.source)))
    }

    /// Where the body will say why it failed. HTTP/2 turns a failed body into a reset and forgets the reason.
    pub(super) fn source(&self) -> Option<Rc<RefCell<Source>>> {
        match self {
            OutBody::Stream(streamed) => Some(Rc::clone(&streamed.source)),
            _ => None,
        }
    }
}

/// A caller's body, passed on as it comes.
pub struct StreamedBody {
    source: Rc<RefCell<Source>>,
    /// What went out before, once more.
    sent: VecDeque<Bytes>,
    /// Of those that were made of the source, the last gets what comes.
    turn: usize,
}

/// A streamed body once more: what was sent of it, and then what still comes. Nothing is kept any longer than this is.
pub struct Again(Rc<RefCell<Source>>);

impl Again {
    /// None where it is not all here any more. What was made of it before gets nothing more.
    pub fn body(&self) -> Option<OutBody> {
        let mut source = self.0.borrow_mut();
        let sent = source.sent.pieces()?;
        source.turn += 1;
        Some(OutBody::Stream(StreamedBody::of(&self.0, sent, source.turn)))
    }

    /// Whether its caller sent it in another way than HTTP has it. It is not sent on any more.
    pub fn is_malformed(&self) -> bool {
        self.0.borrow_mut().end()
    }
}

impl Drop for Again {
    fn drop(&mut self) {
        self.0.borrow_mut().sent.forget();
    }
}

/// What the caller sends, for as often as it is sent on.
pub(super) struct Source {
    body: Arriving,
    max: u64,
    count: Arc<AtomicU64>,
    pause: Duration,
    trailers: Arc<Names>,
    /// Armed only while the caller pauses.
    alarm: Option<Pin<Box<Sleep>>>,
    /// Whoever waits for it.
    waiting: Option<Waker>,
    pub fault: Option<BodyFault>,
    sent: Sent,
    turn: usize,
}

impl StreamedBody {
    fn of(source: &Rc<RefCell<Source>>, sent: VecDeque<Bytes>, turn: usize) -> StreamedBody {
        StreamedBody { source: Rc::clone(source), sent, turn }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let mut source = self.source.borrow_mut();
        if source.turn != self.turn {
            return Poll::Ready(Some(Err(BodyFault::Broken("it is sent anew".to_owned()))));
        }
        if let Some(piece) = self.sent.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        let frame = ready!(source.poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            match frame.data_ref() {
                Some(data) => source.sent.keep(data),
                // Trailers are not.
                None => source.sent.forget(),
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.sent.is_empty() && self.source.borrow().body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let lengths = self.sent.iter().map(|piece| piece.len() as u64);
        let (kept, coming) = (lengths.sum::<u64>(), self.source.borrow().body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(coming.lower().saturating_add(kept));
        if let Some(upper) = coming.upper() {
            hint.set_upper(upper.saturating_add(kept));
        }
        hint
    }
}

impl Source {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
            self.waiting = Some(cx.waker().clone());
            return self.poll_pause(cx);
        };
        self.alarm = None;
        let mut frame = match frame {
            None => return Poll::Ready(None),
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                return Poll::Ready(Some(Err(self.fail(match error {
                    Unread::Trailer(name) => BodyFault::Trailer(name),
                    unread @ (Unread::Broken(_) | Unread::Cut) => BodyFault::Broken(unread.to_string()),
                }))));
            }
        };
        if let Some(data) = frame.data_ref() {
            let length = data.len() as u64;
            let count = self.count.fetch_add(length, Ordering::Relaxed).saturating_add(length);
            if count > self.max {
                return Poll::Ready(Some(Err(self.fail(BodyFault::TooLarge))));
            }
        }
        if let Some(trailers) = frame.trailers_mut() {
            self.trailers.keep_trailers(trailers);
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let pause = self.pause;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
        ready!(alarm.as_mut().poll(cx));
        Poll::Ready(Some(Err(self.fail(BodyFault::TooSlow))))
    }

    /// Nothing more of it is sent. Whether it was malformed, as far as it came.
    pub fn end(&mut self) -> bool {
        self.turn += 1;
        let mut context = Context::from_waker(Waker::noop());
        let malformed = loop {
            match Pin::new(&mut self.body).poll_frame(&mut context) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(Unread::Broken(error)))) => break is_malformed(&error),
                Poll::Ready(None | Some(Err(Unread::Trailer(_) | Unread::Cut))) | Poll::Pending => {
                    break false;
                }
            }
        };
        if let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
        malformed
    }

    fn fail(&mut self, fault: BodyFault) -> BodyFault {
        self.fault = Some(fault.clone());
        fault
    }
}

impl Body for OutBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            OutBody::Empty => Poll::Ready(None),
            OutBody::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            OutBody::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            OutBody::Stream(streamed) => {
                streamed.poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(Into::into)))
            }
            OutBody::Boxed(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            OutBody::Empty => true,
            OutBody::Full(bytes) => bytes.is_empty(),
            OutBody::Stream(streamed) => streamed.is_end_stream(),
            OutBody::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            OutBody::Empty => SizeHint::with_exact(0),
            OutBody::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            OutBody::Stream(streamed) => streamed.size_hint(),
            OutBody::Boxed(body) => body.size_hint(),
        }
    }
}
