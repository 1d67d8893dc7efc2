//! The answer's body: held bytes, or a stream that tells the exchange's [`Tail`] how it ended.

use crate::connection::Open;
use crate::crossing::refusal;
use crate::lasting::Lasting;
use crate::unattended::{Entry, patience};
use crate::watch::Watched;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use ironbridge_core::{Code, Denial, Tail, code};
use ironbridge_net::upstream::SendError;
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

pub enum ReplyBody {
    Held { bytes: Option<Bytes>, tail: Option<Box<Tail>> },
    Streamed { stream: Rc<RefCell<Streamed>>, _listed: Entry },
}

pub struct Streamed {
    /// Gone once it was ended while its caller took nothing.
    inner: Option<Watched>,
    tail: Option<Box<Tail>>,
    /// Counts among the open exchanges as long as there is a target behind it.
    open: Option<Open>,
    /// When hyper last asked for more; the clock is read once for it.
    asked_at: Instant,
    /// Bytes that may still pass.
    left: u64,
    /// How long the target may pause.
    pause: Duration,
    lasting: Lasting,
    /// Set and armed only while the target pauses.
    paused_at: Option<Instant>,
    alarm: Option<Pin<Box<Sleep>>>,
    /// Why it ends, while what came before is on its way: hyper drops at once what it has not sent of an answer that
    /// fails, the header section too.
    failed: Option<ReplyError>,
}

