//! Refusals as problem details (RFC 9457): a stable code, a correlation id, a page, and no internals.

use crate::{grpc, status};
use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use http::{HeaderMap, Method, Response, StatusCode};
use ironbridge_core::{Code, CredentialKind, Denial, Exchange, Kind, LimitState, code};
use serde_json::json;
use std::fmt::{self, Write};

pub const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Where the page of a code is served, below the listener's root.
pub const PAGES: &str = "/.ironbridge/denials/";

/// Puts refusals into words for callers.
#[derive(Debug, Clone)]
pub struct Problems {
    /// The bridge's public URL, without a trailing slash.
    pub public_url: Box<str>,
    /// The bridge's name: the realm of its challenges.
    pub realm: Box<str>,
}

/// What to do about the client errors that no other request would mend.
fn declined_because(status: StatusCode) -> Option<&'static str> {
    Some(match status {
        StatusCode::NOT_FOUND => "The target has nothing at this path.",
        StatusCode::GONE => "What was at this path is gone from the target for good.",
        StatusCode::METHOD_NOT_ALLOWED => {
            "The target takes no such method here; the operator compares the operation with it."
        }
        StatusCode::FORBIDDEN => "The target does not let the bridge do this; the operator asks its owner.",
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY => {
            "The target did not take the request up. Send it again."
        }
        StatusCode::CONFLICT => {
            "The request does not fit the present state at the target. Read it again before the next attempt."
        }
        StatusCode::PRECONDITION_FAILED => {
            "What the request is conditional on is no longer so at the target. Read it again before the next attempt."
        }
        StatusCode::LOCKED => "What the request is about is locked at the target. Try again later.",
        StatusCode::TOO_MANY_REQUESTS => {
            "The target takes no more requests for now. Wait as long as Retry-After says, or longer each time, and send fewer."
        }
        _ => return None,
    })
}

