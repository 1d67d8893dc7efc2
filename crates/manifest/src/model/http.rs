//! What an integration says of its flow over HTTP.

use super::{
    Conditions, Content, CredentialKind, FlowSection, HttpTarget, Map, Operation, Request, Response,
};
use super::{Integration, System, TargetSection};
use crate::{
    Crossing, Duration, HeaderField, Name, OneOrMore, Path, QueryMember, Route, Template, TrailerField,
};
use crate::{section, words};

section! {
    /// A flow over HTTP.
    pub struct HttpFlow {
        /// The listener that serves it. Default: `api`, or the only one.
        listener: Option<Name>,
        /// The path under which its operations are reached: `/erp/v1`.
        path: Path,
        /// Which credentials are accepted. Default: all that the source's accounts have.
        accept: Option<OneOrMore<CredentialKind>>,
        /// For a whole exchange until the target's reply begins, a token for the target fetched on the way included.
        /// Where a control reads the reply, it must have ended by then.
        timeout: Duration = "30s",
        /// How long a reply that streams may pause, how long its caller may take nothing of it (five seconds at least),
        /// and how long a WebSocket may be silent in both directions before it is closed (up to a quarter later).
        /// Event streams need more than their longest silence, WebSockets a ping within that time.
        ///
        /// However busy they are, streams and WebSockets are looked at again every five seconds, and end once the
        /// caller would not be let in any more: because its credential expired or was revoked, or because a reload
        /// took away its account, its address (`listeners.*.addresses`), its permission or the operation, or moved it. A WebSocket is
        /// closed with 1008, a stream is cut; the record says why.
        idle_timeout: Duration = "60s",
        /// What it allows, by name.
        operations: Map<HttpOperation>,
    }
}

section! {
    /// One thing an integration allows.
    pub struct HttpOperation later("openapi") {
        /// Method and path: `POST /orders/{id}/shipments`. A parameter takes one segment. Paths are compared decoded, so
        /// `/%6Frders` is `/orders`. What systems are known to read in two ways is refused with `path-ambiguous`: a
        /// semicolon, encoded or not; an encoded slash, backslash, dot segment or control character; what is encoded
        /// twice; and, in place of a parameter, what could be read as the text of another operation, such as
        /// `/orders/Export`, `/orders/export.json` or `/orders/éxport` beside `GET /orders/export`
        /// ([all of it](errors/path-ambiguous.md)). Where no other operation spells out that part, a parameter takes
        /// any text. A path that ends with a slash is no operation's.
        route as "match": Route,
        /// The path at the target, with the same parameters, which keep the caller's spelling. Default: the matched path.
        /// A `Location` of the target's is turned into the path of the operation that leads there, the one with GET
        /// first; one that no operation of the integration leads to, or whose query has members that this operation does
        /// not declare (`request.query`), is left out, and the log says so. The same holds for every link of a `Link`
        /// field.
        target_path: Option<Template>,
        /// For this operation, instead of the flow's timeout.
        timeout: Option<Duration>,
        /// For this operation, instead of the flow's idle timeout.
        idle_timeout: Option<Duration>,
        /// Opens a WebSocket, and nothing else: a request without its handshake is refused. It counts among its account's connections to the target
        /// (`max_connections`) until it is closed, after `idle_timeout` without a byte at the latest. Origin crosses
        /// with the handshake: the target judges whose pages it serves. Its answer carries what `response.headers` lists.
        upgrade: Option<Upgrade>,
        /// What a request must be like, and what of it crosses.
        request: HttpRequest,
        /// What a reply must be like, and what of it crosses.
        response: HttpResponse,
    }
    and conditions: Conditions
}

section! {
    /// What a request must be like, and what of it crosses.
    pub struct HttpRequest later("openapi", "signature") with body: Request {
        /// Members of the query that cross, by their decoded names, or `all`; a request with any other is refused. A
        /// member comes once, unless a `*` follows its name: `[page, tag*]`. Under `all`, a member that some systems
        /// would read as one that a rule names (`LIMIT` or `limit[]` as `limit`) is refused with `query-ambiguous`.
        /// The target gets the same members in another spelling: a blank as `%20`, also where it came as `+`.
        /// Default: none.
        query: Crossing<QueryMember>,
        /// Header fields that cross besides those that HTTP needs, or `all`, less what is the bridge's own or could pass
        /// for it (`X-User`, `X-Auth-Token`, `X-Original-Path`): such a field crosses where it is listed. Which
        /// these are stands in [fields.md](fields.md).
        /// Beside `keep`, list them: no rule knows every field that tells of the whole body, so `all` is warned of.
        headers: Crossing<HeaderField>,
        /// Fields that may follow the body and cross, or `all` that may; none cross otherwise. Only a body that no
        /// control reads keeps what follows it. Those that are listed are announced to a target over HTTP/1.1; under
        /// `all` it gets those that the caller announces.
        trailers: Crossing<TrailerField>,
    }
}

section! {
    /// What a reply must be like, and what of it crosses.
    pub struct HttpResponse later("openapi") with body: Response {
        /// Header fields that cross besides those that HTTP needs, or `all`, less what is the bridge's own or orders
        /// what stands before it (`X-Accel-Redirect`). Which
        /// these are stands in [fields.md](fields.md).
        /// Beside `keep`, list them: no rule knows every field that tells of the whole body, so `all` is warned of.
        headers: Crossing<HeaderField>,
        /// Fields that may follow the body and cross besides gRPC's, or `all` that may; those that are listed cross
        /// in the header section too, where gRPC puts them when there is no body. Only a body that no control reads
        /// keeps what follows it. Over HTTP/1.1 a caller gets those that are listed here, or that the target announces,
        /// if it sends `TE: trailers` and the target does not say how long the body is.
        trailers: Crossing<TrailerField>,
    }
}

words! {
    /// A protocol that an HTTP/1.1 connection may change to.
    pub enum Upgrade {
        /// WebSocket (RFC 6455). Its frames pass unread.
        Websocket = "websocket",
    }
}

/// The key of its sections.
pub const HTTP: &str = "http";

impl FlowSection for HttpFlow {
    fn accept(&self) -> Option<&[CredentialKind]> {
        self.accept.as_deref()
    }

    fn operations(&self) -> Vec<Operation<'_>> {
        self.operations.iter().map(|(name, operation)| operation.as_any_other(name)).collect()
    }
}

impl TargetSection for HttpTarget {}

impl HttpOperation {
    /// What every transport can tell of an operation. What GET, HEAD and DELETE carry has no defined meaning, and some
    /// systems take it for the next request (RFC 9110 §9.3).
    pub fn as_any_other<'m>(&'m self, name: &'m Name) -> Operation<'m> {
        let (method, request, response) = (&*self.route.method, &self.request.body, &self.response.body);
        let content = match method {
            "GET" | "HEAD" | "OPTIONS" => Content::None,
            "DELETE" => Content::Unusual,
            _ => Content::Usual,
        };
        let members = self.request.query.listed().iter().map(|member| (&*member.name, member.repeats));
        Operation {
            parameters: self.route.path.parameters().collect(),
            query: (!self.request.query.is_all()).then(|| members.collect()),
            content,
            answers: method != "HEAD" && self.upgrade.is_none(),
            ..Operation::new(name, method, &self.conditions, request, response)
        }
    }
}

impl Integration {
    /// Its flow, where that is one over HTTP.
    pub fn http(&self) -> Option<&HttpFlow> {
        self.flow.of()
    }
}

impl System {
    /// How it is reached over HTTP, where it is.
    pub fn http(&self) -> Option<&HttpTarget> {
        self.targets.of()
    }
}
