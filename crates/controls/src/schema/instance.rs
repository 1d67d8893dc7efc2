//! A read body as the validator sees it: no tree of values is built, neither to judge it nor to say what is wrong.

use super::effort;
use ahash::RandomState;
use ironbridge_core::json::{Kind, Members, Node, Number};
use jsonschema::JsonType;
use jsonschema::json::{Array, Json, JsonNumber, Node as ValidatedNode, NodeIdentity, Object};
use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher};
use std::ptr;

/// The representation: values of a [`ironbridge_core::json::Tape`].
pub(super) struct Body;

/// Digits of a number take longer than those of a text.
const BYTES_A_STEP: usize = 8;

/// A value, or the name of a member where the schema judges names.
#[derive(Clone)]
pub(super) enum Instance<'b> {
    Value(Node<'b>),
    Name(&'b str),
}

impl Json for Body {
    type Node<'b> = Instance<'b>;
    type PreparedKey = Box<str>;
    /// A look-up passes over all members before the one it finds, so one pass for many names is always cheaper.
    const KEYS_PER_LOOKUP: usize = 1 << 20;
    type StringBuffer = ();

    fn prepare_key(key: &str) -> Box<str> {
        key.into()
    }

    fn with_string_node<T>((): &mut (), string: &str, f: impl FnOnce(Instance<'_>) -> T) -> T {
        f(Instance::Name(string))
    }
}

impl<'b> Instance<'b> {
    fn value(&self, kind: Kind) -> Option<Node<'b>> {
        match self {
            Instance::Value(node) if node.kind() == kind => Some(*node),
            _ => None,
        }
    }
}

impl<'b> ValidatedNode<'b, Body> for Instance<'b> {
    type Object = Objects<'b>;
    type Array = Arrays<'b>;
    type Number = Figure<'b>;

    fn as_object(&self) -> Option<Objects<'b>> {
        self.value(Kind::Object).map(Objects)
    }

    fn as_array(&self) -> Option<Arrays<'b>> {
        self.value(Kind::Array).map(Arrays)
    }

    fn as_string(&self) -> Option<Cow<'b, str>> {
        let text = match self {
            Instance::Value(node) => node.text()?,
            Instance::Name(name) => Cow::Borrowed(*name),
        };
        Some(if effort::read(&text) { text } else { Cow::Borrowed("") })
    }

    fn as_number(&self) -> Option<Figure<'b>> {
        let node = self.value(Kind::Number)?;
        effort::spend_on(1 + node.written().len() / BYTES_A_STEP);
        node.number().map(Figure)
    }

    fn as_boolean(&self) -> Option<bool> {
        self.value(Kind::Truth)?.truth()
    }

    fn is_null(&self) -> bool {
        self.value(Kind::Null).is_some()
    }

    fn is_number(&self) -> bool {
        self.value(Kind::Number).is_some()
    }

    fn json_type(&self) -> JsonType {
        let Instance::Value(node) = self else { return JsonType::String };
        match node.kind() {
            Kind::Null => JsonType::Null,
            Kind::Truth => JsonType::Boolean,
            Kind::Number => JsonType::Number,
            Kind::Text => JsonType::String,
            Kind::Array => JsonType::Array,
            Kind::Object => JsonType::Object,
        }
    }

    fn equals_value(&self, expected: &Value) -> bool {
        match self {
            Instance::Value(node) => equals(*node, expected),
            Instance::Name(name) => expected.as_str() == Some(*name),
        }
    }

    /// For messages that quote values, and none of ours does.
    fn to_value(&self) -> Cow<'b, Value> {
        Cow::Owned(Value::Null)
    }

    fn identity(&self) -> Option<NodeIdentity> {
        match self {
            Instance::Value(node) => {
                Some(NodeIdentity::tagged(ptr::from_ref(node.tape()).addr(), node.place()))
            }
            Instance::Name(_) => None,
        }
    }
}

/// Values and names that are passed over in about the time of a step.
const PASSED_A_STEP: usize = 8;

/// Of members and elements themselves: what is in them is not looked at.
fn passed(many: usize) -> usize {
    effort::spend_on(1 + many / PASSED_A_STEP);
    many
}

pub(super) struct Objects<'b>(Node<'b>);

impl<'b> Object<'b, Body> for Objects<'b> {
    type Node = Instance<'b>;
    type MemberName = Cow<'b, str>;
    type MembersIter = Named<'b>;

    fn len(&self) -> usize {
        passed(self.0.members().count())
    }

    fn is_empty(&self) -> bool {
        self.0.members().next().is_none()
    }

    fn get(&self, key: &Box<str>) -> Option<Instance<'b>> {
        let (found, before) = self.0.member_behind(key);
        passed(before);
        found.map(Instance::Value)
    }

    fn members(&self) -> Named<'b> {
        Named(self.0.members())
    }
}

pub(super) struct Named<'b>(Members<'b>);

impl<'b> Iterator for Named<'b> {
    type Item = (Cow<'b, str>, Instance<'b>);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, node) = self.0.next()?;
        effort::name(&name).then_some((name, Instance::Value(node)))
    }
}

pub(super) struct Arrays<'b>(Node<'b>);

