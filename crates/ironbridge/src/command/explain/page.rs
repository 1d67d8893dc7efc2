//! Everything that has a page: each comes from the catalogue of the room that owns it.

use ironbridge_controls::{ORDER, rules};
use ironbridge_core::action::name;
use ironbridge_core::fields;
use ironbridge_core::{Code, Fault, Row, TransportFacts, Word, all_codes, all_words};
use ironbridge_engine::transports;
use ironbridge_manifest::{Finding, KeyPage, Topic, findings, topics};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;

pub enum Page {
    Refusal(&'static Code),
    Finding(&'static Finding),
    Word(&'static Word),
    /// What a record says somebody did, and what that means.
    Action(&'static str, &'static str),
    /// By its id, and all that goes by it.
    Control(&'static str, Vec<&'static Row>),
    Topic(&'static Topic),
    Key(KeyPage),
}

/// All pages but those of the manifest's keys.
pub fn all() -> Vec<Page> {
    let mut controls: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for control in ORDER {
        control.id.split(", ").for_each(|id| controls.entry(id).or_default().push(control));
    }
    topics()
        .iter()
        .map(Page::Topic)
        .chain(all_codes().iter().map(|code| Page::Refusal(code)))
        .chain(findings().iter().map(|finding| Page::Finding(finding)))
        .chain(all_words().iter().map(|word| Page::Word(word)))
        .chain(name::ALL.iter().map(|(name, meaning)| Page::Action(name, meaning)))
        .chain(controls.into_iter().map(|(id, parts)| Page::Control(id, parts)))
        .collect()
}

impl Page {
    pub fn id(&self) -> &str {
        match self {
            Page::Refusal(code) => code.id,
            Page::Finding(finding) => finding.id,
            Page::Word(word) => word.id,
            Page::Action(name, _) => name,
            Page::Control(id, _) => id,
            Page::Topic(topic) => topic.id,
            Page::Key(key) => &key.key,
        }
    }

    pub fn is_called(&self, word: &str) -> bool {
        match self {
            Page::Topic(topic) => topic.is_called(word),
            page => page.id().eq_ignore_ascii_case(word),
        }
    }

    pub fn kind(&self) -> String {
        match self {
            Page::Refusal(code) => code.kind.name().to_owned(),
            Page::Finding(finding) => finding.severity.name().to_owned(),
            Page::Word(word) => word.member.to_owned(),
            Page::Action(..) => "action".to_owned(),
            Page::Control(..) => "control".to_owned(),
            Page::Topic(_) => "topic".to_owned(),
            Page::Key(_) => "key".to_owned(),
        }
    }

    pub fn title(&self) -> String {
        match self {
            Page::Refusal(code) => code.title.to_owned(),
            Page::Finding(finding) => finding.title.to_owned(),
            Page::Word(word) => word.title.to_owned(),
            Page::Action(_, meaning) => (*meaning).to_owned(),
            Page::Control(_, parts) => {
                parts.iter().map(|control| control.name).collect::<Vec<_>>().join(", ")
            }
            Page::Topic(topic) => topic.title.to_owned(),
            Page::Key(key) => key.places.join(", "),
        }
    }

    pub fn text(&self) -> String {
        match self {
            Page::Refusal(code) => refusal(code),
            Page::Finding(finding) => finding_text(finding),
            Page::Word(word) => word_text(word),
            Page::Action(name, meaning) => format!(
                "{name}: {meaning}\n\nAn action of the audit trail. `ironbridge audit query --action {name}` finds its \
                 records;\ndocs/audit-format.md says what object and facts they have."
            ),
            Page::Control(id, parts) => control(id, parts),
            Page::Topic(topic) => topic_text(topic),
            Page::Key(key) => key_text(key),
        }
    }

    pub fn to_json(&self) -> Value {
        match self {
            Page::Refusal(code) => json!({
                "kind": "refusal", "code": code.id, "title": code.title, "refusal_kind": code.kind.name(),
                "status": marks(code).map(|(_, mark)| mark).next(),
                "fault": code.fault.name(), "retry": code.retry, "reach": code.reach.name(),
                "meaning": code.meaning, "mend": code.mend, "operator": code.operator,
            }),
            Page::Finding(finding) => json!({
                "kind": "finding", "code": finding.id, "title": finding.title,
                "severity": finding.severity.name(), "why": finding.why, "mend": finding.mend,
                "example": finding.example,
            }),
            Page::Word(word) => json!({
                "kind": "word", "code": word.id, "member": word.member, "title": word.title,
                "meaning": word.meaning, "mend": word.mend,
            }),
            Page::Action(name, meaning) => json!({ "kind": "action", "code": name, "title": meaning }),
            Page::Control(id, parts) => {
                let parts: Vec<Value> = parts
                    .iter()
                    .map(|part| json!({ "name": part.name, "phase": part.phase.name(), "what": part.what }))
                    .collect();
                json!({ "kind": "control", "code": id, "parts": parts })
            }
            Page::Topic(topic) => json!({
                "kind": "topic", "code": topic.id, "title": topic.title, "text": topic.text,
                "example": topic.example,
            }),
            Page::Key(key) => json!({
                "kind": "key", "code": key.key, "places": key.places, "value": key.value,
                "default": key.default, "required": key.required, "meaning": key.meaning, "keys": key.keys,
            }),
        }
    }
}

fn refusal(code: &'static Code) -> String {
    let again = if code.retry { "may succeed" } else { "will not help" };
    let fault = match code.fault {
        Fault::Bridge => "the bridge itself".to_owned(),
        fault => format!("the {}", fault.name()),
    };
    let operator =
        if code.operator.is_empty() { String::new() } else { format!("\n\nThe operator: {}", code.operator) };
    format!(
        "{}: {}\n\nKind: {}{}. At fault is {fault}; sending the same again {again}.\n{}\n\n{}\n\n{}{}",
        code.id,
        code.title,
        code.kind.name(),
        marks(code).map(|(transport, mark)| format!(", {} {mark}", transport.marks)).collect::<String>(),
        wrapped(code.reach.said()),
        wrapped(code.meaning),
        wrapped(code.mend),
        wrapped(&operator)
    )
}

/// The number that each transport tells it by.
fn marks(code: &'static Code) -> impl Iterator<Item = (&'static TransportFacts, u16)> {
    transports().into_iter().filter_map(move |transport| Some((transport, (transport.mark)(code)?)))
}

fn finding_text(finding: &Finding) -> String {
    format!(
        "{}: {} ({})\n\n{}\n\n{}{}",
        finding.id,
        finding.title,
        finding.severity.name(),
        wrapped(finding.why),
        wrapped(finding.mend),
        indented(finding.example)
    )
}

fn word_text(word: &Word) -> String {
    let mend = if word.mend == "Nothing." { String::new() } else { format!("\n\n{}", wrapped(word.mend)) };
    format!(
        "{}: {}\n\nA record's {} in the audit trail.\n\n{}{mend}",
        word.id,
        word.title,
        word.member,
        wrapped(word.meaning)
    )
}

fn control(id: &str, parts: &[&Row]) -> String {
    let mut text = format!("{id}: a control of every exchange, in the phases that are named");
    for part in parts {
        let _ = write!(text, "\n\n{} ({})\n{}", part.name, part.phase.name(), wrapped(part.what));
    }
    text + "\n\nWhat each control does in this version stands in README.md, their order in docs/reference/controls.md."
}

fn topic_text(topic: &Topic) -> String {
    let paragraphs: Vec<String> = topic.text.lines().map(wrapped).collect();
    let mut text = format!("{}: {}\n\n{}", topic.id, topic.title, paragraphs.join("\n\n"));
    text += &indented(topic.example);
    match topic.id {
        "fields" => text += &crossing_fields(),
        "rules" => text += &format!("\n\n{}", rules::manual()),
        _ => {}
    }
    text
}

/// The table that the bridge itself asks.
fn crossing_fields() -> String {
    let mut text = "\n\nCross undeclared:".to_owned();
    for group in fields::CROSSING {
        let (request, reply) = (group.request.words(), group.reply.words());
        let _ = write!(
            text,
            "\n\n{}\n  in requests {request}, in replies {reply}:\n  {}",
            group.what,
            wrapped(&group.names.join(" ")).replace('\n', "\n  ")
        );
    }
    text += "\n\nCross under no declaration:";
    for owned in fields::OWNED {
        let names = wrapped(&owned.names.join(" ")).replace('\n', "\n  ");
        let _ = write!(text, "\n\nWhat {}\n  {names}", owned.why);
    }
    text
}

fn key_text(key: &KeyPage) -> String {
    let mut text = format!("{}: a key of the manifest\n", key.key);
    for place in &key.places {
        let _ = write!(text, "\n  {place}");
    }
    let _ = write!(text, "\n\nValue: {}.", key.value);
    if key.required {
        text += " Required.";
    } else if !key.default.is_empty() {
        let _ = write!(text, " Default: {}.", key.default);
    }
    let meaning: Vec<String> = key.meaning.lines().map(wrapped).collect();
    let _ = write!(text, "\n\n{}", meaning.join("\n"));
    if !key.keys.is_empty() {
        let _ = write!(text, "\n\nKeys: {}", wrapped(&key.keys.join(", ")));
    }
    text
}

fn indented(example: &str) -> String {
    let indent = |line: &str| if line.is_empty() { "\n".to_owned() } else { format!("\n    {line}") };
    let lines: String = example.lines().map(indent).collect();
    if lines.is_empty() { lines } else { format!("\n{lines}") }
}

/// Lines of at most 90 characters, broken between words.
fn wrapped(text: &str) -> String {
    const WIDTH: usize = 90;
    let (mut lines, mut column) = (String::with_capacity(text.len() + 8), 0);
    for word in text.split(' ') {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > WIDTH {
            lines.push('\n');
            column = 0;
        } else if column > 0 {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += length;
    }
    lines
}
