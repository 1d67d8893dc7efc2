//! The demo as it is told: scenes with what was sent, what came back, what the ERP saw, and whether that was as
//! it should be.

use crate::demo::caller::{Answer, Call};
use crate::demo::erp::Seen;
use crate::output;
use serde_json::{Value, json};
use std::io;

/// One thing that is tried.
pub struct Scene {
    pub title: &'static str,
    pub expectation: &'static str,
    steps: Vec<Step>,
    checks: Vec<Check>,
}

struct Step {
    kind: Kind,
    text: String,
}

#[derive(Clone, Copy)]
enum Kind {
    Said,
    Request,
    Answer,
    Erp,
    /// Lines as somebody else laid them out.
    Quoted,
}

struct Check {
    what: String,
    held: bool,
}

/// What one call led to.
pub struct Crossed {
    pub answer: Answer,
    /// What reached the ERP because of it.
    pub seen: Vec<Seen>,
}

impl Scene {
    pub fn new(title: &'static str, expectation: &'static str) -> Scene {
        Scene { title, expectation, steps: Vec::new(), checks: Vec::new() }
    }

    pub fn say(&mut self, text: impl Into<String>) {
        self.step(Kind::Said, text.into());
    }

    /// A request that is no [`Call`].
    pub fn sent(&mut self, text: impl Into<String>) {
        self.step(Kind::Request, text.into());
    }

    pub fn came_back(&mut self, text: impl Into<String>) {
        self.step(Kind::Answer, text.into());
    }

    pub fn erp(&mut self, text: impl Into<String>) {
        self.step(Kind::Erp, text.into());
    }

    pub fn quote(&mut self, text: &str) {
        self.steps.push(Step { kind: Kind::Quoted, text: text.trim_end().to_owned() });
    }

    pub fn call(&mut self, call: &Call, crossed: &Crossed) {
        self.sent(call.line());
        self.came_back(crossed.answer.line());
        if crossed.seen.is_empty() && call.is_exchange() {
            self.erp("nothing");
        }
        crossed.seen.iter().for_each(|seen| self.erp(seen.line()));
    }

    /// What must be so.
    pub fn check(&mut self, what: impl Into<String>, held: bool) {
        self.checks.push(Check { what: what.into(), held });
    }

    /// The call must have been refused like this, before anything reached the ERP.
    pub fn check_refused(&mut self, crossed: &Crossed, status: u16, code: &str) {
        let held = crossed.answer.is_refusal(status, code) && crossed.seen.is_empty();
        self.check(format!("{status} {code}, and nothing reached the ERP"), held);
    }

    /// Whether there was something to check, and all of it was so.
    pub fn held(&self) -> bool {
        !self.checks.is_empty() && self.checks.iter().all(|check| check.held)
    }

    fn step(&mut self, kind: Kind, text: String) {
        self.steps.push(Step { kind, text: short(&text) });
    }

    pub fn print(&self, number: usize, color: bool) -> io::Result<()> {
        let Style { bold, dim, green, red, plain } = Style::of(color);
        let mut text = format!("\n{number:>2}  {bold}{}{plain}\n", self.title);
        for Step { kind, text: step } in &self.steps {
            let (mark, shade) = match kind {
                Kind::Said | Kind::Quoted => ("", ""),
                Kind::Request => ("→ ", ""),
                Kind::Answer => ("← ", ""),
                Kind::Erp => ("ERP saw ", dim),
            };
            let lines = match kind {
                Kind::Quoted => step.lines().map(str::to_owned).collect(),
                _ => wrapped(&format!("{mark}{step}"), mark.chars().count()),
            };
            lines.iter().for_each(|line| {
                text.push_str(&format!("    {shade}{line}{plain}\n"));
            });
        }
        for Check { what, held } in &self.checks {
            let (mark, shade) = if *held { ("✓", green) } else { ("✗ NOT SO:", red) };
            text.push_str(&format!("    {shade}{mark}{plain} {what}\n"));
        }
        output::data(text.trim_end_matches('\n'))
    }

