//! The merged directory: every declaration with the file it came from.

use crate::findings::finding;
use crate::keys::{Read, Section, read_key};
use crate::place::{At, FileId, Spot};
use crate::reader::{Reader, quoted};
use crate::schema::TOP;
use crate::sections::Sections;
use crate::value::FromText;
use crate::yaml::{Entry, Kind, Node};
use crate::{Map, Name};
use ironbridge_core::SecretName;
use std::collections::{BTreeMap, btree_map};

/// The kinds of things that have names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    Systems,
    Roles,
    Accounts,
    Integrations,
}

impl Names {
    /// The top-level key that holds them.
    const fn key(self) -> &'static str {
        match self {
            Names::Systems => "systems",
            Names::Roles => "roles",
            Names::Accounts => "accounts",
            Names::Integrations => "integrations",
        }
    }
}

/// Everything declared, checked or not.
#[derive(Debug, Default)]
pub struct Outline {
    bridge: Option<Declared>,
    systems: BTreeMap<String, Declared>,
    roles: BTreeMap<String, Declared>,
    accounts: BTreeMap<String, Declared>,
    integrations: BTreeMap<String, Declared>,
}

#[derive(Debug)]
struct Declared {
    file: FileId,
    entry: Entry,
}

/// The top level of a manifest file.
struct Top;

impl Section for Top {
    fn keys(_: &Sections) -> Vec<&'static str> {
        TOP.iter().map(|(key, _)| *key).collect()
    }

    fn later(_: &Sections) -> Vec<&'static str> {
        vec!["attestations", "partners", "sets"]
    }
}

impl Outline {
    /// Takes over what a file declares.
    pub fn add(&mut self, file: FileId, root: Node, reader: &mut Reader<'_>) {
        if root.kind == Kind::Nothing {
            return;
        }
        let start = Entry { key: String::new(), key_span: Default::default(), value: root };
        reader.enter(file, &start, |reader, node| reader.keys::<Top>(node).is_some());
        let Kind::Map(entries) = start.value.kind else { return };
        for entry in entries {
            match entry.key.as_str() {
                "bridge" => self.add_bridge(file, entry, reader),
                "systems" => add_all(&mut self.systems, file, entry, reader),
                "roles" => add_all(&mut self.roles, file, entry, reader),
                "accounts" => add_all(&mut self.accounts, file, entry, reader),
                "integrations" => add_all(&mut self.integrations, file, entry, reader),
                _ => {}
            }
        }
    }

    fn add_bridge(&mut self, file: FileId, entry: Entry, reader: &mut Reader<'_>) {
        match &self.bridge {
            Some(first) => declared_twice(first, file, &entry, reader),
            None => self.bridge = Some(Declared { file, entry }),
        }
    }

    fn of(&self, names: Names) -> &BTreeMap<String, Declared> {
        match names {
            Names::Systems => &self.systems,
            Names::Roles => &self.roles,
            Names::Accounts => &self.accounts,
            Names::Integrations => &self.integrations,
        }
    }

    /// Reads the bridge; a report where there is none.
    pub fn read_bridge<T: Read>(&self, reader: &mut Reader<'_>) -> Option<T> {
        match &self.bridge {
            Some(declared) => {
                reader.enter(declared.file, &declared.entry, |reader, node| T::read(node, reader))
            }
            // What could not be read may hold it.
            None if reader.has_errors() => None,
            None => {
                reader
                    .report_whole(&finding::NO_MANIFEST, "no file says what the bridge is")
                    .help("add a file with the top-level key `bridge`, or begin with `ironbridge init`");
                None
            }
        }
    }

    /// Reads everything of a kind, and leaves out what is wrong.
    pub fn read_all<T: Read>(&self, names: Names, reader: &mut Reader<'_>) -> Map<T> {
        let mut read = Map::new();
        let fixed = T::fixed(reader.sections());
        reader.below(names.key(), |reader| {
            for Declared { file, entry } in self.of(names).values() {
                if reader.within(*file, |reader| reader.is_misplaced(entry, &fixed)) {
                    continue;
                }
                let (name, value) = reader.enter(*file, entry, |reader, node| {
                    (read_key::<Name>(entry, reader), T::read(node, reader))
                });
                if let (Some(name), Some(value)) = (name, value) {
                    read.insert(name, value);
                }
            }
        });
        read
    }

