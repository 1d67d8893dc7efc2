//! Reading on after the last word: a connection that is closed while the other end still sends is reset, and what the
//! other end did not read of the answer by then is lost (RFC 9112 §9.6).

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Reads and forgets what still comes, until the other end has closed or one of these is used up.
pub(crate) struct Linger {
    bytes: usize,
    silence: Duration,
    until: Instant,
    /// Something came since the timer was set.
    heard: bool,
    timer: Pin<Box<Sleep>>,
}

/// One read.
const PIECE: usize = 4096;

impl Linger {
    pub fn new(bytes: usize, silence: Duration, in_all: Duration) -> Linger {
        let until = Instant::now() + in_all;
        let timer = Box::pin(tokio::time::sleep_until(until));
        Linger { bytes, silence, until, heard: true, timer }
    }

    pub fn poll<Io: AsyncRead + Unpin>(&mut self, io: &mut Io, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = [0; PIECE];
        while self.bytes > 0 {
            let mut scratch = ReadBuf::new(&mut scratch);
            match Pin::new(&mut *io).poll_read(cx, &mut scratch) {
                Poll::Ready(Ok(())) if !scratch.filled().is_empty() => {
                    self.bytes = self.bytes.saturating_sub(scratch.filled().len());
                    self.heard = true;
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => {
                    if std::mem::take(&mut self.heard) {
                        self.timer.as_mut().reset(self.until.min(Instant::now() + self.silence));
                    }
                    return self.timer.as_mut().poll(cx);
                }
            }
        }
        Poll::Ready(())
    }
}
