//! Members that are undeclared to the schema, and a declared one to some reader behind it.

use super::effort;
use crate::pattern::Pattern;
use crate::shape::{Shape, Steps, has_id, judged};
use ahash::RandomState;
use ironbridge_core::json::{Kind, Node, common_name, readings};
use serde_json::{Map, Value};
use std::cell::{OnceCell, RefCell};
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::rc::Rc;

/// The names that a schema judges anywhere.
#[derive(Debug)]
pub(super) struct Names {
    document: Value,
    exact: HashSet<Box<str>, RandomState>,
    /// Those of which there are others that are alike.
    spelt_twice: HashSet<Box<str>, RandomState>,
    /// By what is common to those that are alike.
    common: HashMap<String, Vec<Box<str>>>,
    /// Patterns of names, as they are written.
    patterns: HashMap<Box<str>, Judging>,
}

/// A pattern of names. One that is none, or too large, does not compile with the schema.
#[derive(Debug)]
struct Judging {
    exact: Option<Pattern>,
    /// Whatever the case.
    folded: Option<Pattern>,
}

/// What a member passes for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meant<'s> {
    Name(&'s str),
    /// One of those that fit this pattern.
    Fitting(&'s str),
}

impl fmt::Display for Meant<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Meant::Name(name) => write!(out, "`{name}`"),
            Meant::Fitting(pattern) => write!(out, "a name that fits `{pattern}`"),
        }
    }
}

impl Names {
    pub fn of(schema: &Value) -> Names {
        let mut exact: HashSet<Box<str>, RandomState> = HashSet::default();
        let mut patterns: HashMap<Box<str>, Judging> = HashMap::new();
        let mut judge = |pattern: &str| {
            patterns.entry(pattern.into()).or_insert_with(|| Judging::by(pattern));
        };
        let mut is_all = true;
        each_part(schema, |document, members| {
            if let Some(Value::Object(named)) = members.get("properties") {
                exact.extend(named.keys().map(|name| Box::from(name.as_str())));
            }
            let (names, are_all_names) = judged::names(document, members);
            exact.extend(names.into_iter().map(Box::from));
            let (patterns, are_all_patterns) = judged::patterns(document, members);
            patterns.into_iter().for_each(&mut judge);
            is_all &= are_all_names && are_all_patterns;
        });
        // What lies behind a reference that cannot be followed may be any part of the schema.
        if !is_all {
            each_part(schema, |_, members| {
                exact.extend(judged::texts(members).into_iter().map(Box::from));
                judged::pattern(members).into_iter().for_each(&mut judge);
            });
        }
        let mut common: HashMap<String, Vec<Box<str>>> = HashMap::new();
        for name in &exact {
            common.entry(common_name(name)).or_default().push(name.clone());
        }
        let twice = common.values().filter(|alike| alike.len() > 1).flatten();
        let spelt_twice = twice.cloned().collect();
        Names { document: schema.clone(), exact, spelt_twice, common, patterns }
    }

    /// A member that passes for one that the schema declares in its place, with that one's name. It takes of the steps
    /// that the body has left, and says nothing where they ran out.
    pub fn mistakable<'b>(&self, root: Node<'b>) -> Option<(Node<'b>, Meant<'_>)> {
        if self.exact.is_empty() && self.patterns.is_empty() {
            return None;
        }
        let asked = Asked { names: self, steps: Steps::of(MOST_STEPS) };
        let shape = Shape::Fits { document: &self.document, schema: &self.document };
        asked.within(root, &Way { above: None, place: OnceCell::from(Rc::new(Place::of(shape))) })
    }
}

/// All objects of a schema, with the documents in which their references are found.
fn each_part<'s>(schema: &'s Value, mut each: impl FnMut(&'s Value, &'s Map<String, Value>)) {
    let mut rest = vec![(schema, schema)];
    while let Some((document, value)) = rest.pop() {
        let document = if has_id(value) { value } else { document };
        match value {
            Value::Array(items) => rest.extend(items.iter().map(|item| (document, item))),
            Value::Object(members) => {
                each(document, members);
                rest.extend(members.values().map(|value| (document, value)));
            }
            _ => {}
        }
    }
}

/// How many places of the schema are looked at for one body.
const MOST_STEPS: usize = 200_000;

/// What is asked about one body.
struct Asked<'s> {
    names: &'s Names,
    steps: Steps,
}

