//! What HTTP declares to follow a body, where only a compiled rule tells that the body is read.

use ironbridge_manifest::finding::CONTRADICTION;
use ironbridge_manifest::{Integration, Observed};

/// Trailers of requests that a rule reads as a whole. What else reads bodies, the manifest's own check knows. `rules_read`
/// says it of each operation, in their order.
pub fn without_use(
    name: &str,
    integration: &Integration,
    rules_read: impl Iterator<Item = bool>,
) -> Vec<Observed> {
    let operations = integration.http().into_iter().flat_map(|http| &http.operations);
    let mut found = Vec::new();
    for ((operation, declared), rules_read) in operations.zip(rules_read) {
        let trailers = &declared.request.trailers;
        let is_declared = trailers.is_all() || !trailers.listed().is_empty();
        let said_already = declared.request.body.reads_body() || declared.conditions.replay.is_some();
        if is_declared && !said_already && rules_read {
            let at = ["integrations", name, "http", "operations", operation, "request", "trailers"];
            let message = "a rule reads the body as a whole, and nothing that follows such a body crosses";
            found.push(Observed::new(&CONTRADICTION, &at, message));
        }
    }
    found
}
