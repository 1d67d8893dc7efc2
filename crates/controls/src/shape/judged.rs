//! Names that a schema judges by something else than `properties`: what must be there or must not, what hangs on it,
//! and what names may be.

use super::reference::{has_id, resolved};
use serde_json::{Map, Value};
use std::collections::HashSet;

/// What was found, and whether that is all: not where a reference cannot be followed.
type Found<'s> = (Vec<&'s str>, bool);

/// The names. `$ref`s are found in the document.
pub(crate) fn names<'s>(document: &'s Value, members: &'s Map<String, Value>) -> Found<'s> {
    let of = |word: &str| members.get(word);
    let list = |value: &'s Value| value.as_array().into_iter().flatten().filter_map(Value::as_str);
    let mut found: Vec<&str> = of("required").into_iter().flat_map(list).collect();
    // The last is what earlier drafts call the other two.
    for word in ["dependentRequired", "dependentSchemas", "dependencies"] {
        for (name, needs) in of(word).and_then(Value::as_object).into_iter().flatten() {
            found.push(name);
            found.extend(list(needs));
        }
    }
    let values = of("enum").and_then(Value::as_array).into_iter().flatten().chain(of("const"));
    found.extend(values.filter_map(Value::as_object).flat_map(|value| value.keys().map(String::as_str)));
    let (words, is_all) =
        of("propertyNames").map_or((Vec::new(), true), |schema| of_names(document, schema, texts));
    found.extend(words);
    (found, is_all)
}

/// The patterns that judge names.
pub(crate) fn patterns<'s>(document: &'s Value, members: &'s Map<String, Value>) -> Found<'s> {
    let named = members.get("patternProperties").and_then(Value::as_object).into_iter().flatten();
    let mut found: Vec<&str> = named.map(|(pattern, _)| pattern.as_str()).collect();
    let schema = members.get("propertyNames");
    let (words, is_all) = schema.map_or((Vec::new(), true), |schema| of_names(document, schema, pattern));
    found.extend(words);
    (found, is_all)
}

/// The texts that a schema says a text may be.
pub(crate) fn texts(members: &Map<String, Value>) -> Vec<&str> {
    let values = members.get("enum").and_then(Value::as_array).into_iter().flatten();
    values.chain(members.get("const")).filter_map(Value::as_str).collect()
}

/// The pattern that a schema says a text must fit.
pub(crate) fn pattern(members: &Map<String, Value>) -> Vec<&str> {
    members.get("pattern").and_then(Value::as_str).into_iter().collect()
}

/// How many schemas are looked at for what names may be.
const MOST: usize = 1000;

/// What all schemas hold that judge a name, through references.
fn of_names<'s>(
    document: &'s Value,
    schema: &'s Value,
    each: impl Fn(&'s Map<String, Value>) -> Vec<&'s str>,
) -> Found<'s> {
    let (mut found, mut is_all, mut rest) = (Vec::new(), true, vec![(document, schema)]);
    let is_part = |value: &&Value| value.is_object() || value.is_array();
    let mut seen: HashSet<*const Value> = HashSet::new();
    while let Some((document, value)) = rest.pop() {
        if seen.len() == MOST {
            return (found, false);
        }
        if !seen.insert(std::ptr::from_ref(value)) {
            continue;
        }
        let document = if has_id(value) { value } else { document };
        match value {
            Value::Array(items) => rest.extend(items.iter().filter(is_part).map(|item| (document, item))),
            Value::Object(members) => {
                found.extend(each(members));
                if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
                    match resolved(document, reference) {
                        Some(target) => rest.push((document, target)),
                        None => is_all = false,
                    }
                }
                is_all &= !members.contains_key("$dynamicRef");
                rest.extend(members.values().filter(is_part).map(|value| (document, value)));
            }
            _ => {}
        }
    }
    (found, is_all)
}
