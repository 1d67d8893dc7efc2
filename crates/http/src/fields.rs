//! The header sections toward target and caller (RFC 9110 §7.6, RFC 9112 §9.6).

use crate::left_out::Noted;
use crate::passes::{Passes, announced};
use http::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, FORWARDED, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
    TE, TRAILER, UPGRADE, VIA,
};
use ironbridge_core::{Denial, code, fields};
use ironbridge_net::{Names, retry_after_field};
use std::fmt::Write;
use std::net::IpAddr;

pub const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What a request toward the target is built from.
pub struct Outbound<'a> {
    /// This bridge's entry in Via, where the request came over HTTP.
    pub via: Option<&'a HeaderValue>,
    /// Where the target is told it.
    pub caller: Option<IpAddr>,
    /// The request switches protocols, so Connection and Upgrade go along.
    pub upgrades: bool,
    /// What crosses.
    pub passes: &'a Passes,
}

/// The header section for the target: of what the caller sent, the fields that cross; and what this bridge asserts
/// itself.
pub fn toward_target(
    inbound: &HeaderMap,
    outbound: &Outbound<'_>,
    left_out: &mut Noted<'_>,
) -> Result<HeaderMap, Box<Denial>> {
    let passes = outbound.passes;
    let named = named_by_connection(inbound, &passes.request)?;
    let mut headers = HeaderMap::with_capacity(inbound.len() + 6);
    for (name, value) in inbound {
        let crosses = passes.request.pass(name) || (outbound.upgrades && passes.handshake.pass(name));
        if crosses && !names(&named, name) {
            headers.append(name, value.clone());
        } else {
            left_out.note(name);
        }
    }
    if inbound.get_all(TE).iter().any(|value| value.as_bytes().eq_ignore_ascii_case(b"trailers")) {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if let Some(trailer) = announced(inbound, &passes.request_trailers) {
        headers.insert(TRAILER, trailer);
    }
    if outbound.upgrades {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
    if let Some(caller) = outbound.caller {
        assert_caller(&mut headers, caller);
    }
    if let Some(via) = outbound.via {
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static("https"));
        headers.append(VIA, via.clone());
    }
    Ok(headers)
}

/// Whether the body is not compressed. The names of codings have no case (RFC 9110 §8.4.1).
pub fn is_plain(headers: &HeaderMap) -> bool {
    let plain = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"identity");
    headers.get_all(CONTENT_ENCODING).iter().all(plain)
}

/// The header section for the caller: of what the target answered, the fields that cross.
pub fn toward_caller(
    answered: HeaderMap,
    passes: &Passes,
    via: Option<&HeaderValue>,
    left_out: &mut Noted<'_>,
) -> HeaderMap {
    let named = named_fields(&answered);
    let trailer = announced(&answered, &passes.reply_trailers);
    let wait = retry_after_field(&answered);
    let mut headers = HeaderMap::with_capacity(answered.len() + 4);
    let mut crossing = None;
    for (name, value) in answered {
        // The name of a repeated field comes once.
        if let Some(name) = name {
            // Of a body that nothing filters, the length is a fact, also where only the header section is asked for.
            let crosses = passes.reply.pass(&name) || (name == CONTENT_LENGTH && !passes.filters_reply);
            let crosses = crosses && !names(&named, &name) && (name != RETRY_AFTER || wait.is_some());
            if !crosses {
                left_out.note(&name);
            }
            crossing = crosses.then_some(name);
        }
        if let Some(name) = &crossing {
            let waits = wait.as_ref().filter(|_| *name == RETRY_AFTER);
            headers.append(name, waits.cloned().unwrap_or(value));
        }
    }
    headers.extend(trailer.map(|value| (TRAILER, value)));
    if let Some(via) = via {
        headers.append(VIA, via.clone());
    }
    headers
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
}

