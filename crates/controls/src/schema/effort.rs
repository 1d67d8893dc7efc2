//! What judging one body may cost. The validator has no budget, so the body that it looks at has one: every value and
//! text that it asks for takes of it, and when nothing is left the body seems to end, and the judgement does not count.
//!
//! The validator makes instances without a place to keep anything (names of members are plain texts), and it judges a
//! body in one go on one thread, so what is left is kept with the thread.

use crate::pattern::{Pattern, PatternError};
use serde_json::Value;
use std::cell::Cell;

/// As rules have. Measured, a step is 20 to 50 ns, so this is about a second.
pub(super) const MOST_STEPS: u64 = 20_000_000;

const BYTES_A_STEP: usize = 64;

thread_local! {
    static LEFT: Cell<u64> = const { Cell::new(0) };
    static RAN_OUT: Cell<bool> = const { Cell::new(false) };
    static NAME_COST: Cell<u64> = const { Cell::new(0) };
}

/// Begins with the judgement of a body.
pub(super) fn begin(most_steps: u64, name_cost: u64) {
    LEFT.set(most_steps);
    RAN_OUT.set(false);
    NAME_COST.set(name_cost);
}

pub(super) fn ran_out() -> bool {
    RAN_OUT.get()
}

/// Whether there were as many.
pub(super) fn spend(steps: u64) -> bool {
    match LEFT.get().checked_sub(steps) {
        Some(left) => {
            LEFT.set(left);
            true
        }
        None => {
            LEFT.set(0);
            RAN_OUT.set(true);
            false
        }
    }
}

/// For so many values or parts of one.
pub(super) fn spend_on(many: usize) -> bool {
    spend(u64::try_from(many).unwrap_or(u64::MAX))
}

/// For looking at a text once.
pub(super) fn read(text: &str) -> bool {
    spend_on(1 + text.len() / BYTES_A_STEP)
}

/// For the name of a member.
pub(super) fn name(name: &str) -> bool {
    let length = u64::try_from(name.len()).unwrap_or(u64::MAX);
    spend(1 + length.saturating_mul(NAME_COST.get()))
}

/// Whether a pattern is in a text.
pub(super) fn finds(pattern: &Pattern, text: &str) -> bool {
    pattern.is_in(text, spend).unwrap_or_else(|| {
        spend(u64::MAX);
        false
    })
}

/// Steps for each byte of a name: the validator's own engine takes one for each KiB of a pattern in the worst case
/// (measured: half a minute for 256 KiB and 1 MiB of text).
pub(super) fn of_names(schema: &Value) -> u64 {
    let mut cost = 0u64;
    let mut rest = vec![schema];
    while let Some(value) = rest.pop() {
        match value {
            Value::Array(items) => rest.extend(items),
            Value::Object(members) => {
                if let Some(Value::Object(patterns)) = members.get("patternProperties") {
                    cost = patterns.keys().map(|written| of_name(written)).fold(cost, u64::saturating_add);
                }
                rest.extend(members.values());
            }
            _ => {}
        }
    }
    cost
}

