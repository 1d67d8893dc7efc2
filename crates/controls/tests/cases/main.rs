//! Runs every case of `cases/*.yaml`. A case holds what arrives and what must come of it; adding one needs no
//! code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod arrangement;
mod stateful;

use arrangement::{Arrival, Expected, block_on, cases, code, judge, judged};
use ironbridge_controls::address::AddressList;
use ironbridge_controls::authorise::Authorise;
use ironbridge_controls::body::JsonBody;
use ironbridge_controls::count::Count;
use ironbridge_controls::keep::{Keep, KeepList};
use ironbridge_controls::limit::{FailedAuthentication, LimitTable, Quota, RateLimit};
use ironbridge_controls::rules::{Declared, Known, Remark, Rule, Rules};
use ironbridge_controls::schema::{JsonSchema, Schema};
use ironbridge_controls::subject::{DataSubjects, Places};
use ironbridge_core::{Answered, BoxFuture, Control, Denial, Ending, OwnerKey, Said, Stop, SubjectKeys};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn address() {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Case {
        name: String,
        networks: Vec<String>,
        arrives: Arrival,
        expect: Expected,
    }
    for case in cases::<Case>("address") {
        let networks = case.networks.iter().map(|network| network.parse().unwrap()).collect();
        judge(&case.name, &AddressList::new(networks), &case.arrives, &case.expect);
    }
}

#[test]
fn authorise() {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Case {
        name: String,
        source: String,
        arrives: Arrival,
        expect: Expected,
    }
    for case in cases::<Case>("authorise") {
        judge(&case.name, &Authorise::new(case.source.into()), &case.arrives, &case.expect);
    }
}

#[test]
fn body() {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Case {
        name: String,
        arrives: Arrival,
        expect: Expected,
    }
    let cases = cases::<Case>("body");
    assert!(cases.len() >= 60);
    for case in cases {
        judge(&case.name, &JsonBody, &case.arrives, &case.expect);
    }
}

#[test]
fn schema() {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Case {
        name: String,
        schema: serde_json::Value,
        /// The schema does not compile, and the reason holds this.
        unfit: Option<String>,
        #[serde(default)]
        arrives: Arrival,
        #[serde(default)]
        expect: Expected,
    }
    for case in cases::<Case>("schema") {
        let schema = match (JsonSchema::compile(&case.schema), &case.unfit) {
            (Ok(schema), None) => schema,
            (Err(error), Some(reason)) => {
                assert!(error.to_string().contains(reason), "{}: {error}", case.name);
                continue;
            }
            (Ok(_), Some(reason)) => panic!("{}: compiles, expected: {reason}", case.name),
            (Err(error), None) => panic!("{}: {error}", case.name),
        };
        let control = if case.arrives.is_reply() { Schema::reply(schema) } else { Schema::request(schema) };
        judge(&case.name, &control, &case.arrives, &case.expect);
    }
}

#[test]
fn rules() {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Case {
        name: String,
        rules: Vec<String>,
        /// What the body surely fits.
        schema: Option<serde_json::Value>,
        /// Members of the query that are lists; then only these and `limit` are declared.
        lists: Option<Vec<String>>,
        /// The rule does not compile, and the reason holds this.
        unfit: Option<String>,
        #[serde(default)]
        arrives: Arrival,
        #[serde(default)]
        expect: Expected,
    }
    for case in cases::<Case>("rules") {
        let members = case.lists.as_ref().map(|lists| {
            let lists = lists.iter().map(|name| (name.as_str(), true));
            lists.chain([("limit", false)]).collect()
        });
        let known = Known::operation(&Declared {
            method: case.arrives.method.as_deref().unwrap_or("POST"),
            parameters: case.arrives.params.iter().map(|(name, _)| name.as_str()).collect(),
            query: members,
            system: "web",
            accounts: vec!["shop"],
            body: case.schema.as_ref(),
        });
        let compiled = |(n, rule): (usize, &String)| {
            let otherwise = format!("rule {n}");
            match case.schema.is_some() || case.lists.is_some() {
                true => Rule::compile_for(rule, &otherwise, &known)
                    .map(|(rule, _)| rule)
                    .map_err(|remarks| remarks[0].message.clone()),
                false => Rule::compile(rule, &otherwise).map_err(|error| error.to_string()),
            }
        };
        let rules: Result<Vec<Rule>, _> = case.rules.iter().enumerate().map(compiled).collect();
        match (rules, &case.unfit) {
            (Ok(rules), None) => judge(&case.name, &Rules::new(rules), &case.arrives, &case.expect),
            (Err(error), Some(reason)) => {
                assert!(error.to_string().contains(reason), "{}: {error}", case.name);
            }
            (Ok(_), Some(reason)) => panic!("{}: compiles, expected: {reason}", case.name),
            (Err(error), None) => panic!("{}: {error}", case.name),
        }
    }
}

