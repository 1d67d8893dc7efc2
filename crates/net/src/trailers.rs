//! Which fields may follow a body. HTTP/1 callers are refused the others by the gate; from HTTP/2 and from targets
//! they are left out.

use http::HeaderMap;

/// Fields that mean something only before the body: framing, routing, authentication, content (RFC 9110 §6.5.1);
/// and those that only this bridge, or a login, may set.
const NOT_IN_TRAILERS: [&str; 22] = [
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "location",
    "proxy-authorization",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "www-authenticate",
    "x-api-key",
    "x-correlation-id",
];

pub fn may_be(name: &[u8]) -> bool {
    let forwarding = name.get(..12).is_some_and(|start| start.eq_ignore_ascii_case(b"x-forwarded-"));
    !forwarding && !NOT_IN_TRAILERS.iter().any(|refused| name.eq_ignore_ascii_case(refused.as_bytes()))
}

/// Leaves out what may not follow a body.
pub fn clean(trailers: &mut HeaderMap) {
    let refused: Vec<_> = trailers.keys().filter(|name| !may_be(name.as_str().as_bytes())).cloned().collect();
    for name in refused {
        trailers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_and_forwarding_are_left_out() {
        let names = ["grpc-status", "x-api-key", "x-forwarded-for", "set-cookie", "server-timing", "Via"];
        let mut trailers: HeaderMap =
            names.iter().map(|name| (name.parse().unwrap(), "x".parse().unwrap())).collect();
        clean(&mut trailers);
        let mut left: Vec<_> = trailers.keys().map(|name| name.as_str()).collect();
        left.sort_unstable();
        assert_eq!(left, ["grpc-status", "server-timing"]);
    }
}
