use crate::gate::is_closed;
use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// How long a target's last words are waited out before h2 learns that it has gone.
const BREATH: Duration = Duration::from_millis(100);

/// An HTTP/2 connection whose target may answer before it has the whole request, and close (RFC 9113 §8.1).
///
/// h2 takes the end of a connection for the end of every stream on it whose request is not written yet, also where the
/// answer is complete. So from then on what is written is dropped here, and the end of what is read comes a moment
/// later: until then the requests have been written, and the answers handed on.
pub(super) struct Leaving<Io> {
    io: Io,
    gone: Rc<Cell<bool>>,
    end: Option<End>,
}

struct End {
    why: io::Result<()>,
    breath: Pin<Box<Sleep>>,
}

impl<Io> Leaving<Io> {
    /// The flag says that the target has gone, so that no further stream begins.
    pub fn new(io: Io) -> (Leaving<Io>, Rc<Cell<bool>>) {
        let gone = Rc::default();
        (Leaving { io, gone: Rc::clone(&gone), end: None }, gone)
    }

    fn written(&self, written: Poll<io::Result<usize>>, asked: usize) -> Poll<io::Result<usize>> {
        match ready!(written) {
            Err(error) if is_closed(&error) => {
                self.gone.set(true);
                Poll::Ready(Ok(asked))
            }
            other => Poll::Ready(other),
        }
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Leaving<Io> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let leaving = self.get_mut();
        let end = match &mut leaving.end {
            Some(end) => end,
            none => {
                let before = buf.filled().len();
                let why = ready!(Pin::new(&mut leaving.io).poll_read(cx, buf));
                let goes_on = match &why {
                    Ok(()) => buf.filled().len() > before || buf.remaining() == 0,
                    // TLS that ends without close_notify is an unexpected end.
                    Err(error) => !is_closed(error) && error.kind() != io::ErrorKind::UnexpectedEof,
                };
                if goes_on {
                    return Poll::Ready(why);
                }
                leaving.gone.set(true);
                none.insert(End { why, breath: Box::pin(tokio::time::sleep(BREATH)) })
            }
        };
        ready!(end.breath.as_mut().poll(cx));
        Poll::Ready(std::mem::replace(&mut end.why, Ok(())))
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Leaving<Io> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let leaving = self.get_mut();
        if leaving.gone.get() {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut leaving.io).poll_write(cx, bytes);
        leaving.written(written, bytes.len())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let leaving = self.get_mut();
        if leaving.gone.get() {
            return Poll::Ready(Ok(()));
        }
        // TLS writes when it is flushed.
        let flushed = Pin::new(&mut leaving.io).poll_flush(cx).map_ok(|()| 0);
        leaving.written(flushed, 0).map_ok(|_| ())
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let leaving = self.get_mut();
        let length = bufs.iter().map(|buf| buf.len()).sum();
        if leaving.gone.get() {
            return Poll::Ready(Ok(length));
        }
        let written = Pin::new(&mut leaving.io).poll_write_vectored(cx, bufs);
        leaving.written(written, length)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
