//! A request's body on its way in, and how far it has come.

use super::FrameState;
use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use ironbridge_core::fields::may_trail;
use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// Why the rest of a request's body does not come.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    /// The connection ended, or what came breaks HTTP's rules.
    #[error(transparent)]
    Broken(#[from] hyper::Error),
    /// Over HTTP/2.
    #[error("its stream was reset before its end")]
    Cut,
    /// Over HTTP/1.1 the gate refuses it before.
    #[error("{0} may not follow a body")]
    Trailer(HeaderName),
}

/// A request's body on its way in. Over HTTP/2 its connection hears what was taken of it.
pub struct Arriving {
    body: Incoming,
    frames: Option<Rc<FrameState>>,
    progress: Option<Rc<Cell<Progress>>>,
}

/// How far a body has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Progress {
    /// Nobody waits for it at the moment.
    #[default]
    Coming,
    /// Somebody waits for more of it.
    Awaited,
    /// All of it was read.
    Whole,
}

impl Arriving {
    /// Tells how far it has come, also when it is gone.
    pub fn progress(&mut self) -> Rc<Cell<Progress>> {
        Rc::clone(self.progress.get_or_insert_default())
    }

    /// `frames` is what is known of its connection, if that speaks HTTP/2.
    pub fn new(body: Incoming, frames: Option<&Rc<FrameState>>) -> Arriving {
        Arriving { body, frames: frames.map(Rc::clone), progress: None }
    }
}

/// Of no HTTP/2 connection that is watched.
impl From<Incoming> for Arriving {
    fn from(body: Incoming) -> Arriving {
        Arriving { body, frames: None, progress: None }
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = Unread;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Unread>>> {
        let body = self.get_mut();
        let polled = Pin::new(&mut body.body).poll_frame(cx);
        if let Some(progress) = &body.progress {
            progress.set(match &polled {
                Poll::Pending => Progress::Awaited,
                Poll::Ready(Some(Err(_))) => Progress::Coming,
                Poll::Ready(None) if !body.body.is_end_stream() && body.frames.is_some() => Progress::Coming,
                Poll::Ready(Some(Ok(_))) if !body.body.is_end_stream() => Progress::Coming,
                Poll::Ready(_) => Progress::Whole,
            });
        }
        let Some(frame) = ready!(polled).transpose()? else {
            // hyper takes a reset without an error for the end.
            let cut = body.frames.take().is_some() && !body.body.is_end_stream();
            return Poll::Ready(cut.then_some(Err(Unread::Cut)));
        };
        if let (Some(data), Some(frames)) = (frame.data_ref(), &body.frames) {
            frames.took(u64::try_from(data.len()).unwrap_or(u64::MAX));
        }
        let mut names = frame.trailers_ref().into_iter().flat_map(HeaderMap::keys);
        if let Some(name) = names.find(|name| !may_trail(name.as_str())) {
            return Poll::Ready(Some(Err(Unread::Trailer(name.clone()))));
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        if let Some(frames) = self.frames.take().filter(|_| !self.body.is_end_stream()) {
            frames.forget();
        }
    }
}
