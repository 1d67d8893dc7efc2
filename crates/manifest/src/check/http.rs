//! What a flow over HTTP must fit besides: its listener, its routes, and what its operations say of HTTP.

mod crossing;
mod overlap;

use super::{Callers, Check, RESERVED_PATHS};
use crate::findings::finding;
use crate::outline::Names;
use crate::place::{At, Spot};
use crate::range;
use crate::reader::listed;
use crate::{ClientCertificates, CredentialKind, HTTP, HttpFlow, HttpOperation, Integration, Name, Upgrade};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

/// Listener, method and shape of the path, with the operation that took it.
pub type Routes = HashMap<(Option<Name>, String), (String, At)>;

impl<'c> Check<'c, '_> {
    /// What of flows over HTTP loads, and should still be mended or known.
    pub fn http_checklist(&mut self) {
        self.beside_bodies();
        for (name, integration) in &self.parts.integrations {
            let Some(spot) = self.outline.spot(Names::Integrations, name) else { continue };
            for (name, operation) in integration.http().into_iter().flat_map(|flow| &flow.operations) {
                self.all_crosses(operation, spot.key(HTTP).key("operations").key(name));
            }
        }
    }

    /// Told once, to whoever has not met the keys: an empty list is an answer.
    fn beside_bodies(&mut self) {
        let integrations = self.parts.integrations.iter().filter_map(|(name, integration)| {
            let spot = self.outline.spot(Names::Integrations, name)?.key(HTTP).key("operations");
            Some((spot, integration.http()?))
        });
        let mut first = None;
        for (spot, flow) in integrations {
            for name in flow.operations.keys() {
                let (request, response) = (spot.key(name).key("request"), spot.key(name).key("response"));
                let declared = [request.key("query"), request.key("headers"), response.key("headers")];
                if declared.iter().any(|key| key.is_there()) {
                    return;
                }
                first.get_or_insert(spot);
            }
        }
        if let Some(spot) = first {
            let message = "no operation declares members of a query or header fields, so none cross";
            let label = "`request: { query: [...], headers: [...] }` at one of them";
            self.report(&finding::NOTHING_BESIDE_BODIES, spot.at_key(), message, label);
        }
    }

    /// Certificates must be asked for where nothing else proves who calls, and exist where none may be missing.
    pub fn certificates(&mut self, integration: &Integration, spot: Spot<'_>, callers: &Callers<'_>) {
        let (Some(bridge), Some(kinds)) = (&self.parts.bridge, callers.get(&*integration.source)) else {
            return;
        };
        let Some(flow) = integration.http() else { return };
        let Some((name, listener)) = bridge.listener_of(flow) else { return };
        let accepted =
            |kind: &CredentialKind| flow.accept.as_ref().is_none_or(|accept| accept.contains(kind));
        let mut accepted = kinds.iter().filter(|kind| accepted(kind)).peekable();
        let is_needed =
            accepted.peek().is_some() && accepted.all(|kind| *kind == CredentialKind::Certificate);
        let of_any = self.parts.accounts.values().any(|account| account.credentials.certificate.is_some());
        let message = match listener.client_certificates {
            ClientCertificates::Off if is_needed => {
                format!(
                    "nobody can call: the listener `{name}` asks for no certificates, and only one would do"
                )
            }
            ClientCertificates::Required if !of_any => {
                format!(
                    "nobody can call: the listener `{name}` requires a certificate, and no account has one"
                )
            }
            _ => return,
        };
        self.report(&finding::NO_AUTHENTICATION, spot.at_key(), message, "see `client_certificates`");
    }

    /// The whole of a flow over HTTP.
    pub fn http(
        &mut self,
        name: &str,
        integration: &Integration,
        flow: &HttpFlow,
        spot: Spot<'_>,
        routes: &mut Routes,
    ) {
        self.flow(name, flow, spot, routes);
        for (name, operation) in &flow.operations {
            self.declared_fields(integration, operation, spot.key("operations").key(name));
        }
    }

    fn flow(&mut self, integration: &str, flow: &HttpFlow, spot: Spot<'_>, routes: &mut Routes) {
        let listener = self.listener(flow, spot.key("listener"));
        self.within(spot.key("timeout"), flow.timeout, &range::FLOW);
        self.within(spot.key("idle_timeout"), flow.idle_timeout, &range::FLOW_IDLE);
        for (name, operation) in &flow.operations {
            let spot = spot.key("operations").key(name);
            self.http_operation(operation, spot);
            let path = format!("{}{}", flow.path.0, operation.route.path.shape());
            if RESERVED_PATHS
                .iter()
                .any(|reserved| path == *reserved || path.starts_with(&format!("{reserved}/")))
            {
                let message = format!("the bridge itself answers below {}", listed(&RESERVED_PATHS));
                self.report(&finding::PATH_RESERVED, spot.key("match").at_value(), message, "reserved");
            }
            let at = spot.key("match").at_value();
            match routes.entry((listener.clone(), format!("{} {path}", operation.route.method))) {
                Entry::Vacant(free) => drop(free.insert((format!("{integration}.{name}"), at))),
                Entry::Occupied(taken) => {
                    let (other, first) = taken.get();
                    self.reader
                        .report(&finding::ROUTE_TWICE, at, format!("`{other}` takes the same requests"))
                        .label("the same route")
                        .also(*first, format!("of `{other}`"));
                }
            }
        }
    }

    fn listener(&mut self, flow: &HttpFlow, spot: Spot<'_>) -> Option<Name> {
        self.listener_of(flow.listener.as_ref(), spot)
    }

    /// The listener that is named, or meant where none is.
    pub fn listener_of(&mut self, named: Option<&Name>, spot: Spot<'_>) -> Option<Name> {
        let bridge = self.parts.bridge.as_ref()?;
        if let Some((name, _)) = bridge.listener_called(named) {
            return Some(name.clone());
        }
        match named {
            Some(name) => {
                self.unknown("listener", name, spot.at_value(), bridge.listeners.keys().map(|name| &**name));
            }
            None => {
                let message = "there are several listeners and none is called `api`, so `listener` is needed";
                self.report(&finding::KEY_MISSING, spot.at_key(), message, "needs `listener`");
            }
        }
        None
    }

    fn http_operation(&mut self, operation: &HttpOperation, spot: Spot<'_>) {
        if let Some(timeout) = operation.timeout {
            self.within(spot.key("timeout"), timeout, &range::OPERATION);
        }
        if let Some(timeout) = operation.idle_timeout {
            self.within(spot.key("idle_timeout"), timeout, &range::OPERATION_IDLE);
        }
        self.target_path(operation, spot.key("target_path"));
        if operation.upgrade == Some(Upgrade::Websocket) {
            self.websocket(operation, spot);
        }
        let bodiless = matches!(&*operation.route.method, "GET" | "HEAD" | "OPTIONS");
        if bodiless && (operation.request.body.schema.is_some() || operation.request.body.keep.is_some()) {
            let message = format!(
                "a {} request has no body that `schema` or `keep` could speak of",
                operation.route.method
            );
            self.report(
                &finding::CONTRADICTION,
                spot.key("request").at_key(),
                message,
                "`rules`, `query` and `headers` have a use here",
            );
        }
    }

    fn target_path(&mut self, operation: &HttpOperation, spot: Spot<'_>) {
        let Some(target) = &operation.target_path else { return };
        let matched: HashSet<&str> = operation.route.path.parameters().collect();
        for name in target.parameters().filter(|name| !matched.contains(name)) {
            let message = format!("the parameter `{name}` is not in `match`");
            self.report(&finding::UNKNOWN_NAME, spot.at_value(), message, "has no value");
        }
    }

    fn websocket(&mut self, operation: &HttpOperation, spot: Spot<'_>) {
        if &*operation.route.method != "GET" {
            let message = "a WebSocket begins with GET (RFC 6455 §4.1)";
            self.report(&finding::CONTRADICTION, spot.key("match").at_value(), message, "write `GET`");
        }
        let (sent, replied) = (&operation.request.body, &operation.response.body);
        let (request, response, is_repeated) =
            (sent.reads_body(), replied.reads_body(), operation.conditions.replay.is_some());
        let key = if response { "response" } else { "request" };
        if response || request || is_repeated {
            let key = if is_repeated && !response { "replay" } else { key };
            let message = "the frames of a WebSocket pass unread, so nothing in them can be checked";
            self.report(&finding::CONTRADICTION, spot.key(key).at_key(), message, "has no effect");
        }
        let bounded = [("request", sent.max_body), ("response", replied.max_body)];
        for (key, _) in bounded.into_iter().filter(|(_, bound)| bound.is_some()) {
            let message = "a WebSocket is no body: its frames have no bound together";
            let at = spot.key(key).key("max_body").at_key();
            self.report(&finding::CONTRADICTION, at, message, "has no effect; `idle_timeout` has one");
        }
    }
}
