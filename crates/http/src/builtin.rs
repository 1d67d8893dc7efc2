//! What a listener answers itself: the token endpoint with its keys and metadata, the pages of denial codes, and
//! whether the bridge is up.

use crate::answer::AnswerBody;
use crate::crossing::read_whole;
use crate::problem::PAGES;
use crate::reply::ReplyBody;
use crate::request::Inbound;
use crate::service::Served;
use crate::{Site, TokenService};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use ironbridge_core::{Code, Denial, Stop, all_codes, code};
use ironbridge_identity::token_endpoint::{JWKS_PATH, METADATA_PATH, TOKEN_PATH, TokenRequest};
use std::net::IpAddr;
use tokio::time::timeout;

pub const HEALTH: &str = "/.ironbridge/health";

/// A token request is a few hundred bytes; an assertion is not accepted here.
const MAX_FORM: u64 = 16 * 1024;

pub(crate) enum Endpoint {
    Token(TokenService),
    Jwks(TokenService),
    Metadata(TokenService),
    Page(&'static Code),
    Health,
}

pub(crate) fn find(site: &Site, parts: &Parts) -> Option<Endpoint> {
    let path = parts.uri.path();
    let issuing = || site.token_service.clone();
    match (&parts.method, path) {
        (&Method::POST, TOKEN_PATH) => issuing().map(Endpoint::Token),
        (&Method::GET, JWKS_PATH) => issuing().map(Endpoint::Jwks),
        (&Method::GET, METADATA_PATH) => issuing().map(Endpoint::Metadata),
        (&Method::GET, HEALTH) => Some(Endpoint::Health),
        (&Method::GET, _) => {
            let id = path.strip_prefix(PAGES)?;
            all_codes().iter().find(|code| code.id == id).map(|code| Endpoint::Page(code))
        }
        _ => None,
    }
}

impl Served<'_> {
    pub(crate) async fn builtin(
        &self,
        endpoint: Endpoint,
        address: IpAddr,
        parts: Parts,
        inbound: &mut Inbound,
    ) -> Response<AnswerBody> {
        // The same limits as for everything that has not said who it is.
        let mut exchange = self.exchange(&self.site.undeclared.flow, address);
        // No token is issued while nothing could be recorded.
        if matches!(endpoint, Endpoint::Token(_))
            && let Err(denial) = self.worker.front.shared.trail.ready()
        {
            return self
                .site
                .problems
                .refusal(&denial, &exchange)
                .map(|bytes| ReplyBody::held(bytes, None).into());
        }
        let refused = match self.site.undeclared.pipeline.open(&mut exchange).await {
            Err(Stop::Deny(denial)) => Some(denial),
            Err(Stop::Replay(_)) => Some((&code::INTERNAL).into()),
            Ok(()) => None,
        };
        let answered = match refused {
            Some(denial) => Err(denial),
            None => self.ask(endpoint, address, parts, inbound).await,
        };
        answered.unwrap_or_else(|denial| {
            self.site.problems.refusal(&denial, &exchange).map(|bytes| ReplyBody::held(bytes, None).into())
        })
    }

    async fn ask(
        &self,
        endpoint: Endpoint,
        address: IpAddr,
        parts: Parts,
        inbound: &mut Inbound,
    ) -> Result<Response<AnswerBody>, Box<Denial>> {
        const JSON: &str = "application/json";
        match endpoint {
            Endpoint::Token(service) => self.token(&service, address, &parts, inbound).await,
            Endpoint::Jwks(service) => Ok(whole(StatusCode::OK, JSON, service.endpoint.jwks().to_vec())),
            Endpoint::Metadata(service) => Ok(whole(StatusCode::OK, JSON, service.endpoint.metadata())),
            Endpoint::Page(code) => Ok(whole(StatusCode::OK, "text/plain; charset=utf-8", page(code))),
            Endpoint::Health => Ok(match self.worker.front.shared.trail.ready() {
                Ok(()) => whole(StatusCode::OK, "text/plain", "ready\n"),
                Err(denial) => {
                    whole(StatusCode::SERVICE_UNAVAILABLE, "text/plain", format!("{}\n", denial.code.id))
                }
            }),
        }
    }

    async fn token(
        &self,
        service: &TokenService,
        address: IpAddr,
        parts: &Parts,
        inbound: &mut Inbound,
    ) -> Result<Response<AnswerBody>, Box<Denial>> {
        let form = match inbound.take() {
            None => Bytes::new(),
            Some(mut body) => {
                let read = read_whole(&mut body, MAX_FORM, &code::BODY_TOO_LARGE, &code::BODY_INCOMPLETE);
                let read = timeout(self.site.body_timeout, read).await;
                read.map_err(|_| Denial::new(&code::REQUEST_TIMEOUT))??
            }
        };
        let mut credentials = parts.headers.get_all(AUTHORIZATION).iter();
        let authorization = credentials.next().map(HeaderValue::as_bytes);
        if credentials.next().is_some() {
            return Err((&code::CREDENTIALS_AMBIGUOUS).into());
        }
        let content_type =
            parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(FORM) {
            return Err(Denial::new(&code::CONTENT_TYPE_REFUSED).detail("A token request is a form.").into());
        }
        let request = TokenRequest { form: &form, authorization, address };
        let now = self.worker.front.shared.clock.now();
        let reply = service.endpoint.handle(request, &service.directory, now);
        if let Some(refused) = &reply.refused {
            let client_id = reply.client_id.as_deref().unwrap_or("");
            tracing::info!(client_id, %address, refused, "token request refused");
        }
        let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = whole(status, "application/json", reply.body);
        for (name, value) in reply.headers {
            if let Ok(value) = HeaderValue::try_from(value) {
                response.headers_mut().insert(HeaderName::from_static(name), value);
            }
        }
        Ok(response)
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

fn page(code: &Code) -> String {
    format!(
        "{}: {}\n\nHTTP status {}. At fault: {}. Trying again {}.\n\n{}\n\nWhat to do: {}\n",
        code.id,
        code.title,
        code.status,
        code.fault.name(),
        if code.retry { "may help" } else { "does not help" },
        code.meaning,
        code.mend,
    )
}

fn whole(status: StatusCode, content_type: &'static str, text: impl Into<Bytes>) -> Response<AnswerBody> {
    let mut response = Response::new(ReplyBody::held(text.into(), None).into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
