//! Diagnostics as a good compiler prints them.

use super::{Diagnostic, Diagnostics, Place};
use crate::findings::Severity;
use std::fmt::Write;

/// Characters of a source line that are shown; the rest of a longer one is left out around the caret.
const WIDTH: usize = 120;

impl Diagnostics {
    /// For a terminal: the line, a caret, the reason, what to write instead.
    pub fn render_text(&self, color: bool) -> String {
        all(self, color)
    }
}

impl std::fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.render_text(false))
    }
}

fn all(diagnostics: &Diagnostics, color: bool) -> String {
    let ink = Ink { color };
    let mut out = String::new();
    for diagnostic in diagnostics.iter() {
        one(&mut out, diagnostic, ink);
        out.push('\n');
    }
    if diagnostics.omitted() > 0 {
        let _ = writeln!(out, "... and {} more", diagnostics.omitted());
    }
    out
}

fn one(out: &mut String, diagnostic: &Diagnostic, ink: Ink) {
    let severity = diagnostic.severity();
    let heading = format!("{}[{}]", severity.name(), diagnostic.id());
    let _ =
        writeln!(out, "{}: {}", ink.severity(severity, &heading), ink.bold(&visible(&diagnostic.message)));
    let gutter =
        digits(std::iter::once(&diagnostic.place).chain(&diagnostic.also).map(|p| p.line).max().unwrap_or(0));
    place(out, &diagnostic.place, gutter, "-->", '^', |text| ink.severity(severity, text), ink);
    for also in &diagnostic.also {
        place(out, also, gutter, ":::", '-', |text| ink.blue(text), ink);
    }
    if let Some(help) = &diagnostic.help {
        let _ = writeln!(out, "{:gutter$} {} {}", "", ink.blue("="), visible(&format!("help: {help}")));
    }
}

fn place(
    out: &mut String,
    place: &Place,
    gutter: usize,
    arrow: &str,
    mark: char,
    paint: impl Fn(&str) -> String,
    ink: Ink,
) {
    let file = visible(&place.file.display().to_string());
    if place.line == 0 {
        let _ = writeln!(out, "{:gutter$}{} {file}", "", ink.blue(arrow));
        return;
    }
    let _ = writeln!(out, "{:gutter$}{} {file}:{}:{}", "", ink.blue(arrow), place.line, place.column);
    let Some(source) = &place.source else { return };
    let window = Window::new(source, place);
    let bar = ink.blue("|");
    let _ = writeln!(out, "{:gutter$} {bar}", "");
    let _ = writeln!(out, "{} {bar} {}", ink.blue(&format!("{:>gutter$}", place.line)), window.text);
    let marks: String = std::iter::repeat_n(mark, window.marked).collect();
    let note = format!("{marks} {}", visible(&place.label));
    let _ = writeln!(
        out,
        "{:gutter$} {bar} {:indent$}{}",
        "",
        "",
        paint(note.trim_end()),
        indent = window.before
    );
}

/// The part of a line that is shown, and which of it is marked, in characters.
struct Window {
    text: String,
    before: usize,
    marked: usize,
}

impl Window {
    fn new(source: &str, place: &Place) -> Window {
        let line = source.lines().nth(place.line - 1).unwrap_or_default();
        let column = place.column - 1;
        let start = if line.chars().count() > WIDTH { column.saturating_sub(WIDTH / 3) } else { 0 };
        let text: String = line.chars().skip(start).take(WIDTH).map(shown).collect();
        let before = column - start;
        Window { text, before, marked: place.width.clamp(1, WIDTH.saturating_sub(before).max(1)) }
    }
}

/// What a manifest says may reach a terminal only as text: control characters could move the cursor, and
/// direction marks could show a line in another order than it has.
fn visible(text: &str) -> String {
    text.chars().map(shown).collect()
}

fn shown(c: char) -> char {
    match c {
        '\t' => ' ',
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => {
            '\u{fffd}'
        }
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

fn digits(number: usize) -> usize {
    number.to_string().len()
}

#[derive(Clone, Copy)]
struct Ink {
    color: bool,
}

impl Ink {
    fn severity(self, severity: Severity, text: &str) -> String {
        match severity {
            Severity::Error => self.paint("1;31", text),
            Severity::Warning => self.paint("1;33", text),
            Severity::Note => self.paint("1;36", text),
        }
    }

    fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    fn blue(self, text: &str) -> String {
        self.paint("34", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}
