//! Keywords of a JSON Schema that no draft knows: the standard has them left out in silence.

use serde_json::{Map, Value};
use std::cell::{Cell, RefCell};

/// Keywords that hold one schema.
const ONE: [&str; 12] = [
    "additionalItems",
    "additionalProperties",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];
/// A list of schemas; `items` was one until 2019-09.
const MANY: [&str; 5] = ["allOf", "anyOf", "items", "oneOf", "prefixItems"];
/// A map of schemas by names of one's own; `dependencies` may also hold lists of names.
const NAMED: [&str; 6] =
    ["$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"];
/// Everything else of draft-04 to 2020-12.
const PLAIN: [&str; 42] = [
    "$anchor",
    "$comment",
    "$dynamicAnchor",
    "$dynamicRef",
    "$id",
    "$recursiveAnchor",
    "$recursiveRef",
    "$ref",
    "$schema",
    "$vocabulary",
    "const",
    "contentEncoding",
    "contentMediaType",
    "default",
    "dependentRequired",
    "deprecated",
    "description",
    "enum",
    "examples",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "id",
    "maxContains",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minContains",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "pattern",
    "readOnly",
    "required",
    "title",
    "type",
    "uniqueItems",
    "writeOnly",
    "example",
];

/// More are not worth telling, and a file of another kind has thousands.
pub const MOST: usize = 10;

/// Every schema inside a schema, itself too, with where it stands.
pub fn schemas(schema: &Value) -> Vec<(String, &Map<String, Value>)> {
    let mut found = Vec::new();
    // With an explicit stack, as a schema may be nested as deeply as JSON may.
    let mut open = vec![(String::new(), schema)];
    while let Some((at, schema)) = open.pop() {
        let Value::Object(members) = schema else { continue };
        for (keyword, value) in members {
            let (word, below) = (keyword.as_str(), format!("{at}/{keyword}"));
            match value {
                Value::Object(_) | Value::Bool(_) if ONE.contains(&word) => open.push((below, value)),
                Value::Array(items) if MANY.contains(&word) => {
                    open.extend(items.iter().enumerate().map(|(n, item)| (format!("{below}/{n}"), item)));
                }
                Value::Object(names) if NAMED.contains(&word) => {
                    open.extend(names.iter().map(|(name, named)| (format!("{below}/{name}"), named)));
                }
                _ => {}
            }
        }
        found.push((at, members));
    }
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    found
}

/// A place in a schema, behind what stands there.
pub fn place(at: &str) -> String {
    let short: String = at.chars().take(200).collect();
    if at.is_empty() { String::new() } else { format!(" (at {short})") }
}

/// The unknown keywords with where they stand: `` `requierd` (at /properties/lines) ``.
pub fn unknown(schema: &Value) -> Vec<String> {
    let known = |word: &str| {
        ONE.contains(&word)
            || MANY.contains(&word)
            || NAMED.contains(&word)
            || PLAIN.contains(&word)
            || word.starts_with("x-")
    };
    let all = schemas(schema);
    let words = all.iter().flat_map(|(at, members)| members.keys().map(move |word| (at, word)));
    let unknown = words.filter(|(_, word)| !known(word)).map(|(at, word)| {
        let short: String = word.chars().take(48).collect();
        format!("`{short}`{}", place(at))
    });
    unknown.take(MOST).collect()
}

/// How deep a schema is looked into for something that it refuses.
const DEEPEST: usize = 64;
/// How many places of it are looked at: alternatives inside one another multiply.
const MOST_PLACES: usize = 20_000;

/// Whether nothing at all is refused: `true`, `{}`, and what comes to the same. Where it cannot be told, no.
pub fn accepts_everything(schema: &Value) -> bool {
    let looked_at = LookedAt { whole: schema, left: Cell::new(MOST_PLACES), open: RefCell::default() };
    looked_at.refuses_nothing(schema) && looked_at.left.get() > 0
}

