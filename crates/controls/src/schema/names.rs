//! Members that are undeclared to the schema, and a declared one to some reader behind it.

use crate::shape::Shape;
use ironbridge_core::json::{Kind, Node, common_name};
use serde_json::Value;
use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};

/// The names of all properties of a schema.
#[derive(Debug)]
pub(super) struct Names {
    document: Value,
    exact: HashSet<Box<str>>,
    /// By what is common to those that are alike.
    common: HashMap<String, Vec<Box<str>>>,
}

impl Names {
    pub fn of(schema: &Value) -> Names {
        let mut exact = HashSet::new();
        let mut rest = vec![schema];
        while let Some(value) = rest.pop() {
            match value {
                Value::Array(items) => rest.extend(items),
                Value::Object(members) => {
                    if let Some(Value::Object(named)) = members.get("properties") {
                        exact.extend(named.keys().map(|name| Box::from(name.as_str())));
                    }
                    rest.extend(members.values());
                }
                _ => {}
            }
        }
        let mut common: HashMap<String, Vec<Box<str>>> = HashMap::new();
        for name in &exact {
            common.entry(common_name(name)).or_default().push(name.clone());
        }
        Names { document: schema.clone(), exact, common }
    }

    /// A member that passes for one that the schema declares in its place, with that one's name.
    pub fn mistakable<'b>(&self, root: Node<'b>) -> Option<(Node<'b>, &str)> {
        if self.exact.is_empty() {
            return None;
        }
        let top = Shape::Fits { document: &self.document, schema: &self.document };
        self.within(root, &Place { above: None, shape: OnceCell::from(top) })
    }

    /// Bodies are bounded in depth, so this is too.
    fn within<'b, 's>(&'s self, value: Node<'b>, place: &Place<'_, 's>) -> Option<(Node<'b>, &'s str)> {
        match value.kind() {
            Kind::Array => {
                let each = place.below(Step::Element);
                value.elements().find_map(|element| self.within(element, &each))
            }
            Kind::Object => value.members().find_map(|(name, member)| {
                if let Some(meant) = self.meant(place, &name) {
                    return Some((member, meant));
                }
                self.within(member, &place.below(Step::Member(&name)))
            }),
            _ => None,
        }
    }

    fn meant<'s>(&'s self, object: &Place<'_, 's>, name: &str) -> Option<&'s str> {
        if self.exact.contains(name) {
            return None;
        }
        let alike = self.common.get(&common_name(name))?;
        // Names of other places mean nothing here, maps have members of any name; but where it cannot be told, each may.
        alike.iter().map(|meant| &**meant).find(|meant| {
            let said = object.shape().member(meant);
            said.declared || said.unknown
        })
    }
}

/// A place in the body, and what the schema says of it: worked out where a name asks for it, and once for all
/// elements of a list.
struct Place<'p, 's> {
    above: Option<(&'p Place<'p, 's>, Step<'p>)>,
    shape: OnceCell<Shape<'s>>,
}

#[derive(Clone, Copy)]
enum Step<'p> {
    Member(&'p str),
    Element,
}

impl<'s> Place<'_, 's> {
    fn below<'q>(&'q self, step: Step<'q>) -> Place<'q, 's> {
        Place { above: Some((self, step)), shape: OnceCell::new() }
    }

    fn shape(&self) -> &Shape<'s> {
        self.shape.get_or_init(|| match self.above {
            None => Shape::ANY,
            Some((above, Step::Member(name))) => above.shape().member(name).shape,
            Some((above, Step::Element)) => above.shape().element(),
        })
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
        assert_eq!((member.pointer().as_str(), meant), ("/lines/200000/SKU", "sku"));
    }
}
