//! WebSocket: after both sides agreed to switch, bytes pass unread in both directions (RFC 6455 §4).

use crate::answer::AnswerBody;
use crate::reply::ReplyBody;
use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue, UPGRADE, VIA};
use http::{HeaderMap, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use ironbridge_core::Tail;
use ironbridge_net::gate::Upgrade;
use ironbridge_net::listen::Permit;
use ironbridge_net::upstream::PooledBody;
use std::rc::Rc;

/// A caller's wish to switch: its connection-to-be, the gate's consent, and what keeps the connection counted.
pub(crate) struct Asked {
    pub on: OnUpgrade,
    pub upgrade: Upgrade,
    pub counted: Rc<Permit>,
}

/// Only what the handshake needs goes back to the caller.
const HANDSHAKE: [&str; 3] = ["sec-websocket-accept", "sec-websocket-protocol", "sec-websocket-extensions"];

pub(crate) fn respond(
    mut reply: Response<PooledBody>,
    tail: Box<Tail>,
    Asked { on, upgrade, counted }: Asked,
    via: &HeaderValue,
) -> Response<AnswerBody> {
    let target = hyper::upgrade::on(&mut reply);
    let mut headers = HeaderMap::new();
    for name in HANDSHAKE {
        headers.extend(
            reply.headers().get(name).map(|value| (http::HeaderName::from_static(name), value.clone())),
        );
    }
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(VIA, via.clone());
    upgrade.accept();
    tokio::task::spawn_local(async move {
        copy(on, target, tail).await;
        drop(counted);
    });
    let mut response = Response::new(ReplyBody::held(Bytes::new(), None).into());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = headers;
    response
}

/// Ends with the first side that closes; an error leaves the record to say that it broke off.
async fn copy(caller: OnUpgrade, target: OnUpgrade, mut tail: Box<Tail>) {
    let (Ok(caller), Ok(target)) = (caller.await, target.await) else { return };
    let (mut caller, mut target) = (TokioIo::new(caller), TokioIo::new(target));
    if let Ok((sent, out)) = tokio::io::copy_bidirectional(&mut caller, &mut target).await {
        tail.count_in(sent);
        tail.count_out(out);
        tail.finish();
    }
}
