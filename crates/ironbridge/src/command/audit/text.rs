//! Records for people. Texts that callers chose are shown, never obeyed.

use crate::times;
use ironbridge_audit::detail::{Detail, DetailKind};
use ironbridge_audit::export::visible;
use ironbridge_audit::{Entry, Stored};

/// A record in a line: when, how it ended, who, what.
pub fn line(record: &Stored, opened: &[Detail]) -> String {
    let entry = &record.entry;
    let (time, outcome, account) = (times::show(entry.time), &entry.outcome, or_dash(&entry.account));
    let line = if entry.action.is_empty() {
        let status = entry.status.map_or_else(|| "-".to_owned(), |status| status.to_string());
        let (code, what, id) = (or_dash(&entry.code), operation(entry), &entry.id);
        let (millis, amends) = (millis(entry.duration_us), if entry.amends { " (amends)" } else { "" });
        let times = if entry.count > 1 { format!(" ({} times)", entry.count) } else { String::new() };
        format!("{time} {outcome:<7} {status:<3} {code:<20} {account} {what} {millis} ms {id}{amends}{times}")
    } else {
        let (action, object, id) = (&entry.action, or_dash(&entry.object), &entry.id);
        format!("{time} {outcome:<7} -   {action:<20} {account} {object} {id}")
    };
    let address = (!entry.address.is_empty()).then(|| (DetailKind::Address, &*entry.address));
    let opened = opened.iter().map(|detail| (detail.kind, &*detail.value));
    let details = address.into_iter().chain(opened);
    let details: String = details.map(|(kind, value)| format!(" {}={value}", kind.name())).collect();
    visible(&format!("{line}{details}")).into_owned()
}

/// Everything that a record says, a line each; what it does not say is left out.
pub fn page(entry: &Entry) -> String {
    let is_exchange = entry.action.is_empty();
    let counted = |count: u64| if is_exchange { count.to_string() } else { String::new() };
    let facts = entry.facts.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
    let records = match entry.records {
        Some(records) => counted(records),
        None if is_exchange => "not counted".to_owned(),
        None => String::new(),
    };
    let rows = [
        ("time", times::show(entry.time)),
        ("outcome", entry.outcome.clone()),
        ("code", entry.code.clone()),
        ("refused by", entry.refused_by.clone()),
        ("status", entry.status.map(|status| status.to_string()).unwrap_or_default()),
        (
            "amends",
            if entry.amends { "an earlier record of the same exchange".into() } else { String::new() },
        ),
        ("accepted as", entry.accepted_as.clone()),
        ("times", if entry.count > 1 { entry.count.to_string() } else { String::new() }),
        ("last", entry.last.map(times::show).unwrap_or_default()),
        ("sources", entry.sources.map(|sources| sources.to_string()).unwrap_or_default()),
        ("action", entry.action.clone()),
        ("object", entry.object.clone()),
        ("facts", facts.join(", ")),
        ("operation", if is_exchange { operation(entry) } else { String::new() }),
        ("permission", entry.permission.clone()),
        ("transport", entry.transport.clone()),
        ("method", entry.method.clone()),
        ("source", place(&entry.source, &entry.source_country)),
        ("target", place(&entry.target, &entry.target_country)),
        ("purpose", entry.purpose.clone()),
        ("legal basis", entry.legal_basis.clone()),
        ("people", entry.subjects.join(", ")),
        ("data", entry.categories.join(", ")),
        ("disclosure", entry.disclosure.clone()),
        ("account", entry.account.clone()),
        ("credential", join(&entry.credential, &entry.credential_id)),
        ("address", entry.address.clone()),
        ("direction", entry.direction.replace('_', " ")),
        ("records", records),
        ("bytes in", counted(entry.bytes_in)),
        ("bytes out", counted(entry.bytes_out)),
        ("duration", if is_exchange { format!("{} ms", millis(entry.duration_us)) } else { String::new() }),
        ("generation", entry.generation.to_string()),
    ];
    let said = rows.iter().filter(|(_, value)| !value.is_empty());
    said.map(|(name, value)| row(name, value)).collect()
}

/// One line of a page.
pub fn row(name: &str, value: &str) -> String {
    format!("  {name:<12} {}\n", visible(value))
}

/// `integration.operation`, as far as they are known.
pub fn operation(entry: &Entry) -> String {
    match (entry.integration.as_str(), entry.operation.as_str()) {
        ("", _) => "-".to_owned(),
        (integration, "") => integration.to_owned(),
        (integration, operation) => format!("{integration}.{operation}"),
    }
}

/// A system and its country.
pub fn place(system: &str, country: &str) -> String {
    if country.is_empty() { system.to_owned() } else { format!("{system} ({country})") }
}

fn join(kind: &str, id: &str) -> String {
    format!("{kind} {id}").trim().to_owned()
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

fn millis(micros: u64) -> String {
    format!("{}.{:02}", micros / 1000, micros % 1000 / 10)
}
