//! Turning a request toward a target: its name, and framing that fits the body.

use super::body::OutBody;
use super::target::Upstream;
use crate::framing;
use http::header::{HOST, HeaderValue, TRANSFER_ENCODING};
use http::{Method, Request, Uri, Version, uri};
use http_body::Body;

impl Upstream {
    pub(super) fn address_http1(&self, request: &mut Request<OutBody>) {
        *request.version_mut() = Version::HTTP_11;
        if request.uri().authority().is_some() {
            *request.uri_mut() = request.uri().path_and_query().cloned().map(Uri::from).unwrap_or_default();
        }
        request.headers_mut().insert(HOST, self.host.clone());
        frame(request);
        if request.body().size_hint().exact().is_none() {
            // Said openly: hyper would take a GET of unknown length to have no body.
            request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
    }

    pub(super) fn address_http2(&self, request: &mut Request<OutBody>) {
        *request.version_mut() = Version::HTTP_2;
        let mut parts = uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = request.uri().path_and_query().cloned();
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
        request.headers_mut().remove(HOST);
        frame(request);
    }
}

fn frame(request: &mut Request<OutBody>) {
    let length = request.body().size_hint().exact();
    // Without one, servers take these to have a body of unknown length (RFC 9110 §8.6).
    let says_zero = [Method::POST, Method::PUT, Method::PATCH].contains(request.method());
    framing::frame(request.headers_mut(), length, says_zero);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Settings;
    use bytes::Bytes;
    use http::header::CONTENT_LENGTH;

    #[test]
    fn framing_follows_the_body_whatever_the_fields_say() {
        let settings = Settings { danger_plaintext: true, ..Settings::new("http://erp:81/base") };
        let upstream = Upstream::new(settings).unwrap();
        let full = || OutBody::Full(Bytes::from_static(b"abc"));
        let unknown = || OutBody::Boxed(Box::pin(Unknown));
        // method, body, fields before, Content-Length after, Transfer-Encoding after on HTTP/1
        type Row = (Method, OutBody, &'static [(&'static str, &'static str)], Option<&'static str>, bool);
        let table: [Row; 8] = [
            (Method::GET, OutBody::Empty, &[], None, false),
            (Method::GET, OutBody::Empty, &[("content-length", "5")], Some("0"), false),
            (Method::POST, OutBody::Empty, &[], Some("0"), false),
            (Method::POST, full(), &[("content-length", "3")], Some("3"), false),
            (Method::POST, full(), &[("content-length", "9"), ("content-length", "3")], Some("3"), false),
            (Method::POST, full(), &[("transfer-encoding", "chunked")], Some("3"), false),
            (Method::POST, unknown(), &[("content-length", "9")], None, true),
            (Method::GET, unknown(), &[("transfer-encoding", "gzip")], None, true),
        ];
        for (method, body, fields, length, chunked) in table {
            let mut request = Request::builder().method(method).uri("/x?y").header("host", "caller");
            for (name, value) in fields {
                request = request.header(*name, *value);
            }
            let mut request = request.body(body).unwrap();
            upstream.address_http1(&mut request);
            let of = |request: &Request<OutBody>, name: http::HeaderName| {
                let all: Vec<_> = request.headers().get_all(name).iter().cloned().collect();
                assert!(all.len() <= 1, "{all:?}");
                all.first().map(|value| value.to_str().unwrap().to_owned())
            };
            assert_eq!(of(&request, CONTENT_LENGTH).as_deref(), length);
            assert_eq!(of(&request, TRANSFER_ENCODING).as_deref(), chunked.then_some("chunked"));
            assert_eq!(
                (of(&request, HOST).as_deref(), request.uri().to_string().as_str()),
                (Some("erp:81"), "/x?y")
            );
            upstream.address_http2(&mut request);
            assert_eq!(of(&request, CONTENT_LENGTH).as_deref(), length);
            assert_eq!((of(&request, TRANSFER_ENCODING), of(&request, HOST)), (None, None));
            assert_eq!(request.uri(), "http://erp:81/x?y");
        }
    }

    /// A body that does not say how long it is.
    struct Unknown;

    impl Body for Unknown {
        type Data = Bytes;
        type Error = crate::upstream::BoxError;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
            std::task::Poll::Ready(None)
        }
    }
}