impl Problems {
    /// The answer to an exchange that was refused.
    pub fn refusal(&self, denial: &Denial, exchange: &Exchange) -> Response<Bytes> {
        let mut response =
            self.document(denial.code, status::of(denial.code), denial.detail.as_deref(), denial, exchange);
        let headers = response.headers_mut();
        for challenge in self.challenges(denial.code, exchange) {
            headers.append(WWW_AUTHENTICATE, challenge);
        }
        if let Some(wait) = denial.retry_after {
            // Rounded up: a caller that waits this long is let in.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, seconds.max(1).into());
        }
        if *denial.code == code::METHOD_REFUSED {
            // RFC 9110 §10.2.1: empty where no method would do; whoever knows which do says so.
            headers.insert(ALLOW, HeaderValue::from_static(""));
        }
        if closes_connection(denial.code) {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// What a caller reads in place of a target's own error: the same status, none of its words.
    pub fn declined(&self, status: StatusCode, exchange: &Exchange) -> Response<Bytes> {
        let code = &code::TARGET_DECLINED;
        self.document(code, status, declined_because(status), &Denial::new(code), exchange)
    }

    fn document(
        &self,
        code: &Code,
        status: StatusCode,
        detail: Option<&str>,
        denial: &Denial,
        exchange: &Exchange,
    ) -> Response<Bytes> {
        let id = exchange.id.to_string();
        let mut document = json!({
            "type": format!("{}{PAGES}{}", self.public_url, code.id),
            "title": code.title,
            "status": status.as_u16(),
            "code": code.id,
            "correlation_id": id,
            "detail": detail.unwrap_or(code.mend),
        });
        if let (Some(members), false) = (document.as_object_mut(), denial.fields.is_empty()) {
            let errors =
                denial.fields.iter().map(|field| json!({ "pointer": field.pointer, "rule": field.rule }));
            members.insert("errors".to_owned(), errors.collect());
        }
        let body = Bytes::from(document.to_string());
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let length = response.body().len();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, PROBLEM_JSON);
        headers.insert(CONTENT_LENGTH, length.into());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        stamp(headers, exchange);
        if grpc::is_call(exchange) {
            grpc::refusal(&mut response, code.id, detail.unwrap_or(code.mend));
        }
        response
    }

    /// What the operation accepts, one challenge each (RFC 9110 §11.6.1), tokens first. Of a token what is wrong with it is
    /// said in the words of RFC 6750 §3.1; without one nothing is, as §3 has it.
    fn challenges(&self, code: &Code, exchange: &Exchange) -> impl Iterator<Item = HeaderValue> {
        let realm = &self.realm;
        let mut challenges = Vec::new();
        if *code == code::SCOPE_MISSING {
            let scope = exchange.flow.operation.as_ref().map_or("", |operation| &operation.permission_name);
            challenges
                .push(format!(r#"Bearer realm="{realm}", error="insufficient_scope", scope="{scope}""#));
        } else if code.kind == Kind::Unproven || *code == code::CREDENTIALS_AMBIGUOUS {
            let accepted = exchange.would_do.as_deref().unwrap_or_default();
            let accepts = |kinds: &[CredentialKind]| kinds.iter().any(|kind| accepted.contains(kind));
            if accepts(&[CredentialKind::Token, CredentialKind::OauthClient]) {
                challenges.push(format!(r#"Bearer realm="{realm}"{}"#, token_error(code, exchange)));
            }
            if accepts(&[CredentialKind::ApiKey]) {
                challenges.push(format!(r#"ApiKey realm="{realm}", name="X-API-Key", in="header""#));
            }
            if accepts(&[CredentialKind::Certificate]) {
                challenges.push(format!(r#"ClientCertificate realm="{realm}""#));
            }
            // Every 401 has one (§15.5.2), also where nobody can call.
            if challenges.is_empty() {
                challenges.push(format!(r#"None realm="{realm}""#));
            }
        }
        challenges.into_iter().filter_map(|challenge| HeaderValue::try_from(challenge).ok())
    }
}

/// Members that say what is wrong with the token that came. One that was not looked at, because its kind is not accepted
/// here, is as good as none.
fn token_error(code: &Code, exchange: &Exchange) -> String {
    if !exchange.presented.holds_bearer() {
        String::new()
    } else if *code == code::CREDENTIALS_AMBIGUOUS {
        r#", error="invalid_request""#.to_owned()
    } else if code.kind == Kind::Unproven && *code != code::CREDENTIALS_MISSING {
        format!(r#", error="invalid_token", error_description="{}""#, code.title)
    } else {
        String::new()
    }
}

/// What every answer carries: the correlation id and, where a limit was counted, the RateLimit fields
/// (draft-ietf-httpapi-ratelimit-headers-10).
pub fn stamp(headers: &mut HeaderMap, exchange: &Exchange) {
    if let Ok(id) = HeaderValue::from_str(exchange.id.encode(&mut [0; 36])) {
        headers.insert(CORRELATION_ID, id);
    }
    if let Some(LimitState { policy, quota, window, remaining, reset }) = exchange.limit {
        let reset = reset.as_secs() + u64::from(reset.subsec_nanos() > 0);
        let window = window.as_secs().max(1);
        // Long enough for both, so that it is one piece of memory.
        let mut text = String::with_capacity(96);
        let mut put = |name: HeaderName, written: fmt::Arguments<'_>| {
            text.clear();
            if text.write_fmt(written).is_ok()
                && let Ok(value) = HeaderValue::from_str(&text)
            {
                headers.insert(name, value);
            }
        };
        put(RATELIMIT_POLICY, format_args!("\"{policy}\";q={quota};w={window}"));
        put(RATELIMIT, format_args!("\"{policy}\";r={remaining};t={reset}"));
    }
}

/// RFC 9110 §15.5.6: 405 names the methods that would do.
pub fn allow(headers: &mut HeaderMap, methods: &[Method]) {
    let list = methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
    if let Ok(value) = HeaderValue::try_from(list) {
        headers.insert(ALLOW, value);
    }
}

/// After these the rest of the connection cannot be trusted, or must not be waited for.
fn closes_connection(code: &Code) -> bool {
    [
        &code::FRAMING_REFUSED,
        &code::HEADER_TOO_LARGE,
        &code::URI_TOO_LONG,
        &code::HOST_REFUSED,
        &code::REQUEST_TIMEOUT,
        &code::BODY_TOO_LARGE,
        &code::BODY_INCOMPLETE,
        &code::BRIDGE_DRAINING,
        &code::LOOP_DETECTED,
    ]
    .contains(&code)
}
