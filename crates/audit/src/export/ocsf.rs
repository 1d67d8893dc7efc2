//! Events of the Open Cybersecurity Schema Framework, version 1.8.0 (schema.ocsf.io): exchanges as API Activity, what
//! the bridge and its administrators did as Application Lifecycle, Authentication or Entity Management.

use super::words::{address, operation, sentence, values, visible};
use crate::detail::{Detail, DetailKind};
use crate::entry::Entry;
use crate::reader::Stored;
use ironbridge_core::action::name;
use serde_json::{Map, Value, json};

const VERSION: &str = "1.8.0";

/// A class with its category, and the caption of neither: names are the schema's business.
#[derive(Clone, Copy)]
struct Class {
    category: u32,
    uid: u32,
}

const API_ACTIVITY: Class = Class { category: 6, uid: 6003 };
const APPLICATION_LIFECYCLE: Class = Class { category: 6, uid: 6002 };
const AUTHENTICATION: Class = Class { category: 3, uid: 3002 };
const ENTITY_MANAGEMENT: Class = Class { category: 3, uid: 3004 };

const UNKNOWN: u32 = 0;
const CREATE: u32 = 1;
const READ: u32 = 2;
const UPDATE: u32 = 3;
const DELETE: u32 = 4;
/// Of Application Lifecycle.
const START: u32 = 3;
const STOP: u32 = 4;
/// Of Authentication.
const LOGON: u32 = 1;
/// Of every class and every enumeration: the value beside it says which.
const OTHER: u32 = 99;

pub(super) fn write(record: &Stored, opened: &[Detail], out: &mut Vec<u8>) {
    let entry = &record.entry;
    let event = if entry.action.is_empty() { exchange(record, opened) } else { action(record, opened) };
    // Writing to a Vec does not fail.
    let _ = serde_json::to_writer(out, &shown(Value::Object(event)));
}

fn exchange(record: &Stored, opened: &[Detail]) -> Map<String, Value> {
    let entry = &record.entry;
    let activity = match entry.method.as_str() {
        "POST" => CREATE,
        "GET" | "HEAD" | "OPTIONS" => READ,
        "PUT" | "PATCH" => UPDATE,
        "DELETE" => DELETE,
        "" => UNKNOWN,
        _ => OTHER,
    };
    let mut event = event(record, API_ACTIVITY, activity, &entry.method);
    let response = entry.status.map(|status| json!({ "code": status }));
    let caller = (!entry.account.is_empty()).then(|| user(entry));
    set(&mut event, "actor", Some(actor(&entry.source, caller)));
    set(
        &mut event,
        "api",
        Some(object([
            ("operation", Some(json!(or_unknown(&operation(entry))))),
            ("service", text(&entry.integration).map(|name| json!({ "name": name }))),
            ("request", Some(json!({ "uid": entry.id }))),
            ("response", response.clone()),
        ])),
    );
    let source = endpoint(&entry.source, &entry.source_country, address(entry, opened));
    set(&mut event, "src_endpoint", Some(source));
    set(&mut event, "dst_endpoint", Some(endpoint(&entry.target, &entry.target_country, None)));
    set(&mut event, "http_response", response);
    set(&mut event, "duration", Some(json!(entry.duration_us / 1000)));
    // Refusals that share a record.
    if let Some(last) = entry.last {
        set(&mut event, "count", Some(json!(entry.count)));
        set(&mut event, "start_time", Some(json!(entry.time.micros() / 1000)));
        set(&mut event, "end_time", Some(json!(last.micros() / 1000)));
    }
    let subjects: Vec<Value> =
        values(opened, DetailKind::Subject).map(|id| json!({ "uid": id, "type": "data subject" })).collect();
    set(&mut event, "resources", (!subjects.is_empty()).then_some(Value::Array(subjects)));
    let mut unmapped = unmapped(entry);
    let marks: Vec<&str> = values(opened, DetailKind::Mark).collect();
    if let Some(unmapped) = unmapped.as_object_mut().filter(|_| !marks.is_empty()) {
        set(unmapped, "marks", Some(json!(marks)));
    }
    set(&mut event, "unmapped", Some(unmapped));
    event
}

