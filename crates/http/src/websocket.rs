//! The opening handshake of a WebSocket, judged on both sides (RFC 6455 §4.1, §4.2): after it, bytes pass unread, so
//! nothing else than a WebSocket may begin with it.

use http::header::{
    AsHeaderName, CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    TRANSFER_ENCODING, UPGRADE,
};
use ironbridge_core::{Denial, code};
use ironbridge_seal::hash;

/// Whether Upgrade names WebSocket and nothing else: the one protocol that an operation can declare. Any other would
/// open a tunnel that no control sees into.
pub fn is_asked_for(headers: &HeaderMap) -> bool {
    only(headers, UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Whether the operation and the request agree. `switches`: the connection can be switched to a WebSocket, and is asked to
/// be. `opens`: the operation does.
pub fn judge(headers: &HeaderMap, switches: bool, opens: bool) -> Result<(), Box<Denial>> {
    let refused = || Denial::new(&code::WEBSOCKET_REFUSED);
    match opens {
        true => judge_request(headers, switches).map_err(|why| Box::new(refused().detail(why))),
        // Taken for an ordinary request, it would reach the target without what makes it a handshake.
        false if switches && judge_request(headers, true).is_ok() => {
            let why = "this operation opens no WebSocket";
            Err(Box::new(
                refused().detail(why).internal("upgrade: websocket at the operation would open one"),
            ))
        }
        false => Ok(()),
    }
}

/// What is wrong with a caller's handshake, in words for it. What is no handshake at all has no business at an
/// operation that opens WebSockets: its reply would pass unread. `switches`: the connection can be switched, and is
/// asked to be.
fn judge_request(headers: &HeaderMap, switches: bool) -> Result<(), &'static str> {
    if !is_asked_for(headers) {
        return Err("this operation opens a WebSocket: Upgrade must name websocket, over HTTP/1.1");
    }
    if !switches && (headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING)) {
        return Err("a handshake has no body: leave out Content-Length and Transfer-Encoding");
    }
    if !switches || !says_upgrade(headers) {
        return Err("Connection must name Upgrade, over HTTP/1.1");
    }
    let key = only(headers, SEC_WEBSOCKET_KEY).and_then(|key| hash::unbase64(key.to_str().ok()?));
    if key.is_none_or(|key| key.len() != 16) {
        return Err("Sec-WebSocket-Key must be there once, 16 bytes in base64");
    }
    if only(headers, SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err("Sec-WebSocket-Version must be 13");
    }
    let listed =
        [SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_EXTENSIONS].map(|name| names(headers, name).is_some());
    if listed != [true, true] {
        return Err("Sec-WebSocket-Protocol and Sec-WebSocket-Extensions must be lists of names");
    }
    Ok(())
}

/// What is wrong with a target's agreement to switch, in words for the operator.
pub fn judge_reply(asked: &HeaderMap, reply: &HeaderMap) -> Result<(), &'static str> {
    if !is_asked_for(reply) || !says_upgrade(reply) {
        return Err("it switches to another protocol than WebSocket");
    }
    let accepts = only(asked, SEC_WEBSOCKET_KEY).map(|key| accept(key.as_bytes()));
    let accepted = only(reply, SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes);
    if accepts.is_none() || accepts.as_deref().map(str::as_bytes) != accepted {
        return Err("its Sec-WebSocket-Accept does not answer the key");
    }
    let protocol = reply.get_all(SEC_WEBSOCKET_PROTOCOL).iter().count();
    let within = |name| match (names(reply, &name), names(asked, &name)) {
        (Some(chosen), Some(asked)) => chosen.iter().all(|chosen| asked.contains(chosen)),
        _ => false,
    };
    if protocol > 1 || names(reply, SEC_WEBSOCKET_PROTOCOL).is_none_or(|chosen| chosen.len() > 1) {
        return Err("it chooses more than one subprotocol");
    }
    if !within(SEC_WEBSOCKET_PROTOCOL) || !within(SEC_WEBSOCKET_EXTENSIONS) {
        return Err("it chooses a subprotocol or an extension that was not asked for");
    }
    Ok(())
}

/// What answers a key (RFC 6455 §4.2.2).
fn accept(key: &[u8]) -> String {
    const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    hash::base64(&hash::sha1_of_a_websocket_key(&[key, GUID].concat()))
}

fn says_upgrade(headers: &HeaderMap) -> bool {
    let values = headers.get_all(CONNECTION).iter();
    let mut options = values.flat_map(|value| value.to_str().unwrap_or_default().split(','));
    options.any(|option| option.trim().eq_ignore_ascii_case("upgrade"))
}

/// The names of a list, less their parameters; none where there is no field, `None` where it is no list of names.
/// Subprotocols are told apart by case (RFC 6455 §1.9).
fn names<N: AsHeaderName>(headers: &HeaderMap, field: N) -> Option<Vec<&str>> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let mut names = Vec::new();
    for value in headers.get_all(field) {
        for item in value.to_str().ok()?.split(',') {
            let name = item.split(';').next()?.trim();
            if name.is_empty() || !name.bytes().all(token) {
                return None;
            }
            names.push(name);
        }
    }
    Some(names)
}

