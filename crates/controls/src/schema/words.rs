//! Violations and compile errors in words. A rule is told with the schema's own numbers and names; the
//! document's values never are.

use super::error::SchemaError;
use ironbridge_core::FieldError;
use ironbridge_core::nearest::closest;
use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use serde_json::Value;

/// How many violations one refusal lists.
pub(super) const MAX_VIOLATIONS: usize = 10;

/// Characters of a pointer or a rule that are told; longer ones are cut.
const MAX_TEXT: usize = 200;

/// Adds what one violation says. Members that are missing or too many make one entry each, at their own pointer.
pub(super) fn violation(error: &ValidationError<'_>, found: &mut Vec<FieldError>) {
    let at = error.instance_path().as_str();
    match error.kind() {
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            for name in unexpected.iter().take(MAX_VIOLATIONS) {
                found.push(entry(member(at, name), "is not declared here".to_owned()));
            }
        }
        Kind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            found.push(entry(member(at, name), "is required".to_owned()));
        }
        Kind::FalseSchema if error.schema_path().as_str().ends_with("Properties") => {
            found.push(entry(at.to_owned(), "has members that are not declared".to_owned()));
        }
        kind => found.push(entry(at.to_owned(), rule(kind))),
    }
}

/// What a schema that does not compile says to its author.
pub(super) fn compilation(error: &ValidationError<'_>) -> SchemaError {
    match error.kind() {
        Kind::Referencing(reason) => SchemaError::Reference(cut(reason.to_string())),
        Kind::AnyOf { .. } if error.instance_path().as_str().ends_with("/type") => SchemaError::Invalid {
            pointer: cut(error.instance_path().as_str().to_owned()),
            reason: no_type(error.instance()),
        },
        // The schema is the operator's own text, so here the message may quote it.
        _ => SchemaError::Invalid {
            pointer: cut(error.instance_path().as_str().to_owned()),
            reason: cut(error.to_string()),
        },
    }
}

/// The types (Validation §6.1.1).
const TYPES: [&str; 7] = ["array", "boolean", "integer", "null", "number", "object", "string"];

/// What is wrong with what `type` says.
fn no_type(said: &Value) -> String {
    let words = said.as_array().map_or(std::slice::from_ref(said), Vec::as_slice);
    let odd = words.iter().find(|word| !word.as_str().is_some_and(|word| TYPES.contains(&word)));
    match odd {
        Some(Value::String(word)) => {
            let near = closest(word, TYPES.into_iter())
                .map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            format!("`{}` is no type{near}", cut(word.clone()))
        }
        Some(_) => format!("a type is one of {}", TYPES.join(", ")),
        None => "the types are an empty list, or one comes twice".to_owned(),
    }
}

fn rule(kind: &Kind) -> String {
    match kind {
        Kind::Type { kind: TypeKind::Single(one) } => format!("must be of type {one}"),
        Kind::Type { kind: TypeKind::Multiple(several) } => {
            let names: Vec<String> = several.iter().map(|one| one.to_string()).collect();
            format!("must be of type {}", names.join(" or "))
        }
        Kind::Minimum { limit } => format!("must be at least {limit}"),
        Kind::Maximum { limit } => format!("must be at most {limit}"),
        Kind::ExclusiveMinimum { limit } => format!("must be greater than {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("must be less than {limit}"),
        Kind::MultipleOf { multiple_of } => format!("must be a multiple of {multiple_of}"),
        Kind::MinLength { limit } => format!("must have at least {limit} characters"),
        Kind::MaxLength { limit } => format!("must have at most {limit} characters"),
        Kind::Custom { message, .. } => message.clone(),
        Kind::Pattern { pattern } => format!("must match {pattern}"),
        Kind::Format { format } => format!("must be a valid {format}"),
        Kind::MinItems { limit } => format!("must have at least {limit} elements"),
        Kind::MaxItems { limit } => format!("must have at most {limit} elements"),
        Kind::AdditionalItems { limit } => format!("must have at most {limit} elements"),
        Kind::UniqueItems => "must not have equal elements".to_owned(),
        Kind::Contains => "has no element, or too many, of the required kind".to_owned(),
        Kind::UnevaluatedItems { .. } => "has elements that are not declared".to_owned(),
        Kind::MinProperties { limit } => format!("must have at least {limit} members"),
        Kind::MaxProperties { limit } => format!("must have at most {limit} members"),
        Kind::PropertyNames { .. } => "has a member whose name is not allowed".to_owned(),
        Kind::Constant { expected_value } => format!("must be {expected_value}"),
        Kind::Enum { options } => one_of(options),
        Kind::FalseSchema => "is not allowed here".to_owned(),
        Kind::AnyOf { .. } | Kind::OneOfNotValid { .. } => {
            "fits none of the declared alternatives".to_owned()
        }
        Kind::OneOfMultipleValid { .. } => "fits more than one of the declared alternatives".to_owned(),
        Kind::Not { .. } => "has a form that is ruled out".to_owned(),
        Kind::ContentEncoding { content_encoding } => format!("must be encoded as {content_encoding}"),
        Kind::ContentMediaType { content_media_type } => format!("must be {content_media_type}"),
        other => format!("breaks {}", other.keyword()),
    }
}

fn one_of(options: &Value) -> String {
    let options = options.as_array().map(Vec::as_slice).unwrap_or_default();
    let words: Vec<String> = options.iter().map(Value::to_string).collect();
    format!("must be one of {}", words.join(", "))
}

/// The pointer to a member (RFC 6901 §3).
fn member(at: &str, name: &str) -> String {
    format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn entry(pointer: String, rule: String) -> FieldError {
    FieldError { pointer: cut(pointer), rule: cut(rule) }
}

fn cut(text: String) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        None => text,
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}