#[test]
fn keep() {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Case {
        name: String,
        keep: Vec<String>,
        /// The list does not compile, and the reason holds this.
        unfit: Option<String>,
        #[serde(default)]
        arrives: Arrival,
        #[serde(default)]
        expect: Expected,
    }
    for case in cases::<Case>("keep") {
        let list = match (KeepList::compile(&case.keep), &case.unfit) {
            (Ok(list), None) => Arc::new(list),
            (Err(error), Some(reason)) => {
                assert!(error.to_string().contains(reason), "{}: {error}", case.name);
                continue;
            }
            (Ok(_), Some(reason)) => panic!("{}: compiles, expected: {reason}", case.name),
            (Err(error), None) => panic!("{}: {error}", case.name),
        };
        let control = if case.arrives.is_reply() { Keep::reply(list) } else { Keep::request(list) };
        judge(&case.name, &control, &case.arrives, &case.expect);
    }
}

#[test]
fn count() {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Case {
        name: String,
        /// Where records are named; by shape without.
        at: Option<Vec<String>>,
        arrives: Arrival,
        #[serde(default)]
        expect: Expected,
    }
    for case in cases::<Case>("count") {
        let at = case.at.as_ref().map(|at| Arc::new(KeepList::compile(at).unwrap()));
        let control = if case.arrives.is_reply() { Count::reply(at) } else { Count::request(at) };
        judge(&case.name, &control, &case.arrives, &case.expect);
    }
}

#[test]
fn subject() {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Case {
        name: String,
        places: Vec<String>,
        /// A place does not compile, and the reason holds this.
        unfit: Option<String>,
        /// The keys cannot be had.
        #[serde(default)]
        keys_unavailable: bool,
        #[serde(default)]
        arrives: Arrival,
        #[serde(default)]
        expect: Expected,
    }
    for case in cases::<Case>("subject") {
        let places = match (Places::compile(&case.places), &case.unfit) {
            (Ok(places), None) => Arc::new(places),
            (Err(error), Some(reason)) => {
                assert!(error.to_string().contains(reason), "{}: {error}", case.name);
                continue;
            }
            (Ok(_), Some(reason)) => panic!("{}: compiles, expected: {reason}", case.name),
            (Err(error), None) => panic!("{}: {error}", case.name),
        };
        let keys: Arc<dyn SubjectKeys> = Arc::new(Numbered { unavailable: case.keys_unavailable });
        let mut exchange = case.arrives.exchange();
        let request = DataSubjects::request(Arc::clone(&places), Arc::clone(&keys));
        let mut verdict = judged(&request, &mut exchange);
        if verdict.is_ok() {
            verdict = judged(&DataSubjects::reply(places, keys), &mut exchange);
        }
        case.expect.check(&case.name, &verdict, &mut exchange, case.arrives.is_reply());
        for subject in &exchange.subjects {
            assert_eq!(subject.owner.expose(), &numbered(&subject.id), "{}", case.name);
        }
    }
}

/// Gives every subject a key that is made of its id.
struct Numbered {
    unavailable: bool,
}

impl SubjectKeys for Numbered {
    fn keys<'a>(&'a self, ids: &'a [Box<str>]) -> BoxFuture<'a, Result<Vec<Arc<OwnerKey>>, Box<Denial>>> {
        assert!(!ids.is_empty(), "nobody asks for nothing");
        let keys = ids.iter().map(|id| Arc::new(OwnerKey::new([0; 16], numbered(id)))).collect();
        let denial = || Box::new(Denial::new(&ironbridge_core::code::AUDIT_UNAVAILABLE));
        Box::pin(std::future::ready(if self.unavailable { Err(denial()) } else { Ok(keys) }))
    }
}