struct LookedAt<'s> {
    whole: &'s Value,
    left: Cell<usize>,
    /// What is being looked at: a schema that only leads back to itself refuses nothing.
    open: RefCell<Vec<*const Value>>,
}

impl LookedAt<'_> {
    fn refuses_nothing(&self, schema: &Value) -> bool {
        let place = std::ptr::from_ref(schema);
        if self.open.borrow().contains(&place) {
            return true;
        }
        self.left.set(self.left.get().saturating_sub(1));
        if self.open.borrow().len() > DEEPEST || self.left.get() == 0 {
            return false;
        }
        self.open.borrow_mut().push(place);
        let nothing = self.says_nothing(schema);
        self.open.borrow_mut().pop();
        nothing
    }

    fn says_nothing(&self, schema: &Value) -> bool {
        let (whole, nothing) = (self.whole, |schema: &Value| self.refuses_nothing(schema));
        let members = match schema {
            Value::Bool(all) => return *all,
            Value::Object(members) => members,
            _ => return false,
        };
        members.iter().all(|(keyword, value)| match (keyword.as_str(), value) {
            ("$defs" | "definitions", _) => true,
            ("$ref", Value::String(to)) => {
                to.strip_prefix('#').and_then(|pointer| whole.pointer(pointer)).is_some_and(nothing)
            }
            ("not", refused) => *refused == Value::Bool(false),
            ("if", _) => true,
            ("contains", _) => false,
            ("anyOf", Value::Array(any)) => any.iter().any(nothing),
            ("oneOf", Value::Array(one)) => one.len() == 1 && one.iter().all(nothing),
            ("type", Value::Array(types)) => ["array", "boolean", "null", "number", "object", "string"]
                .iter()
                .all(|kind| types.iter().any(|one| one == kind)),
            ("required", Value::Array(names)) => names.is_empty(),
            ("minLength" | "minItems" | "minProperties", least) => least.as_f64() == Some(0.0),
            ("uniqueItems", unique) => *unique == Value::Bool(false),
            (word, Value::Array(items)) if MANY.contains(&word) => items.iter().all(nothing),
            (word, Value::Object(named)) if NAMED.contains(&word) => named.values().all(nothing),
            (word, held) if ONE.contains(&word) => nothing(held),
            (word, _) => !REFUSING.contains(&word),
        })
    }
}

/// Keywords with a value of their own that refuse something. `$dynamicRef` and its like lead somewhere unknown.
const REFUSING: &[&str] = &[
    "$dynamicRef",
    "$recursiveRef",
    "$ref",
    "anyOf",
    "const",
    "dependentRequired",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "maxContains",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minContains",
    "minimum",
    "multipleOf",
    "oneOf",
    "pattern",
    "required",
    "type",
];