    /// Whether the name is declared, rightly or wrongly: `Shop` declares `shop`, though not well.
    pub fn declares(&self, names: Names, name: &str) -> bool {
        self.of(names).contains_key(name) || self.names(names).any(|other| other.eq_ignore_ascii_case(name))
    }

    pub fn names(&self, names: Names) -> impl Iterator<Item = &str> {
        self.of(names).keys().map(String::as_str)
    }

    pub fn spot(&self, names: Names, name: &str) -> Option<Spot<'_>> {
        self.of(names).get(name).map(|declared| Spot::new(declared.file, &declared.entry))
    }

    pub fn bridge(&self) -> Option<Spot<'_>> {
        self.bridge.as_ref().map(|declared| Spot::new(declared.file, &declared.entry))
    }

    /// Every reference to a secret, with the keys that lead to it.
    pub fn secrets(&self) -> Vec<(Vec<String>, SecretName)> {
        let mut found = Vec::new();
        if let Some(bridge) = &self.bridge {
            collect(&bridge.entry.value, &mut vec!["bridge".to_owned()], &mut found);
        }
        // Nothing else of a manifest can name one.
        for (name, system) in &self.systems {
            collect(&system.entry.value, &mut vec!["systems".to_owned(), name.clone()], &mut found);
        }
        found
    }

    /// The place that keys lead to, beginning with a top-level key; as far as they lead.
    pub fn find(&self, path: &[String]) -> Option<Spot<'_>> {
        let (top, rest) = path.split_first()?;
        let (spot, rest) = match top.as_str() {
            "bridge" => (self.bridge()?, rest),
            kind => {
                let names = match kind {
                    "systems" => Names::Systems,
                    "roles" => Names::Roles,
                    "accounts" => Names::Accounts,
                    _ => Names::Integrations,
                };
                let (name, rest) = rest.split_first()?;
                (self.spot(names, name)?, rest)
            }
        };
        Some(rest.iter().fold(spot, |spot, key| match key.parse() {
            Ok(index) => spot.item(index),
            Err(_) => spot.key(key),
        }))
    }
}

/// The references to secrets in a value, `at` being the keys that lead to it.
fn collect(node: &Node, at: &mut Vec<String>, found: &mut Vec<(Vec<String>, SecretName)>) {
    match &node.kind {
        Kind::Text(text) => {
            if let Ok(reference) = SecretName::from_text(text) {
                found.push((at.clone(), reference));
            }
        }
        Kind::Nothing => {}
        Kind::List(items) => {
            for (index, item) in items.iter().enumerate() {
                at.push(index.to_string());
                collect(item, at, found);
                at.pop();
            }
        }
        Kind::Map(entries) => {
            for entry in entries {
                at.push(entry.key.clone());
                collect(&entry.value, at, found);
                at.pop();
            }
        }
    }
}

fn add_all(section: &mut BTreeMap<String, Declared>, file: FileId, entry: Entry, reader: &mut Reader<'_>) {
    let names = match entry.value.kind {
        Kind::Map(names) => names,
        // Everything in it may be commented out.
        Kind::Nothing => return,
        _ => return reader.enter(file, &entry, |reader, node| reader.wrong_shape(node, "a map of names")),
    };
    for entry in names {
        match section.entry(entry.key.clone()) {
            btree_map::Entry::Occupied(first) => declared_twice(first.get(), file, &entry, reader),
            btree_map::Entry::Vacant(free) => drop(free.insert(Declared { file, entry })),
        }
    }
}

fn declared_twice(first: &Declared, file: FileId, again: &Entry, reader: &mut Reader<'_>) {
    reader.enter(file, again, |reader, node| reader.hide(node));
    reader
        .report(
            &finding::NAME_TWICE,
            At { file, span: again.key_span },
            format!("{} is declared twice", quoted(&again.key)),
        )
        .label("declared again")
        .also(At { file: first.file, span: first.entry.key_span }, "first declared here");
}
