//! What operations let across besides bodies: that it can, and that `all` is meant.

use super::Check;
use crate::findings::finding;
use crate::place::Spot;
use crate::{Crossing, HeaderField, Integration, Operation, TargetAuth, TrailerField};
use ironbridge_core::fields;

impl<'c> Check<'c, '_> {
    /// Fields that an operation declares, and could not cross or would have no use.
    pub fn declared_fields(&mut self, integration: &Integration, operation: &Operation, spot: Spot<'_>) {
        let credential = self.credential_of(integration);
        let (request, response) = (&operation.request, &operation.response);
        for (side, trailers, reads) in [
            ("request", &request.trailers, request.reads_body()),
            ("response", &response.trailers, response.reads_body()),
        ] {
            let spot = spot.key(side).key("trailers");
            self.not_the_credential(names(trailers), credential, spot);
            let declared = trailers.is_all() || !trailers.listed().is_empty();
            if declared && (reads || operation.replay.is_some()) {
                let message = "the body is read as a whole, and nothing that follows such a body crosses";
                self.report(&finding::CONTRADICTION, spot.at_key(), message, "has no effect");
            }
        }
    }

    /// Names the keys where everything crosses instead of what is listed.
    pub fn all_crosses(&mut self, operation: &Operation, spot: Spot<'_>) {
        let (request, response) = (&operation.request, &operation.response);
        for (side, key, all, what) in [
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
                let message = format!("{what} crosses, less what is the bridge's own");
                self.report(&finding::ALL_CROSSES, at, message, "list what is needed");
            }
        }
    }

    /// The field in which the target takes a credential of the bridge's.
    fn credential_of(&self, integration: &Integration) -> Option<&'c str> {
        match self.parts.systems.get(&integration.target)?.http.as_ref()?.auth.as_ref()? {
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
