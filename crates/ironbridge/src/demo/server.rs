//! A partner's HTTPS server: on a thread of its own, so that it knows nothing of the bridge but what arrives.

use crate::failure::Failure;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ironbridge_net::tls::Identity;
use ironbridge_net::tls::server::{ClientAuth, ListenerTls, Protocol, ServerIdentity, Turns, server_config};
use serde_json::Value;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::oneshot;

pub type Reply = Response<Bytes>;

/// What answers requests.
pub trait Program: Send + Sync + 'static {
    fn answer(&self, request: &Request<Bytes>) -> Reply;
}

/// Serves until it is dropped; then its connections break off, as when a machine goes down.
pub struct Server {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A loopback port that nobody listens on.
pub fn free_port() -> Result<u16, Failure> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

impl Server {
    pub fn start(port: u16, identity: Identity, site: Arc<dyn Program>) -> Result<Server, Failure> {
        let tls = server_config(ServerIdentity::new(identity), &ClientAuth::Off, &[Protocol::Http1])?;
        let tls = Arc::new(ListenerTls::new(tls));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, tls, site) => {}
                    _ = stopped => {}
                }
            });
        });
        Ok(Server { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error says that it ended already.
        self.stop.take().map(|stop| stop.send(()));
        self.thread.take().map(JoinHandle::join);
    }
}

async fn accept(listener: TcpListener, tls: Arc<ListenerTls>, site: Arc<dyn Program>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, Arc::clone(&tls), Arc::clone(&site)));
    }
}

async fn serve(stream: TcpStream, tls: Arc<ListenerTls>, site: Arc<dyn Program>) {
    // A caller that does not trust us, or goes away, is no concern of ours.
    let Ok(secured) = tls.accept(stream, Duration::from_secs(10), &Turns::default()).await else { return };
    let service = service_fn(move |request| answer(request, Arc::clone(&site)));
    let connection = hyper::server::conn::http1::Builder::new();
    let _ = connection.serve_connection(TokioIo::new(secured.stream), service).await;
}

async fn answer(
    request: Request<Incoming>,
    site: Arc<dyn Program>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(site.answer(&Request::from_parts(head, body)).map(Full::from))
}

/// An answer in JSON.
pub fn json(status: StatusCode, body: &Value) -> Reply {
    let mut reply = Response::new(Bytes::from(body.to_string()));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}
