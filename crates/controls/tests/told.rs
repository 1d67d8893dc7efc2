//! What the operator's log says of rules.
#![allow(clippy::unwrap_used, clippy::panic)]

use bytes::Bytes;
use ironbridge_controls::rules::{Declared, Known, Rule, Rules};
use ironbridge_core::{
    Control, Document, Exchange, ExchangeId, Flow, IntegrationFacts, OperationFacts, Payload, Peer,
    PermissionTable, Timestamp,
};
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Lines of the log, as their fields.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0 += &format!(" {field}={value:?}");
    }
}

#[test]
fn a_rule_that_cannot_be_decided_is_logged_once_a_minute() {
    let schema = serde_json::json!({ "type": "object" });
    let known = Known::operation(&Declared {
        method: "POST",
        parameters: Vec::new(),
        query: Some(Vec::new()),
        system: "shop",
        accounts: Vec::new(),
        body: Some(&schema),
    });
    let rule = |check: &str| Rule::compile_for(check, "otherwise", &known).unwrap().0;
    let rules = Rules::new(vec![rule("body.size() > 0 || body.b"), rule("body.secret < 3")]);
    let log = Log::default();
    tracing::subscriber::with_default(log.clone(), || {
        for (second, body) in [(600, "x"), (601, "y"), (659, "z"), (660, "w"), (661, "v")] {
            let mut exchange = exchange(second, &format!(r#"{{"secret":"{body}"}}"#));
            assert!(rules.inspect(&mut exchange).is_err());
        }
        rules.inspect(&mut exchange(720, r#"{"secret":1}"#)).unwrap();
        // Broken, but decided.
        rules.inspect(&mut exchange(780, r#"{"secret":4}"#)).unwrap_err();
    });
    let lines = log.0.lock().unwrap().clone();
    assert_eq!(lines.len(), 2, "{lines:#?}");
    for line in &lines {
        for part in ["WARN", "orders", "create", "rule 2", "rule-unfit", "body.secret < 3", "another type"] {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
}

/// None of these is evaluated to its end: the steps are counted before.
#[test]
fn rules_that_would_take_too_long_are_refused_and_logged() {
    let large = "(a{1,50}){1,50}b";
    let list = |element: &str, times: usize| vec![element; times].join(",");
    let repeated = |part: &str, times: usize, joint: &str| vec![part; times].join(joint);
    let many = repeated("x.contains('b')", 200, " && ");
    let is_costly = |checks: &[String], body: &str| {
        let rules = checks.iter().map(|check| Rule::compile(check, "otherwise").unwrap()).collect();
        let (rules, log) = (Rules::new(rules), Log::default());
        let denial =
            tracing::subscriber::with_default(log.clone(), || rules.inspect(&mut exchange(600, body)).err());
        let lines = log.0.lock().unwrap().clone();
        let denial = denial.filter(|denial| denial.code.id == "body-too-costly");
        assert_eq!(denial.is_some(), lines.iter().any(|line| line.contains("body-too-costly")), "{lines:?}");
        denial.is_some()
    };
    let elements = format!(r#"{{"l":[{}],"t":1}}"#, list(r#""a""#, 40_000));
    let text = format!(r#"{{"t":"{}","l":[]}}"#, "a".repeat(200_000));
    let texts = format!(r#"{{"l":[{}]}}"#, list(&format!("\"{}\"", "a".repeat(1000)), 2000));
    let map = format!(
        r#"{{"l":{{{}}}}}"#,
        (0..40_000).map(|n| format!(r#""{n}":0"#)).collect::<Vec<_>>().join(",")
    );
    for (checks, body, is_refused) in [
        (vec!["body.l.all(x, x == 'a' || x.contains('b'))".to_owned()], &elements, false),
        (vec![format!("body.l.all(x, x == 'a' || {many})")], &elements, true),
        (vec![format!("!body.l.exists(x, x != 'a' && {many})")], &elements, true),
        (vec![format!("body.l.exists_one(x, x != 'a' && {many}) || request.path != '-'")], &elements, true),
        (vec![format!("body.l.filter(x, x != 'a' && {many}).size() == 0")], &elements, true),
        (vec![format!("body.l.all(x, x != 'a' || {many})")], &map, true),
        // What one of them may not take, all of them may not.
        (
            vec![format!("body.l.all(x, x == 'a' || {})", repeated("x.contains('b')", 60, " && ")); 3],
            &elements,
            true,
        ),
        // Neither does it help where the other side decides.
        (vec![format!("body.l.all(x, x == 'a' || {many}) || body.t == 1")], &elements, true),
        (vec![format!("!body.t.matches('{large}')")], &text, true),
        (vec![format!("matches('b', '{large}') || request.path != '-'")], &text, false),
        (vec!["body.t.matches('^a+$')".to_owned()], &text, false),
        (vec![format!("body.l.all(x, {})", repeated("x.contains('a')", 150, " && "))], &texts, false),
        (vec![repeated("[body.l] == [body.l]", 160, " && "); 2], &texts, true),
        (vec![repeated("!('q' in body.l)", 200, " && "); 4], &texts, true),
        (vec![format!("body.l.all(x, {})", repeated("x + x != ''", 30, " && ")); 12], &texts, true),
    ] {
        assert_eq!(is_costly(&checks, body), is_refused, "{:.60}", checks[0]);
    }
}

fn exchange(second: u64, body: &str) -> Exchange {
    let permission_name = "orders.write";
    let permission = PermissionTable::default().intern(permission_name);
    let operation =
        OperationFacts { name: "create".into(), permission, permission_name: permission_name.into() };
    let integration = IntegrationFacts { name: "orders".into(), ..IntegrationFacts::default() };
    let flow = Flow::new(Arc::new(integration), Some(operation), 1);
    let now = Timestamp::from_seconds(second);
    let peer = Peer::default();
    let mut exchange = Exchange::new(ExchangeId::default(), now, Duration::ZERO, Arc::new(flow), peer);
    exchange.request = Payload::Whole(Document::new(Bytes::from(body.to_owned())));
    exchange
}