#[derive(Debug, thiserror::Error)]
pub enum ReplyError {
    #[error(transparent)]
    Target(#[from] SendError),
    #[error("the target paused for too long")]
    Paused,
    #[error("the caller took nothing for too long")]
    Untaken,
    #[error("the target's answer is larger than allowed")]
    TooLarge,
    #[error("the target's answer holds the bridge's credential")]
    HoldsCredential,
    #[error("what was open was ended: its caller would not be let in any more")]
    LetOut(&'static Code),
}

impl ReplyError {
    pub(crate) fn denial(&self) -> Box<Denial> {
        let code = match self {
            ReplyError::Target(error) => return refusal(error),
            ReplyError::Paused | ReplyError::Untaken => &code::STREAM_IDLE,
            ReplyError::TooLarge => &code::REPLY_TOO_LARGE,
            ReplyError::HoldsCredential => &code::REPLY_HOLDS_CREDENTIAL,
            ReplyError::LetOut(code) => code,
        };
        Box::new(Denial::new(code).internal(self))
    }
}

impl ReplyBody {
    pub fn held(bytes: Bytes, tail: Option<Box<Tail>>) -> ReplyBody {
        if bytes.is_empty() {
            if let Some(tail) = tail {
                tail.finish();
            }
            return ReplyBody::Held { bytes: None, tail: None };
        }
        ReplyBody::Held { bytes: Some(bytes), tail }
    }

    /// The same without its bytes; for its record it has reached its end.
    pub fn without_content(self) -> ReplyBody {
        match self {
            ReplyBody::Held { tail, .. } => ReplyBody::held(Bytes::new(), tail),
            ReplyBody::Streamed { stream, .. } => {
                ReplyBody::held(Bytes::new(), stream.borrow_mut().tail.take())
            }
        }
    }

    /// Passes at most `max` bytes.
    pub(crate) fn streamed(
        inner: Watched,
        tail: Box<Tail>,
        pause: Duration,
        max: u64,
        lasting: Lasting,
    ) -> ReplyBody {
        if inner.is_end_stream() {
            tail.finish();
            return ReplyBody::Held { bytes: None, tail: None };
        }
        let now = lasting.begun();
        let streams = lasting.streams();
        let streamed = Rc::new(RefCell::new(Streamed {
            inner: Some(inner),
            tail: Some(tail),
            open: None,
            asked_at: now,
            left: max,
            pause,
            lasting,
            paused_at: None,
            alarm: None,
            failed: None,
        }));
        let entry = streams.add(&streamed);
        ReplyBody::Streamed { stream: streamed, _listed: entry }
    }

    /// Counts among the open exchanges until it ends; `None` where nothing is left to come.
    pub(crate) fn open(&self, open: Open) -> Option<Open> {
        match self {
            ReplyBody::Held { bytes: Some(_), .. } => Some(open),
            ReplyBody::Held { .. } => None,
            ReplyBody::Streamed { stream, .. } => {
                stream.borrow_mut().open = Some(open);
                None
            }
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = ReplyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        match &mut *self {
            ReplyBody::Held { bytes, tail } => {
                let frame = bytes.take();
                if let Some(mut tail) = tail.take() {
                    tail.count_out(frame.as_ref().map_or(0, length));
                    tail.finish();
                }
                Poll::Ready(frame.map(|bytes| Ok(Frame::data(bytes))))
            }
            ReplyBody::Streamed { stream, .. } => {
                let mut streamed = stream.borrow_mut();
                streamed.asked_at = Instant::now();
                if let Some(error) = streamed.failed.take() {
                    return Poll::Ready(Some(Err(error)));
                }
                match streamed.poll(context) {
                    Poll::Ready(Some(Err(error))) => {
                        streamed.failed = Some(error);
                        context.waker().wake_by_ref();
                        Poll::Pending
                    }
                    other => other,
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ReplyBody::Held { bytes, .. } => bytes.is_none(),
            ReplyBody::Streamed { stream, .. } => stream.borrow().is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ReplyBody::Held { bytes, .. } => SizeHint::with_exact(bytes.as_ref().map_or(0, length)),
            ReplyBody::Streamed { stream, .. } => {
                stream.borrow().inner.as_ref().map_or_else(SizeHint::default, Body::size_hint)
            }
        }
    }
}

impl Streamed {
    /// Looks after it where hyper does not ask for more. Ended, it holds nothing of the target's any more; its caller
    /// learns of it when it goes on.
    pub(crate) fn attend(&mut self, context: &mut Context<'_>) {
        if self.tail.is_none() {
            return;
        }
        let now = Instant::now();
        let error = match self.refused(now, context) {
            Some(code) => ReplyError::LetOut(code),
            None if now.duration_since(self.asked_at) > patience(self.pause) => ReplyError::Untaken,
            None => return,
        };
        self.failed = Some(self.cut(error));
        (self.inner, self.alarm, self.open) = (None, None, None);
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_some_and(Body::is_end_stream)
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        if let Some(code) = self.refused(self.asked_at, context) {
            return Poll::Ready(Some(Err(self.cut(ReplyError::LetOut(code)))));
        }
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        let frame = match Pin::new(inner).poll_frame(context) {
            Poll::Ready(frame) => frame,
            Poll::Pending => return self.wait(context),
        };
        (self.paused_at, self.alarm) = (None, None);
        match frame {
            Some(Ok(frame)) => {
                let Some(left) = self.left.checked_sub(frame.data_ref().map_or(0, length)) else {
                    return Poll::Ready(Some(Err(self.cut(ReplyError::TooLarge))));
                };
                self.left = left;
                if let (Some(tail), Some(data)) = (&mut self.tail, frame.data_ref()) {
                    tail.count_out(length(data));
                }
                // With a known length nobody asks for what comes after the last byte.
                if self.is_end_stream() {
                    self.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(self.cut(error)))),
            None => {
                self.finish();
                Poll::Ready(None)
            }
        }
    }

    fn finish(&mut self) {
        self.open = None;
        if let Some(tail) = self.tail.take() {
            tail.finish();
        }
    }

    /// The record and the operator's log say why; the caller sees the connection or the stream end.
    fn cut(&mut self, error: ReplyError) -> ReplyError {
        if let Some(tail) = self.tail.take() {
            let denial = error.denial();
            crate::told::line(&denial, tail.exchange(), Some(0));
            tail.cut(denial.code);
        }
        error
    }

    fn wait(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        let until = *self.paused_at.get_or_insert_with(Instant::now) + self.pause;
        loop {
            let due = until.min(self.lasting.due());
            let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
            if alarm.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.alarm = None;
            if due == until {
                return Poll::Ready(Some(Err(self.cut(ReplyError::Paused))));
            }
            if let Some(code) = self.refused(Instant::now(), context) {
                return Poll::Ready(Some(Err(self.cut(ReplyError::LetOut(code)))));
            }
        }
    }

    fn refused(&mut self, now: Instant, context: &mut Context<'_>) -> Option<&'static Code> {
        self.lasting.poll(self.tail.as_ref()?.exchange(), now, context)
    }
}

fn length(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
