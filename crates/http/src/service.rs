//! From one request to its answer.

use crate::answer::AnswerBody;
use crate::connection::Worker;
use crate::crossing::HttpCrossing;
use crate::request::{self, Inbound};
use crate::routes::Found;
use crate::{Route, Site, answer, builtin, caller, fields, path, switched};
use http::header::{HOST, HeaderMap};
use http::request::Parts;
use http::{Method, Request, Response, Version};
use hyper::body::Incoming;
use ironbridge_core::uri::Query;
use ironbridge_core::{Code, Denial, Exchange, Flow, Peer, PeerCertificate, code, cross};
use ironbridge_net::gate::{Arrival, GateState};
use ironbridge_net::listen::Permit;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Who is at the other end of a connection.
pub(crate) struct Caller {
    pub address: IpAddr,
    pub certificate: Option<Arc<PeerCertificate>>,
    /// Counts requests; with HTTP/1 it also says what the framing gate found.
    pub gate: Arc<GateState>,
    /// While one is held, the connection counts as open; it outlives HTTP where the protocol was switched.
    pub counted: Rc<Permit>,
}

/// Named parts of the path, with their values.
type Parameters = Vec<(Arc<str>, Box<str>)>;

/// Field lines of one HTTP/2 header section; HTTP/1's are counted by the gate.
const MAX_FIELDS: usize = 100;

/// Answers one request. What must happen in the order of arrival happens before the future is made.
pub(crate) fn serve(
    worker: &Rc<Worker>,
    caller: &Rc<Caller>,
    mut request: Request<Incoming>,
) -> impl Future<Output = Response<AnswerBody>> + use<> {
    let (worker, caller) = (Rc::clone(worker), Rc::clone(caller));
    let arrival = caller.gate.arrival();
    let switch = matches!(arrival, Arrival::Upgrade(..)).then(|| hyper::upgrade::on(&mut request));
    async move {
        let site = worker.site();
        let (in_service, upgrade) = match arrival {
            Arrival::Refused(code) => return refuse_unread(&worker, &site, &caller, code).await,
            Arrival::Request(in_service) => (in_service, None),
            Arrival::Upgrade(in_service, upgrade) => {
                let counted = Rc::clone(&caller.counted);
                (in_service, switch.map(|on| switched::Asked { on, upgrade, counted }))
            }
        };
        let (parts, body) = request.into_parts();
        let is_head = parts.method == Method::HEAD;
        let response =
            Served { worker: &worker, site: &site, caller: &caller }.answer(parts, body, upgrade).await;
        response.map(|body| {
            let body = if is_head { body.without_content() } else { body };
            body.in_service(in_service)
        })
    }
}

/// The gate refused what arrived: there is no request to look at, but there is a record.
async fn refuse_unread(
    worker: &Rc<Worker>,
    site: &Site,
    caller: &Caller,
    code: &'static Code,
) -> Response<AnswerBody> {
    let served = Served { worker, site, caller };
    let mut exchange = served.exchange(&site.undeclared.flow, site.proxies.caller_unread(caller.address));
    exchange.refused = Some(code.into());
    served.refuse(exchange).await
}

pub(crate) struct Served<'a> {
    pub worker: &'a Rc<Worker>,
    pub site: &'a Site,
    pub caller: &'a Caller,
}

