//! Pointers into bodies whose form is declared: do they lead anywhere?

use crate::shape::{Kinds, Shape};
use ironbridge_core::nearest::closest;
use serde_json::Value;

/// Where a pointer cannot go on, or likely does not, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadEnd {
    /// For the operator.
    pub why: String,
    /// What to write instead, where that is known.
    pub help: Option<String>,
}

/// Follows a pointer through what a schema says of a body; `None` as a segment is `*`. Where the schema says nothing,
/// it may lead anywhere.
pub fn dead_end<'p>(schema: &Value, segments: impl IntoIterator<Item = Option<&'p str>>) -> Option<DeadEnd> {
    let mut shape = Shape::Fits { document: schema, schema };
    let mut before = String::new();
    for segment in segments {
        let kinds = shape.kinds();
        let place = if before.is_empty() { "the body".to_owned() } else { format!("`{before}`") };
        match segment {
            None if kinds.meets(Kinds::LIST) => {
                shape = if kinds.meets(Kinds::MAP) { Shape::ANY } else { shape.element() };
                before += "/*";
            }
            None if kinds.meets(Kinds::MAP) => {
                shape = Shape::ANY;
                before += "/*";
            }
            Some(name) if kinds.meets(Kinds::MAP) => {
                let member = shape.member(name);
                let names = shape.names();
                if !member.possible || !(member.declared || member.invited || names.is_empty()) {
                    let near = closest(name, names.iter().copied());
                    let help = near.map(|near| format!("did you mean `{before}/{near}`?"));
                    return Some(DeadEnd { why: format!("the schema knows no `{name}` in {place}"), help });
                }
                shape = member.shape;
                before = format!("{before}/{name}");
            }
            Some(name) if kinds.meets(Kinds::LIST) => {
                let help = match name.parse::<u32>() {
                    Ok(_) => format!("elements are all alike: `{before}/*` is each of them"),
                    Err(_) => format!("`*` is each of its elements: `{before}/*/{name}`"),
                };
                return Some(DeadEnd { why: format!("{place} is a list by the schema"), help: Some(help) });
            }
            _ => {
                let why = format!("{place} is {kinds} by the schema, which has no members");
                return Some(DeadEnd { why, help: None });
            }
        }
    }
    None
}
