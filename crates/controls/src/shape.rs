//! What is known of a value before it is there: of which kinds it can be, and what its parts can be.
//!
//! Everything is described by JSON Schema, the variables of rules too, so one reading serves both. What cannot be
//! told is widened to more than can happen, never to less: nobody is told of a mistake that may be none.

use serde_json::{Map, Value};
use std::cell::Cell;
use std::fmt;
use std::ops::BitAnd;
use std::rc::Rc;

/// Kinds of values, as a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kinds(u16);

impl Kinds {
    pub const NONE: Kinds = Kinds(0);
    pub const NULL: Kinds = Kinds(1);
    pub const TRUTH: Kinds = Kinds(1 << 1);
    /// JSON knows one kind of number, and so do rules.
    pub const NUMBER: Kinds = Kinds(1 << 2);
    pub const TEXT: Kinds = Kinds(1 << 3);
    pub const LIST: Kinds = Kinds(1 << 4);
    pub const MAP: Kinds = Kinds(1 << 5);
    pub const MOMENT: Kinds = Kinds(1 << 6);
    pub const SPAN: Kinds = Kinds(1 << 7);
    pub const TYPE: Kinds = Kinds(1 << 8);
    pub const BYTES: Kinds = Kinds(1 << 9);
    pub const ANY: Kinds = Kinds((1 << 10) - 1);

    pub const fn or(self, other: Kinds) -> Kinds {
        Kinds(self.0 | other.0)
    }

    pub fn is_none(self) -> bool {
        self == Kinds::NONE
    }

    pub fn meets(self, other: Kinds) -> bool {
        !(self & other).is_none()
    }
}

impl BitAnd for Kinds {
    type Output = Kinds;

    fn bitand(self, other: Kinds) -> Kinds {
        Kinds(self.0 & other.0)
    }
}

/// In words, as messages name them.
const NAMES: [(Kinds, &str); 10] = [
    (Kinds::NULL, "null"),
    (Kinds::TRUTH, "a truth value"),
    (Kinds::NUMBER, "a number"),
    (Kinds::TEXT, "a text"),
    (Kinds::LIST, "a list"),
    (Kinds::MAP, "a map of members"),
    (Kinds::MOMENT, "a moment"),
    (Kinds::SPAN, "a duration"),
    (Kinds::TYPE, "a type"),
    (Kinds::BYTES, "bytes"),
];

impl fmt::Display for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Kinds::ANY {
            return f.write_str("anything");
        }
        let names: Vec<&str> =
            NAMES.iter().filter(|(kind, _)| self.meets(*kind)).map(|(_, name)| *name).collect();
        match names.as_slice() {
            [] => f.write_str("nothing"),
            [only] => f.write_str(only),
            [first @ .., last] => write!(f, "{} or {last}", first.join(", ")),
        }
    }
}