impl<'b> Array<'b, Body> for Arrays<'b> {
    type Node = Instance<'b>;
    type ElementsIter = Each<'b>;

    fn len(&self) -> usize {
        passed(self.0.elements().count())
    }

    fn elements(&self) -> Each<'b> {
        Each(self.0.elements())
    }

    /// By keyed hashes, so that nobody can choose elements that meet.
    fn is_unique(&self) -> bool {
        let keys = RandomState::new();
        let mut seen: HashMap<u64, Vec<Node<'b>>> = HashMap::new();
        effort::spend_on(self.0.size().saturating_mul(4) + self.0.written().len() / BYTES_A_STEP);
        self.0.elements().all(|element| {
            let alike = seen.entry(digest(element, &keys)).or_default();
            let is_new = !alike.iter().any(|other| are_same(*other, element));
            alike.push(element);
            is_new
        })
    }
}

pub(super) struct Each<'b>(ironbridge_core::json::Elements<'b>);

impl<'b> Iterator for Each<'b> {
    type Item = Instance<'b>;

    fn next(&mut self) -> Option<Instance<'b>> {
        let node = self.0.next()?;
        effort::spend(1).then_some(Instance::Value(node))
    }
}

/// A number. What has no exact reading is remembered by the body, whose judgement then does not count.
pub(super) struct Figure<'b>(Number<'b>);

impl JsonNumber for Figure<'_> {
    fn as_u64(&self) -> Option<u64> {
        self.0.unsigned()
    }

    fn as_i64(&self) -> Option<i64> {
        self.0.signed()
    }

    fn as_f64(&self) -> Option<f64> {
        self.0.double()
    }

    fn as_str(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.0.written())
    }

    fn to_number(&self) -> Cow<'_, serde_json::Number> {
        Cow::Owned(serde_json::from_str(self.0.written()).unwrap_or_else(|_| 0.into()))
    }

    fn is_integer(&self) -> bool {
        self.0.is_integer()
    }
}

/// Equality as JSON Schema has it (Core §4.2.2): numbers by their value, objects whatever their order.
fn equals(node: Node<'_>, expected: &Value) -> bool {
    if !effort::spend_on(1 + expected_cost(node)) {
        return false;
    }
    match (node.kind(), expected) {
        (Kind::Null, Value::Null) => true,
        (Kind::Truth, Value::Bool(truth)) => node.truth() == Some(*truth),
        (Kind::Number, Value::Number(number)) => {
            node.number().is_some_and(|found| found.is_same_as(&number.to_string()))
        }
        (Kind::Text, Value::String(text)) => node.text().as_deref() == Some(text),
        (Kind::Array, Value::Array(items)) => {
            let mut expected = items.iter();
            node.elements().all(|element| expected.next().is_some_and(|item| equals(element, item)))
                && expected.next().is_none()
        }
        (Kind::Object, Value::Object(members)) => {
            let mut count = 0;
            node.members().all(|(name, member)| {
                count += 1;
                members.get(&*name).is_some_and(|expected| equals(member, expected))
            }) && count == members.len()
        }
        _ => false,
    }
}

/// A text ends with the shorter of the two; numbers are read whole.
fn expected_cost(node: Node<'_>) -> usize {
    if node.kind() == Kind::Number { 2 + node.written().len() / BYTES_A_STEP } else { 0 }
}

fn are_same(a: Node<'_>, b: Node<'_>) -> bool {
    match (a.kind(), b.kind()) {
        (Kind::Number, Kind::Number) => {
            a.number().zip(b.number()).is_some_and(|(a, b)| a.is_same_as(b.written()))
        }
        (Kind::Text, Kind::Text) => a.text() == b.text(),
        (Kind::Array, Kind::Array) => {
            let mut others = b.elements();
            a.elements().all(|item| others.next().is_some_and(|other| are_same(item, other)))
                && others.next().is_none()
        }
        (Kind::Object, Kind::Object) => {
            let (a, b) = (sorted(a), sorted(b));
            a.len() == b.len()
                && a.iter().zip(&b).all(|((name, a), (other, b))| name == other && are_same(*a, *b))
        }
        (a_kind, b_kind) => a_kind == b_kind && a.truth() == b.truth(),
    }
}

fn sorted(object: Node<'_>) -> Vec<(Cow<'_, str>, Node<'_>)> {
    let mut members: Vec<_> = object.members().collect();
    members.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    members
}

fn digest(node: Node<'_>, keys: &RandomState) -> u64 {
    let mut hasher = keys.build_hasher();
    node.kind().hash(&mut hasher);
    match node.kind() {
        Kind::Number => node.number().map(Number::canonical).hash(&mut hasher),
        Kind::Array => node.elements().for_each(|item| hasher.write_u64(digest(item, keys))),
        Kind::Object => {
            let members = node.members().map(|(name, member)| keys.hash_one((name, digest(member, keys))));
            hasher.write_u64(members.fold(0, u64::wrapping_add));
        }
        Kind::Text => node.text().hash(&mut hasher),
        Kind::Truth | Kind::Null => node.truth().hash(&mut hasher),
    }
    hasher.finish()
}