fn action(record: &Stored, opened: &[Detail]) -> Map<String, Value> {
    let entry = &record.entry;
    let doer = values(opened, DetailKind::Actor).next();
    let (class, activity, kind) = act(&entry.action);
    let mut event = event(record, class, activity, &entry.action);
    // The account is whom it was done for. Only for a token it is who asked, too.
    let doer = doer.map(|doer| json!({ "name": doer, "type_id": 2 }));
    let account = || (class.uid == AUTHENTICATION.uid && !entry.account.is_empty()).then(|| user(entry));
    set(&mut event, "actor", Some(actor("ironbridge", doer.or_else(account))));
    if let Some(address) = address(entry, opened) {
        set(&mut event, "src_endpoint", Some(endpoint("", "", Some(address))));
    }
    let (key, value) = match class.uid {
        uid if uid == APPLICATION_LIFECYCLE.uid => ("app", product()),
        uid if uid == AUTHENTICATION.uid => ("user", user(entry)),
        _ => (
            "entity",
            object([("type", Some(json!(kind))), ("name", Some(json!(or_unknown(&entry.object))))]),
        ),
    };
    set(&mut event, key, Some(value));
    if class.uid == AUTHENTICATION.uid {
        // OAUTH 2.0 in the schema's enumeration.
        set(&mut event, "auth_protocol_id", Some(json!(6)));
        set(&mut event, "service", Some(json!({ "name": "token endpoint" })));
    }
    set(&mut event, "unmapped", Some(unmapped(entry)));
    event
}

/// Class and activity of an action, and what kind of thing it was done to.
fn act(action: &str) -> (Class, u32, &'static str) {
    match action {
        name::BRIDGE_START => (APPLICATION_LIFECYCLE, START, ""),
        name::BRIDGE_STOP => (APPLICATION_LIFECYCLE, STOP, ""),
        name::TOKEN_ISSUE => (AUTHENTICATION, LOGON, ""),
        name::BRIDGE_RELOAD | name::MANIFEST_LAPSE => (ENTITY_MANAGEMENT, UPDATE, "manifest"),
        name::KEY_ISSUE => (ENTITY_MANAGEMENT, CREATE, "api key"),
        name::KEY_REVOKE | name::KEY_FORGET => (ENTITY_MANAGEMENT, DELETE, "api key"),
        name::SECRET_SET => (ENTITY_MANAGEMENT, UPDATE, "secret"),
        name::SECRET_REMOVE => (ENTITY_MANAGEMENT, DELETE, "secret"),
        name::CERTIFICATE_ISSUE => (ENTITY_MANAGEMENT, CREATE, "certificate"),
        name::CERTIFICATE_RENEW => (ENTITY_MANAGEMENT, UPDATE, "certificate"),
        name::SIGNING_KEY_ROTATE | name::LOG_KEY_ROTATE => (ENTITY_MANAGEMENT, UPDATE, "signing key"),
        name::SUBJECT_ERASE => (ENTITY_MANAGEMENT, DELETE, "data subject"),
        name::RETENTION => (ENTITY_MANAGEMENT, DELETE, "audit records"),
        name::STORE_REFUSE => (ENTITY_MANAGEMENT, DELETE, "row of the store"),
        name::STORE_ADOPT => (ENTITY_MANAGEMENT, UPDATE, "row of the store"),
        name::LOSS | name::MEND | name::AUTHENTICATE => (ENTITY_MANAGEMENT, UPDATE, "audit records"),
        _ => (ENTITY_MANAGEMENT, OTHER, "other"),
    }
}

/// What every event has. `activity_name` is given where the activity is not one of the schema's.
fn event(record: &Stored, class: Class, activity: u32, activity_name: &str) -> Map<String, Value> {
    let entry = &record.entry;
    let (status_id, status, severity) = match entry.outcome.as_str() {
        "success" => (1, "Success", 1),
        "accepted" => (OTHER, "accepted", 1),
        "partial" => (OTHER, "partial", 2),
        "denied" => (2, "Failure", 2),
        _ => (2, "Failure", 3),
    };
    let amends = if entry.amends { "/amends" } else { "" };
    let mut time_text = Vec::new();
    crate::text::push_time(&mut time_text, entry.time);
    let mut event = Map::new();
    for (key, value) in [
        ("activity_id", json!(activity)),
        ("category_uid", json!(class.category)),
        ("class_uid", json!(class.uid)),
        ("type_uid", json!(class.uid * 100 + activity)),
        ("severity_id", json!(severity)),
        ("time", json!(entry.time.micros() / 1000)),
        ("message", json!(sentence(entry))),
        ("status", json!(status)),
        ("status_id", json!(status_id)),
        ("status_code", json!(entry.code)),
        (
            "metadata",
            json!({
                "version": VERSION,
                "profiles": profiles(class),
                "product": product(),
                "uid": format!("{}{amends}", entry.id),
                "correlation_uid": entry.id,
                "sequence": record.index,
                "log_name": "audit",
                "log_version": entry.v.to_string(),
                "original_time": String::from_utf8_lossy(&time_text),
            }),
        ),
    ] {
        set(&mut event, key, Some(value));
    }
    if activity == OTHER {
        set(&mut event, "activity_name", text(activity_name));
    }
    event
}

