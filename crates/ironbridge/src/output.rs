//! The only place that prints: what was asked for goes to standard output, everything else to standard error.

use comfy_table::{Table, presets};
use serde_json::Value;
use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

/// For people or for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Text,
    Json,
}

/// `--format`, for commands that print data.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct FormatArg {
    /// How to print
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

impl FormatArg {
    pub fn is_json(self) -> bool {
        self.format == Format::Json
    }
}

/// Whether the command line asks for JSON, also where it cannot be read otherwise: what is wrong with it is told in
/// the same form.
pub fn is_json_asked_for() -> bool {
    let mut arguments = std::env::args_os().skip(1).take_while(|argument| argument != "--");
    while let Some(argument) = arguments.next() {
        let asked = match argument.to_str() {
            Some("--format" | "--log-format") => arguments.next().is_some_and(|form| form == "json"),
            Some("--format=json" | "--log-format=json") => true,
            _ => false,
        };
        if asked {
            return true;
        }
    }
    false
}

/// A line of what was asked for. An error is that nobody reads on.
pub fn data(text: impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let written = writeln!(out, "{text}").and_then(|()| out.flush());
    written.map_err(|error| io::Error::new(error.kind(), format!("cannot write to standard output: {error}")))
}

/// Standard output for what is long: whoever writes to it flushes it.
pub fn stream() -> BufWriter<StdoutLock<'static>> {
    BufWriter::new(io::stdout().lock())
}

pub fn json(value: &Value) -> io::Result<()> {
    data(format_args!("{value:#}"))
}

/// A line beside what was asked for; when nobody can read it, that changes nothing.
pub fn note(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Rows under headings.
pub fn table<const N: usize>(headings: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(headings);
    rows.into_iter().for_each(|row| {
        table.add_row(row);
    });
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, 2));
    });
    table.trim_fmt()
}

pub fn color_of_stdout() -> bool {
    colored(io::stdout().is_terminal())
}

pub fn color_of_stderr() -> bool {
    colored(io::stderr().is_terminal())
}

/// The convention of no-color.org, and terminals that say that they know no colours.
fn colored(terminal: bool) -> bool {
    terminal
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|value| value != "dumb")
}
