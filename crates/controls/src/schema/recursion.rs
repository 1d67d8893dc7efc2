//! Whether a schema comes back to itself through alternatives.
//!
//! Validating is memoised, so it stays linear. Telling what is wrong is not: the library explores every
//! alternative of every level again, so a body of 30 levels against `{"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}`
//! would take years. For such schemas a refusal says only that the body does not fit.
//!
//! One that comes back to itself without having gone down in the body can never be decided, and must not be
//! (Core §9.4.1); the library takes whatever comes for fitting.

use serde_json::{Map, Value};
use std::collections::HashMap;

/// Keywords that hold schemas for the same value (Core §10.2), one each, in a list, or by names.
const SAME_VALUE: [&str; 8] = ["allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"];

/// A place of the schema that leads back to itself for the same value, as a JSON Pointer.
pub(super) fn endless(root: &Value) -> Option<String> {
    let mut anchors: HashMap<&str, Vec<(String, &Value)>> = HashMap::new();
    let mut places = vec![(String::new(), root)];
    let mut all = Vec::new();
    while let Some((pointer, value)) = places.pop() {
        for word in ["$anchor", "$dynamicAnchor"] {
            if let Some(name) = value.get(word).and_then(Value::as_str) {
                anchors.entry(name).or_default().push((pointer.clone(), value));
            }
        }
        match value {
            Value::Array(items) => {
                places.extend(items.iter().enumerate().map(|(n, item)| (format!("{pointer}/{n}"), item)));
            }
            Value::Object(members) => places.extend(below(&pointer, members)),
            _ => {}
        }
        all.push((pointer, value));
    }
    let mut walk = Walk { root, anchors, open: HashMap::new() };
    // The outermost place is told.
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    all.into_iter().find_map(|(pointer, value)| walk.from(pointer, value))
}

fn below<'s>(pointer: &str, members: &'s Map<String, Value>) -> impl Iterator<Item = (String, &'s Value)> {
    members.iter().map(move |(name, value)| {
        (format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1")), value)
    })
}

struct Walk<'s> {
    root: &'s Value,
    anchors: HashMap<&'s str, Vec<(String, &'s Value)>>,
    /// Whether a place is still gone through.
    open: HashMap<*const Value, bool>,
}

impl<'s> Walk<'s> {
    /// A depth-first walk; a place that is still open when it is reached again lies on a circle.
    fn from(&mut self, pointer: String, value: &'s Value) -> Option<String> {
        let mut steps = vec![(pointer, value, false)];
        while let Some((pointer, value, is_left)) = steps.pop() {
            let place = std::ptr::from_ref(value);
            if is_left {
                self.open.insert(place, false);
                continue;
            }
            match self.open.get(&place) {
                Some(true) => return Some(pointer),
                Some(false) => continue,
                None => {}
            }
            self.open.insert(place, true);
            let next = self.of_the_same_value(&pointer, value);
            steps.push((pointer, value, true));
            steps.extend(next.into_iter().map(|(pointer, value)| (pointer, value, false)));
        }
        None
    }

    fn of_the_same_value(&self, pointer: &str, value: &'s Value) -> Vec<(String, &'s Value)> {
        let Value::Object(members) = value else { return Vec::new() };
        let mut found = Vec::new();
        for word in ["$ref", "$dynamicRef"] {
            let Some(reference) = members.get(word).and_then(Value::as_str) else { continue };
            let meant = reference.strip_prefix('#').unwrap_or_default();
            match if reference.is_empty() { Some(self.root) } else { resolve(self.root, reference) } {
                Some(target) => found.push((meant.to_owned(), target)),
                None => found.extend(self.anchors.get(meant).into_iter().flatten().cloned()),
            }
        }
        for (pointer, held) in below(pointer, members).filter(|(at, _)| {
            SAME_VALUE
                .iter()
                .any(|word| at.strip_prefix(pointer).and_then(|at| at.strip_prefix('/')) == Some(word))
        }) {
            match held {
                Value::Array(items) => {
                    found.extend(items.iter().enumerate().map(|(n, item)| (format!("{pointer}/{n}"), item)));
                }
                Value::Object(named) if pointer.ends_with("/dependentSchemas") => {
                    found.extend(below(&pointer, named))
                }
                held => found.push((pointer, held)),
            }
        }
        found
    }
}

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
    fn schemas_that_come_back_to_themselves_for_the_same_value_are_found() {
        for (schema, at) in [
            (json!({ "$ref": "#" }), ""),
            (json!({ "$ref": "" }), ""),
            (json!({ "allOf": [{ "$ref": "#" }] }), ""),
            (json!({ "anyOf": [{ "type": "string" }, { "$ref": "#" }] }), ""),
            (json!({ "not": { "$ref": "#" } }), ""),
            (json!({ "if": true, "then": { "$ref": "#" } }), ""),
            (json!({ "dependentSchemas": { "a": { "$ref": "#" } } }), ""),
            (
                json!({ "$ref": "#/$defs/a", "$defs": { "a": { "$ref": "#/$defs/b" }, "b": { "$ref": "#/$defs/a" } } }),
                "/$defs/a",
            ),
            (
                json!({ "$ref": "#a", "$defs": { "x": { "$anchor": "a", "oneOf": [{ "$ref": "#a" }] } } }),
                "/$defs/x",
            ),
            (json!({ "$dynamicAnchor": "n", "allOf": [{ "$dynamicRef": "#n" }] }), ""),
            (json!({ "properties": { "a": { "$ref": "#/properties/a" } } }), "/properties/a"),
            (
                json!({ "properties": { "x/y": { "allOf": [{ "$ref": "#/properties/x~1y" }] } } }),
                "/properties/x~1y",
            ),
            // These go down first.
            (json!({ "properties": { "a": { "$ref": "#" } } }), "none"),
            (json!({ "items": { "$ref": "#" }, "additionalProperties": { "$ref": "#" } }), "none"),
            (json!({ "anyOf": [{ "type": "string" }, { "items": { "$ref": "#" } }] }), "none"),
            (
                json!({ "$ref": "#/$defs/n", "$defs": { "n": { "properties": { "l": { "$ref": "#/$defs/n" } } } } }),
                "none",
            ),
            (
                json!({ "allOf": [{ "$ref": "#/$defs/n" }, { "$ref": "#/$defs/n" }], "$defs": { "n": {} } }),
                "none",
            ),
            (json!({ "propertyNames": { "$ref": "#" } }), "none"),
            (json!({ "contains": { "$ref": "#" }, "prefixItems": [{ "$ref": "#" }] }), "none"),
            (json!({ "$dynamicAnchor": "n", "properties": { "c": { "$dynamicRef": "#n" } } }), "none"),
        ] {
            assert_eq!(endless(&schema).unwrap_or_else(|| "none".into()), at, "{schema}");
        }
    }

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
