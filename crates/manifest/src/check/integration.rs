use super::{Check, RESERVED_PATHS};
use crate::findings::finding;
use crate::outline::Names;
use crate::place::{Site, Spot};
use crate::range;
use crate::reader::listed;
use crate::{
    ClientCertificates, CredentialKind, HttpFlow, Integration, Name, Operation, SubjectPlace, Upgrade,
};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

/// Listener, method and shape of the path, with the operation that took it.
type Routes = HashMap<(Option<Name>, String), (String, Site)>;

/// Credentials by the system whose accounts have them.
type Callers<'p> = HashMap<&'p str, Vec<CredentialKind>>;

impl<'c> Check<'c, '_> {
    pub fn integrations(&mut self) {
        let mut routes = Routes::new();
        let parts = self.parts;
        let callers = self.callers();
        for (name, integration) in &parts.integrations {
            let Some(spot) = self.outline.spot(Names::Integrations, name) else { continue };
            self.resolve(Names::Systems, "system", &integration.source, spot.key("source").at_value());
            self.target_of(integration, spot.key("target"));
            if let Some(callers) =
                callers.as_ref().filter(|_| self.outline.declares(Names::Systems, &integration.source))
            {
                self.authentication(integration, spot, callers);
                self.certificates(integration, spot, callers);
            }
            self.flow(name, &integration.http, spot.key("http"), &mut routes);
            for (name, operation) in &integration.http.operations {
                let spot = spot.key("http").key("operations").key(name);
                self.declared_fields(integration, operation, spot);
            }
            self.subject_places(integration, spot.key("data").key("subject_id"));
        }
    }

    fn target_of(&mut self, integration: &Integration, spot: Spot<'_>) {
        let target = &integration.target;
        self.resolve(Names::Systems, "system", target, spot.at_value());
        if self.parts.systems.get(target).is_some_and(|system| system.http.is_none()) {
            let system = self.outline.spot(Names::Systems, target);
            let message = format!("the target `{target}` does not say where it is");
            let report =
                self.reader.report(&finding::NO_TARGET, spot.at_value(), message).label("cannot be reached");
            if let Some(system) = system {
                report.also(system.at_key(), "needs `http` with a `url`");
            }
        }
    }

    /// The credentials of each system's accounts. `None` when an account was wrong: it might have been the one.
    fn callers(&self) -> Option<Callers<'c>> {
        let accounts = &self.parts.accounts;
        if self.outline.names(Names::Accounts).count() > accounts.len() {
            return None;
        }
        let mut callers = Callers::new();
        for account in accounts.values() {
            let kinds: Vec<CredentialKind> = account.credentials.kinds().collect();
            if kinds.is_empty() || !self.outline.declares(Names::Systems, &account.system) {
                return None;
            }
            callers.entry(&account.system).or_default().extend(kinds);
        }
        Some(callers)
    }

    /// Some account of the source must be able to prove itself in a way that is accepted.
    fn authentication(&mut self, integration: &Integration, spot: Spot<'_>, callers: &Callers<'_>) {
        let (source, accept) = (&integration.source, &integration.http.accept);
        let (message, at, label) = match callers.get(&**source) {
            None => {
                let message = format!("nobody can call: no account belongs to the source `{source}`");
                (message, spot.key("source").at_value(), "has no account")
            }
            Some(kinds)
                if accept.as_ref().is_none_or(|accept| kinds.iter().any(|kind| accept.contains(kind))) =>
            {
                return;
            }
            Some(_) => {
                let message =
                    format!("nobody can call: no account of `{source}` has a credential that is accepted");
                (message, spot.key("http").key("accept").at_key(), "accepts none that exists")
            }
        };
        self.report(&finding::NO_AUTHENTICATION, at, message, label);
    }

    /// Certificates must be asked for where nothing else proves who calls, and exist where none may be missing.
    fn certificates(&mut self, integration: &Integration, spot: Spot<'_>, callers: &Callers<'_>) {
        let (Some(bridge), Some(kinds)) = (&self.parts.bridge, callers.get(&*integration.source)) else {
            return;
        };
        let flow = &integration.http;
        let only = bridge.listeners.first_key_value().filter(|_| bridge.listeners.len() == 1);
        let named = flow.listener.as_deref().unwrap_or("api");
        let declared = bridge.listeners.iter().find(|(name, _)| ***name == *named).or(only);
        let Some((name, listener)) = declared else { return };
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

    /// A parameter that names people must be in the path of some operation.
    fn subject_places(&mut self, integration: &Integration, spot: Spot<'_>) {
        let places =
            integration.data.iter().flat_map(|data| data.subject_id.iter().flat_map(|places| places.iter()));
        for (index, place) in places.enumerate() {
            let SubjectPlace::Parameter(name) = place else { continue };
            let mut operations = integration.http.operations.values();
            if !operations.any(|operation| operation.route.path.parameters().any(|other| *other == **name)) {
                let message = format!("no operation has the parameter `{name}` in its path");
                self.report(&finding::UNKNOWN_NAME, spot.item(index).at_value(), message, "has no value");
            }
        }
    }

    fn flow(&mut self, integration: &str, flow: &HttpFlow, spot: Spot<'_>, routes: &mut Routes) {
        let listener = self.listener(flow, spot.key("listener"));
        self.within(spot.key("timeout"), flow.timeout, &range::FLOW);
        self.within(spot.key("idle_timeout"), flow.idle_timeout, &range::FLOW_IDLE);
        if flow.operations.is_empty() {
            let message = "this flow allows nothing: it has no operations";
            self.report(
                &finding::KEY_MISSING,
                spot.key("operations").at_key(),
                message,
                "needs an operation",
            );
        }
        for (name, operation) in &flow.operations {
            let spot = spot.key("operations").key(name);
            self.operation(operation, spot);
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

    fn operation(&mut self, operation: &Operation, spot: Spot<'_>) {
        if let Some(timeout) = operation.timeout {
            self.within(spot.key("timeout"), timeout, &range::OPERATION);
        }
        if let Some(timeout) = operation.idle_timeout {
            self.within(spot.key("idle_timeout"), timeout, &range::OPERATION_IDLE);
        }
        if let Some(replay) = &operation.replay {
            self.within(spot.key("replay").key("window"), replay.window, &range::WINDOW);
        }
        self.target_path(operation, spot.key("target_path"));
        if operation.upgrade == Some(Upgrade::Websocket) {
            self.websocket(operation, spot);
        }
        let bodiless = matches!(&*operation.route.method, "GET" | "HEAD" | "OPTIONS");
        if bodiless && (operation.request.schema.is_some() || operation.request.keep.is_some()) {
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

    fn target_path(&mut self, operation: &Operation, spot: Spot<'_>) {
        let Some(target) = &operation.target_path else { return };
        let matched: HashSet<&str> = operation.route.path.parameters().collect();
        for name in target.parameters().filter(|name| !matched.contains(name)) {
            let message = format!("the parameter `{name}` is not in `match`");
            self.report(&finding::UNKNOWN_NAME, spot.at_value(), message, "has no value");
        }
    }

    fn websocket(&mut self, operation: &Operation, spot: Spot<'_>) {
        if &*operation.route.method != "GET" {
            let message = "a WebSocket begins with GET (RFC 6455 §4.1)";
            self.report(&finding::CONTRADICTION, spot.key("match").at_value(), message, "write `GET`");
        }
        let (request, response) = (operation.request.reads_body(), operation.response.reads_body());
        let key = if response { "response" } else { "request" };
        if response || request || operation.replay.is_some() {
            let key = if operation.replay.is_some() && !response { "replay" } else { key };
            let message = "the frames of a WebSocket pass unread, so nothing in them can be checked";
            self.report(&finding::CONTRADICTION, spot.key(key).at_key(), message, "has no effect");
        }
        let bounded = [("request", operation.request.max_body), ("response", operation.response.max_body)];
        for (key, _) in bounded.into_iter().filter(|(_, bound)| bound.is_some()) {
            let message = "a WebSocket is no body: its frames have no bound together";
            let at = spot.key(key).key("max_body").at_key();
            self.report(&finding::CONTRADICTION, at, message, "has no effect; `idle_timeout` has one");
        }
    }
}
