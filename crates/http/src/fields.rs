//! Which header fields cross the bridge, in both directions (RFC 9110 §7.6, RFC 9112 §9.6).

use crate::passes::announced;
use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, COOKIE, ETAG, EXPECT, FORWARDED, HOST,
    HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, RANGE, SERVER, SET_COOKIE,
    TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VIA, WWW_AUTHENTICATE,
};
use ironbridge_core::{Denial, code};
use ironbridge_net::Names;
use std::fmt::Write;
use std::net::IpAddr;

pub const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What a request toward the target is built from.
pub struct Outbound<'a> {
    /// This bridge's entry in Via.
    pub via: &'a HeaderValue,
    pub caller: IpAddr,
    /// A control reads the reply: it must come whole and uncompressed.
    pub reply_is_read: bool,
    /// The reply must hold no credential of the bridge's, and in a compressed one none could be seen.
    pub reply_is_searched: bool,
    /// The request switches protocols, so Connection and Upgrade go along.
    pub upgrades: bool,
    /// What may follow the body.
    pub trailers: &'a Names,
}

/// The header section for the target: what the caller sent, less hop-by-hop fields, credentials, and everything a
/// proxy asserts; plus what this bridge asserts itself.
pub fn toward_target(inbound: &HeaderMap, outbound: &Outbound<'_>) -> Result<HeaderMap, Box<Denial>> {
    let named = named_by_connection(inbound)?;
    let mut headers = HeaderMap::with_capacity(inbound.len() + 6);
    for (name, value) in inbound {
        let alters_reply = (outbound.reply_is_read && needs_whole_reply(name))
            || (outbound.reply_is_searched && *name == ACCEPT_ENCODING);
        if stays_here(name) || alters_reply || names(&named, name) {
            continue;
        }
        headers.append(name, value.clone());
    }
    if inbound.get_all(TE).iter().any(|value| value.as_bytes().eq_ignore_ascii_case(b"trailers")) {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if let Some(trailer) = announced(inbound, outbound.trailers) {
        headers.insert(TRAILER, trailer);
    }
    if outbound.upgrades {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
    assert_caller(&mut headers, outbound.caller);
    headers.append(VIA, outbound.via.clone());
    Ok(headers)
}

/// The header section for the caller: the target's, less hop-by-hop fields, its credentials and challenges, and
/// what names its software. `changed` says that a control put another body in place.
pub fn toward_caller(
    mut headers: HeaderMap,
    changed: bool,
    trailers: &Names,
    via: &HeaderValue,
) -> HeaderMap {
    let trailer = announced(&headers, trailers);
    for named in named_fields(&headers) {
        headers.remove(named);
    }
    for name in [
        CONNECTION,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
        TE,
        SERVER,
        SET_COOKIE,
        WWW_AUTHENTICATE,
        PROXY_AUTHENTICATE,
    ] {
        headers.remove(name);
    }
    for name in NOT_TO_CALLER {
        headers.remove(*name);
    }
    if changed {
        headers.remove(CONTENT_LENGTH);
        // These commit to the whole body, held-back fields included.
        headers.remove(ETAG);
        for name in [
            "content-digest",
            "repr-digest",
            "digest",
            "content-md5",
            "accept-ranges",
            "signature",
            "signature-input",
        ] {
            headers.remove(name);
        }
    }
    headers.extend(trailer.map(|value| (TRAILER, value)));
    headers.append(VIA, via.clone());
    headers
}

/// Fields that name a target's software or address, or speak to its own proxy.
const NOT_TO_CALLER: &[&str] = &[
    "keep-alive",
    "proxy-connection",
    "proxy-authentication-info",
    "authentication-info",
    "x-powered-by",
    "x-aspnet-version",
    "x-aspnetmvc-version",
    "x-backend-server",
    "x-served-by",
    "x-upstream",
    "alt-svc",
    "content-location",
    "refresh",
];

/// Whether Upgrade names WebSocket and nothing else: the one protocol that an operation can declare. Any other would
/// open a tunnel that no control sees into.
pub fn asks_for_websocket(headers: &HeaderMap) -> bool {
    let mut asked = headers.get_all(UPGRADE).iter();
    asked.next().is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
        && asked.next().is_none()
}

/// Whether the request already passed this bridge (RFC 9110 §7.6.3): its name stands in Via.
pub fn has_passed(headers: &HeaderMap, name: &str) -> bool {
    headers.get_all(VIA).iter().any(|value| {
        value
            .to_str()
            .is_ok_and(|text| text.split(',').any(|hop| hop.split_whitespace().nth(1) == Some(name)))
    })
}

fn assert_caller(headers: &mut HeaderMap, caller: IpAddr) {
    let mut text = String::with_capacity(72);
    let _ = write!(text, "{caller}");
    headers.extend(HeaderValue::try_from(text.as_str()).ok().map(|value| (FORWARDED_FOR, value)));
    text.clear();
    // RFC 7239 §6: an IPv6 address is bracketed and quoted.
    let _ = match caller {
        IpAddr::V4(address) => write!(text, "for={address};proto=https"),
        IpAddr::V6(address) => write!(text, "for=\"[{address}]\";proto=https"),
    };
    headers.extend(HeaderValue::try_from(text).ok().map(|value| (FORWARDED, value)));
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static("https"));
}

/// Fields the caller's side of the bridge consumes: hop-by-hop, credentials, and what only a proxy may assert.
fn stays_here(name: &HeaderName) -> bool {
    const CONSUMED: [HeaderName; 13] = [
        HOST,
        AUTHORIZATION,
        CONNECTION,
        COOKIE,
        PROXY_AUTHORIZATION,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
        EXPECT,
        FORWARDED,
        CONTENT_LENGTH,
        API_KEY,
    ];
    if CONSUMED.contains(name) {
        return true;
    }
    let name = name.as_str();
    if name.contains('_') {
        // Targets in the manner of CGI (RFC 3875 §4.1.18) cannot tell an underscore from a hyphen.
        return name.replace('_', "-").parse().is_ok_and(|twin| stays_here(&twin));
    }
    matches!(name.as_bytes().first(), Some(b'x' | b'c' | b'k' | b'p' | b'h' | b's' | b't' | b'r'))
        && (CONSUMED_TOO.contains(&name) || PROXY_FAMILIES.iter().any(|family| name.starts_with(family)))
}

/// What proxies assert in several fields: addresses, and client certificates that they verified.
const PROXY_FAMILIES: [&str; 5] = ["x-forwarded-", "x-ssl-", "ssl-client-", "x-client-cert", "x-amzn-mtls-"];

const CONSUMED_TOO: &[&str] = &[
    "keep-alive",
    "proxy-connection",
    "http2-settings",
    "client-cert",
    "client-cert-chain",
    "x-arr-clientcert",
    "remote-user",
    "x-remote-user",
    "true-client-ip",
    "cf-connecting-ip",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-original-url",
    "x-rewrite-url",
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-correlation-id",
];

/// Parts and encodings of a reply cannot be judged as a whole.
fn needs_whole_reply(name: &HeaderName) -> bool {
    *name == ACCEPT_ENCODING || *name == RANGE || name.as_str() == "if-range"
}

/// The fields that Connection names, which end at this hop. Naming an end-to-end field is how a request makes a
/// proxy drop what a later check relies on, so it is refused.
fn named_by_connection(headers: &HeaderMap) -> Result<Vec<HeaderName>, Box<Denial>> {
    let named = named_fields(headers);
    let end_to_end = |name: &&HeaderName| {
        [
            AUTHORIZATION,
            HOST,
            COOKIE,
            CONTENT_LENGTH,
            http::header::CONTENT_TYPE,
            VIA,
            FORWARDED,
            API_KEY,
            IDEMPOTENCY_KEY,
        ]
        .contains(name)
            || name.as_str().starts_with("x-forwarded-")
    };
    match named.iter().find(end_to_end) {
        Some(name) => {
            Err(Box::new(Denial::new(&code::HEADER_REFUSED).detail(format!("Connection names {name}"))))
        }
        None => Ok(named),
    }
}

fn named_fields(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(CONNECTION).iter();
    let options = values.flat_map(|value| value.to_str().unwrap_or_default().split(','));
    let options = options.map(str::trim).filter(|option| {
        !["", "close", "keep-alive", "upgrade", "te"].iter().any(|known| option.eq_ignore_ascii_case(known))
    });
    options.filter_map(|option| option.parse().ok()).collect()
}

fn names(named: &[HeaderName], name: &HeaderName) -> bool {
    !named.is_empty() && named.contains(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&str, &str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(n, v)| (n.parse::<HeaderName>().unwrap(), v.parse::<HeaderValue>().unwrap()))
            .collect()
    }

    fn outbound(via: &HeaderValue) -> Outbound<'_> {
        static NONE: std::sync::LazyLock<Names> = std::sync::LazyLock::new(Names::default);
        Outbound {
            via,
            caller: "192.0.2.7".parse().unwrap(),
            reply_is_read: true,
            reply_is_searched: true,
            upgrades: false,
            trailers: &NONE,
        }
    }

    #[test]
    fn credentials_and_proxy_assertions_stay_here() {
        let inbound = map(&[
            ("host", "bridge"),
            ("authorization", "Bearer x"),
            ("x-api-key", "ibk_x"),
            ("cookie", "a=b"),
            ("proxy-authorization", "Basic x"),
            ("client-cert", ":x:"),
            ("x-forwarded-for", "203.0.113.1"),
            ("x-forwarded-client-cert", "x"),
            ("ssl-client-verify", "SUCCESS"),
            ("x-amzn-mtls-clientcert", "x"),
            ("x-arr-clientcert", "x"),
            ("x_forwarded_for", "203.0.113.1"),
            ("ssl_client-cert", "x"),
            ("x_api-key", "ibk_x"),
            ("true-client-ip", "203.0.113.1"),
            ("forwarded", "for=1.1.1.1"),
            ("x-original-url", "/admin"),
            ("connection", "keep-alive, x-hop"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("range", "bytes=0-1"),
            ("accept-encoding", "gzip"),
            ("accept", "application/json"),
            ("x-trace", "t"),
        ]);
        let via = HeaderValue::from_static("1.1 acme");
        let sent = toward_target(&inbound, &outbound(&via)).unwrap();
        let mut names: Vec<_> = sent.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            ["accept", "forwarded", "te", "via", "x-forwarded-for", "x-forwarded-proto", "x-trace"]
        );
        assert_eq!(sent["x-forwarded-for"], "192.0.2.7");
        assert_eq!(sent["forwarded"], "for=192.0.2.7;proto=https");
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
            assert_eq!(asks_for_websocket(&map(fields)), asks, "{fields:?}");
        }
    }

    #[test]
    fn connection_may_not_name_end_to_end_fields() {
        let via = HeaderValue::from_static("1.1 acme");
        for name in ["Authorization", "host", "X-Forwarded-For", "content-type", "x-api-key"] {
            let refused = toward_target(&map(&[("connection", name)]), &outbound(&via));
            assert_eq!(refused.unwrap_err().code, &code::HEADER_REFUSED, "{name}");
        }
    }

    #[test]
    fn the_targets_credentials_and_software_stay_there() {
        let reply = map(&[
            ("set-cookie", "session=1"),
            ("www-authenticate", "Basic"),
            ("server", "ERP/1"),
            ("x-powered-by", "COBOL"),
            ("connection", "x-internal"),
            ("x-internal", "10.0.0.7"),
            ("etag", "\"x\""),
            ("content-length", "10"),
            ("content-type", "application/json"),
        ]);
        let passed = toward_caller(reply, true, &Names::default(), &HeaderValue::from_static("1.1 acme"));
        let mut names: Vec<_> = passed.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-type", "via"]);
    }

    #[test]
    fn a_loop_is_seen_in_via() {
        assert!(has_passed(&map(&[("via", "1.1 other, 1.1 acme")]), "acme"));
        assert!(!has_passed(&map(&[("via", "1.1 acme2, 1.1 x")]), "acme"));
    }
}
