//! Keywords of a JSON Schema that no draft knows: the standard has them left out in silence.

use serde_json::Value;

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
const MOST: usize = 10;

/// The unknown keywords with where they stand: `` `requierd` (at /properties/lines) ``.
pub fn unknown(schema: &Value) -> Vec<String> {
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
                _ if ONE.contains(&word) || MANY.contains(&word) || NAMED.contains(&word) => {}
                _ if PLAIN.contains(&word) || word.starts_with("x-") => {}
                _ if found.len() < MOST => {
                    let short: String = word.chars().take(48).collect();
                    let place = if at.is_empty() { String::new() } else { format!(" (at {at})") };
                    found.push(format!("`{short}`{place}"));
                }
                _ => return found,
            }
        }
    }
    found.sort();
    found
}

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
}
