//! OTLP/HTTP in its JSON encoding: ExportLogsServiceRequest of the OpenTelemetry protocol 1.x. 64-bit numbers are
//! strings there, as in all JSON of Protocol Buffers.

use super::https::post;
use super::outlet::{Outgoing, Outlet, Rejected};
use crate::trouble::Trouble;
use ironbridge_core::{BoxFuture, Fetch, Sensitive};
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) struct Otlp {
    pub url: String,
    pub instance: String,
    pub authorization: Option<Sensitive>,
    pub client: Arc<dyn Fetch>,
}

impl Outlet for Otlp {
    fn send<'a>(&'a mut self, records: &'a [Outgoing]) -> BoxFuture<'a, Result<Rejected, Trouble>> {
        let body = request(&self.instance, records).to_string().into_bytes();
        Box::pin(async move {
            let authorization = self.authorization.as_ref();
            let answer = post(&*self.client, &self.url, authorization, "application/json", body).await?;
            Ok(rejected(answer.body.expose(), records.len()))
        })
    }
}

fn request(instance: &str, records: &[Outgoing]) -> Value {
    let version = env!("CARGO_PKG_VERSION");
    let resource = [
        attribute("service.name", "ironbridge"),
        attribute("service.version", version),
        attribute("service.instance.id", instance),
    ];
    let records: Vec<Value> = records.iter().map(log_record).collect();
    json!({ "resourceLogs": [{
        "resource": { "attributes": resource },
        "scopeLogs": [{ "scope": { "name": "ironbridge.audit", "version": version }, "logRecords": records }],
    }] })
}

fn log_record(record: &Outgoing) -> Value {
    let entry = &record.stored.entry;
    let (number, text) = severity(&entry.outcome);
    let kind = if entry.action.is_empty() { "ironbridge.exchange" } else { "ironbridge.action" };
    let index = record.stored.index.to_string();
    let mut attributes = vec![
        attribute("event.name", kind),
        json!({ "key": "ironbridge.index", "value": { "intValue": index } }),
    ];
    let facts = [
        ("ironbridge.id", &entry.id),
        ("ironbridge.action", &entry.action),
        ("ironbridge.integration", &entry.integration),
        ("ironbridge.operation", &entry.operation),
        ("ironbridge.account", &entry.account),
        ("ironbridge.outcome", &entry.outcome),
        ("ironbridge.code", &entry.code),
    ];
    let known = facts.iter().filter(|(_, value)| !value.is_empty());
    attributes.extend(known.map(|(name, value)| attribute(name, value)));
    json!({
        "timeUnixNano": (u128::from(entry.time.micros()) * 1000).to_string(),
        "observedTimeUnixNano": (u128::from(entry.time.micros()) * 1000).to_string(),
        "severityNumber": number,
        "severityText": text,
        "body": { "stringValue": String::from_utf8_lossy(&record.text) },
        "attributes": attributes,
    })
}

fn attribute(name: &str, value: &str) -> Value {
    json!({ "key": name, "value": { "stringValue": value } })
}

/// SeverityNumber and its text, by the record's outcome.
fn severity(outcome: &str) -> (u8, &'static str) {
    match outcome {
        "failed" => (17, "ERROR"),
        "denied" => (13, "WARN"),
        "partial" => (10, "INFO2"),
        _ => (9, "INFO"),
    }
}

/// What the answer says of partial success: records that it rejected must not be sent again. No more than were `sent`.
fn rejected(answer: &[u8], sent: usize) -> Rejected {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let partial = answer.get("partialSuccess").unwrap_or(&Value::Null);
    let count = match partial.get("rejectedLogRecords") {
        Some(Value::String(count)) => count.parse().unwrap_or(0),
        Some(count) => count.as_u64().unwrap_or(0),
        None => 0,
    };
    let reason = partial.get("errorMessage").and_then(Value::as_str).unwrap_or("it gave no reason");
    Rejected {
        count: count.min(u64::try_from(sent).unwrap_or(u64::MAX)),
        reason: Trouble::new(format_args!("the collector rejected them: {reason}")).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_success_is_read_in_either_form() {
        let of = |text: &str| rejected(text.as_bytes(), 5);
        let more = "{\"partialSuccess\":{\"rejectedLogRecords\":\"99999999999\"}}";
        assert_eq!(of(more).count, 5, "as many as were sent");
        let said = "the collector rejected them: too old";
        for count in ["3", "\"3\""] {
            let answer = format!(
                "{{\"partialSuccess\":{{\"rejectedLogRecords\":{count},\"errorMessage\":\"too old\"}}}}"
            );
            assert_eq!(of(&answer), Rejected { count: 3, reason: said.into() });
        }
        for answer in ["", "{}", "[]", "{\"partialSuccess\":{}}", "{\"partialSuccess\":null}", "\u{fffd}"] {
            assert_eq!(of(answer).count, 0);
        }
    }
}
