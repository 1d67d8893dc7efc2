//! The HTTP/1 framing gate: reads what a caller sends before hyper does, and lets through only requests whose
//! framing can be read in one way (RFC 9112; the stricter rules of ours are in [`head`]).

mod state;

pub use state::{Arrival, GateState, InService, Upgrade};

use std::sync::Arc;
use std::time::Duration;

/// Bounds on one request head and on waiting for it.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of the whole head, request line included.
    pub head: usize,
    pub fields: usize,
    /// Bytes of the request target.
    pub target: usize,
    /// From a head's first byte (or the connection's start) to its last.
    pub head_timeout: Duration,
    /// Between two requests.
    pub idle_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            head: 16 * 1024,
            fields: 100,
            target: 8_000,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
        }
    }
}

/// Sits between a byte stream and hyper: `http1_server().serve_connection(TokioIo::new(gate), service).with_upgrades()`.
pub struct Gate<Io> {
    io: Io,
}

impl<Io> Gate<Io> {
    pub fn new(_io: Io, _limits: Limits) -> (Gate<Io>, Arc<GateState>) {
        todo!()
    }
}

impl<Io: tokio::io::AsyncRead + Unpin> tokio::io::AsyncRead for Gate<Io> {
    fn poll_read(
        self: std::pin::Pin<&mut Self>,
        _cx: &mut std::task::Context<'_>,
        _buf: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        let _ = &self.io;
        todo!()
    }
}

impl<Io: tokio::io::AsyncWrite + Unpin> tokio::io::AsyncWrite for Gate<Io> {
    fn poll_write(
        self: std::pin::Pin<&mut Self>,
        _cx: &mut std::task::Context<'_>,
        _bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        todo!()
    }
    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        todo!()
    }
    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        todo!()
    }
}