impl Served<'_> {
    async fn answer(
        &self,
        parts: Parts,
        body: Incoming,
        upgrade: Option<switched::Asked>,
    ) -> Response<AnswerBody> {
        let site = self.site;
        let mut inbound = Inbound::new(body, parts.version);
        let address = match site.proxies.caller(&parts.headers, self.caller.address) {
            Ok(address) => address,
            Err(unreadable) => {
                inbound.leave_unread();
                return self
                    .refuse_with(caller::UNKNOWN, unreadable.denial(self.caller.address.to_canonical()))
                    .await;
            }
        };
        let Some(open) = self.worker.opens(site.max_exchanges) else {
            inbound.leave_unread();
            return self
                .refuse_with(address, Denial::new(&code::BRIDGE_BUSY).retry_after(Duration::from_secs(1)))
                .await;
        };
        let query = match self.check(&parts) {
            Ok(query) => query,
            Err(denial) => {
                inbound.leave_unread();
                return self.refuse_with(address, denial).await;
            }
        };
        let path = parts.uri.path();
        let response = match site.routes.find(&parts.method, path) {
            Found::Route { route, parameters } => {
                let parameters = parameters
                    .iter()
                    .map(|(name, value)| (Arc::from(name), path::decode(value).unwrap_or_default().into()));
                let parameters = parameters.collect();
                self.cross(Arc::clone(route), address, parts, (parameters, query), &mut inbound, upgrade)
                    .await
            }
            Found::OtherMethods(methods) => self.refuse_method(address, &methods).await,
            Found::Nothing => match builtin::find(site, &parts) {
                Some(endpoint) => self.builtin(endpoint, address, parts, &mut inbound).await,
                None => self.refuse_with(address, Denial::new(&code::OPERATION_UNKNOWN)).await,
            },
        };
        inbound.leave_unread();
        response.map(|body| body.open(open))
    }

    /// Carries a declared exchange across.
    async fn cross(
        &self,
        route: Arc<Route>,
        address: IpAddr,
        parts: Parts,
        (parameters, query): (Parameters, Query),
        inbound: &mut Inbound,
        upgrade: Option<switched::Asked>,
    ) -> Response<AnswerBody> {
        let site = self.site;
        let below = parts.uri.path().strip_prefix(&*route.mount).unwrap_or(parts.uri.path());
        let mut exchange = self.exchange(&route.flow, address);
        exchange.presented = request::presented(&parts.headers);
        exchange.facts = request::facts(&parts, below, parameters, query, inbound.is_some());
        let upgrade = upgrade.filter(|_| route.upgrades && fields::asks_for_websocket(&parts.headers));
        let via = if parts.version == Version::HTTP_2 { &site.via_http2 } else { &site.via_http1 };
        let mut crossing = HttpCrossing {
            worker: self.worker,
            route: &route,
            parts,
            inbound,
            body_timeout: site.body_timeout,
            gate: &self.caller.gate,
            upgrades: upgrade.is_some(),
            via,
        };
        let shared = &self.worker.front.shared;
        let answer = cross(&route.pipeline, &shared.trail, &shared.clock, exchange, &mut crossing).await;
        answer::respond(site, &route, answer, upgrade)
    }

    /// Refuses what matched nothing declared, after the admit controls have counted it.
    pub async fn refuse(&self, exchange: Exchange) -> Response<AnswerBody> {
        let shared = &self.worker.front.shared;
        let pipeline = &self.site.undeclared.pipeline;
        let answer = cross(pipeline, &shared.trail, &shared.clock, exchange, &mut answer::Nowhere).await;
        answer::respond_nowhere(self.site, answer)
    }

    async fn refuse_with(&self, address: IpAddr, denial: Denial) -> Response<AnswerBody> {
        let mut exchange = self.exchange(&self.site.undeclared.flow, address);
        exchange.refused = Some(Box::new(denial));
        self.refuse(exchange).await
    }

    async fn refuse_method(&self, address: IpAddr, methods: &[Method]) -> Response<AnswerBody> {
        let mut response = self.refuse_with(address, Denial::new(&code::METHOD_REFUSED)).await;
        crate::problem::allow(response.headers_mut(), methods);
        response
    }

    pub fn exchange(&self, flow: &Arc<Flow>, address: IpAddr) -> Exchange {
        let shared = &self.worker.front.shared;
        let now = shared.clock.now();
        let id = self.worker.ids.borrow_mut().next(now, shared.entropy.as_ref());
        let peer = Peer { address, certificate: self.caller.certificate.clone() };
        Exchange::new(id, now, shared.clock.monotonic(), Arc::clone(flow), peer)
    }

    /// What is wrong with a request whatever it asks for.
    fn check(&self, parts: &Parts) -> Result<Query, Denial> {
        if self.worker.is_draining() {
            return Err(Denial::new(&code::BRIDGE_DRAINING).retry_after(Duration::from_secs(1)));
        }
        if parts.version == Version::HTTP_2 {
            check_http2(parts)?;
        }
        if fields::has_passed(&parts.headers, &self.site.name) {
            return Err(Denial::new(&code::LOOP_DETECTED));
        }
        path::check(parts.uri.path()).map_err(|why| Denial::new(&code::PATH_AMBIGUOUS).detail(why.0))?;
        Query::parse(parts.uri.query().unwrap_or_default())
            .map_err(|why| Denial::new(&code::QUERY_AMBIGUOUS).detail(why.0))
    }
}

/// What the framing gate checks for HTTP/1 and hyper leaves open for HTTP/2 (RFC 9113 §8.3.1).
fn check_http2(parts: &Parts) -> Result<(), Denial> {
    if parts.uri.path_and_query().is_some_and(|target| target.as_str().len() > path::MAX_TARGET) {
        return Err(Denial::new(&code::URI_TOO_LONG));
    }
    if parts.headers.len() > MAX_FIELDS {
        return Err(Denial::new(&code::HEADER_TOO_LARGE));
    }
    let authority = parts.uri.authority().map(|authority| authority.as_str());
    match (authority, host(&parts.headers)) {
        (Some(_), Ok(None)) => Ok(()),
        (Some(authority), Ok(Some(host))) if authority.eq_ignore_ascii_case(host) => Ok(()),
        (None, Ok(Some(_))) => Ok(()),
        _ => Err(Denial::new(&code::HOST_REFUSED)),
    }
}

fn host(headers: &HeaderMap) -> Result<Option<&str>, ()> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => Ok(None),
        (Some(host), None) => host.to_str().map(Some).map_err(|_| ()),
        (Some(_), Some(_)) => Err(()),
    }
}
