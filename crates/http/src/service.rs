//! From one request to its answer.

use crate::answer_body::AnswerBody;
use crate::desk::{Caller, Desk, Unasked, refuse_unread};
use crate::member::{self, Member};
use crate::offer::Offer;
use crate::request::{self, Inbound};
use crate::rewrite::below;
use crate::route::Route;
use crate::routes::Found;
use crate::source::HttpSource;
use crate::worker::{Shared, Worker};
use crate::{answer, builtin, fields, switched, websocket};
use http::header::{HOST, HeaderMap};
use http::request::Parts;
use http::uri::Scheme;
use http::{Method, Request, Response, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use ironbridge_core::uri::{Ambiguous, AtMember, CanonicalPath, Query};
use ironbridge_core::{Answer, Asked, Denial, Exchange, Open, code, cross};
use ironbridge_net::gate::{self, Arrival};
use std::convert::Infallible;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Longest request target over HTTP/2, in bytes: RFC 9110 §4.1 recommends at least 8000. The gate bounds HTTP/1's.
const MAX_TARGET: usize = 8000;

/// Field lines of one HTTP/2 header section; HTTP/1's are counted by the gate.
const MAX_FIELDS: usize = 100;

/// Bytes of one HTTP/2 header section, as RFC 9113 §6.5.2 counts them; the gate's limit for HTTP/1.
const MAX_HEADER_LIST: usize = 16 * 1024;

/// Whoever develops a page sees nothing else of it.
const PREFLIGHT: &str = "A browser asks whether a page may call (CORS). Pages do not call this bridge: `ironbridge explain cors`.";

/// Answers one request. What must happen in the order of arrival happens before the future is made.
///
/// hyper moves the future before it polls it first, so nothing in it is made before it is waited for: a future that is
/// held to be waited for later is there twice.
pub(crate) fn serve(
    worker: &Rc<Worker>,
    caller: &Rc<Caller>,
    mut request: Request<Incoming>,
) -> impl Future<Output = Result<Response<AnswerBody>, Infallible>> + use<> {
    let (worker, caller) = (Rc::clone(worker), Rc::clone(caller));
    let arrival = caller.gate.arrival();
    let switch = matches!(arrival, Arrival::Upgrade(..)).then(|| hyper::upgrade::on(&mut request));
    let offer = worker.offer();
    let arrived = Arrived { worker, caller, offer, arrival, switch, request };
    async move {
        if !arrived.goes_on() {
            return Ok(arrived.answer().await);
        }
        match tokio::task::spawn_local(arrived.answer()).await {
            Ok(answer) => Ok(answer),
            // The core stops: a panic would have ended the process (`panic = "abort"`).
            Err(_) => std::future::pending().await,
        }
    }
}

/// A request as hyper handed it over.
struct Arrived {
    worker: Rc<Worker>,
    caller: Rc<Caller>,
    offer: Arc<Offer>,
    arrival: Arrival,
    switch: Option<OnUpgrade>,
    request: Request<Incoming>,
}

impl Arrived {
    /// Whether the exchange goes on to its end when its caller leaves: what its target answers is kept for the same
    /// caller to ask again. hyper drops the other ones.
    fn goes_on(&self) -> bool {
        let request = &self.request;
        request.headers().contains_key(fields::IDEMPOTENCY_KEY)
            && CanonicalPath::parse(request.uri().path()).is_ok_and(|path| {
                let found = self.offer.routes.find(request.method(), path.decoded());
                matches!(found, Found::Route(route) if route.reply_is_read)
            })
    }

    async fn answer(self) -> Response<AnswerBody> {
        let Arrived { worker, caller, offer, arrival, switch, request } = self;
        let (in_service, upgrade) = match arrival {
            Arrival::Refused(in_service, code) => {
                let refused = refuse_unread(&worker, &offer, &caller, code.into()).await;
                return refused.map(|body| body.in_service(in_service));
            }
            Arrival::Request(in_service) => (in_service, None),
            Arrival::Upgrade(in_service, upgrade) => {
                let counted = Rc::clone(&caller.counted);
                (in_service, switch.map(|on| switched::Asked { on, upgrade, counted }))
            }
        };
        let (is_head, is_http2) = (request.method() == Method::HEAD, request.version() == Version::HTTP_2);
        let response =
            Desk { worker: &worker, offer: &offer, caller: &caller }.answer(request, upgrade).await;
        response.map(|body| {
            let body = if is_head { body.without_content() } else { body };
            // Over HTTP/2 a caller may leave an answer lying, while its connection lives. Of one that showed no credential,
            // an answer that is whole is not waited for: it would keep its place from others.
            let body = if is_http2 { body.kept(&worker, offer.body_timeout) } else { body };
            if is_http2 && body.is_whole() && !caller.counted.is_known() {
                return body;
            }
            body.in_service(in_service)
        })
    }
}

impl Desk<'_> {
    async fn answer(
        &self,
        request: Request<Incoming>,
        upgrade: Option<switched::Asked>,
    ) -> Response<AnswerBody> {
        let (parts, body) = request.into_parts();
        let mut inbound = Inbound::new(body, &parts, self.caller.frames.as_ref());
        let (address, admitted) = self.admit(&parts);
        let open = match admitted {
            Ok(open) => open,
            Err(denial) => return self.refuse_early(address, &parts, denial, inbound).await,
        };
        let target = match self.check(&parts).and_then(|()| Target::read(&parts)) {
            Ok(target) => target,
            Err(denial) => {
                return self.refuse_early(address, &parts, denial, inbound).await;
            }
        };
        let mut response = match self.offer.routes.find(&parts.method, target.path.decoded()) {
            Found::Route(route) => {
                let addressed = Addressed::of(target, route, &parts, &inbound);
                let wanted = upgrade.is_some() && websocket::is_asked_for(&parts.headers);
                let upgrade = upgrade.filter(|_| wanted && route.upgrades);
                let (exchange, mut source) = self.source(route, address, parts, addressed, inbound, wanted);
                let Shared { trail, clock, .. } = &self.worker.front.shared;
                let answer =
                    cross(&route.pipeline, trail, clock, exchange, &mut source, &*route.delivery).await;
                let response = self.respond(route, answer, upgrade, source.spelling.as_deref());
                inbound = source.inbound;
                response
            }
            Found::OtherMethods(methods) => self.refuse_method(address, &parts, &methods).await,
            Found::Resembles(literal) => {
                let why =
                    format!("some systems would read a part of the path as {literal:?}, which is declared");
                self.refuse_with(address, &parts, Denial::new(&code::PATH_AMBIGUOUS).detail(why)).await
            }
            Found::Nothing => match builtin::find(self.offer, target.path.decoded()) {
                Some(endpoint) if !endpoint.takes(&parts.method) => {
                    self.refuse_method(address, &parts, endpoint.methods()).await
                }
                Some(endpoint) => Box::pin(self.builtin(endpoint, address, &parts, &mut inbound)).await,
                None => self.refuse_with(address, &parts, Denial::new(&code::OPERATION_UNKNOWN)).await,
            },
        };
        inbound.leave(&mut response).await;
        response.map(|body| body.open(open))
    }

    /// Refuses what is not even looked up.
    fn refuse_early<'s>(
        &'s self,
        address: Option<IpAddr>,
        parts: &Parts,
        denial: Denial,
        mut inbound: Inbound,
    ) -> Unasked<'s> {
        let refused = self.refuse_with(address, parts, denial);
        Box::pin(async move {
            let mut response = refused.await;
            inbound.leave(&mut response).await;
            response
        })
    }

    /// From where it comes, as far as that can be told, and its place among the exchanges that are open.
    fn admit(&self, parts: &Parts) -> (Option<IpAddr>, Result<Open, Denial>) {
        let connection = self.caller.address;
        match self.offer.proxies.caller(&parts.headers, connection) {
            Err(unreadable) => (None, Err(unreadable.denial(connection.to_canonical()))),
            Ok(address) => {
                let open = self.worker.front.shared.exchanges.open();
                (Some(address), open.map_err(|busy| *busy))
            }
        }
    }

    /// A declared exchange, with what its request is refused for by its header section, and its caller's side. `wanted`
    /// is a WebSocket.
    fn source(
        &self,
        route: &Route,
        address: Option<IpAddr>,
        parts: Parts,
        addressed: Addressed,
        inbound: Inbound,
        wanted: bool,
    ) -> (Exchange, HttpSource) {
        let offer = self.offer;
        let mut exchange = self.exchange(&route.flow, address);
        exchange.presented = request::presented(&parts.headers);
        exchange.asked = addressed.asked;
        exchange.refused = route.passes.query.judge(&exchange.asked.query).err();
        if let Err(denial) = websocket::judge(&parts.headers, wanted, route.upgrades) {
            exchange.refused = Some(denial);
        }
        let via = if parts.version == Version::HTTP_2 { &offer.via_http2 } else { &offer.via_http1 };
        let source = HttpSource {
            parts,
            spelling: addressed.spelling,
            inbound,
            body_timeout: offer.body_timeout,
            gate: Arc::clone(&self.caller.gate),
            upgrades: wanted && route.upgrades,
            via: via.clone(),
        };
        (exchange, source)
    }

    fn respond(
        &self,
        route: &Arc<Route>,
        answer: Answer,
        upgrade: Option<switched::Asked>,
        spelling: Option<&str>,
    ) -> Response<AnswerBody> {
        if answer.exchange().principal.is_some() {
            self.caller.counted.authenticated();
        }
        answer::respond(self.worker, self.offer, route, answer, upgrade, spelling)
    }

    fn refuse_with(&self, address: Option<IpAddr>, parts: &Parts, denial: Denial) -> Unasked<'_> {
        let mut exchange = self.exchange(&self.offer.undeclared.flow, address);
        // Decides in which form the refusal is told.
        exchange.asked.media_type = request::content_type(parts);
        exchange.refused = Some(Box::new(denial));
        self.refuse(exchange)
    }

    fn refuse_method<'s>(
        &'s self,
        address: Option<IpAddr>,
        parts: &Parts,
        methods: &'s [Method],
    ) -> Unasked<'s> {
        let mut exchange = self.exchange(&self.offer.undeclared.flow, address);
        exchange.asked.verb = parts.method.as_str().into();
        exchange.asked.media_type = request::content_type(parts);
        let denial = Denial::new(&code::METHOD_REFUSED);
        let preflight = request::is_preflight(parts);
        exchange.refused = Some(Box::new(if preflight { denial.detail(PREFLIGHT) } else { denial }));
        let refused = self.refuse(exchange);
        Box::pin(async move {
            let mut response = refused.await;
            crate::problem::allow(response.headers_mut(), methods);
            response
        })
    }

    /// What is wrong with a request whatever it asks for.
    fn check(&self, parts: &Parts) -> Result<(), Denial> {
        if self.worker.is_draining() {
            return Err(Denial::new(&code::BRIDGE_DRAINING).retry_after(Duration::from_secs(1)));
        }
        if parts.version == Version::HTTP_2 {
            check_http2(parts)?;
        }
        let host = parts.uri.authority().map(|authority| authority.as_str());
        let host = host.or_else(|| host_field(&parts.headers).ok()?).unwrap_or_default();
        if !self.offer.hosts.serve(host, self.caller.local) {
            return Err(Denial::new(&code::MISDIRECTED).internal(host));
        }
        if fields::has_passed(&parts.headers, &self.offer.name) {
            return Err(Denial::new(&code::LOOP_DETECTED));
        }
        Ok(())
    }
}