impl<'s> Asked<'s> {
    /// Bodies are bounded in depth, so this is too.
    fn within<'b>(&self, value: Node<'b>, way: &Way<'_, 's>) -> Option<(Node<'b>, Meant<'s>)> {
        match value.kind() {
            Kind::Array => {
                let each = way.below(Step::Element);
                value.elements().find_map(|element| self.within(element, &each))
            }
            Kind::Object => value.members().find_map(|(name, member)| {
                if let Some(meant) = self.meant(way, &name) {
                    return Some((member, meant));
                }
                self.within(member, &way.below(Step::Member(&name)))
            }),
            _ => None,
        }
    }

    fn meant(&self, object: &Way<'_, 's>, name: &str) -> Option<Meant<'s>> {
        let known = self.names.exact.get(name);
        // One that is declared elsewhere only may pass for another one here.
        let is_foreign = known.is_none_or(|known| {
            self.names.spelt_twice.contains(known) && !object.place(self).has(known, &self.steps)
        });
        if is_foreign && let Some(alike) = self.names.common.get(&common_name(name)) {
            // Names of other places mean nothing here, maps have members of any name; but where it cannot be told, each may.
            let mut alike = alike.iter().map(|meant| &**meant).filter(|meant| *meant != name);
            if let Some(meant) = alike.find(|meant| object.place(self).has(meant, &self.steps)) {
                return Some(Meant::Name(meant));
            }
        }
        if self.names.patterns.is_empty() {
            return None;
        }
        let place = object.place(self);
        let patterns = place.patterns(self);
        let is_judged = || {
            known.is_some_and(|known| place.has(known, &self.steps))
                || patterns.iter().any(|(_, pattern)| finds(&pattern.exact, name) == Some(true))
        };
        if patterns.is_empty() || is_judged() {
            return None;
        }
        let readings = readings(name);
        let meant =
            patterns.iter().find(|(_, pattern)| readings.iter().any(|reading| pattern.may_mean(reading)));
        meant.map(|(written, _)| Meant::Fitting(written))
    }
}

impl Judging {
    fn by(written: &str) -> Judging {
        let pattern = jsonschema_regex::to_rust_regex(written).ok();
        let compiled = |pattern: &str| Pattern::of(pattern).ok();
        Judging {
            exact: pattern.as_deref().and_then(compiled),
            folded: pattern.as_deref().and_then(|pattern| compiled(&format!("(?i:{pattern})"))),
        }
    }

    /// Where it cannot be told, it may.
    fn may_mean(&self, reading: &str) -> bool {
        finds(&self.folded, reading) != Some(false)
            || finds(&self.exact, &reading.to_lowercase()) != Some(false)
    }
}

/// Of the steps that the body has left. What takes too long ends the judgement, whatever is said here.
fn finds(pattern: &Option<Pattern>, name: &str) -> Option<bool> {
    pattern.as_ref().map(|pattern| effort::finds(pattern, name))
}

/// A way into the body, with the place to which it leads where a name has asked for it.
struct Way<'w, 's> {
    above: Option<(&'w Way<'w, 's>, Step<'w>)>,
    place: OnceCell<Rc<Place<'s>>>,
}

#[derive(Clone, Copy)]
enum Step<'w> {
    Member(&'w str),
    Element,
}

impl<'s> Way<'_, 's> {
    fn below<'q>(&'q self, step: Step<'q>) -> Way<'q, 's> {
        Way { above: Some((self, step)), place: OnceCell::new() }
    }

    fn place(&self, asked: &Asked<'s>) -> &Rc<Place<'s>> {
        self.place.get_or_init(|| match self.above {
            None => Rc::new(Place::of(Shape::ANY)),
            Some((above, step)) => above.place(asked).below(step, asked),
        })
    }
}

/// What the schema says of values at one place, worked out once for all of them: a body can ask very often.
struct Place<'s> {
    shape: Shape<'s>,
    has: RefCell<HashMap<&'s str, bool, RandomState>>,
    patterns: OnceCell<Vec<(&'s str, &'s Judging)>>,
    below: RefCell<HashMap<Below<'s>, Rc<Place<'s>>, RandomState>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Below<'s> {
    Named(&'s str),
    /// Of all names that the schema declares nowhere, it says the same.
    Unnamed,
    Element,
}