/// What a document is that is no schema, though as one it would accept everything.
pub fn other_document(document: &Value) -> Option<&'static str> {
    let has = |member: &str| document.get(member).is_some_and(|value| !value.is_boolean());
    [
        ("openapi", "an OpenAPI description"),
        ("swagger", "an OpenAPI (Swagger) description"),
        ("asyncapi", "an AsyncAPI description"),
    ]
    .into_iter()
    .find_map(|(member, kind)| (has(member) && !has("type") && !has("properties")).then_some(kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_no_draft_knows_is_found_wherever_a_schema_stands() {
        for (schema, expected) in [
            (json!({ "type": "object", "requierd": ["a"] }), "`requierd`"),
            (json!({ "properties": { "a": { "maxlength": 3 } } }), "`maxlength` (at /properties/a)"),
            (json!({ "items": [{ "typ": "x" }] }), "`typ` (at /items/0)"),
            (json!({ "$defs": { "d": { "not": { "enums": [] } } } }), "`enums` (at /$defs/d/not)"),
            (json!({ "if": { "Type": "x" } }), "`Type` (at /if)"),
        ] {
            assert_eq!(unknown(&schema), [expected], "{schema}");
        }
        for known in [
            json!(true),
            json!({ "$comment": "a note", "x-owner": "shop", "description": "d", "example": 1 }),
            json!({ "properties": { "requierd": { "type": "string" } }, "required": ["requierd"] }),
            json!({ "enum": [{ "requierd": 1 }], "const": { "b": 1 }, "default": { "c": 2 }, "examples": [{ "d": 1 }] }),
            json!({ "dependencies": { "a": ["b"], "c": { "type": "string" } }, "additionalProperties": false }),
        ] {
            assert!(unknown(&known).is_empty(), "{known}: {:?}", unknown(&known));
        }
        assert!(other_document(&json!({ "openapi": "3.1.0", "paths": {} })).is_some());
        assert!(other_document(&json!({ "type": "object", "properties": { "openapi": {} } })).is_none());
    }

    /// Were each alternative of each level looked at, this would take years.
    #[test]
    fn alternatives_inside_one_another_are_looked_at_for_a_while() {
        let mut levels = serde_json::Map::new();
        for level in 0..40 {
            let next = json!({ "$ref": format!("#/$defs/d{}", level + 1) });
            levels.insert(format!("d{level}"), json!({ "anyOf": [next, next] }));
        }
        levels.insert("d40".to_owned(), json!({ "minLength": 1 }));
        assert!(!accepts_everything(&json!({ "$ref": "#/$defs/d0", "$defs": levels })));
    }

    #[test]
    fn a_schema_that_only_leads_back_to_itself_refuses_nothing() {
        for schema in [
            json!({ "$ref": "#" }),
            json!({ "allOf": [{ "$ref": "#" }] }),
            json!({ "$ref": "#/$defs/a", "$defs": { "a": { "$ref": "#/$defs/b" }, "b": { "$ref": "#/$defs/a" } } }),
            json!({ "anyOf": [{ "type": "string" }, { "$ref": "#" }] }),
            json!({ "properties": { "next": { "$ref": "#" } } }),
        ] {
            assert!(accepts_everything(&schema), "{schema}");
        }
        let node = json!({ "type": "object", "properties": { "next": { "$ref": "#" } } });
        assert!(!accepts_everything(&node));
        assert!(!accepts_everything(&json!({ "allOf": [{ "$ref": "#" }, { "minLength": 1 }] })));
    }

    #[test]
    fn a_schema_that_refuses_nothing_is_known() {
        for all in [
            json!(true),
            json!({}),
            json!({ "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "order", "x-owner": "shop" }),
            json!({ "properties": { "a": {}, "b": true }, "additionalProperties": true }),
            json!({ "allOf": [{}, true] }),
            json!({ "anyOf": [{ "type": "object" }, {}] }),
            json!({ "$ref": "#/$defs/any", "$defs": { "any": {}, "strict": { "type": "string" } } }),
            json!({ "required": [], "minProperties": 0 }),
            json!({ "type": ["object", "array", "string", "number", "boolean", "null"] }),
            json!({ "not": false }),
            json!({ "requierd": ["a"] }),
        ] {
            assert!(accepts_everything(&all), "{all}");
        }
        for some in [
            json!(false),
            json!({ "type": "object" }),
            json!({ "properties": { "a": { "type": "string" } } }),
            json!({ "properties": { "a": false } }),
            json!({ "required": ["a"] }),
            json!({ "not": {} }),
            json!({ "anyOf": [{ "type": "object" }] }),
            json!({ "oneOf": [{}, {}] }),
            json!({ "contains": {} }),
            json!({ "if": {}, "then": false }),
            json!({ "$ref": "other.json" }),
            json!({ "additionalProperties": false }),
            json!({ "propertyNames": { "pattern": "^a" } }),
            json!({ "enum": [] }),
        ] {
            assert!(!accepts_everything(&some), "{some}");
        }
    }
}