/// Path and query of a request, as they can be read in one way.
struct Target<'p> {
    path: CanonicalPath<'p>,
    query: Query,
}

impl Target<'_> {
    fn read(parts: &Parts) -> Result<Target<'_>, Denial> {
        Ok(Target {
            path: CanonicalPath::parse(parts.uri.path()).map_err(|ambiguous| {
                Denial::new(&code::PATH_AMBIGUOUS).detail(ambiguous.why).by(ambiguous.why)
            })?,
            query: Query::parse(parts.uri.query().unwrap_or_default()).map_err(query_ambiguous)?,
        })
    }
}

fn query_ambiguous(ambiguous: Ambiguous) -> Denial {
    let Ambiguous { why, member } = ambiguous;
    let denial = Denial::new(&code::QUERY_AMBIGUOUS);
    let Some(AtMember { number, name }) = member else { return denial.detail(why).by(why) };
    // Its value could not be read, so the name is not all that it has.
    let by = member::recorded(&[Member { number, name: &name, bare: false }]);
    let named = if name.is_empty() { String::new() } else { format!(", {}", member::quoted(&name)) };
    denial.detail(format!("{why}: member {number}{named}")).by(format_args!("{by}: {why}"))
}

/// What an exchange keeps of the request's target.
struct Addressed {
    asked: Asked,
    /// See [`HttpSource::spelling`].
    spelling: Option<Box<str>>,
}