    pub fn to_json(&self, number: usize) -> Value {
        let steps = self.steps.iter().map(|step| json!({ "kind": step.kind.name(), "text": step.text }));
        let checks = self.checks.iter().map(|check| json!({ "what": check.what, "held": check.held }));
        json!({
            "number": number, "title": self.title, "expectation": self.expectation, "held": self.held(),
            "steps": steps.collect::<Vec<_>>(), "checks": checks.collect::<Vec<_>>(),
        })
    }
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Kind::Said => "narration",
            Kind::Request => "request",
            Kind::Answer => "answer",
            Kind::Erp => "erp",
            Kind::Quoted => "quoted",
        }
    }
}

/// Terminal sequences, or nothing.
#[derive(Default)]
pub struct Style {
    pub bold: &'static str,
    pub dim: &'static str,
    pub green: &'static str,
    pub red: &'static str,
    pub plain: &'static str,
}

impl Style {
    pub fn of(color: bool) -> Style {
        if !color {
            return Style::default();
        }
        Style { bold: "\x1b[1m", dim: "\x1b[2m", green: "\x1b[32m", red: "\x1b[31m", plain: "\x1b[0m" }
    }
}

/// Longest line, indentation included.
const WIDTH: usize = 96;
const INDENT: usize = 4;
/// Longest excerpt.
const EXCERPT: usize = 320;
/// Words longer than this are credentials, of which nobody needs more than the beginning.
const WORD: usize = 40;
const BEGINNING: usize = 12;

/// On one line, with credentials cut off after their first characters.
fn short(text: &str) -> String {
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let in_word = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let mut short = String::new();
    for piece in flat.split_inclusive(|c| !in_word(c)) {
        let word = piece.trim_end_matches(|c| !in_word(c));
        if word.len() > WORD {
            short.extend(word.chars().take(BEGINNING));
            short.push('…');
            short.push_str(piece.strip_prefix(word).unwrap_or_default());
        } else {
            short.push_str(piece);
        }
    }
    match short.char_indices().nth(EXCERPT) {
        Some((end, _)) => format!("{}…", short.get(..end).unwrap_or_default()),
        None => short,
    }
}

/// Lines that fit; from the second on indented by `hang`. Broken at a space or comma where there is one.
fn wrapped(text: &str, hang: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let (mut rest, mut indent) = (text, 0);
    loop {
        let room = WIDTH - INDENT - indent;
        let Some((end, _)) = rest.char_indices().nth(room) else { break };
        let head = rest.get(..end).unwrap_or(rest);
        let at = head.rfind([' ', ',']).map_or(end, |at| at + 1);
        let (line, left) = rest.split_at(if at > end / 2 { at } else { end });
        lines.push(format!("{:indent$}{}", "", line.trim_end()));
        (rest, indent) = (left.trim_start(), hang);
    }
    lines.push(format!("{:indent$}{rest}", ""));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_cut_off() {
        let token = "a".repeat(41);
        assert_eq!(short(&format!("x \"{token}\",\n y")), "x \"aaaaaaaaaaaa…\", y");
        assert_eq!(short("019aa7c0-3f1e-7c52-9d51-2f0d8f9f6a11"), "019aa7c0-3f1e-7c52-9d51-2f0d8f9f6a11");
    }

    #[test]
    fn lines_fit_and_lose_nothing() {
        let text = "→ GET /a, ".to_owned() + &"word ".repeat(60) + &"x".repeat(200);
        let lines = wrapped(&text, 2);
        assert!(lines.iter().all(|line| line.chars().count() <= WIDTH - INDENT), "{lines:#?}");
        let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
        assert_eq!(letters(&lines.join("")), letters(&text));
    }

    #[test]
    fn a_scene_without_checks_has_not_held() {
        let mut scene = Scene::new("t", "e");
        assert!(!scene.held());
        scene.check("a", true);
        assert!(scene.held());
        scene.check("b", false);
        assert!(!scene.held());
    }
}
