use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request body on its way to a target.
#[derive(Default)]
pub enum OutBody {
    #[default]
    Empty,
    Full(Bytes),
    Stream(StreamedBody),
    Boxed(Pin<Box<dyn Body<Data = Bytes, Error = BoxError>>>),
}

impl OutBody {
    /// Streams what a caller sends, counting it, up to `max` bytes.
    pub fn stream(_body: Incoming, _max: u64, _count: Rc<Cell<u64>>) -> OutBody {
        todo!()
    }
}

pub struct StreamedBody {}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    #[error("larger than allowed")]
    TooLarge,
    #[error("broke off: {0}")]
    Broken(String),
}

impl Body for OutBody {
    type Data = Bytes;
    type Error = BoxError;
    fn poll_frame(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        todo!()
    }
}

/// A response body. Its connection returns to the pool when it ends, and is dropped when it is dropped early.
pub struct PooledBody {}

impl Body for PooledBody {
    type Data = Bytes;
    type Error = hyper::Error;
    fn poll_frame(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        todo!()
    }
    fn is_end_stream(&self) -> bool {
        todo!()
    }
    fn size_hint(&self) -> SizeHint {
        todo!()
    }
}