fn numbered(id: &str) -> [u8; 32] {
    std::array::from_fn(|place| id.as_bytes().get(place).copied().unwrap_or(0))
}

#[test]
fn limit() {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Case {
        name: String,
        limits: Vec<Limit>,
        steps: Vec<Step>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Limit {
        per: String,
        name: String,
        count: u64,
        window_ms: u64,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Step {
        /// Since the first step.
        at_ms: u64,
        #[serde(default)]
        arrives: Arrival,
        #[serde(default)]
        expect: Expected,
        /// How many arrive like this; the expectation holds for the last, those before it pass.
        #[serde(default = "one")]
        times: usize,
        /// The code of the denial that ends it after the limits let it pass.
        ends: Option<String>,
        /// Forget the controls but not the table, as a reload does.
        #[serde(default)]
        reload: bool,
    }
    fn one() -> usize {
        1
    }
    for case in cases::<Case>("limit") {
        let table = Arc::new(LimitTable::default());
        let load = || -> Vec<Box<dyn Control>> {
            let limits = case.limits.iter().map(|limit| -> Box<dyn Control> {
                let quota = Quota::new(limit.count, Duration::from_millis(limit.window_ms)).unwrap();
                let table = Arc::clone(&table);
                match limit.per.as_str() {
                    "account" => Box::new(RateLimit::per_account(table, &limit.name, quota)),
                    "address" => Box::new(RateLimit::per_address(table, &limit.name, quota)),
                    "operation" => Box::new(RateLimit::per_operation(table, &limit.name, quota)),
                    "failures" => Box::new(FailedAuthentication::new(table, quota).unwrap()),
                    other => panic!("no limit per {other}"),
                }
            });
            limits.collect()
        };
        let mut controls = load();
        for (n, step) in case.steps.iter().enumerate() {
            if step.reload {
                controls = load();
            }
            for time in 1..=step.times {
                let name = format!("{}, step {n}", case.name);
                let mut exchange = step.arrives.exchange();
                exchange.started = Duration::from_secs(100) + Duration::from_millis(step.at_ms);
                let verdict = controls.iter().try_for_each(|control| block_on(control.judge(&mut exchange)));
                let ending = match (&verdict, &step.ends) {
                    (Err(Stop::Deny(denial)), _) => Ending::Denied(denial.code),
                    (_, Some(id)) => Ending::Denied(code(id)),
                    _ => Ending::Delivered(Answered { mark: None, said: Said::Done }),
                };
                controls.iter().for_each(|control| control.settle(&exchange, &ending));
                let expected = if time < step.times { &Expected::default() } else { &step.expect };
                expected.check(&name, &verdict, &mut exchange, false);
            }
        }
    }
}

/// What an operation knows of its requests, and what that says of rules.
#[test]
fn typing() {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Case {
        schema: Option<serde_json::Value>,
        rules: Vec<Told>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Told {
        rule: String,
        error: Option<String>,
        warning: Option<String>,
        help: Option<String>,
        marked: Option<String>,
    }
    let mut count = 0;
    for Case { schema, rules } in cases::<Case>("typing") {
        let known = Known::operation(&Declared {
            method: "POST",
            parameters: vec!["id"],
            query: Some(vec![("limit", false), ("tag", true)]),
            system: "shop",
            accounts: vec!["shop", "web"],
            body: schema.as_ref(),
        });
        for Told { rule, error, warning, help, marked } in rules {
            count += 1;
            let (errors, warnings) = match Rule::compile_for(&rule, "otherwise", &known) {
                Ok((_, warnings)) => (Vec::new(), warnings),
                Err(errors) => (errors, Vec::new()),
            };
            let of = |told: &[Remark]| told.first().map(|told| told.message.clone());
            assert_eq!((of(&errors), of(&warnings)), (error, warning), "{rule} with {schema:?}");
            let told = errors.first().or(warnings.first());
            if help.is_some() {
                assert_eq!(told.and_then(|told| told.help.clone()), help, "{rule}");
            }
            if let Some(marked) = &marked {
                let at = told.and_then(|told| told.at.clone()).unwrap_or_else(|| panic!("{rule}: no place"));
                assert_eq!(rule.get(at), Some(marked.as_str()), "{rule}");
            }
        }
    }
    assert!(count > 120, "{count}");
}
