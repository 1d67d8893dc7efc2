//! Which schema a reference leads to.

use serde_json::Value;

pub(crate) fn has_id(schema: &Value) -> bool {
    schema.get("$id").is_some_and(Value::is_string)
}

/// By JSON Pointer. What leads elsewhere (anchors, other documents, into or through one that is embedded) says nothing
/// here.
pub(super) fn resolved<'s>(document: &'s Value, reference: &str) -> Option<&'s Value> {
    let pointer = reference.strip_prefix('#')?;
    let before = pointer.match_indices('/').skip(1).filter_map(|(end, _)| pointer.get(..end));
    let mut passed = before.filter_map(|before| document.pointer(before));
    if pointer.contains('%') || passed.any(has_id) { None } else { document.pointer(pointer) }
}
