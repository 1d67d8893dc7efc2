//! Names that a schema judges by something else than `properties`: what must be there or must not, what hangs on it,
//! and what names may be.

use super::{Shape, Steps, applied, conditional, resolved};
use serde_json::{Map, Value};

/// The names, or nothing where it cannot be told. `$ref`s are found in the document.
pub(crate) fn names<'s>(document: &'s Value, members: &'s Map<String, Value>) -> Option<Vec<&'s str>> {
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
    if let Some(schema) = of("propertyNames") {
        let words = of_names(document, schema, |members| {
            let values = members.get("enum").and_then(Value::as_array).into_iter().flatten();
            values.chain(members.get("const")).filter_map(Value::as_str).collect()
        });
        found.extend(words?);
    }
    Some(found)
}

/// The patterns that judge names, or nothing where it cannot be told.
pub(crate) fn patterns<'s>(document: &'s Value, members: &'s Map<String, Value>) -> Option<Vec<&'s str>> {
    let named = members.get("patternProperties").and_then(Value::as_object).into_iter().flatten();
    let mut found: Vec<&str> = named.map(|(pattern, _)| pattern.as_str()).collect();
    if let Some(schema) = members.get("propertyNames") {
        found.extend(of_names(document, schema, |members| {
            members.get("pattern").and_then(Value::as_str).into_iter().collect()
        })?);
    }
    Some(found)
}

/// How many schemas are looked at for what names may be.
const MOST: usize = 1000;

/// What all schemas hold that judge a name, through references.
fn of_names<'s>(
    document: &'s Value,
    schema: &'s Value,
    each: impl Fn(&'s Map<String, Value>) -> Vec<&'s str>,
) -> Option<Vec<&'s str>> {
    let (mut found, mut rest, mut left) = (Vec::new(), vec![schema], MOST);
    while let Some(value) = rest.pop() {
        left = left.checked_sub(1)?;
        match value {
            Value::Array(items) => rest.extend(items.iter().filter(|item| item.is_object())),
            Value::Object(members) => {
                found.extend(each(members));
                if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
                    rest.push(resolved(document, reference)?);
                }
                if members.contains_key("$dynamicRef") {
                    return None;
                }
                rest.extend(members.values().filter(|value| value.is_object() || value.is_array()));
            }
            _ => {}
        }
    }
    Some(found)
}

impl<'s> Shape<'s> {
    /// The patterns that judge names of members here, or nothing where it cannot be told.
    pub(crate) fn patterns_within(&self, steps: &Steps) -> Option<Vec<&'s str>> {
        let mut found = Vec::new();
        self.patterns_at(&mut found, steps, 0)?;
        found.sort_unstable();
        found.dedup();
        Some(found)
    }

    fn patterns_at(&self, found: &mut Vec<&'s str>, steps: &Steps, depth: usize) -> Option<()> {
        if !steps.take(depth) {
            return None;
        }
        let mut below = |part: &Shape<'s>| part.patterns_at(found, steps, depth + 1);
        match self {
            Shape::Of(_) | Shape::List(_) => Some(()),
            Shape::Unknown => None,
            Shape::Perhaps(part) => below(part),
            Shape::All(parts) | Shape::Either(parts) => parts.iter().try_for_each(below),
            Shape::Fits { document, schema } => {
                let Some(members) = schema.as_object() else { return Some(()) };
                let parts = applied(document, members).into_iter().chain(conditional(document, members));
                parts.into_iter().try_for_each(|part| below(&part))?;
                found.extend(patterns(document, members)?);
                Some(())
            }
        }
    }
}