/// What a value can be.
#[derive(Debug, Clone)]
pub(crate) enum Shape<'s> {
    /// Of these kinds, with parts of which nothing is known.
    Of(Kinds),
    /// A list of such elements.
    List(Rc<Shape<'s>>),
    /// What fits a schema; references are found in the document.
    Fits { document: &'s Value, schema: &'s Value },
    /// All of these at once.
    All(Vec<Shape<'s>>),
    /// One of these.
    Either(Vec<Shape<'s>>),
}

/// What a name leads to.
pub(crate) struct Member<'s> {
    /// Whether it can be there at all.
    pub possible: bool,
    pub shape: Shape<'s>,
    /// Whether a schema names it.
    pub declared: bool,
    /// Whether a schema says that others than those it names are welcome.
    pub invited: bool,
}

/// How many places of schemas one question may look at: alternatives of alternatives multiply.
const MOST_STEPS: usize = 20_000;
/// How deep references and alternatives may lie inside one another at one place.
const DEEPEST: usize = 32;

/// What is left of the steps of one question. Where nothing is, nothing is known.
pub(crate) struct Steps(Cell<usize>);

impl Steps {
    pub fn new() -> Steps {
        Steps(Cell::new(MOST_STEPS))
    }

    fn take(&self, depth: usize) -> bool {
        let left = self.0.get();
        self.0.set(left.saturating_sub(1));
        left > 0 && depth < DEEPEST
    }
}

impl<'s> Shape<'s> {
    pub const ANY: Shape<'static> = Shape::Of(Kinds::ANY);

    pub fn kinds(&self) -> Kinds {
        self.kinds_at(&Steps::new(), 0)
    }

    fn kinds_at(&self, steps: &Steps, depth: usize) -> Kinds {
        if !steps.take(depth) {
            return Kinds::ANY;
        }
        match self {
            Shape::Of(kinds) => *kinds,
            Shape::List(_) => Kinds::LIST,
            Shape::Fits { schema: Value::Bool(false), .. } => Kinds::NONE,
            Shape::Fits { document, schema } => match schema.as_object() {
                None => Kinds::ANY,
                Some(members) => {
                    let own = own_kinds(members);
                    applied(document, members)
                        .iter()
                        .fold(own, |kinds, part| kinds & part.kinds_at(steps, depth + 1))
                }
            },
            Shape::All(parts) => {
                parts.iter().fold(Kinds::ANY, |kinds, part| kinds & part.kinds_at(steps, depth + 1))
            }
            Shape::Either(parts) => {
                parts.iter().fold(Kinds::NONE, |kinds, part| kinds.or(part.kinds_at(steps, depth + 1)))
            }
        }
    }

    /// What stands under a name, if the value is an object.
    pub fn member(&self, name: &str) -> Member<'s> {
        self.member_at(name, &Steps::new(), 0)
    }

    fn member_at(&self, name: &str, steps: &Steps, depth: usize) -> Member<'s> {
        let unknown = || Member { possible: true, shape: Shape::ANY, declared: false, invited: true };
        if !steps.take(depth) {
            return unknown();
        }
        if !self.kinds_at(steps, depth).meets(Kinds::MAP) {
            let shape = Shape::Of(Kinds::NONE);
            return Member { possible: false, shape, declared: false, invited: false };
        }
        match self {
            Shape::Of(_) | Shape::List(_) => unknown(),
            Shape::Fits { document, schema } => match schema.as_object() {
                None => unknown(),
                Some(members) => member_of(document, members, name, steps, depth),
            },
            Shape::All(parts) => parts
                .iter()
                .map(|part| part.member_at(name, steps, depth + 1))
                .fold(Member::open(), Member::and),
            Shape::Either(parts) => parts
                .iter()
                .map(|part| part.member_at(name, steps, depth + 1))
                .reduce(Member::or)
                .unwrap_or_else(unknown),
        }
    }

    /// The names that schemas give to members of this value.
    pub fn names(&self) -> Vec<&'s str> {
        let (mut found, steps) = (Vec::new(), Steps::new());
        self.names_at(&mut found, &steps, 0);
        found.sort_unstable();
        found.dedup();
        found
    }

    fn names_at(&self, found: &mut Vec<&'s str>, steps: &Steps, depth: usize) {
        if !steps.take(depth) {
            return;
        }
        match self {
            Shape::Of(_) | Shape::List(_) => {}
            Shape::Fits { document, schema } => {
                let Some(members) = schema.as_object() else { return };
                if let Some(Value::Object(named)) = members.get("properties") {
                    found.extend(
                        named
                            .iter()
                            .filter(|(_, schema)| **schema != Value::Bool(false))
                            .map(|(name, _)| name.as_str()),
                    );
                }
                let parts = applied(document, members).into_iter().chain(conditional(document, members));
                parts.for_each(|part| part.names_at(found, steps, depth + 1));
            }
            Shape::All(parts) | Shape::Either(parts) => {
                parts.iter().for_each(|part| part.names_at(found, steps, depth + 1));
            }
        }
    }

    /// What an element is, if the value is a list.
    pub fn element(&self) -> Shape<'s> {
        self.element_at(&Steps::new(), 0)
    }

    fn element_at(&self, steps: &Steps, depth: usize) -> Shape<'s> {
        if !steps.take(depth) {
            return Shape::ANY;
        }
        match self {
            Shape::Of(_) => Shape::ANY,
            Shape::List(element) => (**element).clone(),
            Shape::Fits { document, schema } => match schema.as_object() {
                None => Shape::ANY,
                Some(members) => {
                    let mut all: Vec<Shape<'s>> = own_element(document, members).into_iter().collect();
                    let parts = applied(document, members);
                    all.extend(parts.iter().map(|part| part.element_at(steps, depth + 1)));
                    Shape::all(all)
                }
            },
            Shape::All(parts) => {
                Shape::all(parts.iter().map(|part| part.element_at(steps, depth + 1)).collect())
            }
            Shape::Either(parts) => {
                let lists = parts.iter().filter(|part| part.kinds_at(steps, depth).meets(Kinds::LIST));
                Shape::Either(lists.map(|part| part.element_at(steps, depth + 1)).collect())
            }
        }
    }

    /// The only values that it can have, where they are listed.
    pub fn values(&self) -> Option<Vec<&'s Value>> {
        self.values_at(&Steps::new(), 0)
    }

    fn values_at(&self, steps: &Steps, depth: usize) -> Option<Vec<&'s Value>> {
        if !steps.take(depth) {
            return None;
        }
        match self {
            Shape::Of(_) | Shape::List(_) => None,
            Shape::Fits { document, schema } => {
                let members = schema.as_object()?;
                if let Some(only) = members.get("const") {
                    return Some(vec![only]);
                }
                if let Some(Value::Array(values)) = members.get("enum") {
                    return Some(values.iter().collect());
                }
                applied(document, members).iter().find_map(|part| part.values_at(steps, depth + 1))
            }
            Shape::All(parts) => parts.iter().find_map(|part| part.values_at(steps, depth + 1)),
            Shape::Either(parts) => {
                let each: Option<Vec<Vec<&'s Value>>> =
                    parts.iter().map(|part| part.values_at(steps, depth + 1)).collect();
                each.map(|each| each.into_iter().flatten().collect())
            }
        }
    }

    fn all(mut parts: Vec<Shape<'s>>) -> Shape<'s> {
        parts.retain(|part| !matches!(part, Shape::Of(Kinds::ANY)));
        match parts.len() {
            0 => Shape::ANY,
            1 => parts.swap_remove(0),
            _ => Shape::All(parts),
        }
    }
}