/// API Activity has `actor` itself; the others get it from this profile.
fn profiles(class: Class) -> &'static [&'static str] {
    if class.uid == API_ACTIVITY.uid { &[] } else { &["host"] }
}

fn product() -> Value {
    json!({ "name": "Ironbridge", "vendor_name": "Ironbridge", "version": env!("CARGO_PKG_VERSION") })
}

/// Who did it: a system or program, and the account or the person it did it as.
fn actor(program: &str, user: Option<Value>) -> Value {
    object([("app_name", Some(json!(or_unknown(program)))), ("user", user)])
}

/// The account, as a service account.
fn user(entry: &Entry) -> Value {
    object([
        ("name", Some(json!(or_unknown(&entry.account)))),
        ("type_id", Some(json!(4))),
        ("credential_uid", text(&entry.credential_id)),
    ])
}

fn endpoint(system: &str, country: &str, address: Option<&str>) -> Value {
    object([
        ("ip", address.map(|address| json!(address))),
        ("name", if address.is_none() { Some(json!(or_unknown(system))) } else { text(system) }),
        ("location", text(country).map(|country| json!({ "country": country }))),
    ])
}

/// What the schema has no place for, under the record's own names.
fn unmapped(entry: &Entry) -> Value {
    let list = |list: &[String]| (!list.is_empty()).then(|| json!(list));
    let number = |number: u64| entry.action.is_empty().then(|| json!(number));
    let concerned = if entry.action.is_empty() { "" } else { &entry.account };
    object([
        ("account", text(concerned)),
        ("permission", text(&entry.permission)),
        ("transport", text(&entry.transport)),
        ("purpose", text(&entry.purpose)),
        ("legal_basis", text(&entry.legal_basis)),
        ("subjects", list(&entry.subjects)),
        ("categories", list(&entry.categories)),
        ("disclosure", text(&entry.disclosure)),
        ("credential", text(&entry.credential)),
        ("method", text(&entry.method)),
        ("direction", text(&entry.direction)),
        ("records", entry.records.and_then(number)),
        ("bytes_in", number(entry.bytes_in)),
        ("bytes_out", number(entry.bytes_out)),
        ("generation", Some(json!(entry.generation))),
        ("facts", (!entry.facts.is_empty()).then(|| json!(entry.facts))),
        ("detail", text(&entry.detail)),
    ])
}

fn or_unknown(text: &str) -> &str {
    if text.is_empty() { "unknown" } else { text }
}

fn text(text: &str) -> Option<Value> {
    (!text.is_empty()).then(|| json!(text))
}

fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let mut object = Map::new();
    for (key, value) in members {
        set(&mut object, key, value);
    }
    Value::Object(object)
}

fn set(object: &mut Map<String, Value>, key: &str, value: Option<Value>) {
    if let Some(value) = value {
        object.insert(key.to_owned(), value);
    }
}

