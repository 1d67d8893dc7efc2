//! The reference page, generated from the JSON Schema.

use crate::schema::{Definitions, TOP, top};
use serde_json::{Map, Value};
use std::fmt::Write;

/// Every key with its type, default and meaning, as Markdown.
pub fn reference_markdown() -> String {
    let mut definitions = Definitions::default();
    let top = top(&mut definitions);
    let mut page = String::from(
        "# Manifest reference\n\n\
         A manifest is a directory of YAML files. Every `*.yaml` and `*.yml` file below it is read, except hidden \
         ones and those in the data directory, and all are merged: a name is declared once. Relative paths are \
         relative to the file that names them.\n\n",
    );
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
        let default = match schema.get("default") {
            Some(Value::Array(items)) => {
                let items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
                format!("`[{}]`", items.join(", "))
            }
            Some(Value::String(text)) => format!("`{text}`"),
            Some(other) => format!("`{other}`"),
            None if required.contains(&name.as_str()) => "required".to_owned(),
            None => String::new(),
        };
        let meaning = format!("{}{}", text(schema, "description"), choices(schema));
        let _ =
            writeln!(page, "| `{name}` | {} | {default} | {} |", kind(schema), meaning.replace('|', "\\|"));
    }
}

/// What may be written, in a few words.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema.get("$ref").and_then(section_name) {
        return format!("[{name}](#{})", name.to_lowercase());
    }
    if schema.get("propertyNames").is_some() {
        return format!(
            "map of names to {}",
            kind(schema.get("additionalProperties").unwrap_or(&Value::Null))
        );
    }
    if let Some(items) = schema.get("items") {
        return format!("list of {}", kind(items).replacen(": ", "s: ", 1));
    }
    if let Some([one, _]) = schema.get("anyOf").and_then(Value::as_array).map(Vec::as_slice) {
        return format!("{}; or a list of them", kind(one));
    }
    if let Some(choices) = schema.get("oneOf").and_then(Value::as_array) {
        let word =
            |choice: &Value| choice.get("const").and_then(Value::as_str).map(|word| format!("`{word}`"));
        return choices
            .iter()
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
