//! What a JSON Schema says in vain, or so that nothing can fit it. The standard lets both pass in silence.

use crate::schema_words::{MOST, place, schemas};
use ironbridge_core::nearest::closest;
use serde_json::{Map, Value, json};

/// Keywords of drafts before 2020-12 and annotations, which check nothing, and what to write.
const IDLE: [(&str, &str); 9] = [
    ("additionalItems", "`items` stands for the elements behind `prefixItems`"),
    ("dependencies", "write `dependentRequired` or `dependentSchemas`"),
    ("id", "write `$id`"),
    ("$recursiveRef", "write `$dynamicRef`"),
    ("$recursiveAnchor", "write `$dynamicAnchor`"),
    ("contentEncoding", "it describes only"),
    ("contentMediaType", "it describes only"),
    ("contentSchema", "it describes only"),
    ("example", "it describes only, and is called `examples`"),
];

/// Keywords that need another beside them (Core §10.2.2, §10.3.1; Validation §6.4).
const PARTNERS: [(&str, &[&str]); 5] = [
    ("then", &["if"]),
    ("else", &["if"]),
    ("if", &["then", "else"]),
    ("minContains", &["contains"]),
    ("maxContains", &["contains"]),
];

/// The formats that are checked (Validation §7.3).
const FORMATS: [&str; 19] = [
    "date",
    "date-time",
    "duration",
    "email",
    "hostname",
    "idn-email",
    "idn-hostname",
    "ipv4",
    "ipv6",
    "iri",
    "iri-reference",
    "json-pointer",
    "regex",
    "relative-json-pointer",
    "time",
    "uri",
    "uri-reference",
    "uri-template",
    "uuid",
];

