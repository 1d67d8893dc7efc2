//! What is known of a value before it is there: of which kinds it can be, and what its parts can be.
//!
//! Everything is described by JSON Schema, the variables of rules too, so one reading serves both. What cannot be
//! told is widened to more than can happen, never to less: nobody is told of a mistake that may be none.

pub(crate) mod judged;
mod kinds;
mod patterns;
mod reference;

pub(crate) use kinds::Kinds;
pub(crate) use reference::has_id;

use kinds::own_kinds;
use reference::resolved;
use serde_json::{Map, Value};
use std::cell::Cell;
use std::rc::Rc;

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
    /// This, under some condition.
    Perhaps(Rc<Shape<'s>>),
    /// It cannot be followed what a schema says.
    Unknown,
}

/// What a name leads to.
pub(crate) struct Member<'s> {
    /// Whether it can be there at all.
    pub possible: bool,
    pub shape: Shape<'s>,
    /// Whether a schema names it.
    pub declared: bool,
    /// Whether a schema judges it by its name, as one that must be there or must not.
    pub judged: bool,
    /// Whether a schema says that others than those it names are welcome.
    pub invited: bool,
    /// Whether it cannot be told if a schema names it.
    pub unknown: bool,
}

/// How many places of schemas one question may look at: alternatives of alternatives multiply.
const MOST_STEPS: usize = 20_000;
/// How deep references and alternatives may lie inside one another at one place.
const DEEPEST: usize = 32;

/// What is left of the steps of one question. Where nothing is, nothing is known.
pub(crate) struct Steps(Cell<usize>);

impl Steps {
    pub fn new() -> Steps {
        Steps::of(MOST_STEPS)
    }

    pub fn of(many: usize) -> Steps {
        Steps(Cell::new(many))
    }

    /// Asks one of several questions that have these steps together.
    pub fn spend<T>(&self, question: impl FnOnce(&Steps) -> T) -> T {
        let left = self.0.get();
        let given = left.min(MOST_STEPS);
        let steps = Steps::of(given);
        let answer = question(&steps);
        self.0.set(left - given + steps.0.get());
        answer
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
            Shape::Perhaps(_) | Shape::Unknown => Kinds::ANY,
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
        self.member_within(name, &Steps::new())
    }

