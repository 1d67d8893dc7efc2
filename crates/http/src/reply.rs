//! The answer's body: held bytes, or a stream that tells the exchange's [`Tail`] how it ended.

use crate::crossing::refusal;
use crate::lasting::Lasting;
use crate::watch::Watched;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use ironbridge_core::{Code, Denial, Tail, code};
use ironbridge_net::upstream::SendError;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

pub enum ReplyBody {
    Held { bytes: Option<Bytes>, tail: Option<Box<Tail>> },
    Streamed(Box<Streamed>),
}

pub struct Streamed {
    inner: Watched,
    tail: Option<Box<Tail>>,
    /// Bytes that may still pass.
    left: u64,
    /// How long the target may pause.
    pause: Duration,
    lasting: Lasting,
    /// Set and armed only while the target pauses.
    paused_at: Option<Instant>,
    alarm: Option<Pin<Box<Sleep>>>,
    begun: Begun,
}

/// A body that fails at once would take the header section before it along, which hyper has not sent by then.
enum Begun {
    No,
    Failed(ReplyError),
    Yes,
}

#[derive(Debug, thiserror::Error)]
pub enum ReplyError {
    #[error(transparent)]
    Target(#[from] SendError),
    #[error("the target paused for too long")]
    Paused,
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
            ReplyError::Paused => &code::STREAM_IDLE,
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
            ReplyBody::Streamed(streamed) => ReplyBody::held(Bytes::new(), streamed.tail),
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
        ReplyBody::Streamed(Box::new(Streamed {
            inner,
            tail: Some(tail),
            left: max,
            pause,
            lasting,
            paused_at: None,
            alarm: None,
            begun: Begun::No,
        }))
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
            ReplyBody::Streamed(streamed) => match std::mem::replace(&mut streamed.begun, Begun::Yes) {
                Begun::No => streamed.begin(context),
                Begun::Failed(error) => Poll::Ready(Some(Err(error))),
                Begun::Yes => streamed.poll(context),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ReplyBody::Held { bytes, .. } => bytes.is_none(),
            ReplyBody::Streamed(streamed) => streamed.inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ReplyBody::Held { bytes, .. } => SizeHint::with_exact(bytes.as_ref().map_or(0, length)),
            ReplyBody::Streamed(streamed) => streamed.inner.size_hint(),
        }
    }
}

impl Streamed {
    fn begin(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        match self.poll(context) {
            Poll::Ready(Some(Err(error))) => {
                self.begun = Begun::Failed(error);
                context.waker().wake_by_ref();
                Poll::Pending
            }
            other => other,
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        if let Some(code) = self.refused(context) {
            return Poll::Ready(Some(Err(self.cut(ReplyError::LetOut(code)))));
        }
        let frame = match Pin::new(&mut self.inner).poll_frame(context) {
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
                if self.inner.is_end_stream() {
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
            if let Some(code) = self.refused(context) {
                return Poll::Ready(Some(Err(self.cut(ReplyError::LetOut(code)))));
            }
        }
    }

    fn refused(&mut self, context: &mut Context<'_>) -> Option<&'static Code> {
        self.lasting.poll(self.tail.as_ref()?.exchange(), context)
    }
}

fn length(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
