//! TCP as it is written here.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

/// A peer that takes no byte for so long is given up: it holds a connection and a whole answer in memory. Ours.
const STALL: Duration = Duration::from_secs(60);

/// Pieces that together have no more bytes are written as one: copying them costs less than what writev(2) costs more.
const ONE_PIECE: usize = 4096;

/// A TCP connection that writes with send(2): writev(2) takes the long way through the kernel's file layer, which shows
/// at two writes per exchange. rustls always asks for a vectored write, mostly of one record; hyper for a head and a
/// body. It breaks off when the other end does not read.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    patience: Duration,
    /// Small pieces, one after another.
    joined: Vec<u8>,
    /// Armed while the other end takes nothing.
    alarm: Option<Pin<Box<Sleep>>>,
}

impl Wire {
    /// Nothing is waited for yet.
    pub fn new(stream: TcpStream) -> Wire {
        Wire::with_patience(stream, STALL)
    }

    fn with_patience(stream: TcpStream, patience: Duration) -> Wire {
        Wire { stream, patience, joined: Vec::new(), alarm: None }
    }

    /// For how long the other end may take nothing, from its next pause on.
    pub fn be_patient(&mut self, patience: Duration) {
        self.patience = patience;
    }

    fn write(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut TcpStream>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = write(Pin::new(&mut self.stream), cx) {
            self.alarm = None;
            return Poll::Ready(written);
        }
        let patience = self.patience;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        alarm.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().write(cx, |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        if let [only] = bufs {
            return wire.write(cx, |stream, cx| stream.poll_write(cx, only));
        }
        if bufs.iter().map(|buf| buf.len()).sum::<usize>() > ONE_PIECE {
            return wire.write(cx, |stream, cx| stream.poll_write_vectored(cx, bufs));
        }
        let mut joined = std::mem::take(&mut wire.joined);
        joined.clear();
        bufs.iter().for_each(|buf| joined.extend_from_slice(buf));
        let written = wire.write(cx, |stream, cx| stream.poll_write(cx, &joined));
        wire.joined = joined;
        written
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn an_end_that_reads_nothing_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (_silent, _) = listener.accept().await.unwrap();
        let mut wire = Wire::with_patience(stream, Duration::from_millis(50));
        let error = loop {
            if let Err(error) = wire.write_all(&[0; 1 << 20]).await {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