impl<'s> Member<'s> {
    /// Nothing is said of it.
    fn open() -> Member<'s> {
        Member { possible: true, shape: Shape::ANY, declared: false, invited: false }
    }

    fn and(self, other: Member<'s>) -> Member<'s> {
        Member {
            possible: self.possible && other.possible,
            shape: Shape::all(vec![self.shape, other.shape]),
            declared: self.declared || other.declared,
            invited: self.invited || other.invited,
        }
    }

    fn or(self, other: Member<'s>) -> Member<'s> {
        let shape = match (self.possible, other.possible) {
            (true, false) => self.shape,
            (false, true) => other.shape,
            _ => Shape::Either(vec![self.shape, other.shape]),
        };
        Member {
            possible: self.possible || other.possible,
            shape,
            declared: self.declared || other.declared,
            invited: self.invited || other.invited,
        }
    }
}

/// What `type`, `enum` and `const` say. Of `format` and limits nothing follows here.
fn own_kinds(members: &Map<String, Value>) -> Kinds {
    let mut kinds = match members.get("type") {
        Some(Value::String(name)) => named_kind(name),
        Some(Value::Array(names)) => {
            names.iter().filter_map(Value::as_str).fold(Kinds::NONE, |kinds, name| kinds.or(named_kind(name)))
        }
        _ => Kinds::ANY,
    };
    if let Some(Value::Array(values)) = members.get("enum") {
        kinds = kinds & values.iter().fold(Kinds::NONE, |kinds, value| kinds.or(kind_of(value)));
    }
    if let Some(only) = members.get("const") {
        kinds = kinds & kind_of(only);
    }
    kinds
}

fn named_kind(name: &str) -> Kinds {
    match name {
        "null" => Kinds::NULL,
        "boolean" => Kinds::TRUTH,
        "number" | "integer" => Kinds::NUMBER,
        "string" => Kinds::TEXT,
        "array" => Kinds::LIST,
        "object" => Kinds::MAP,
        // Of the variables, not of bodies: JSON has no moments.
        "moment" => Kinds::MOMENT,
        _ => Kinds::ANY,
    }
}

fn kind_of(value: &Value) -> Kinds {
    match value {
        Value::Null => Kinds::NULL,
        Value::Bool(_) => Kinds::TRUTH,
        Value::Number(_) => Kinds::NUMBER,
        Value::String(_) => Kinds::TEXT,
        Value::Array(_) => Kinds::LIST,
        Value::Object(_) => Kinds::MAP,
    }
}

/// What holds of the same value besides the schema's own words (Core §10.2.1, §8.2.3).
fn applied<'s>(document: &'s Value, members: &'s Map<String, Value>) -> Vec<Shape<'s>> {
    let fits = |schema: &'s Value| Shape::Fits { document, schema };
    let mut parts = Vec::new();
    if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
        parts.extend(resolved(document, reference).map(fits));
    }
    if let Some(Value::Array(all)) = members.get("allOf") {
        parts.extend(all.iter().map(fits));
    }
    for either in ["anyOf", "oneOf"] {
        if let Some(Value::Array(some)) = members.get(either) {
            parts.push(Shape::Either(some.iter().map(fits).collect()));
        }
    }
    parts
}

