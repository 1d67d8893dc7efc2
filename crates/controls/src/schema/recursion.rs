//! Whether a schema comes back to itself through alternatives.
//!
//! Validating is memoised, so it stays linear. Telling what is wrong is not: the library explores every
//! alternative of every level again, so a body of 30 levels against `{"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}`
//! would take years. For such schemas a refusal says only that the body does not fit.

use serde_json::Value;
use std::collections::HashMap;

/// Keywords that look at one place of a document more than once (Core §10.2, §10.3; Validation has none), and
/// references that are resolved while validating.
const BRANCHES: [&str; 12] = [
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "dependentSchemas",
    "contains",
    "patternProperties",
    "unevaluatedProperties",
    "unevaluatedItems",
    "propertyNames",
    "$dynamicRef",
];

pub(super) fn branches_recursively(schema: &Value) -> bool {
    let mut branches = false;
    visit(schema, |members| branches |= BRANCHES.iter().any(|keyword| members.contains_key(*keyword)));
    branches && recurs(schema)
}

/// Whether any reference leads back to a place that leads to it. A depth-first walk; a place that is still open
/// when it is reached again lies on a circle.
fn recurs(root: &Value) -> bool {
    enum Step<'s> {
        Enter(&'s Value),
        Leave(*const Value),
    }
    let mut open: HashMap<*const Value, bool> = HashMap::new();
    let mut steps = vec![Step::Enter(root)];
    while let Some(step) = steps.pop() {
        let value = match step {
            Step::Leave(place) => {
                open.insert(place, false);
                continue;
            }
            Step::Enter(value) => value,
        };
        let place = std::ptr::from_ref(value);
        match open.get(&place) {
            Some(true) => return true,
            Some(false) => continue,
            None => {}
        }
        open.insert(place, true);
        steps.push(Step::Leave(place));
        match value {
            Value::Array(items) => steps.extend(items.iter().map(Step::Enter)),
            Value::Object(members) => {
                if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
                    match resolve(root, reference) {
                        Some(target) => steps.push(Step::Enter(target)),
                        // By an anchor or an id: rather take it for a circle than miss one.
                        None => return true,
                    }
                }
                steps.extend(members.values().map(Step::Enter));
            }
            _ => {}
        }
    }
    false
}

/// The place that a reference by JSON Pointer means.
fn resolve<'s>(root: &'s Value, reference: &str) -> Option<&'s Value> {
    let pointer = reference.strip_prefix('#')?;
    // Percent-encoding would have to be undone first; nobody needs it in practice.
    if pointer.contains('%') { None } else { root.pointer(pointer) }
}

fn visit(value: &Value, mut each: impl FnMut(&serde_json::Map<String, Value>)) {
    let mut rest = vec![value];
    while let Some(value) = rest.pop() {
        match value {
            Value::Array(items) => rest.extend(items),
            Value::Object(members) => {
                each(members);
                rest.extend(members.values());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_alternatives_on_a_circle_count() {
        let tree = json!({"$ref": "#/$defs/n", "$defs": {"n": {"properties": {"a": {"$ref": "#/$defs/n"}}}}});
        let lists = json!({"anyOf": [{"$ref": "#/$defs/n"}, {"$ref": "#/$defs/n"}], "$defs": {"n": true}});
        let both = json!({"$ref": "#/$defs/n", "$defs": {"n": {"anyOf": [
            {"properties": {"a": {"$ref": "#/$defs/n"}}, "required": ["x"]},
            {"properties": {"a": {"$ref": "#/$defs/n"}}, "required": ["y"]},
        ]}}});
        let whole = json!({"anyOf": [{"items": {"$ref": "#"}}, {"type": "string"}]});
        let anchor = json!({"anyOf": [{"$ref": "#here"}], "$defs": {"n": {"$anchor": "here"}}});
        assert!(!branches_recursively(&tree));
        assert!(!branches_recursively(&lists));
        assert!(branches_recursively(&both));
        assert!(branches_recursively(&whole));
        assert!(branches_recursively(&anchor));
    }
}