fn only<N: AsHeaderName>(headers: &HeaderMap, name: N) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6455 §1.3.
    const KEY: (&str, &str) = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    const ACCEPT: (&str, &str) = ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    const VERSION: (&str, &str) = ("sec-websocket-version", "13");
    const UPGRADE: (&str, &str) = ("upgrade", "WebSocket");
    const CONNECTION: (&str, &str) = ("connection", "keep-alive, Upgrade");

    fn map(fields: &[(&str, &str)]) -> HeaderMap {
        let parsed = |(name, value): &(&str, &str)| {
            (name.parse::<http::HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap())
        };
        fields.iter().map(parsed).collect()
    }

    #[test]
    fn only_websocket_is_asked_for() {
        for (fields, asks) in [
            (&[("upgrade", "WebSocket")][..], true),
            (&[("upgrade", "h2c")], false),
            (&[("upgrade", "websocket, h2c")], false),
            (&[("upgrade", "websocket"), ("upgrade", "h2c")], false),
            (&[], false),
        ] {
            assert_eq!(is_asked_for(&map(fields)), asks, "{fields:?}");
        }
    }

    #[test]
    fn a_callers_handshake_is_whole() {
        for (fields, good) in [
            (&[CONNECTION, KEY, VERSION][..], true),
            (&[CONNECTION, KEY, VERSION, ("sec-websocket-protocol", "chat.v1, chat.v2")], true),
            (&[CONNECTION, KEY, VERSION, ("sec-websocket-extensions", "permessage-deflate; x=\"1\"")], true),
            (&[KEY, VERSION], false),
            (&[CONNECTION, VERSION], false),
            (&[CONNECTION, KEY], false),
            (&[CONNECTION, KEY, KEY, VERSION], false),
            (&[CONNECTION, KEY, VERSION, VERSION], false),
            (&[CONNECTION, KEY, ("sec-websocket-version", "8")], false),
            (&[CONNECTION, KEY, ("sec-websocket-version", "13, 8")], false),
            (&[CONNECTION, ("sec-websocket-key", "c2hvcnQ="), VERSION], false),
            (&[CONNECTION, ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ"), VERSION], false),
            (&[CONNECTION, ("sec-websocket-key", "not base64 at all!!!!!=="), VERSION], false),
            (&[CONNECTION, KEY, VERSION, ("sec-websocket-protocol", "a b")], false),
        ] {
            let mut asked = map(fields);
            assert!(judge_request(&asked, true).is_err(), "without Upgrade: {fields:?}");
            asked.insert(http::header::UPGRADE, HeaderValue::from_static("websocket"));
            assert_eq!(judge_request(&asked, true).is_ok(), good, "{fields:?}");
            assert!(judge_request(&asked, false).is_err(), "nothing to switch: {fields:?}");
        }
    }

    #[test]
    fn a_target_agrees_to_what_was_asked() {
        let asked = [
            KEY,
            ("sec-websocket-protocol", "chat.v1, chat.v2"),
            ("sec-websocket-extensions", "permessage-deflate"),
        ];
        let whole = [UPGRADE, CONNECTION, ACCEPT];
        for (more, good) in [
            (&[][..], true),
            (&[("sec-websocket-protocol", "chat.v2")], true),
            (&[("sec-websocket-extensions", "permessage-deflate; server_no_context_takeover")], true),
            (&[("sec-websocket-protocol", "chat.v3")], false),
            (&[("sec-websocket-protocol", "Chat.v1")], false),
            (&[("sec-websocket-protocol", "chat.v1, chat.v2")], false),
            (&[("sec-websocket-protocol", "chat.v1"), ("sec-websocket-protocol", "chat.v2")], false),
            (&[("sec-websocket-protocol", "")], false),
            (&[("sec-websocket-extensions", "x-mux")], false),
            (&[ACCEPT], false),
            (&[UPGRADE], false),
        ] {
            let reply = map(&[&whole[..], more].concat());
            assert_eq!(judge_reply(&map(&asked), &reply).is_ok(), good, "{more:?}");
        }
        for wrong in [
            &[CONNECTION, ACCEPT][..],
            &[UPGRADE, ACCEPT],
            &[UPGRADE, CONNECTION],
            &[("upgrade", "h2c"), CONNECTION, ACCEPT],
            &[UPGRADE, ("connection", "close"), ACCEPT],
            &[UPGRADE, CONNECTION, ("sec-websocket-accept", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=")],
            &[UPGRADE, CONNECTION, ("sec-websocket-accept", "s3pplmbitxaq9kygzzhzrbk+xoo=")],
        ] {
            assert!(judge_reply(&map(&asked), &map(wrong)).is_err(), "{wrong:?}");
        }
        // Nothing was asked for, so nothing may be chosen.
        let reply = map(&[UPGRADE, CONNECTION, ACCEPT, ("sec-websocket-protocol", "chat.v1")]);
        assert!(judge_reply(&map(&[KEY]), &reply).is_err());
    }

    #[test]
    fn a_handshake_with_a_body_is_told_so() {
        for body in [("content-length", "5"), ("transfer-encoding", "chunked")] {
            let refused = judge_request(&map(&[KEY, VERSION, UPGRADE, CONNECTION, body]), false);
            assert!(refused.unwrap_err().contains("no body"), "{body:?}");
        }
        let refused = judge_request(&map(&[KEY, VERSION, UPGRADE]), false);
        assert!(refused.unwrap_err().contains("Connection"));
    }
}
