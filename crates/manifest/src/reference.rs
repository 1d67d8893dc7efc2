//! The reference page and the pages of single keys, generated from the JSON Schema.

use crate::schema::{Definitions, TOP, each_key, json_schema, top};
use crate::sections::Sections;
use crate::value::units_in_words;
use serde_json::{Map, Value};
use std::fmt::Write;

/// Every key with its type, default and meaning, as Markdown.
pub fn reference_markdown() -> String {
    let mut definitions = Definitions::new(&Sections::product());
    let top = top(&mut definitions);
    let mut page = String::from(
        "# Manifest reference\n\n\
         A manifest is a directory of YAML files. Every `*.yaml` and `*.yml` file below it is read, except hidden \
         ones and those in the data directory, and all are merged: a name is declared once. Relative paths are \
         relative to the file that names them.\n\n",
    );
    let _ = write!(page, "{}\n\n", units_in_words());
    let names: Vec<&str> = TOP.iter().map(|(name, _)| *name).collect();
    table(&mut page, &names, &top, &[]);
    let mut met = Vec::new();
    names.iter().filter_map(|name| top.get(*name)).for_each(|schema| meet(schema, &definitions, &mut met));
    for name in &met {
        if let (Some(section), Some(keys)) = (definitions.sections.get(name), definitions.keys.get(name)) {
            section_page(&mut page, name, section, keys);
        }
    }
    page
}

/// What there is to say of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPage {
    /// The key itself.
    pub key: String,
    /// The keys that lead to it, and it, at each of its places: `integrations.NAME.http.path`.
    pub places: Vec<String>,
    /// What may be written, in a few words.
    pub value: String,
    /// What holds where it is left out; empty where it may not be, or where the meaning says it.
    pub default: String,
    /// Whether it must be there.
    pub required: bool,
    /// What it is for, and what its words mean.
    pub meaning: String,
    /// The keys that it holds, if it is a section.
    pub keys: Vec<String>,
}

impl KeyPage {
    /// Whether the key is meant by `request.query`, `http.operations.request`, or a place with the names in it.
    pub fn is_called(&self, wanted: &str) -> bool {
        let wanted: Vec<&str> = wanted.split('.').collect();
        self.places.iter().any(|place| {
            let steps: Vec<&str> = place.split('.').collect();
            let keys: Vec<&str> = steps.iter().copied().filter(|step| *step != "NAME").collect();
            let same = |step: &&str, word: &&str| *step == "NAME" || step.eq_ignore_ascii_case(word);
            let ends = |steps: &[&str]| {
                let from = steps.len().checked_sub(wanted.len());
                from.and_then(|from| steps.get(from..))
                    .is_some_and(|tail| tail.iter().zip(&wanted).all(|(step, word)| same(step, word)))
            };
            ends(&keys) || ends(&steps)
        })
    }
}

/// Every key of the manifest; one that means the same at several places has one page.
pub fn key_pages() -> Vec<KeyPage> {
    let definitions = json_schema();
    let section = |held: &Value| definitions.pointer(held.get("$ref")?.as_str()?.strip_prefix('#')?).cloned();
    let mut pages: Vec<KeyPage> = Vec::new();
    each_key(&Sections::product(), |at, key, required, held| {
        let place = at.iter().copied().chain([key]).collect::<Vec<_>>().join(".");
        let inner = section(held).or_else(|| section(held.get("additionalProperties")?));
        let mut keys: Vec<String> = inner
            .iter()
            .filter_map(|inner| inner.get("properties")?.as_object())
            .flat_map(|keys| keys.keys().cloned())
            .collect();
        keys.sort();
        let page = KeyPage {
            key: key.to_owned(),
            places: vec![place.clone()],
            value: plain(&kind(held)),
            default: default_of(held).unwrap_or_default(),
            required,
            meaning: format!("{}{}", text(held, "description"), choices(held)).replace("<br>", "\n"),
            keys,
        };
        let same = |other: &&mut KeyPage| KeyPage { places: page.places.clone(), ..(*other).clone() } == page;
        match pages.iter_mut().find(same) {
            Some(known) => known.places.push(place),
            None => pages.push(page),
        }
    });
    pages.iter_mut().for_each(|page| page.places.sort());
    pages.sort_by(|a, b| (&a.key, &a.places).cmp(&(&b.key, &b.places)));
    pages
}

/// As a sentence says it, without the links of the page.
fn plain(kind: &str) -> String {
    let kind = kind.replacen(": ", ", such as ", 1);
    match kind.split_once('[').and_then(|(before, rest)| Some((before, rest.split_once("](#")?))) {
        Some((before, (_, rest))) => {
            format!("{before}a map of keys{}", rest.split_once(')').map_or("", |(_, after)| after))
        }
        None => kind,
    }
}

