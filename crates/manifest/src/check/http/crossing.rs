//! What operations let across besides bodies: that it can, and that `all` is meant.

use crate::check::Check;
use crate::findings::finding;
use crate::place::Spot;
use crate::{Crossing, HeaderField, HttpOperation, Integration, TargetAuth, TrailerField};
use ironbridge_core::fields;
use std::collections::HashSet;

impl<'c> Check<'c, '_> {
    /// Fields that an operation declares, and could not cross or would have no use.
    pub fn declared_fields(&mut self, integration: &Integration, operation: &HttpOperation, spot: Spot<'_>) {
        let credential = self.credential_of(integration);
        let (request, response) = (&operation.request, &operation.response);
        let members = request.query.listed().iter().map(|member| &*member.name);
        self.listed_once(members, spot.key("request").key("query"));
        for (side, headers) in [("request", &request.headers), ("response", &response.headers)] {
            self.listed_once(names(headers), spot.key(side).key("headers"));
        }
        for (side, trailers) in [("request", &request.trailers), ("response", &response.trailers)] {
            self.listed_once(names(trailers), spot.key(side).key("trailers"));
        }
        self.not_the_credential(names(&request.headers), credential, spot.key("request").key("headers"));
        self.not_the_credential(names(&response.headers), credential, spot.key("response").key("headers"));
        let reads_reply = response.body.reads_body() || operation.conditions.replay.is_some();
        self.without_use(names(&request.headers), spot.key("request").key("headers"), |name| {
            let part = reads_reply
                && fields::CROSSING
                    .iter()
                    .any(|group| group.request == fields::When::Unread && group.names.contains(&name));
            part.then_some("a control reads the reply, which must come whole and uncompressed")
        });
        for (side, headers, filters) in [
            ("request", &request.headers, request.body.keep.is_some()),
            ("response", &response.headers, response.body.keep.is_some()),
        ] {
            self.without_use(names(headers), spot.key(side).key("headers"), |name| {
                let of_whole = filters && fields::OF_THE_WHOLE_BODY.contains(&name);
                of_whole.then_some("it tells of the whole body, of which `keep` holds parts back")
            });
        }
        for (side, trailers, reads) in [
            ("request", &request.trailers, request.body.reads_body()),
            ("response", &response.trailers, response.body.reads_body()),
        ] {
            let spot = spot.key(side).key("trailers");
            self.not_the_credential(names(trailers), credential, spot);
            let declared = trailers.is_all() || !trailers.listed().is_empty();
            if declared && (reads || operation.conditions.replay.is_some()) {
                let message = "the body is read as a whole, and nothing that follows such a body crosses";
                self.report(&finding::CONTRADICTION, spot.at_key(), message, "has no effect");
            }
        }
    }

    fn listed_once<'n>(&mut self, names: impl Iterator<Item = &'n str>, spot: Spot<'_>) {
        let mut seen = HashSet::new();
        for (index, name) in names.enumerate() {
            if !seen.insert(name) {
                let message = format!("`{name}` is listed already");
                self.report(&finding::CONTRADICTION, spot.item(index).at_value(), message, "listed again");
            }
        }
    }

    fn without_use<'n>(
        &mut self,
        names: impl Iterator<Item = &'n str>,
        spot: Spot<'_>,
        why: impl Fn(&str) -> Option<&'static str>,
    ) {
        for (index, name) in names.enumerate() {
            if let Some(why) = why(name) {
                let message = format!("`{name}` does not cross: {why}");
                self.report(&finding::CONTRADICTION, spot.item(index).at_value(), message, "has no effect");
            }
        }
    }

    /// Names the keys where everything crosses instead of what is listed.
    pub fn all_crosses(&mut self, operation: &HttpOperation, spot: Spot<'_>) {
        let (request, response) = (&operation.request, &operation.response);
        for (side, key, all, what) in [
            ("request", "query", request.query.is_all(), "every member of a query, once or repeated,"),
            ("request", "headers", request.headers.is_all(), "every header field that callers send"),
            ("response", "headers", response.headers.is_all(), "every header field that the target answers"),
            ("request", "trailers", request.trailers.is_all(), "every field that callers send after a body"),
            (
                "response",
                "trailers",
                response.trailers.is_all(),
                "every field that the target sends after a body",
            ),
        ] {
            if all {
                let at = spot.key(side).key(key).at_value();
                let less = if key == "query" { "" } else { ", less what is the bridge's own" };
                // No list knows every field in which a hash, or the size, of the whole body may stand.
                let keeps =
                    [("request", request.body.keep.is_some()), ("response", response.body.keep.is_some())];
                let whole = match key == "headers" && keeps.contains(&(side, true)) {
                    true => "; a field may tell of the whole body, of which `keep` holds parts back",
                    false => "",
                };
                let message = format!("{what} crosses{less}{whole}");
                self.report(&finding::ALL_CROSSES, at, message, "list what is needed");
            }
        }
    }

    /// The field in which the target takes a credential of the bridge's.
    fn credential_of(&self, integration: &Integration) -> Option<&'c str> {
        match self.parts.systems.get(&integration.target)?.http()?.auth.as_ref()? {
            TargetAuth::Header(header) => Some(&header.name.0),
            _ => None,
        }
    }

    fn not_the_credential<'n>(
        &mut self,
        names: impl Iterator<Item = &'n str>,
        credential: Option<&str>,
        spot: Spot<'_>,
    ) {
        for (index, name) in names.enumerate() {
            if credential.is_some_and(|credential| fields::twins(name, credential)) {
                let message = format!("`{name}` carries the bridge's credential toward the target");
                self.report(
                    &finding::CONTRADICTION,
                    spot.item(index).at_value(),
                    message,
                    "only the bridge's crosses",
                );
            }
        }
    }
}

/// What has a declared field's name.
trait Named {
    fn name(&self) -> &str;
}

impl Named for HeaderField {
    fn name(&self) -> &str {
        &self.0
    }
}

impl Named for TrailerField {
    fn name(&self) -> &str {
        &self.0
    }
}

fn names<T: Named>(crossing: &Crossing<T>) -> impl Iterator<Item = &str> {
    crossing.listed().iter().map(Named::name)
}
