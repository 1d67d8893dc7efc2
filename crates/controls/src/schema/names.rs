//! Members that are undeclared to the schema, and a declared one to some reader behind it.

use crate::shape::Shape;
use ironbridge_core::json::{Kind, Node, common_name};
use serde_json::Value;
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
        let mut rest = vec![root];
        while let Some(value) = rest.pop() {
            match value.kind() {
                Kind::Array => rest.extend(value.elements()),
                Kind::Object => {
                    for (name, member) in value.members() {
                        if let Some(meant) = self.meant(root, value, &name) {
                            return Some((member, meant));
                        }
                        rest.push(member);
                    }
                }
                _ => {}
            }
        }
        None
    }

    fn meant(&self, root: Node<'_>, object: Node<'_>, name: &str) -> Option<&str> {
        if self.exact.contains(name) {
            return None;
        }
        let alike = self.common.get(&common_name(name))?;
        // Names of other places mean nothing here: maps have members of any name.
        let shape = self.shape_of(root, &object.pointer());
        alike.iter().map(|meant| &**meant).find(|meant| shape.member(meant).declared)
    }

    /// What the schema says of a place in the body.
    fn shape_of(&self, root: Node<'_>, pointer: &str) -> Shape<'_> {
        let mut shape = Shape::Fits { document: &self.document, schema: &self.document };
        let mut at = Some(root);
        for step in pointer.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            let Some(node) = at else { break };
            (shape, at) = if node.kind() == Kind::Array {
                let element = step.parse().ok().and_then(|place| node.elements().nth(place));
                (shape.element(), element)
            } else {
                (shape.member(&step).shape, node.member(&step))
            };
        }
        shape
    }
}