/// Notes the sections that a schema leads to, in the order in which a reader meets them.
fn meet(schema: &Value, definitions: &Definitions, met: &mut Vec<String>) {
    let section =
        schema.get("$ref").and_then(section_name).filter(|name| !met.iter().any(|other| other == name));
    if let Some(name) = section {
        met.push(name.to_owned());
        let properties = definitions.sections.get(name).and_then(|section| section.get("properties"));
        for key in definitions.keys.get(name).into_iter().flatten() {
            meet(properties.and_then(|all| all.get(*key)).unwrap_or(&Value::Null), definitions, met);
        }
    }
    for inner in ["items", "additionalProperties"].iter().filter_map(|key| schema.get(*key)) {
        meet(inner, definitions, met);
    }
    for inner in ["oneOf", "anyOf"].iter().filter_map(|key| schema.get(*key)?.as_array()).flatten() {
        meet(inner, definitions, met);
    }
}

fn section_page(page: &mut String, name: &str, section: &Value, keys: &[&str]) {
    let _ = writeln!(page, "\n## {name}\n\n{}\n", text(section, "description"));
    if section.get("maxProperties").is_some() {
        page.push_str("Exactly one of these keys.\n\n");
    }
    let required: Vec<&str> = section
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if let Some(properties) = section.get("properties").and_then(Value::as_object) {
        table(page, keys, properties, &required);
    }
}

fn section_name(reference: &Value) -> Option<&str> {
    reference.as_str()?.strip_prefix("#/$defs/")
}

fn table(page: &mut String, keys: &[&str], properties: &Map<String, Value>, required: &[&str]) {
    page.push_str("| key | value | default | meaning |\n|---|---|---|---|\n");
    for (name, schema) in keys.iter().filter_map(|key| properties.get_key_value(*key)) {
        let default = match default_of(schema) {
            Some(default) => format!("`{default}`"),
            None if required.contains(&name.as_str()) => "required".to_owned(),
            None => String::new(),
        };
        let meaning = format!("{}{}", text(schema, "description"), choices(schema));
        let _ =
            writeln!(page, "| `{name}` | {} | {default} | {} |", kind(schema), meaning.replace('|', "\\|"));
    }
}

/// The plural of what an example follows: `a host without a port: ...` has it at `host`.
fn several(kind: &str) -> String {
    let Some((title, example)) = kind.split_once(": ") else { return kind.to_owned() };
    let title = title.replace("'s ", "s' ");
    match title.split_once(" with") {
        Some((noun, rest)) => format!("{noun}s with{rest}: {example}"),
        None => format!("{title}s: {example}"),
    }
}

fn default_of(schema: &Value) -> Option<String> {
    Some(match schema.get("default")? {
        Value::Array(items) => {
            let items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            format!("[{}]", items.join(", "))
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    })
}

/// What may be written, in a few words.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema.get("$ref").and_then(section_name) {
        return format!("[{name}](#{})", name.to_lowercase());
    }
    if schema.get("propertyNames").is_some() {
        return format!(
            "map of names to {}",
            several(&kind(schema.get("additionalProperties").unwrap_or(&Value::Null)))
        );
    }
    if let Some(items) = schema.get("items") {
        return format!("list of {}", several(&kind(items)));
    }
    if let Some([one, other]) = schema.get("anyOf").and_then(Value::as_array).map(Vec::as_slice) {
        // What may be listed may also stand alone; or else a word stands for the whole list.
        return match other.get("const").and_then(Value::as_str) {
            Some(word) => format!("{}; or the word `{word}`", kind(one)),
            None => format!("{}; or a list of them", kind(one)),
        };
    }
    if let Some(choices) = schema.get("oneOf").and_then(Value::as_array) {
        let word =
            |choice: &Value| choice.get("const").and_then(Value::as_str).map(|word| format!("`{word}`"));
        return choices
            .iter()
            // A truth value stands beside its word, for editors.
            .filter(|choice| choice.get("const").is_none_or(Value::is_string))
            .map(|choice| word(choice).unwrap_or_else(|| kind(choice)))
            .collect::<Vec<_>>()
            .join(", ");
    }
    if let (Some(least), Some(most)) = (schema.get("minimum"), schema.get("maximum")) {
        return format!("{least} to {most}");
    }
    let example = schema.get("examples").and_then(|examples| examples.get(0)).and_then(Value::as_str);
    let title = text(schema, "title");
    example.map_or(title.to_owned(), |example| format!("{title}: `{example}`"))
}

/// The meaning of each word, where there is a choice.
fn choices(schema: &Value) -> String {
    let choices = schema.get("oneOf").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    choices
        .iter()
        .filter_map(|choice| Some((choice.get("const")?.as_str()?, text(choice, "description"))))
        .fold(String::new(), |mut out, (word, meaning)| {
            let _ = write!(out, "<br>`{word}`: {meaning}");
            out
        })
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}
