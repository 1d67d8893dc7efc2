use super::FrameState;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

/// A request's body on its way in. Over HTTP/2 its connection hears what was taken of it.
pub struct Arriving {
    body: Incoming,
    frames: Option<Rc<FrameState>>,
    stalled: Option<Rc<Cell<bool>>>,
}

impl Arriving {
    /// Is true while somebody waits for more of it.
    pub fn stalled(&mut self) -> Rc<Cell<bool>> {
        Rc::clone(self.stalled.get_or_insert_default())
    }

    pub fn new(body: Incoming, frames: Option<&Rc<FrameState>>) -> Arriving {
        Arriving { body, frames: frames.map(Rc::clone), stalled: None }
    }
}

/// Of no HTTP/2 connection that is watched.
impl From<Incoming> for Arriving {
    fn from(body: Incoming) -> Arriving {
        Arriving { body, frames: None, stalled: None }
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let body = self.get_mut();
        let polled = Pin::new(&mut body.body).poll_frame(cx);
        if let Some(stalled) = &body.stalled {
            stalled.set(polled.is_pending());
        }
        let frame = ready!(polled);
        match (&frame, &body.frames) {
            (Some(Ok(frame)), Some(frames)) => {
                if let Some(data) = frame.data_ref() {
                    frames.took(u64::try_from(data.len()).unwrap_or(u64::MAX));
                }
            }
            (None, _) => body.frames = None,
            _ => {}
        }
        Poll::Ready(frame)
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
