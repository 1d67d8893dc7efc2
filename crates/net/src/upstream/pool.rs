use super::{OutBody, PooledBody, SendError, Upstream};
use http::{Request, Response};
use std::rc::Rc;
use std::sync::Arc;

/// Every pool of one core. Make one per core and keep it there.
pub struct Pools {}

impl Pools {
    /// Must be called on a core: starts the task that closes idle connections.
    pub fn new() -> Rc<Pools> {
        todo!()
    }
    /// The core's pool for this upstream, made at first use and forgotten when long unused.
    pub fn of(&self, _upstream: &Arc<Upstream>) -> Rc<Pool> {
        todo!()
    }
}

/// One core's connections to one upstream.
pub struct Pool {}

impl Pool {
    /// Sends a request whose URI is in origin form ([`Upstream::target`]). Host and `:authority` are set here;
    /// connection fields (Connection, Transfer-Encoding, …) are the caller's to remove. The version is set here.
    ///
    /// A request that never left the bridge, or that is idempotent with a replayable body and met a stale
    /// connection, is sent once more on a fresh connection.
    pub async fn send(self: &Rc<Self>, _request: Request<OutBody>) -> Result<Response<PooledBody>, SendError> {
        todo!()
    }

    /// Sends an HTTP/1.1 request that asks for an upgrade on a connection of its own. After a 101,
    /// `hyper::upgrade::on(&mut response)` gives the raw connection.
    pub async fn send_upgrade(
        self: &Rc<Self>,
        _request: Request<OutBody>,
    ) -> Result<Response<PooledBody>, SendError> {
        todo!()
    }
}
