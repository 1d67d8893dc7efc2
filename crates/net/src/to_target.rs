//! A connection to a target, which may say all that it has to say before it has heard the whole request, and close
//! (RFC 9110 §15.5.14, RFC 9112 §9.5, RFC 9113 §8.1).
//!
//! hyper and h2 give up at the first write that fails, and what the target said is lost. So the rest of the request is
//! dropped here, and what the target said is read to its end.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub struct ToTarget<Io, Side> {
    io: Io,
    side: Side,
}

pub(crate) type Read = Poll<io::Result<()>>;

/// What follows one protocol on the connection.
pub trait Follows<Io> {
    fn read(&mut self, io: Pin<&mut Io>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Read;

    /// Bytes were written.
    fn wrote(&mut self);

    /// The target takes no more: whether what is written from now on is dropped, so that what it said is read.
    fn takes_no_more(&mut self) -> bool;

    fn is_dropped(&self) -> bool;
}

impl<Io, Side> ToTarget<Io, Side> {
    pub(crate) fn new(io: Io, side: Side) -> ToTarget<Io, Side> {
        ToTarget { io, side }
    }
}

impl<Io, Side: Follows<Io>> ToTarget<Io, Side> {
    fn written(&mut self, written: Poll<io::Result<usize>>, asked: usize) -> Poll<io::Result<usize>> {
        match ready!(written) {
            Ok(length) => {
                if length > 0 {
                    self.side.wrote();
                }
                Poll::Ready(Ok(length))
            }
            Err(error) if is_closed(&error) && self.side.takes_no_more() => Poll::Ready(Ok(asked)),
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

/// Whether a write failed because the other end has closed.
pub(crate) fn is_closed(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(error.kind(), BrokenPipe | ConnectionReset | ConnectionAborted)
}

impl<Io: AsyncRead + Unpin, Side: Follows<Io> + Unpin> AsyncRead for ToTarget<Io, Side> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let link = self.get_mut();
        link.side.read(Pin::new(&mut link.io), cx, buf)
    }
}

impl<Io: AsyncWrite + Unpin, Side: Follows<Io> + Unpin> AsyncWrite for ToTarget<Io, Side> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let link = self.get_mut();
        if link.side.is_dropped() {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut link.io).poll_write(cx, bytes);
        link.written(written, bytes.len())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let link = self.get_mut();
        if link.side.is_dropped() {
            return Poll::Ready(Ok(()));
        }
        // TLS writes when it is flushed.
        let flushed = Pin::new(&mut link.io).poll_flush(cx).map_ok(|()| 0);
        link.written(flushed, 0).map_ok(|_| ())
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let link = self.get_mut();
        let length = bufs.iter().map(|buf| buf.len()).sum();
        if link.side.is_dropped() {
            return Poll::Ready(Ok(length));
        }
        let written = Pin::new(&mut link.io).poll_write_vectored(cx, bufs);
        link.written(written, length)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
