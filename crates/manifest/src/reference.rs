//! The reference page, generated from the JSON Schema.

use crate::schema::json_schema;
use serde_json::{Map, Value};
use std::fmt::Write;

/// Every key with its type, default and meaning, as Markdown.
pub fn reference_markdown() -> String {
    let schema = json_schema();
    let mut page = String::from(
        "# Manifest reference\n\n\
         A manifest is a directory of YAML files. Every `*.yaml` and `*.yml` file below it is read, except hidden \
         ones and those in the data directory, and all are merged: a name is declared once. Relative paths are \
         relative to the file that names them.\n\n",
    );
    table(&mut page, &schema);
    let sections = schema.get("$defs").and_then(Value::as_object).cloned().unwrap_or_default();
    for name in in_order(&schema, &sections) {
        let Some(section) = sections.get(&name) else { continue };
        let _ = writeln!(page, "\n## {name}\n\n{}\n", text(section, "description"));
        if section.get("maxProperties").is_some() {
            page.push_str("Exactly one of these keys.\n\n");
        }
        table(&mut page, section);
    }
    page
}

/// The sections in the order in which a reader meets them.
fn in_order(schema: &Value, sections: &Map<String, Value>) -> Vec<String> {
    let mut order = Vec::new();
    meet(schema.get("properties").unwrap_or(&Value::Null), sections, &mut order);
    order
}

fn meet(value: &Value, sections: &Map<String, Value>, order: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(name) = fields.get("$ref").and_then(section_name)
                && !order.iter().any(|met| met == name)
            {
                order.push(name.to_owned());
                meet(sections.get(name).unwrap_or(&Value::Null), sections, order);
            }
            fields.values().for_each(|value| meet(value, sections, order));
        }
        Value::Array(items) => items.iter().for_each(|item| meet(item, sections, order)),
        _ => {}
    }
}

fn section_name(reference: &Value) -> Option<&str> {
    reference.as_str()?.strip_prefix("#/$defs/")
}

fn table(page: &mut String, section: &Value) {
    let Some(keys) = section.get("properties").and_then(Value::as_object).filter(|keys| !keys.is_empty()) else {
        page.push_str("No keys.\n");
        return;
    };
    page.push_str("| key | value | default | meaning |\n|---|---|---|---|\n");
    let required = |name: &str| {
        section.get("required").and_then(Value::as_array).is_some_and(|all| all.iter().any(|one| one == name))
    };
    for (name, schema) in keys {
        let default = match schema.get("default") {
            Some(Value::Array(items)) => {
                let items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
                format!("`[{}]`", items.join(", "))
            }
            Some(Value::String(text)) => format!("`{text}`"),
            Some(other) => format!("`{other}`"),
            None if required(name) => "required".to_owned(),
            None => String::new(),
        };
        let meaning = format!("{}{}", text(schema, "description"), choices(schema));
        let _ = writeln!(page, "| `{name}` | {} | {default} | {} |", kind(schema), meaning.replace('|', "\\|"));
    }
}

/// What may be written, in a few words.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema.get("$ref").and_then(section_name) {
        return format!("[{name}](#{})", name.to_lowercase());
    }
    if schema.get("propertyNames").is_some() {
        return format!("map of names to {}", kind(schema.get("additionalProperties").unwrap_or(&Value::Null)));
    }
    if let Some(items) = schema.get("items") {
        return format!("list of {}", kind(items));
    }
    if let Some([one, _]) = schema.get("anyOf").and_then(Value::as_array).map(Vec::as_slice) {
        return format!("{}, or a list", kind(one));
    }
    if let Some(choices) = schema.get("oneOf").and_then(Value::as_array) {
        let words: Vec<String> = choices
            .iter()
            .map(|choice| match choice.get("const").and_then(Value::as_str) {
                Some(word) => format!("`{word}`"),
                None => kind(choice),
            })
            .collect();
        return words.join(" or ");
    }
    if let (Some(least), Some(most)) = (schema.get("minimum"), schema.get("maximum")) {
        return format!("{least} to {most}");
    }
    let example = schema.get("examples").and_then(|examples| examples.get(0)).and_then(Value::as_str);
    example.map_or("text".to_owned(), |example| format!("such as `{example}`"))
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
