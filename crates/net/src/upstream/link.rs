//! One connection's bytes, plain or in TLS.

use super::target::Permit;
use crate::wire::Wire;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

/// A connection to a target. It counts as open as long as it exists, also after an upgrade.
pub(super) struct Link {
    stream: Carrier,
    _permit: Permit,
}

/// What carries it.
pub(super) enum Carrier {
    Plain(Wire),
    Tls(Box<TlsStream<Wire>>),
}

impl Link {
    pub fn new(stream: Carrier, permit: Permit) -> Link {
        Link { stream, _permit: permit }
    }
}

macro_rules! each {
    ($link:expr, $stream:ident => $call:expr) => {
        match &mut $link.get_mut().stream {
            Carrier::Plain($stream) => $call,
            Carrier::Tls($stream) => $call,
        }
    };
}

impl AsyncRead for Link {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Link {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}