/// Keywords that judge values of one type only (Validation §6, Core §10.3).
const TYPED: [(&str, &[&str]); 6] = [
    ("string", &["format", "maxLength", "minLength", "pattern"]),
    ("number", &["exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "multipleOf"]),
    ("integer", &["exclusiveMaximum", "exclusiveMinimum", "maximum", "minimum", "multipleOf"]),
    (
        "array",
        &["contains", "items", "maxItems", "minItems", "prefixItems", "unevaluatedItems", "uniqueItems"],
    ),
    (
        "object",
        &[
            "additionalProperties",
            "dependentRequired",
            "dependentSchemas",
            "maxProperties",
            "minProperties",
            "patternProperties",
            "properties",
            "propertyNames",
            "required",
            "unevaluatedProperties",
        ],
    ),
    ("boolean", &[]),
];

/// Limits of which the first may not lie above the second.
const LIMITS: [(&str, &str); 7] = [
    ("minimum", "maximum"),
    ("exclusiveMinimum", "maximum"),
    ("minimum", "exclusiveMaximum"),
    ("minLength", "maxLength"),
    ("minItems", "maxItems"),
    ("minProperties", "maxProperties"),
    ("minContains", "maxContains"),
];

/// What checks nothing, in sentences without their full stop.
pub fn in_vain(schema: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for (at, members) in schemas(schema) {
        let place = place(&at);
        for (word, instead) in IDLE {
            // In an older draft's `properties` these are names.
            if members.contains_key(word) && word != "example" {
                found.push(format!("`{word}`{place} checks nothing: {instead}"));
            }
        }
        for (word, partners) in PARTNERS {
            if members.contains_key(word) && !partners.iter().any(|partner| members.contains_key(*partner)) {
                let partners = partners.join("` or `");
                found.push(format!("`{word}`{place} checks nothing without `{partners}`"));
            }
        }
        if let Some(Value::String(format)) = members.get("format")
            && !FORMATS.contains(&format.as_str())
        {
            let format: String = format.chars().take(48).collect();
            let near = closest(&format, FORMATS.into_iter());
            let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            found.push(format!("the format `{format}`{place} is none that is checked{near}"));
        }
        found.extend(of_another_type(members, &place));
    }
    if let Value::Object(members) = schema
        && let Some(word) = ["required", "properties"].into_iter().find(|word| members.contains_key(*word))
        && !says_type(members)
    {
        found.push(format!(
            "`{word}` judges objects only, and nothing says that a body must be one: add `\"type\": \"object\"`"
        ));
    }
    found.truncate(MOST);
    found
}

/// Whether something says what a body must be. By whatever is combined here it may.
fn says_type(members: &Map<String, Value>) -> bool {
    ["type", "enum", "const", "$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "not", "if"]
        .iter()
        .any(|word| members.contains_key(*word))
}

/// Keywords beside a `type` that they do not judge.
fn of_another_type(members: &Map<String, Value>, place: &str) -> Vec<String> {
    let Some(types) = types(members) else { return Vec::new() };
    let judged = |word: &str| TYPED.iter().any(|(kind, words)| types.contains(kind) && words.contains(&word));
    let all = TYPED.iter().flat_map(|(_, words)| words.iter().copied());
    let idle = all.filter(|word| members.contains_key(*word) && !judged(word));
    let mut idle: Vec<&str> = idle.collect();
    idle.sort_unstable();
    idle.dedup();
    let types = types.join(" or ");
    idle.iter().map(|word| format!("`{word}`{place} judges nothing of type {types}")).collect()
}

fn types(members: &Map<String, Value>) -> Option<Vec<&str>> {
    match members.get("type")? {
        Value::String(one) => Some(vec![one]),
        Value::Array(several) => several.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

/// What nothing can fit, in sentences without their full stop.
pub fn unfittable(schema: &Value) -> Vec<String> {
    if *schema == Value::Bool(false) {
        return vec!["the schema is `false`, so no body fits it".to_owned()];
    }
    let mut found = Vec::new();
    for (at, members) in schemas(schema) {
        let place = place(&at);
        if members.get("enum").and_then(Value::as_array).is_some_and(Vec::is_empty) {
            found.push(format!("`enum`{place} is empty, so nothing fits it"));
        }
        if members.get("not").is_some_and(|refused| *refused == Value::Bool(true) || *refused == json!({})) {
            found.push(format!("`not`{place} refuses everything"));
        }
        for (least, most) in LIMITS {
            let limit = |word: &str| members.get(word).and_then(Value::as_f64);
            let crossed = limit(least).zip(limit(most)).is_some_and(|(least_value, most_value)| {
                let touches = least.starts_with("exclusive") || most.starts_with("exclusive");
                least_value > most_value || (touches && least_value >= most_value)
            });
            if crossed {
                found.push(format!("`{least}`{place} lies above `{most}`, so nothing fits both"));
            }
        }
        found.extend(required_and_refused(members, &place));
    }
    found.truncate(MOST);
    found
}

fn required_and_refused(members: &Map<String, Value>, place: &str) -> Vec<String> {
    let properties = members.get("properties").and_then(Value::as_object);
    let closed = members.get("additionalProperties") == Some(&Value::Bool(false))
        && !members.contains_key("patternProperties");
    let refused = |name: &str| match properties.and_then(|named| named.get(name)) {
        Some(schema) => *schema == Value::Bool(false),
        None => closed,
    };
    let required = members.get("required").and_then(Value::as_array).into_iter().flatten();
    let names = required.filter_map(Value::as_str).filter(|name| refused(name));
    names
        .map(|name| {
            let name: String = name.chars().take(48).collect();
            let near = properties.and_then(|named| closest(&name, named.keys().map(String::as_str)));
            let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            format!("`{name}` is required{place}, and cannot be there{near}")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_checks_nothing_is_told() {
        for (schema, said) in [
            (
                json!({ "format": "emial" }),
                "the format `emial` is none that is checked; did you mean `email`?",
            ),
            (json!({ "type": "integer", "format": "int32" }), "the format `int32`"),
            (json!({ "prefixItems": [true], "additionalItems": false }), "`additionalItems` checks nothing"),
            (
                json!({ "dependencies": { "a": ["b"] } }),
                "`dependencies` checks nothing: write `dependentRequired`",
            ),
            (json!({ "id": "x" }), "`id` checks nothing: write `$id`"),
            (json!({ "contentEncoding": "base64" }), "`contentEncoding` checks nothing"),
            (json!({ "then": false }), "`then` checks nothing without `if`"),
            (json!({ "if": { "required": ["a"] } }), "`if` checks nothing without `then` or `else`"),
            (json!({ "minContains": 2 }), "`minContains` checks nothing without `contains`"),
            (json!({ "type": "object", "maxLength": 3 }), "`maxLength` judges nothing of type object"),
            (
                json!({ "properties": { "a": { "type": "number", "pattern": "a" } } }),
                "`properties` judges objects only",
            ),
            (
                json!({ "type": "array", "items": { "type": ["string", "null"], "minimum": 3 } }),
                "`minimum` (at /items) judges nothing of type string or null",
            ),
            (json!({ "required": ["a"] }), "`required` judges objects only"),
        ] {
            let told = in_vain(&schema);
            assert!(told.iter().any(|told| told.starts_with(said)), "{schema}: {told:?}");
        }
        for sound in [
            json!({ "type": "object", "properties": { "id": { "type": "string", "format": "uuid" }, "if": { "type": "integer", "minimum": 0 }, "format": {} } }),
            json!({ "type": ["object", "null"], "required": ["a"] }),
            json!({ "if": {}, "then": {}, "contains": {}, "minContains": 0 }),
            json!({ "allOf": [{ "properties": {} }], "properties": {} }),
            json!({ "type": ["string", "integer"], "maxLength": 3, "minimum": 1 }),
            json!({ "enum": [{ "format": "x" }], "default": { "then": 1 } }),
            json!(true),
        ] {
            assert!(in_vain(&sound).is_empty(), "{sound}: {:?}", in_vain(&sound));
        }
    }

    #[test]
    fn what_nothing_fits_is_told() {
        for (schema, said) in [
            (json!(false), "the schema is `false`"),
            (json!({ "enum": [] }), "`enum` is empty"),
            (json!({ "not": {} }), "`not` refuses everything"),
            (json!({ "items": { "not": true } }), "`not` (at /items) refuses everything"),
            (json!({ "minimum": 5, "maximum": 3 }), "`minimum` lies above `maximum`"),
            (json!({ "exclusiveMinimum": 3, "maximum": 3 }), "`exclusiveMinimum` lies above `maximum`"),
            (
                json!({ "items": { "minLength": 5, "maxLength": 3 } }),
                "`minLength` (at /items) lies above `maxLength`",
            ),
            (json!({ "minItems": 2, "maxItems": 1 }), "`minItems`"),
            (
                json!({ "properties": { "lines": {} }, "required": ["line"], "additionalProperties": false }),
                "`line` is required, and cannot be there; did you mean `lines`?",
            ),
            (
                json!({ "properties": { "a": false }, "required": ["a"] }),
                "`a` is required, and cannot be there",
            ),
        ] {
            let told = unfittable(&schema);
            assert!(told.iter().any(|told| told.starts_with(said)), "{schema}: {told:?}");
        }
        for fits in [
            json!({ "minimum": 3, "maximum": 3, "minLength": 0, "maxLength": 0 }),
            json!({ "required": ["a"], "additionalProperties": false, "patternProperties": { "a": {} } }),
            json!({ "properties": { "a": false } }),
            json!({ "not": { "type": "string" } }),
            json!({ "required": ["a"] }),
        ] {
            assert!(unfittable(&fits).is_empty(), "{fits}: {:?}", unfittable(&fits));
        }
    }
}