impl Addressed {
    fn of(target: Target<'_>, route: &Route, parts: &Parts, inbound: &Inbound) -> Addressed {
        let Target { path, query } = target;
        let decoded = below(path.decoded(), &route.mount);
        let spelling = Some(below(path.spelling(), &route.mount)).filter(|spelling| *spelling != decoded);
        let asked =
            request::asked(parts, decoded, &route.parameters, query, &route.passes.same, inbound.is_some());
        Addressed { asked, spelling: spelling.map(Into::into) }
    }
}

/// What the framing gate checks for HTTP/1 and hyper leaves open for HTTP/2 (RFC 9113 §8.2.1, §8.3.1).
fn check_http2(parts: &Parts) -> Result<(), Denial> {
    // Also an extended one (RFC 8441), which nobody was offered.
    if parts.method == Method::CONNECT {
        return Err(Denial::new(&code::METHOD_REFUSED));
    }
    if parts.uri.path_and_query().is_some_and(|target| target.as_str().len() > MAX_TARGET) {
        return Err(Denial::new(&code::URI_TOO_LONG));
    }
    if parts.headers.len() > MAX_FIELDS || header_list(parts) > MAX_HEADER_LIST {
        return Err(Denial::new(&code::HEADER_TOO_LARGE));
    }
    if let Some((name, _)) = parts.headers.iter().find(|(_, value)| is_padded(value.as_bytes())) {
        let why = format!("the value of {name} begins or ends with a blank (RFC 9113 §8.2.1)");
        return Err(Denial::new(&code::HEADER_REFUSED).detail(why).by("a blank around a field's value"));
    }
    let authority = parts.uri.authority().map(|authority| authority.as_str());
    // Without an authority the library does not tell the scheme.
    if authority.is_some() && parts.uri.scheme() != Some(&Scheme::HTTPS) {
        return Err(Denial::new(&code::MISDIRECTED).detail("The scheme is not https."));
    }
    let host = match (authority, host_field(&parts.headers)) {
        (Some(authority), Ok(None)) => authority,
        (Some(authority), Ok(Some(host))) if gate::is_same_host(authority.as_bytes(), host.as_bytes()) => {
            authority
        }
        (None, Ok(Some(host))) => host,
        _ => return Err(Denial::new(&code::HOST_REFUSED)),
    };
    if gate::is_host(host.as_bytes()) { Ok(()) } else { Err(Denial::new(&code::HOST_REFUSED)) }
}

