//! JSON Schema (2020-12) of the manifest, from the declarations in [`crate::model`].

use crate::keys::Read;
use crate::range;
use crate::sections::Sections;
use crate::value::{FromText, written};
use crate::{Account, Bridge, Integration, Map, Role, System};
use ironbridge_core::SecretName;
use serde_json::{Map as Object, Value, json};
use std::collections::HashMap;

/// The sections met so far, by name.
pub struct Definitions {
    /// What transports declare in sections of their own.
    registered: Sections,
    pub(crate) sections: Object<String, Value>,
    /// Each section's keys as they are declared; JSON objects have no order.
    pub(crate) keys: HashMap<String, Vec<&'static str>>,
}

/// One key of a section.
pub struct Key {
    /// As a manifest writes it.
    pub name: &'static str,
    /// What it is for.
    pub description: String,
    /// What holds where it is left out, as a manifest would write it.
    pub default: Option<&'static str>,
    /// Whether it must be there.
    pub need: Need,
    /// What may be written, as JSON Schema.
    pub schema: Value,
}

/// Whether a key must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// It must.
    Required,
    /// It may be left out.
    Free,
    /// It or another one of this need, and only one of them.
    Choice,
}

impl Need {
    /// Of a key that may be left out, or may not.
    pub fn of(may_be_left_out: bool) -> Need {
        if may_be_left_out { Need::Free } else { Need::Required }
    }
}

/// The top-level keys with what they hold.
pub(crate) const TOP: [(&str, &str); 5] = [
    ("bridge", "The bridge itself."),
    ("systems", "What data comes from and goes to, by name."),
    ("roles", "Named sets of permissions."),
    ("accounts", "The identities under which systems call, by name."),
    ("integrations", "The declared data flows, by name."),
];

/// JSON Schema (2020-12) of one manifest file. Every file may hold any of the top-level keys.
pub fn json_schema() -> Value {
    json_schema_with(&Sections::product())
}

/// As [`json_schema`], with the sections of other transports than the product's.
pub fn json_schema_with(sections: &Sections) -> Value {
    let mut definitions = Definitions::new(sections);
    let properties = top(&mut definitions);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Ironbridge manifest",
        "description": "One file of a manifest directory; all files of the directory are merged.",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "$defs": definitions.sections,
    })
}

/// The top-level keys.
pub fn top(definitions: &mut Definitions) -> Object<String, Value> {
    let held = [
        Bridge::schema(definitions),
        Map::<System>::schema(definitions),
        Map::<Role>::schema(definitions),
        Map::<Account>::schema(definitions),
        Map::<Integration>::schema(definitions),
    ];
    let described = |((name, description), schema): (&(&str, &str), Value)| {
        ((*name).to_owned(), described(schema, description))
    };
    TOP.iter().zip(held).map(described).collect()
}

/// Where a key stands, as the keys that lead there; `NAME` stands for any name.
pub fn places(sections: &Sections, key: &str) -> Vec<String> {
    let mut found = Vec::new();
    each_key(sections, |at, name, _, _| {
        if name == key && !at.is_empty() {
            found.push(at.join("."));
        }
    });
    found.sort();
    found.dedup();
    found
}

/// Whether a key of this name takes a secret anywhere.
pub fn takes_secret(sections: &Sections, key: &str) -> bool {
    let secret = <SecretName as FromText>::schema().get("pattern").cloned();
    let mut takes = false;
    each_key(sections, |_, name, _, held| takes |= name == key && held.get("pattern") == secret.as_ref());
    takes
}

/// Every key with the keys that lead to it and the schema of what it holds; `NAME` stands for any name.
pub fn each_key(sections: &Sections, mut found: impl FnMut(&[&str], &str, bool, &Value)) {
    /// Deeper than any key stands; a section that held itself would not end.
    const DEEPEST: usize = 12;
    let schema = json_schema_with(sections);
    let mut open = vec![(Vec::<&str>::new(), &schema)];
    while let Some((at, node)) = open.pop() {
        let named = node.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix('#'));
        let node = named.and_then(|name| schema.pointer(name)).unwrap_or(node);
        let below = |step| [at.as_slice(), &[step]].concat();
        if at.len() > DEEPEST {
            continue;
        }
        // An item of a list, or one of several shapes, stands where the list or the choice does.
        let shapes = ["oneOf", "anyOf"].into_iter().filter_map(|key| node.get(key)?.as_array()).flatten();
        open.extend(shapes.chain(node.get("items")).map(|inner| (at.clone(), inner)));
        let required = node.get("required").and_then(Value::as_array);
        for (name, held) in node.get("properties").and_then(Value::as_object).into_iter().flatten() {
            found(&at, name, required.is_some_and(|all| all.iter().any(|key| key == name)), held);
            open.push((below(name), held));
        }
        if let Some(held @ Value::Object(_)) = node.get("additionalProperties") {
            open.push((below("NAME"), held));
        }
    }
}

