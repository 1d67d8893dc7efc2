//! How HTTP is spoken with callers: hyper's settings, and what its errors mean.

use crate::cores::LocalExecutor;
use hyper_util::rt::TokioTimer;
use std::error::Error;
use std::io;
use std::time::Duration;

/// hyper's buffer per HTTP/1 connection and direction: enough for the largest head and a good stride of body.
const HTTP1_BUFFER: usize = 64 * 1024;

/// Streams a caller may have open at once on one connection (RFC 9113 §6.5.2 advises no fewer than 100).
const STREAMS: u32 = 100;

/// Header list of an HTTP/2 request that still reaches the service, which refuses it in words from 16 KiB on; hyper
/// answers what is larger with an empty 431, and ends the connection over what is larger by far.
const HEADER_LIST: u32 = 64 * 1024;

/// Streams that a caller opened and reset before we looked at them (rapid reset, CVE-2023-44487).
const PENDING_RESETS: usize = 20;

/// Streams that we had to reset because the caller broke the protocol (CVE-2025-8671); h2 allows 1,024.
const LOCAL_RESETS: usize = 64;

/// Flow-control windows: what one caller can make us hold, per stream and per connection.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// HTTP/1 toward callers, for use behind a [`crate::gate::Gate`], which keeps the time instead of hyper.
pub fn http1_server() -> hyper::server::conn::http1::Builder {
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.header_read_timeout(None).max_buf_size(HTTP1_BUFFER);
    builder
}

/// HTTP/2 toward callers, with bounds on floods. A caller that does not answer a ping for 20 s is gone.
pub fn http2_server() -> hyper::server::conn::http2::Builder<LocalExecutor> {
    let mut builder = hyper::server::conn::http2::Builder::new(LocalExecutor);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADER_LIST)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(LOCAL_RESETS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(Duration::from_secs(60))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

/// What the caller did, where an HTTP/2 connection ended because it broke the protocol; `None` where it went away, or
/// ended the connection itself.
pub fn broken_http2(error: &hyper::Error) -> Option<String> {
    let broken = error.source()?.downcast_ref::<h2::Error>()?;
    (!broken.is_io() && !broken.is_remote()).then(|| broken.to_string())
}

/// Whether the HTTP/2 library itself found fault with a request's body (RFC 9113 §8.1.1): its end came before its
/// announced length, or more of it came.
pub(crate) fn is_malformed(error: &hyper::Error) -> bool {
    let error = error.source().and_then(|cause| cause.downcast_ref::<h2::Error>());
    error.is_some_and(|error| error.is_reset() && error.is_library())
}

/// Whether a connection ended because the other end took nothing of what was written.
pub fn took_nothing(error: &hyper::Error) -> bool {
    let mut source = error.source();
    while let Some(error) = source {
        let io = error.downcast_ref::<io::Error>();
        let io = io.or_else(|| error.downcast_ref::<h2::Error>().and_then(h2::Error::get_io));
        if let Some(io) = io {
            return io.kind() == io::ErrorKind::TimedOut;
        }
        source = error.source();
    }
    false
}
