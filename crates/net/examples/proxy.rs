//! The floor under the bridge's price: TLS, the gate, hyper and a pool, with no control in between.
//!
//! `proxy LISTEN CHAIN.pem KEY.pem UPSTREAM_URL CORES`
#![allow(clippy::unwrap_used, clippy::expect_used)]

use http::{Request, Response, header};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ironbridge_net::cores::Cores;
use ironbridge_net::gate::{Arrival, Gate, Limits};
use ironbridge_net::listen::{self, Connection, Handler, Listener, Options};
use ironbridge_net::protocol::{http1_server, http2_server};
use ironbridge_net::tls::server::{ClientAuth, ListenerTls, Protocol, ServerIdentity, Turns, server_config};
use ironbridge_net::tls::{Identity, install_provider};
use ironbridge_net::upstream::{OutBody, Pool, PooledBody, Settings, Upstream};
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [listen, chain, key, url, cores] = arguments.as_slice() else {
        unreachable!("proxy LISTEN CHAIN.pem KEY.pem UPSTREAM_URL CORES")
    };
    install_provider();
    let identity = Identity::from_pem(&std::fs::read(chain).unwrap(), &std::fs::read(key).unwrap()).unwrap();
    let protocols = [Protocol::Http2, Protocol::Http1];
    let config = server_config(ServerIdentity::new(identity), &ClientAuth::Off, &protocols).unwrap();
    let tls = Arc::new(ListenerTls::new(config));
    let upstream = Upstream::new(Settings { danger_plaintext: true, ..Settings::new(url) }).unwrap();
    let cores = Cores::start(cores.parse().unwrap(), "core").unwrap();
    let handler = Arc::new(move |_core| {
        let (tls, pool) = (tls.clone(), Pool::new(upstream.clone()));
        let handler: Handler =
            Rc::new(move |connection| Box::pin(serve(connection, tls.clone(), pool.clone())));
        handler
    });
    let options = Options {
        limits: listen::Limits { max: 10_000, per_address: 10_000, exempt: Arc::new(|_| false) },
        handler,
    };
    let _serving = Listener::bind(listen.parse().unwrap()).unwrap().serve(&cores.handle(), options);
    loop {
        std::thread::park();
    }
}

async fn serve(connection: Connection, tls: Arc<ListenerTls>, pool: Rc<Pool>) {
    let _permit = connection.permit;
    let Ok(secured) = tls.accept(connection.stream, Duration::from_secs(10), &Turns::default()).await else {
        return;
    };
    if secured.protocol == Protocol::Http2 {
        let service = service_fn(move |request| cross(request, pool.clone()));
        drop(http2_server().serve_connection(TokioIo::new(secured.stream), service).await);
        return;
    }
    let (gate, state) = Gate::new(secured.stream, Limits::default());
    let service = service_fn(move |request| {
        let (arrival, pool) = (state.arrival(), pool.clone());
        async move {
            match arrival {
                Arrival::Request(_service) | Arrival::Upgrade(_service, _) => cross(request, pool).await,
                Arrival::Refused(..) => Ok(plain(400)),
            }
        }
    });
    drop(http1_server().serve_connection(TokioIo::new(gate), service).with_upgrades().await);
}

type Reply = Response<Either<PooledBody, Full<bytes::Bytes>>>;

async fn cross(request: Request<Incoming>, pool: Rc<Pool>) -> Result<Reply, Infallible> {
    let (mut parts, body) = request.into_parts();
    parts.headers.remove(header::CONNECTION);
    parts.headers.remove(header::TRANSFER_ENCODING);
    let body = if hyper::body::Body::is_end_stream(&body) {
        OutBody::Empty
    } else {
        OutBody::stream(
            body,
            u64::MAX,
            std::time::Duration::from_secs(60),
            Arc::new(AtomicU64::new(0)),
            Arc::default(),
        )
    };
    Ok(match pool.send(Request::from_parts(parts, body)).await {
        Ok(mut response) => {
            *response.version_mut() = http::Version::HTTP_11;
            response.headers_mut().remove(header::CONNECTION);
            response.headers_mut().remove(header::TRANSFER_ENCODING);
            response.map(Either::Left)
        }
        Err(_) => plain(502),
    })
}

fn plain(status: u16) -> Reply {
    Response::builder().status(status).body(Either::Right(Full::default())).unwrap()
}