    pub fn member_within(&self, name: &str, steps: &Steps) -> Member<'s> {
        self.member_at(name, steps, 0)
    }

    fn member_at(&self, name: &str, steps: &Steps, depth: usize) -> Member<'s> {
        let free = || Member { invited: true, ..Member::open() };
        if !steps.take(depth) {
            return Member::unknown();
        }
        if !self.kinds_at(steps, depth).meets(Kinds::MAP) {
            let shape = Shape::Of(Kinds::NONE);
            return Member { possible: false, shape, ..Member::open() };
        }
        match self {
            Shape::Of(_) | Shape::List(_) => free(),
            Shape::Unknown => Member::unknown(),
            Shape::Perhaps(part) => {
                let said = part.member_at(name, steps, depth + 1);
                if said.possible {
                    Member { shape: Shape::perhaps(said.shape), ..said }
                } else {
                    Member { judged: said.judged, unknown: said.unknown, ..Member::open() }
                }
            }
            Shape::Fits { document, schema } => match schema.as_object() {
                None => free(),
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
                .unwrap_or_else(free),
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
            Shape::Of(_) | Shape::List(_) | Shape::Unknown => {}
            Shape::Perhaps(part) => part.names_at(found, steps, depth + 1),
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
        self.element_within(&Steps::new())
    }

    pub fn element_within(&self, steps: &Steps) -> Shape<'s> {
        self.element_at(steps, 0)
    }

    fn element_at(&self, steps: &Steps, depth: usize) -> Shape<'s> {
        if !steps.take(depth) {
            return Shape::Unknown;
        }
        match self {
            Shape::Of(_) => Shape::ANY,
            Shape::Unknown => Shape::Unknown,
            Shape::Perhaps(part) => Shape::perhaps(part.element_at(steps, depth + 1)),
            Shape::List(element) => (**element).clone(),
            Shape::Fits { document, schema } => match schema.as_object() {
                None => Shape::ANY,
                Some(members) => {
                    let mut all: Vec<Shape<'s>> = own_element(document, members).into_iter().collect();
                    let parts = applied(document, members);
                    all.extend(parts.iter().map(|part| part.element_at(steps, depth + 1)));
                    let some = conditional(document, members).into_iter();
                    all.extend(some.map(|part| Shape::perhaps(part.element_at(steps, depth + 1))));
                    let some =
                        ["contains", "unevaluatedItems"].into_iter().filter_map(|word| members.get(word));
                    all.extend(some.map(|schema| Shape::perhaps(fits(document, schema))));
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
            Shape::Of(_) | Shape::List(_) | Shape::Perhaps(_) | Shape::Unknown => None,
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

    fn all(parts: Vec<Shape<'s>>) -> Shape<'s> {
        let mut flat = Vec::with_capacity(parts.len());
        for part in parts {
            match part {
                Shape::Of(Kinds::ANY) => {}
                Shape::All(parts) => flat.extend(parts),
                part => flat.push(part),
            }
        }
        match flat.len() {
            0 => Shape::ANY,
            1 => flat.swap_remove(0),
            _ => Shape::All(flat),
        }
    }

    fn either(self, other: Shape<'s>) -> Shape<'s> {
        match self {
            Shape::Either(mut parts) => {
                parts.push(other);
                Shape::Either(parts)
            }
            one => Shape::Either(vec![one, other]),
        }
    }

    fn perhaps(self) -> Shape<'s> {
        match self {
            Shape::Of(_) => Shape::ANY,
            Shape::Perhaps(_) | Shape::Unknown => self,
            part => Shape::Perhaps(Rc::new(part)),
        }
    }
}

impl<'s> Member<'s> {
    /// Nothing is said of it.
    fn open() -> Member<'s> {
        Member {
            possible: true,
            shape: Shape::ANY,
            declared: false,
            judged: false,
            invited: false,
            unknown: false,
        }
    }

    fn unknown() -> Member<'s> {
        Member { shape: Shape::Unknown, invited: true, unknown: true, ..Member::open() }
    }

    fn and(self, other: Member<'s>) -> Member<'s> {
        Member {
            possible: self.possible && other.possible,
            shape: Shape::all(vec![self.shape, other.shape]),
            declared: self.declared || other.declared,
            judged: self.judged || other.judged,
            invited: self.invited || other.invited,
            unknown: self.unknown || other.unknown,
        }
    }

    /// With what a schema says under some condition.
    fn perhaps(self, said: Member<'s>) -> Member<'s> {
        if !said.possible {
            let judged = self.judged || said.judged;
            return Member { judged, unknown: self.unknown || said.unknown, ..self };
        }
        Member {
            possible: self.possible,
            shape: Shape::all(vec![self.shape, said.shape.perhaps()]),
            declared: self.declared || said.declared,
            judged: self.judged || said.judged,
            invited: self.invited || said.invited,
            unknown: self.unknown || said.unknown,
        }
    }

    fn or(self, other: Member<'s>) -> Member<'s> {
        let shape = match (self.possible, other.possible) {
            (true, false) => self.shape,
            (false, true) => other.shape,
            _ => self.shape.either(other.shape),
        };
        Member {
            possible: self.possible || other.possible,
            shape,
            declared: self.declared || other.declared,
            judged: self.judged || other.judged,
            invited: self.invited || other.invited,
            unknown: self.unknown || other.unknown,
        }
    }
}

/// What holds of the same value besides the schema's own words (Core §10.2.1, §8.2.3).
fn applied<'s>(document: &'s Value, members: &'s Map<String, Value>) -> Vec<Shape<'s>> {
    let fits = |schema| fits(document, schema);
    let mut parts = Vec::new();
    if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
        parts.push(resolved(document, reference).map_or(Shape::Unknown, fits));
    }
    if members.contains_key("$dynamicRef") {
        parts.push(Shape::Unknown);
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

/// What holds of the same value under a condition (Core §10.2.2), or must not.
fn conditional<'s>(document: &'s Value, members: &'s Map<String, Value>) -> Vec<Shape<'s>> {
    let branches = ["if", "then", "else", "not"].into_iter().filter_map(|word| members.get(word));
    // The second is what earlier drafts call it.
    let dependent = ["dependentSchemas", "dependencies"].into_iter().filter_map(|word| members.get(word));
    let dependent = dependent.filter_map(Value::as_object).flat_map(Map::values);
    branches.chain(dependent.filter(|part| !part.is_array())).map(|schema| fits(document, schema)).collect()
}

/// A schema with an `$id` is a document of its own (Core §9.1.1).
fn fits<'s>(document: &'s Value, schema: &'s Value) -> Shape<'s> {
    Shape::Fits { document: if has_id(schema) { schema } else { document }, schema }
}

fn member_of<'s>(
    document: &'s Value,
    members: &'s Map<String, Value>,
    name: &str,
    steps: &Steps,
    depth: usize,
) -> Member<'s> {
    let named = |schema: &'s Value, declared: bool| Member {
        possible: *schema != Value::Bool(false),
        shape: fits(document, schema),
        declared,
        judged: declared,
        invited: !declared,
        unknown: false,
    };
    let patterns = members.get("patternProperties").and_then(Value::as_object);
    let has_patterns = patterns.is_some_and(|patterns| !patterns.is_empty());
    let declared = members.get("properties").and_then(|named| named.get(name));
    let additional = members.get("additionalProperties");
    let is_named = declared.is_some();
    let mut others: Vec<&Value> = additional.filter(|_| has_patterns && !is_named).into_iter().collect();
    let mut own = match declared {
        Some(schema) => named(schema, true),
        None if has_patterns => Member { invited: true, ..Member::open() },
        None => match additional {
            Some(Value::Bool(false)) => Member { possible: false, ..Member::open() },
            Some(schema) => named(schema, false),
            None => Member::open(),
        },
    };
    let (names, is_all) = judged::names(document, members);
    own.judged |= names.contains(&name);
    own.unknown |= !is_all;
    let parts = applied(document, members);
    let mut member = parts.iter().map(|part| part.member_at(name, steps, depth + 1)).fold(own, Member::and);
    for part in conditional(document, members) {
        let said = part.member_at(name, steps, depth + 1);
        member = member.perhaps(said);
    }
    let is_certain = !member.declared && !member.invited;
    match members.get("unevaluatedProperties") {
        Some(Value::Bool(false)) if is_certain => member.possible = false,
        Some(schema) if is_certain => member = member.and(named(schema, false)),
        Some(schema) if !is_named => others.push(schema),
        _ => {}
    }
    // Patterns are not tried: each of them may be meant, or none.
    let perhaps = patterns.into_iter().flat_map(Map::values).chain(others);
    let mut perhaps: Vec<Shape<'s>> = perhaps.map(|schema| fits(document, schema)).collect();
    if !perhaps.is_empty() {
        let mut all = vec![member.shape];
        if member.declared {
            all.extend(perhaps.into_iter().map(Shape::perhaps));
        } else {
            perhaps.push(Shape::ANY);
            all.push(Shape::Either(perhaps));
        }
        member.shape = Shape::all(all);
    }
    member
}

fn own_element<'s>(document: &'s Value, members: &'s Map<String, Value>) -> Option<Shape<'s>> {
    let fits = |schema| fits(document, schema);
    let first = members.get("prefixItems").and_then(Value::as_array);
    let rest = members.get("items");
    let mut either: Vec<Shape<'s>> = first.into_iter().flatten().map(fits).collect();
    match rest {
        Some(Value::Bool(false)) if first.is_some() => {}
        Some(schema) => either.push(fits(schema)),
        None if first.is_none() => return None,
        None => either.push(Shape::ANY),
    }
    Some(if either.len() == 1 { either.swap_remove(0) } else { Shape::Either(either) })
}