fn of_name(written: &str) -> u64 {
    // What is no pattern does not compile with the schema, unless it is in a value that the schema only compares with.
    let Ok(pattern) = jsonschema_regex::to_rust_regex(written) else { return 0 };
    match Pattern::of(&pattern) {
        Ok(pattern) => pattern.size(),
        Err(PatternError::Invalid) => 0,
        // The validator has other limits, and may take it.
        Err(PatternError::TooLarge) => u64::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{JsonSchema, Unfit};
    use ironbridge_core::Document;
    use serde_json::{Value, json};
    use std::sync::Arc;

    /// Whether it fits; `None` where it would take too long to say.
    fn judged(schema: &Value, body: String) -> Option<bool> {
        let mut schema = JsonSchema::compile(schema).unwrap();
        // What is counted is the same with fewer, and a build for tests is slow.
        Arc::get_mut(&mut schema.0).unwrap().most_steps /= 40;
        let mut document = Document::new(body.into());
        match schema.judge(&mut document) {
            Ok(()) => Some(true),
            Err(Unfit::Costly) => None,
            Err(_) => Some(false),
        }
    }

    #[test]
    fn a_pattern_of_names_that_cannot_be_built_costs_all_there_is() {
        let cost = |pattern: &str| super::of_names(&json!({ "patternProperties": { pattern: {} } }));
        assert_eq!(cost("((a{1,99}){1,99}){1,9}"), u64::MAX);
        assert_eq!(cost("("), 0);
        assert!((1..100).contains(&cost("^x-")));
    }

    #[test]
    fn what_would_take_too_long_is_not_judged() {
        let list = |element: &str, times: usize| format!(r#"{{"l":[{}]}}"#, vec![element; times].join(","));
        let members = |times: usize| (0..times).map(|n| format!(r#""k{n}":1"#)).collect::<Vec<_>>().join(",");
        let of = |items: Value| json!({ "properties": { "l": { "items": items } } });
        let some = |each: fn(usize) -> Value| (0..200).map(each).collect::<Vec<_>>();
        let long = format!(r#"{{"l":["{}"]}}"#, "a".repeat(200_000));
        let names = format!(r#"{{"l":[{{"{}":1}}]}}"#, "a".repeat(200_000));
        let some_names = || {
            let names = (0..200).map(|n| (format!("k{n}"), json!(["x"])));
            Value::Object(names.collect())
        };
        for (schema, body, fits) in [
            (of(json!({ "pattern": "^a+$", "minLength": 2 })), long.clone(), Some(true)),
            (of(json!({ "pattern": "^[\\w .-]{1,20}$" })), long.clone(), Some(false)),
            (of(json!({ "pattern": "(a{1,50}){1,50}b" })), long.clone(), None),
            (of(json!({ "not": { "pattern": "(a{1,50}){1,50}b" } })), long, None),
            // Each of these builds states anew, though none is long.
            (
                of(json!({ "pattern": "(a{1,50}){1,50}b" })),
                list(&format!("\"{}\"", "a".repeat(400)), 2000),
                None,
            ),
            (of(json!({ "pattern": "(a{1,50}){1,50}b" })), list(r#""aaaaaaaaaaaaaaab""#, 2000), Some(true)),
            (of(json!({ "patternProperties": { "^a+$": true } })), names.clone(), Some(true)),
            (of(json!({ "patternProperties": { "(a{1,50}){1,50}b": true } })), names.clone(), None),
            (of(json!({ "propertyNames": { "pattern": "(a{1,50}){1,50}b" } })), names, None),
            (of(json!({ "enum": some(|n| json!(n)) })), list("7", 1000), Some(true)),
            (
                of(json!({ "anyOf": [{ "enum": some(|n| json!(n as f64 + 0.5)) }, true] })),
                list("0.3333", 1000),
                None,
            ),
            (
                of(json!({ "anyOf": [{ "enum": some(|n| json!({ "a": n })) }, true] })),
                list(r#"{"a":-1}"#, 1000),
                None,
            ),
            (
                of(json!({ "anyOf": [{ "anyOf": some(|n| json!({ "const": n })) }, true] })),
                list("-1", 3000),
                None,
            ),
            (
                of(json!({ "anyOf": some(|n| json!({ "required": [format!("a{n}")] })) })),
                format!(r#"{{"l":[{{{}}}]}}"#, members(8000)).replace("}]", "},{}]"),
                Some(false),
            ),
            (json!({ "properties": { "l": { "uniqueItems": true } } }), list("1", 10_000), Some(false)),
            // Whether a member is there is asked of the object, whatever there is in the others.
            (
                json!({ "properties": { "l": true }, "dependentRequired": some_names() }),
                list("[1,2,3,4,5,6,7]", 60_000),
                Some(true),
            ),
            // It may be too large for the engine that judges names, and not for the validator's.
            (
                json!({ "properties": { "enum": { "enum": [{ "patternProperties": { "(": 1 } }] } } }),
                list("1", 10),
                Some(true),
            ),
        ] {
            assert_eq!(judged(&schema, body), fits, "{:.80}", schema.to_string());
        }
    }
}