impl Definitions {
    pub(crate) fn new(registered: &Sections) -> Definitions {
        let sections = Object::new();
        Definitions { registered: registered.clone(), sections, keys: HashMap::new() }
    }

    /// What transports declare in sections of their own.
    pub(crate) fn registered(&self) -> Sections {
        self.registered.clone()
    }

    /// A reference to the section of this name, which is described when it is met first.
    pub fn section(&mut self, name: &str, docs: &[&str], keys: impl FnOnce(&mut Self) -> Vec<Key>) -> Value {
        self.define(name, |definitions| {
            let mut keys = keys(definitions);
            definitions.keys.insert(name.to_owned(), keys.iter().map(|key| key.name).collect());
            for key in &mut keys {
                if let (Some(range), Value::Object(fields)) = (range::of(name, key.name), &mut key.schema) {
                    fields.insert("title".to_owned(), json!(range.words()));
                    let example = key.default.map_or_else(|| written(range.most), str::to_owned);
                    fields.insert("examples".to_owned(), json!([example]));
                }
            }
            let needed = |need: Need| keys.iter().filter(move |key| key.need == need).map(|key| key.name);
            let required: Vec<&str> = needed(Need::Required).collect();
            let choice: Vec<Value> = needed(Need::Choice).map(|key| json!({ "required": [key] })).collect();
            let mut section = json!({
                "type": "object",
                "description": paragraph(docs),
                "properties": properties(keys),
                "required": required,
                "additionalProperties": false,
            });
            if let (false, Value::Object(fields)) = (choice.is_empty(), &mut section) {
                fields.insert("oneOf".to_owned(), choice.into());
            }
            section
        })
    }

    /// As [`Definitions::section`], for one that holds exactly one of its keys.
    pub fn one_of(&mut self, name: &str, docs: &[&str], keys: impl FnOnce(&mut Self) -> Vec<Key>) -> Value {
        self.define(name, |definitions| {
            let keys = keys(definitions);
            definitions.keys.insert(name.to_owned(), keys.iter().map(|key| key.name).collect());
            json!({
                "type": "object",
                "description": paragraph(docs),
                "properties": properties(keys),
                "minProperties": 1,
                "maxProperties": 1,
                "additionalProperties": false,
            })
        })
    }

    fn define(&mut self, name: &str, make: impl FnOnce(&mut Self) -> Value) -> Value {
        if !self.sections.contains_key(name) {
            self.sections.insert(name.to_owned(), Value::Null);
            let made = make(self);
            self.sections.insert(name.to_owned(), made);
        }
        json!({ "$ref": format!("#/$defs/{name}") })
    }
}

fn properties(keys: Vec<Key>) -> Object<String, Value> {
    keys.into_iter()
        .map(|key| {
            let mut schema = described(key.schema, &key.description);
            if let (Some(default), Value::Object(fields)) = (key.default, &mut schema) {
                fields.insert("default".to_owned(), default_value(default, fields.get("type")));
            }
            (key.name.to_owned(), schema)
        })
        .collect()
}

/// A default as JSON: a list in brackets, a number where one is meant, else text.
fn default_value(text: &str, kind: Option<&Value>) -> Value {
    match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(items) => items.split(',').map(|item| json!(item.trim())).collect(),
        None if kind == Some(&json!("integer")) => {
            text.parse::<u64>().map_or(json!(text), |number| json!(number))
        }
        None if kind == Some(&json!("boolean")) => json!(text == "true"),
        None => json!(text),
    }
}

/// What a key says goes before what its type says.
fn described(mut schema: Value, description: &str) -> Value {
    if let Value::Object(fields) = &mut schema {
        fields.insert("description".to_owned(), json!(description));
    }
    schema
}

/// A choice between words, each with its meaning.
pub fn one_word(docs: &[&str], words: &[(&str, String)]) -> Value {
    let mut choices: Vec<Value> =
        words.iter().map(|(word, meaning)| json!({ "const": word, "description": meaning })).collect();
    // An editor reads the plain word as a truth value, and a manifest's reader as the word that it is.
    let truths = words.iter().filter(|(word, _)| *word == "true");
    choices.extend(truths.map(|(_, meaning)| json!({ "const": true, "description": meaning })));
    json!({ "description": paragraph(docs), "oneOf": choices })
}

/// A scalar that is written as text. Plain numbers are text too where a manifest is read.
pub fn text(description: &str, pattern: &str, example: &str) -> Value {
    json!({ "type": "string", "description": description, "pattern": pattern, "examples": [example] })
}

/// The lines of a doc comment as one paragraph.
pub fn paragraph(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}