fn is_padded(value: &[u8]) -> bool {
    [value.first(), value.last()].iter().flatten().any(|byte| matches!(byte, b' ' | b'\t'))
}

fn header_list(parts: &Parts) -> usize {
    const EACH: usize = 32;
    let target = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    let authority = parts.uri.authority().map_or(0, |authority| authority.as_str().len());
    let pseudo =
        ":method:scheme:authority:path".len() + "https".len() + parts.method.as_str().len() + 4 * EACH;
    let fields = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + EACH);
    pseudo + target + authority + fields.sum::<usize>()
}

fn host_field(headers: &HeaderMap) -> Result<Option<&str>, ()> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) => Ok(None),
        (Some(host), None) => host.to_str().map(Some).map_err(|_| ()),
        (Some(_), Some(_)) => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size<A, B, C, F: Future>(_: impl Fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    /// hyper moves the whole of it for every request, and an HTTP/2 stream keeps one: what is held twice shows here.
    #[test]
    fn the_future_of_an_exchange_is_small() {
        let whole = size(|worker: &Rc<Worker>, caller: &Rc<Caller>, request| serve(worker, caller, request));
        let rest = size(|arrived: Arrived, (), ()| arrived.answer());
        let unread = size(|worker: &Rc<Worker>, offer: &Offer, caller: &Caller| {
            refuse_unread(worker, offer, caller, Denial::new(&code::INTERNAL))
        });
        println!("serve {whole}, answer {rest}, refuse_unread {unread}");
        assert!(whole <= 4096, "{whole} bytes");
        assert!(whole < rest + 640, "what is waited for is there twice: {whole} and {rest} bytes");
    }
}