/// JSON escapes control characters, but whoever prints the value decodes them again.
fn shown(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(visible(&text).into_owned()),
        Value::Array(items) => items.into_iter().map(shown).collect(),
        Value::Object(members) => {
            let shown = members.into_iter().map(|(key, value)| (visible(&key).into_owned(), shown(value)));
            Value::Object(shown.collect())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{action, exchange, opened, stored, written};
    use super::*;
    use crate::export::Format;
    use proptest::prelude::*;

    fn event(record: &Stored, opened: &[Detail]) -> Value {
        serde_json::from_str(&written(Format::Ocsf, record, opened)).unwrap()
    }

    /// The required attributes of the classes we use and of the objects in them, with their constraints, as the
    /// schema's sources declare them.
    fn check(event: &Value) {
        let uint =
            |at: &str| event.pointer(at).and_then(Value::as_u64).unwrap_or_else(|| panic!("{at}: {event}"));
        let required = |at: &str| assert!(event.pointer(at).is_some(), "{at}: {event}");
        let one_of = |within: &str, keys: &[&str]| {
            let object = event.pointer(within).unwrap_or_else(|| panic!("{within}: {event}"));
            assert!(keys.iter().any(|key| object.get(key).is_some()), "{within}: {event}");
        };
        assert_eq!(uint("/type_uid"), uint("/class_uid") * 100 + uint("/activity_id"));
        assert_eq!(uint("/category_uid"), uint("/class_uid") / 1000);
        assert!(matches!(uint("/severity_id"), 0..=6 | 99));
        assert!(matches!(uint("/status_id"), 0..=2 | 99));
        assert_eq!(uint("/time"), 1_780_000_000_123);
        assert_eq!(event["metadata"]["version"], "1.8.0");
        ["/metadata/product/vendor_name", "/metadata/uid"].into_iter().for_each(required);
        one_of("/metadata/product", &["name", "uid"]);
        if uint("/activity_id") == 99 {
            required("/activity_name");
        }
        // The classes that get `actor` from the profile `host`, and the one that does not know that profile.
        let profiles = if uint("/class_uid") == 6003 { json!([]) } else { json!(["host"]) };
        assert_eq!(event["metadata"]["profiles"], profiles);
        const ACTOR: &[&str] = &["process", "user", "invoked_by", "session", "app_name", "app_uid"];
        const ENDPOINT: &[&str] = &["ip", "uid", "name", "hostname", "svc_name", "instance_uid"];
        match uint("/class_uid") {
            6003 => {
                required("/api/operation");
                required("/api/request/uid");
                one_of("/actor", ACTOR);
                one_of("/src_endpoint", ENDPOINT);
                one_of("/dst_endpoint", ENDPOINT);
                assert!(matches!(uint("/activity_id"), 0..=4 | 99));
            }
            6002 => {
                required("/app/vendor_name");
                assert!(matches!(uint("/activity_id"), 3 | 4));
            }
            3002 => {
                one_of("/user", &["account", "name", "uid"]);
                one_of("", &["service", "dst_endpoint"]);
                assert_eq!(uint("/activity_id"), 1);
            }
            3004 => {
                one_of("/entity", &["name", "uid"]);
                assert!(matches!(uint("/activity_id"), 1..=4 | 99));
            }
            other => panic!("class {other}"),
        }
    }

    #[test]
    fn an_exchange() {
        let detail = [
            opened(DetailKind::Address, "192.0.2.7"),
            opened(DetailKind::Subject, "c-1"),
            opened(DetailKind::Mark, "file=orders.csv"),
        ];
        let event = event(&exchange("x"), &detail);
        check(&event);
        for (at, value) in [
            ("/type_uid", json!(600_301)),
            ("/status_code", json!("rate-limited")),
            ("/api/operation", json!("x.x")),
            ("/actor/user/name", json!("x")),
            ("/src_endpoint/ip", json!("192.0.2.7")),
            ("/dst_endpoint/location/country", json!("FR")),
            ("/http_response/code", json!(429)),
            ("/resources/0/uid", json!("c-1")),
            ("/unmapped/bytes_in", json!(300)),
            ("/unmapped/marks/0", json!("file=orders.csv")),
            ("/metadata/sequence", json!(41)),
            ("/duration", json!(1)),
        ] {
            assert_eq!(event.pointer(at), Some(&value), "{at}");
        }
    }

    #[test]
    fn a_stranger_and_every_method() {
        for (method, activity) in
            [("GET", 2), ("POST", 1), ("PATCH", 3), ("PUT", 3), ("DELETE", 4), ("BREW", 99), ("", 0)]
        {
            let event = event(
                &stored(json!({
                    "v": 1, "id": "i", "time": "2026-05-28T20:26:40.123456Z", "transport": "http", "method": method,
                    "generation": 0, "address": "::1", "direction": "none", "outcome": "denied", "code": "c",
                })),
                &[],
            );
            check(&event);
            assert_eq!(event["activity_id"], activity);
            assert_eq!(event["src_endpoint"], json!({ "ip": "::1" }));
        }
    }

    #[test]
    fn every_action_has_a_class() {
        for (name, _) in name::ALL.iter().chain(&[("later.version", "")]) {
            let event = event(&action(name, "thing"), &[opened(DetailKind::Actor, "cli:ada")]);
            check(&event);
            assert_eq!(event["actor"]["user"]["name"], "cli:ada");
            assert_eq!(event["activity_id"] == 99, *name == "later.version", "{name}");
        }
        let token = event(&action("token.issue", ""), &[]);
        assert_eq!(
            (&token["user"]["name"], &token["actor"]["user"]["name"]),
            (&json!("shop"), &json!("shop"))
        );
    }

    /// Whom a key was issued for did not issue it.
    #[test]
    fn the_account_concerned_is_not_who_acted() {
        for (name, _) in name::ALL.iter().filter(|(name, _)| *name != name::TOKEN_ISSUE) {
            let event = event(&action(name, "thing"), &[]);
            assert_eq!(event["actor"], json!({ "app_name": "ironbridge" }), "{name}");
            assert_eq!(event["unmapped"]["account"], "shop", "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_text_makes_a_valid_event(text: String) {
            check(&event(&exchange(&text), &[opened(DetailKind::Address, &text)]));
            check(&event(&action(&format!("x{text}"), &text), &[]));
        }
    }
}
