//! Opening a connection to a target: TCP, TLS, and HTTP's own beginning.

use super::body::OutBody;
use super::error::SendError;
use super::leaving::Leaving;
use super::link::{Carrier, Link};
use super::streams::{STREAMS, Streams};
use super::target::{Permit, Protocol, Tls, Upstream};
use crate::connect;
use crate::cores::LocalExecutor;
use crate::gate::{Expected, ReplyGate};
use crate::tls;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// hyper's buffer per HTTP/1 connection and direction; a response head fits in.
const HTTP1_BUFFER: usize = crate::gate::REPLY_HEAD;

/// Header list of an HTTP/2 response, as RFC 9113 §6.5.2 counts it.
const HEADER_LIST: u32 = 32 * 1024;

/// Flow-control windows: what one target can make us hold, per stream and per connection.
const STREAM_WINDOW: u32 = 512 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;

/// A target that does not answer a ping while streams are open is gone.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) enum Opened {
    Http1(Http1),
    Http2(http2::SendRequest<OutBody>, Rc<Streams>),
}

/// An HTTP/1 connection: hyper's end of it, and what its gate has to know.
pub(super) struct Http1 {
    pub sender: http1::SendRequest<OutBody>,
    pub expected: Arc<Expected>,
    /// It has answered before.
    pub used: bool,
}

impl Upstream {
    /// Must run on a core: the connection's own task is spawned there.
    pub(super) async fn connect(&self, permit: Permit) -> Result<Opened, SendError> {
        let (link, protocol) = self.link(permit, |tls| tls.config.clone()).await?;
        if protocol == tls::Protocol::Http1 {
            let (gate, expected) = ReplyGate::over(link);
            let (sender, connection) = http1_client().handshake(TokioIo::new(gate)).await.map_err(began)?;
            tokio::task::spawn_local(async move { ended(connection.await) });
            return Ok(Opened::Http1(Http1 { sender, expected, used: false }));
        }
        let (link, heard) = Leaving::over(link);
        let (sender, connection) = http2_client().handshake(TokioIo::new(link)).await.map_err(began)?;
        let connection = Rc::new(RefCell::new(connection));
        let asked = Rc::downgrade(&connection);
        // Asked whenever a stream is wanted: what the target changes wakes nobody.
        let limit = move || match asked.upgrade() {
            Some(connection) => connection.try_borrow().map_or(STREAMS, |it| it.current_max_send_streams()),
            None => STREAMS,
        };
        let streams = Streams::new(limit, heard);
        tokio::task::spawn_local(async move {
            ended(poll_fn(|cx| Pin::new(&mut *connection.borrow_mut()).poll(cx)).await);
        });
        Ok(Opened::Http2(sender, streams))
    }

    /// An HTTP/1 connection that can leave HTTP.
    pub(super) async fn connect_upgradable(&self, permit: Permit) -> Result<Http1, SendError> {
        let (link, _) = self.link(permit, |tls| tls.http1.clone()).await?;
        let (gate, expected) = ReplyGate::over(link);
        let (sender, connection) = http1_client().handshake(TokioIo::new(gate)).await.map_err(began)?;
        let connection = connection.with_upgrades();
        tokio::task::spawn_local(async move { ended(connection.await) });
        Ok(Http1 { sender, expected, used: false })
    }

    async fn link(
        &self,
        permit: Permit,
        config: impl FnOnce(&Tls) -> std::sync::Arc<rustls::ClientConfig>,
    ) -> Result<(Link, tls::Protocol), SendError> {
        let stream = self.endpoint.connect(self.connect_timeout).await?;
        let Some(tls) = &self.tls else {
            let spoken = match self.protocol {
                Protocol::Http2 => tls::Protocol::Http2,
                Protocol::Auto | Protocol::Http1 => tls::Protocol::Http1,
            };
            return Ok((Link::new(Carrier::Plain(stream), permit), spoken));
        };
        let stream = connect::secure(stream, config(tls), tls.name.clone(), self.connect_timeout).await?;
        let spoken = tls::Protocol::chosen(stream.get_ref().1.alpn_protocol());
        if self.protocol == Protocol::Http2 && spoken == tls::Protocol::Http1 {
            return Err(SendError::Protocol(
                "it speaks HTTP/1.1, and the manifest says protocol: http2".to_owned(),
            ));
        }
        Ok((Link::new(Carrier::Tls(Box::new(stream)), permit), spoken))
    }
}

fn http1_client() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HTTP1_BUFFER);
    builder
}

fn http2_client() -> http2::Builder<LocalExecutor> {
    let mut builder = http2::Builder::new(LocalExecutor);
    builder
        .timer(TokioTimer::new())
        .max_header_list_size(HEADER_LIST)
        // Until the target has said how many it takes, the others wait: it would refuse what is too much.
        .initial_max_send_streams(1)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    builder
}

fn began(error: hyper::Error) -> SendError {
    SendError::Unreachable(error.to_string())
}

fn ended(result: Result<(), hyper::Error>) {
    if let Err(error) = result {
        tracing::debug!(%error, "connection to a target ended");
    }
}