impl<'s> Place<'s> {
    fn of(shape: Shape<'s>) -> Place<'s> {
        Place { shape, has: RefCell::default(), patterns: OnceCell::new(), below: RefCell::default() }
    }

    /// Whether the schema may name such a member.
    fn has(&self, name: &'s str, steps: &Steps) -> bool {
        *self.has.borrow_mut().entry(name).or_insert_with(|| {
            let said = steps.spend(|steps| self.shape.member_within(name, steps));
            said.declared || said.judged || said.unknown
        })
    }

    /// Those that judge names here; all of them where it cannot be told.
    fn patterns(&self, asked: &Asked<'s>) -> &[(&'s str, &'s Judging)] {
        self.patterns.get_or_init(|| {
            let here = asked.steps.spend(|steps| self.shape.patterns_within(steps));
            let all = asked.names.patterns.iter().map(|(written, pattern)| (&**written, pattern));
            all.filter(|(written, _)| here.as_ref().is_none_or(|here| here.contains(written))).collect()
        })
    }

    fn below(&self, step: Step<'_>, asked: &Asked<'s>) -> Rc<Place<'s>> {
        let (below, name) = match step {
            Step::Element => (Below::Element, ""),
            Step::Member(name) => match asked.names.exact.get(name) {
                Some(known) => (Below::Named(known), name),
                None => (Below::Unnamed, name),
            },
        };
        let place = || match below {
            Below::Element => asked.steps.spend(|steps| self.shape.element_within(steps)),
            Below::Named(_) | Below::Unnamed => {
                asked.steps.spend(|steps| self.shape.member_within(name, steps).shape)
            }
        };
        Rc::clone(self.below.borrow_mut().entry(below).or_insert_with(|| Rc::new(Place::of(place()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ironbridge_core::json::Tape;
    use ironbridge_core::memory::Charge;
    use serde_json::json;

    /// Were each of them looked for from the top of the body, this would take hours.
    #[test]
    fn long_lists_of_names_that_mean_nothing_in_their_place_are_passed_over() {
        let item = json!({ "properties": { "sku": {} } });
        let schema = json!({ "properties": { "id": {}, "lines": { "items": item } } });
        let names = Names::of(&schema);
        let read = |end: &str| {
            let lines = r#"{"ID":0},"#.repeat(200_000);
            let text = format!(r#"{{"id":1,"lines":[{lines}{end}]}}"#);
            Tape::read(text.into(), Charge::default()).unwrap()
        };
        assert!(names.mistakable(read("{}").root()).is_none());
        let last = read(r#"{"SKU":0}"#);
        let (member, meant) = names.mistakable(last.root()).unwrap();
        assert_eq!((member.pointer().as_str(), meant), ("/lines/200000/SKU", Meant::Name("sku")));
    }

    /// Were the schema asked anew for each of them, and in each element, this would take minutes.
    #[test]
    fn a_schema_is_asked_once_for_each_name_in_each_place() {
        let some: Vec<Value> =
            (0..500).map(|n| json!({ "properties": { "kind": { "const": n } } })).collect();
        let line = json!({ "properties": { "more": { "oneOf": some } } });
        let schema = json!({ "properties": { "id": {}, "lines": { "items": line } } });
        let names = Names::of(&schema);
        let read = |end: &str| {
            let lines: String = (0..50_000).map(|n| format!(r#"{{"more":{{"id\u0000{n}":0}}}},"#)).collect();
            Tape::read(format!(r#"{{"lines":[{lines}{end}]}}"#).into(), Charge::default()).unwrap()
        };
        assert!(names.mistakable(read("{}").root()).is_none());
        let last = read(r#"{"more":{"KIND":1}}"#);
        let (member, meant) = names.mistakable(last.root()).unwrap();
        assert_eq!((member.pointer().as_str(), meant), ("/lines/50000/more/KIND", Meant::Name("kind")));
    }

    /// The states that a name needs are paid for here too.
    #[test]
    fn patterns_of_names_take_of_the_steps_of_the_body() {
        let names = Names::of(&json!({ "patternProperties": { "^(a{1,50}){1,50}b$": {} } }));
        let ran_out = |name: &str, many: usize| {
            let members: Vec<String> = (0..many).map(|n| format!(r#""{name}{n}":0"#)).collect();
            let body = Tape::read(format!("{{{}}}", members.join(",")).into(), Charge::default()).unwrap();
            effort::begin(500_000, 0);
            let meant = names.mistakable(body.root());
            (meant.is_some(), effort::ran_out())
        };
        assert_eq!(ran_out("aaa", 500), (false, false));
        assert!(ran_out(&"a".repeat(400), 5).1);
    }

    /// Each level has two names that lead on, so that there are more places than steps.
    #[test]
    fn where_too_much_is_asked_each_name_counts() {
        let schema = json!({
            "properties": { "a": { "$ref": "#" }, "b": { "$ref": "#" } },
            "$defs": { "other": { "properties": { "id": {} } } }
        });
        fn tree(depth: usize) -> String {
            match depth {
                0 => r#"{"ID":1}"#.to_owned(),
                _ => format!(r#"{{"a":{0},"b":{0}}}"#, tree(depth - 1)),
            }
        }
        let names = Names::of(&schema);
        let is_refused = |depth| {
            let body = Tape::read(tree(depth).into(), Charge::default()).unwrap();
            names.mistakable(body.root()).is_some()
        };
        assert!(!is_refused(10));
        assert!(is_refused(16));
    }
}
