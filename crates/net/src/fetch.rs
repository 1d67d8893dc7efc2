//! What the bridge fetches on its own behalf: keys of an issuer, a token for a target, a
//! piece of the audit trail.

use crate::address::Policy;
use crate::connect::{self, Endpoint};
use crate::gate::ReplyGate;
use crate::retry_after;
use crate::tls::client::client_config;
use crate::tls::{Protocol, Roots, TlsError};
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use ironbridge_core::{BoxFuture, Fetch, FetchError, FetchMethod, FetchRequest, Fetched, Sensitive};
use rustls::ClientConfig;
use std::sync::Arc;

/// The guarded client: `https` only, addresses checked after resolution, TLS verified, redirects not followed,
/// size and time bounded, one connection per fetch. Its futures must run within a tokio runtime.
#[derive(Clone)]
pub struct GuardedClient {
    config: Arc<ClientConfig>,
    addresses: Policy,
}

impl GuardedClient {
    /// A client that trusts these roots and connects to no other addresses than these.
    ///
    /// # Errors
    /// When the roots cannot be loaded.
    pub fn new(roots: &Roots, addresses: Policy) -> Result<GuardedClient, TlsError> {
        let config = client_config(roots, None, &[Protocol::Http1])?;
        Ok(GuardedClient { config: Arc::new(config), addresses })
    }

    async fn exchange(&self, request: FetchRequest) -> Result<Fetched, FetchError> {
        let (request, max_reply, timeout) = prepare(request)?;
        let uri = request.uri().clone();
        let authority = uri.authority().ok_or_else(|| failed("the URL names no host"))?;
        let endpoint = Endpoint::new(authority.host(), authority.port_u16().unwrap_or(443), self.addresses);
        let name =
            connect::server_name(endpoint.host()).ok_or_else(|| failed("the URL's host is malformed"))?;
        let stream = endpoint.connect(timeout).await.map_err(failed)?;
        let stream = connect::secure(stream, self.config.clone(), name, timeout).await.map_err(failed)?;
        let (gate, expected) = ReplyGate::over(stream);
        expected.ask(request.method());
        let (mut sender, connection) = http1::handshake(TokioIo::new(gate)).await.map_err(failed)?;
        let request = in_origin_form(request);
        let answer = async move {
            let response = sender.send_request(request).await.map_err(failed)?;
            read(response, max_reply).await
        };
        tokio::pin!(answer, connection);
        tokio::select! {
            biased;
            answer = &mut answer => answer,
            // The connection may end before the last bytes it delivered are read.
            _ = &mut connection => answer.await,
        }
    }
}

impl Fetch for GuardedClient {
    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<Fetched, FetchError>> {
        Box::pin(async move {
            let timeout = request.timeout;
            match tokio::time::timeout(timeout, self.exchange(request)).await {
                Ok(result) => result,
                Err(_) => Err(FetchError(format!("no answer within {} ms", timeout.as_millis()))),
            }
        })
    }
}

fn prepare(request: FetchRequest) -> Result<(Request<Full<Bytes>>, usize, std::time::Duration), FetchError> {
    let uri: Uri = request.url.parse().map_err(|_| failed("the URL cannot be read"))?;
    let authority = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
    if uri.scheme_str() != Some("https") || authority.contains('@') || request.url.contains('#') {
        return Err(failed("the URL must be https, without credentials or fragment"));
    }
    let host = HeaderValue::from_str(authority).map_err(|_| failed("the URL's host is malformed"))?;
    let (method, media_type, body) = match request.method {
        FetchMethod::Get => (Method::GET, None, Bytes::new()),
        FetchMethod::PostForm(form) => {
            (Method::POST, Some("application/x-www-form-urlencoded"), form.into_bytes())
        }
        FetchMethod::Post(media_type, body) => (Method::POST, Some(media_type), body.into()),
        FetchMethod::Put(media_type, body) => (Method::PUT, Some(media_type), body.into()),
        FetchMethod::Delete => (Method::DELETE, None, Bytes::new()),
    };
    let mut out = Request::new(Full::new(body));
    *out.uri_mut() = uri;
    let headers = out.headers_mut();
    headers.insert(header::HOST, host);
    headers.insert(header::USER_AGENT, HeaderValue::from_static("ironbridge"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    if let Some(media_type) = media_type {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    }
    for (name, value) in request.headers {
        let malformed = || failed(format!("header field {name} is malformed"));
        let name = header::HeaderName::from_bytes(name.as_bytes()).map_err(|_| malformed())?;
        let mut value = HeaderValue::from_maybe_shared(value.into_bytes()).map_err(|_| malformed())?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    *out.method_mut() = method;
    Ok((out, request.max_reply, request.timeout))
}

fn in_origin_form(mut request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
    let path_and_query = request.uri().path_and_query().cloned();
    *request.uri_mut() = path_and_query.map(Uri::from).unwrap_or_default();
    request
}

async fn read(response: Response<Incoming>, max_reply: usize) -> Result<Fetched, FetchError> {
    let status = response.status().as_u16();
    let max_age = max_age(response.headers());
    let retry_after = retry_after(response.headers()).map(|wait| wait.as_secs());
    let mut incoming = response.into_body();
    let mut body = Sensitive::default();
    while let Some(frame) = incoming.frame().await {
        if let Some(data) = frame.map_err(failed)?.data_ref() {
            if body.expose().len() + data.len() > max_reply {
                return Err(failed(format!("the answer is larger than {max_reply} bytes")));
            }
            body.extend(data);
        }
    }
    Ok(Fetched { status, body, max_age, retry_after })
}

/// `max-age` of Cache-Control (RFC 9111 §5.2.2.1); 0 when the answer must not be stored or reused.
fn max_age(headers: &HeaderMap) -> Option<u64> {
    let mut age = None;
    for value in headers.get_all(header::CACHE_CONTROL) {
        for directive in value.to_str().unwrap_or_default().split(',') {
            let (name, argument) = directive.split_once('=').unwrap_or((directive, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "no-store" | "no-cache" => return Some(0),
                "max-age" => age = argument.trim().trim_matches('"').parse().ok(),
                _ => {}
            }
        }
    }
    age
}

fn failed(reason: impl std::fmt::Display) -> FetchError {
    FetchError(reason.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_age_is_read_as_caches_read_it() {
        let of = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(text));
            max_age(&headers)
        };
        assert_eq!(of("public, max-age=300"), Some(300));
        assert_eq!(of("Max-Age=\"60\", must-revalidate"), Some(60));
        assert_eq!(of("max-age=60, no-store"), Some(0));
        assert_eq!(of("s-maxage=5"), None);
        assert_eq!(of("max-age=-1"), None);
        assert_eq!(max_age(&HeaderMap::new()), None);
    }
}
