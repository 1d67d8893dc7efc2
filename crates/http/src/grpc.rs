//! Refusals as gRPC callers read them: a status of their own in a response that is all trailers.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use ironbridge_core::Exchange;
use std::fmt::Write;

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Whether the request is a gRPC call (PROTOCOL-HTTP2, "Content-Type").
pub fn is_call(exchange: &Exchange) -> bool {
    let Some(content_type) = exchange.asked.media_type.as_deref() else { return false };
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    let prefix = kind.get(.."application/grpc".len()).unwrap_or_default();
    let rest = kind.get("application/grpc".len()..).unwrap_or_default();
    // Not gRPC-Web, whose callers read no trailers.
    prefix.eq_ignore_ascii_case("application/grpc") && (rest.is_empty() || rest.starts_with('+'))
}

/// Turns a refusal into the one for such a call: `Trailers-Only`, which always has status 200. What stands in other
/// fields stays: a gRPC caller reads them as metadata.
pub fn refusal(response: &mut Response<Bytes>, code: &str, detail: &str) {
    let status = status(response.status());
    *response.status_mut() = StatusCode::OK;
    *response.body_mut() = Bytes::new();
    let headers = response.headers_mut();
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(STATUS, HeaderValue::from(status));
    if let Ok(message) = HeaderValue::try_from(encoded(&format!("{code}: {detail}"))) {
        headers.insert(MESSAGE, message);
    }
}

/// The status whose meaning is nearest (google.rpc.Code names an HTTP status for each); for what is not declared, the
/// one that gRPC's own mapping gives a 404.
fn status(http: StatusCode) -> u16 {
    match http.as_u16() {
        400 | 411..=418 | 421..=422 | 431 => 3, // INVALID_ARGUMENT
        401 => 16,                              // UNAUTHENTICATED
        403 | 451 => 7,                         // PERMISSION_DENIED
        404 | 405 | 501 => 12,                  // UNIMPLEMENTED
        408 | 504 => 4,                         // DEADLINE_EXCEEDED
        409 | 425 => 10,                        // ABORTED
        429 => 8,                               // RESOURCE_EXHAUSTED
        502 | 503 => 14,                        // UNAVAILABLE
        500 => 13,                              // INTERNAL
        _ => 2,                                 // UNKNOWN
    }
}

/// Percent-encoded, as `grpc-message` is: all but printable ASCII, and the percent sign.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' | ..=0x1f | 0x7f.. => drop(write!(encoded, "%{byte:02X}")),
            plain => encoded.push(char::from(plain)),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_ascii() {
        assert_eq!(encoded("100% ü\n"), "100%25 %C3%BC%0A");
    }
}