/// What holds of the same value under a condition (Core §10.2.2).
fn conditional<'s>(document: &'s Value, members: &'s Map<String, Value>) -> Vec<Shape<'s>> {
    let branches = ["if", "then", "else"].into_iter().filter_map(|keyword| members.get(keyword));
    let dependent = members.get("dependentSchemas").and_then(Value::as_object);
    let all = branches.chain(dependent.into_iter().flat_map(Map::values));
    all.map(|schema| Shape::Fits { document, schema }).collect()
}

/// By JSON Pointer. What leads elsewhere (anchors, other documents) says nothing here.
fn resolved<'s>(document: &'s Value, reference: &str) -> Option<&'s Value> {
    let pointer = reference.strip_prefix('#')?;
    if pointer.contains('%') { None } else { document.pointer(pointer) }
}

fn member_of<'s>(
    document: &'s Value,
    members: &'s Map<String, Value>,
    name: &str,
    steps: &Steps,
    depth: usize,
) -> Member<'s> {
    let fits = |schema: &'s Value| Shape::Fits { document, schema };
    let named = |schema: &'s Value, declared: bool| Member {
        possible: *schema != Value::Bool(false),
        shape: fits(schema),
        declared,
        invited: !declared,
    };
    let has_patterns =
        members.get("patternProperties").is_some_and(|patterns| patterns != &Value::Object(Map::new()));
    let own = match members.get("properties").and_then(|named| named.get(name)) {
        Some(schema) => named(schema, true),
        None if has_patterns => Member { invited: true, ..Member::open() },
        None => match members.get("additionalProperties") {
            Some(Value::Bool(false)) => Member { possible: false, ..Member::open() },
            Some(schema) => named(schema, false),
            None => Member::open(),
        },
    };
    let parts = applied(document, members);
    let mut member = parts.iter().map(|part| part.member_at(name, steps, depth + 1)).fold(own, Member::and);
    for part in conditional(document, members) {
        let said = part.member_at(name, steps, depth + 1);
        member.declared |= said.possible && said.declared;
        member.invited |= said.possible && said.invited;
    }
    match members.get("unevaluatedProperties") {
        Some(_) if member.declared || member.invited => {}
        Some(Value::Bool(false)) => member.possible = false,
        Some(schema) => member = member.and(named(schema, false)),
        None => {}
    }
    member
}

fn own_element<'s>(document: &'s Value, members: &'s Map<String, Value>) -> Option<Shape<'s>> {
    let fits = |schema: &'s Value| Shape::Fits { document, schema };
    let first = members.get("prefixItems").and_then(Value::as_array);
    let rest = members.get("items");
    let mut either: Vec<Shape<'s>> = first.into_iter().flatten().map(fits).collect();
    match rest {
        Some(Value::Bool(false)) if first.is_some() => {}
        Some(schema) => either.push(fits(schema)),
        None => return None,
    }
    Some(if either.len() == 1 { either.swap_remove(0) } else { Shape::Either(either) })
}