/// The fields that Connection names, which end at this hop. Naming an end-to-end field is how a request makes a
/// proxy drop what a later check relies on, so it is refused.
fn named_by_connection(headers: &HeaderMap, crossing: &Names) -> Result<Vec<HeaderName>, Box<Denial>> {
    let named = named_fields(headers);
    let end_to_end = |name: &&HeaderName| {
        let of_connection =
            ["keep-alive", "proxy-connection", "http2-settings", "trailer", "transfer-encoding"];
        crossing.lists(name)
            || (fields::owned(name.as_str()).is_some() && !of_connection.contains(&name.as_str()))
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
    use crate::passes::{Declared, Listed};

    fn map(fields: &[(&str, &str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(n, v)| (n.parse::<HeaderName>().unwrap(), v.parse::<HeaderValue>().unwrap()))
            .collect()
    }

    fn listed(names: &[&str]) -> Listed {
        Listed { names: names.iter().map(|name| name.parse().unwrap()).collect(), all: false }
    }

    fn all() -> Listed {
        Listed { names: Vec::new(), all: true }
    }

    /// The names of what crosses toward a target.
    fn sent(inbound: &HeaderMap, declared: Declared) -> Vec<String> {
        let via = HeaderValue::from_static("1.1 acme");
        let passes = Passes::new(declared);
        let outbound =
            Outbound { via: Some(&via), caller: "192.0.2.7".parse().ok(), upgrades: false, passes: &passes };
        let headers = toward_target(inbound, &outbound, &mut Noted::of_request(&passes.left_out)).unwrap();
        assert_eq!(headers["x-forwarded-for"], "192.0.2.7");
        assert_eq!(headers["forwarded"], "for=192.0.2.7;proto=https");
        let bridges = ["forwarded", "via", "x-forwarded-for", "x-forwarded-proto"];
        sorted(headers.keys().map(HeaderName::as_str).filter(|name| !bridges.contains(name)))
    }

    /// The names of what crosses toward a caller.
    fn passed(answered: &HeaderMap, declared: Declared) -> Vec<String> {
        let passes = Passes::new(declared);
        let mut left_out = Noted::of_reply(&passes.left_out);
        let via = HeaderValue::from_static("1.1 acme");
        let headers = toward_caller(answered.clone(), &passes, Some(&via), &mut left_out);
        assert_eq!(headers["via"], "1.1 acme");
        sorted(headers.keys().map(HeaderName::as_str).filter(|name| *name != "via"))
    }

    fn sorted<'n>(names: impl Iterator<Item = &'n str>) -> Vec<String> {
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.sort_unstable();
        names
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
            ("x-erp-key", "forged"),
            ("x_erp_key", "forged"),
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
        let credential = || "x-erp-key".parse().ok();
        assert_eq!(sent(&inbound, Declared::default()), ["accept", "accept-encoding", "range", "te"]);
        let read = Declared { reads_reply: true, credential: credential(), ..Declared::default() };
        assert_eq!(sent(&inbound, read), ["accept", "te"]);
        let some =
            Declared { request: listed(&["x-trace"]), credential: credential(), ..Declared::default() };
        assert_eq!(sent(&inbound, some), ["accept", "range", "te", "x-trace"]);
        let everything =
            Declared { request: all(), credential: credential(), reads_reply: true, ..Declared::default() };
        assert_eq!(sent(&inbound, everything), ["accept", "te", "x-trace"]);
    }

    #[test]
    fn a_filtered_request_carries_nothing_of_the_whole() {
        let inbound =
            map(&[("content-digest", "sha-256=:x:"), ("content-type", "application/json"), ("etag", "x")]);
        for request in [all(), listed(&["content-digest", "etag"])] {
            let declared = Declared { request, filters_request: true, ..Declared::default() };
            assert_eq!(sent(&inbound, declared), ["content-type"]);
        }
        let declared = Declared { request: listed(&["content-digest"]), ..Declared::default() };
        assert_eq!(sent(&inbound, declared), ["content-digest", "content-type"]);
    }

    #[test]
    fn connection_may_not_name_end_to_end_fields() {
        let via = HeaderValue::from_static("1.1 acme");
        let passes = Passes::new(Declared { request: listed(&["x-tenant"]), ..Declared::default() });
        let outbound =
            Outbound { via: Some(&via), caller: "192.0.2.7".parse().ok(), upgrades: false, passes: &passes };
        for name in [
            "Authorization",
            "host",
            "X-Forwarded-For",
            "content-type",
            "x-api-key",
            "Idempotency-Key",
            "if-match",
            "X-Tenant",
            "cookie",
            "via",
            "x_real_ip",
        ] {
            let mut left_out = Noted::of_request(&passes.left_out);
            let refused = toward_target(&map(&[("connection", name)]), &outbound, &mut left_out);
            assert_eq!(refused.unwrap_err().code, &code::HEADER_REFUSED, "{name}");
        }
    }

    #[test]
    fn of_a_reply_crosses_what_http_needs_and_what_is_declared() {
        let internals = [
            ("set-cookie", "session=1"),
            ("set-cookie2", "session=1"),
            ("www-authenticate", "Basic"),
            ("server", "ERP/1"),
            ("x-powered-by", "COBOL"),
            ("via", "1.1 squid"),
            ("proxy-status", "squid; error=x"),
            ("proxy-authenticate", "Basic"),
            ("idempotency-replayed", "true"),
            ("x-correlation-id", "forged"),
            ("ratelimit", "\"x\";r=1"),
            ("strict-transport-security", "max-age=1"),
            ("alt-svc", "h2=\"erp:443\""),
            ("content-location", "/internal"),
            ("connection", "x-internal"),
            ("x-internal", "10.0.0.7"),
            ("x-erp-key", "s3cret"),
            ("x_erp_key", "s3cret"),
        ];
        let undeclared = [
            ("server-timing", "db;dur=53"),
            ("x-backend", "erp-7"),
            ("x-error", "stack"),
            ("warning", "199 erp x"),
            ("x-order", "7"),
            ("content-digest", "sha-256=:x:"),
        ];
        let standard = [
            ("cache-control", "no-store"),
            ("content-disposition", "attachment"),
            ("content-length", "10"),
            ("content-type", "application/json"),
            ("etag", "\"x\""),
            ("last-modified", "Fri, 27 Nov 2026 12:00:00 GMT"),
            ("link", "</x>; rel=next"),
            ("location", "/x"),
            ("retry-after", "7"),
            ("vary", "accept"),
        ];
        let reply = map(&[&internals[..], &undeclared, &standard].concat());
        let credential = || "x-erp-key".parse().ok();
        let names = |fields: &[(&'static str, &str)]| sorted(fields.iter().map(|(name, _)| *name));
        assert_eq!(passed(&reply, Declared::default()), names(&standard));
        let some = Declared { reply: listed(&["x-order"]), credential: credential(), ..Declared::default() };
        assert_eq!(passed(&reply, some), names(&[&standard[..], &[("x-order", "")]].concat()));
        let everything = Declared { reply: all(), credential: credential(), ..Declared::default() };
        assert_eq!(passed(&reply, everything), names(&[&standard[..], &undeclared].concat()));
        // Nothing that tells of what a keep list holds back, whatever is declared.
        let filtered =
            |reply: Listed| Declared { reply, filters_reply: true, reads_reply: true, ..Declared::default() };
        let of_the_whole = ["content-digest", "content-length", "etag"];
        let kept =
            |fields: Vec<String>| fields.into_iter().filter(|name| !of_the_whole.contains(&name.as_str()));
        let kept: Vec<String> = kept(names(&standard)).collect();
        assert_eq!(passed(&reply, filtered(Listed::default())), kept);
        assert_eq!(passed(&reply, filtered(listed(&of_the_whole[..1]))), kept);
        assert!(!passed(&reply, filtered(all())).iter().any(|name| of_the_whole.contains(&name.as_str())));
    }

    /// An entity tag is often a hash of the whole body: a guess that is answered with 304 would tell it.
    #[test]
    fn no_condition_crosses_where_a_keep_list_filters() {
        for filters_reply in [false, true] {
            let passes = crate::passes::Passes::new(Declared { filters_reply, ..Declared::default() });
            for name in ["if-none-match", "if-match", "if-modified-since", "if-unmodified-since"] {
                assert_eq!(passes.request.pass(&HeaderName::from_static(name)), !filters_reply, "{name}");
            }
        }
    }

    #[test]
    fn a_retry_after_that_says_no_time_does_not_cross() {
        for (value, crosses) in [
            ("7", true),
            ("Fri, 27 Nov 2026 12:00:00 GMT", true),
            ("http://erp.internal/wait", false),
            ("-7", false),
            ("soon", false),
        ] {
            let reply = map(&[("retry-after", value)]);
            assert_eq!(passed(&reply, Declared::default()).len(), usize::from(crosses), "{value}");
        }
    }

    #[test]
    fn a_loop_is_seen_in_via() {
        assert!(has_passed(&map(&[("via", "1.1 other, 1.1 acme")]), "acme"));
        assert!(!has_passed(&map(&[("via", "1.1 acme2, 1.1 x")]), "acme"));
    }
}
