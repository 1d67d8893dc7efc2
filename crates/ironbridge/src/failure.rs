use crate::output;
use serde_json::{Value, json};
use std::io;
use std::process::ExitCode;

/// What a command ends with: an exit code of its own, or a failure to report.
pub type Outcome = Result<ExitCode, Failure>;

/// Why a command did not do what it was asked, and what to do next.
#[derive(Debug)]
pub struct Failure {
    message: String,
    help: Option<String>,
    /// Printed above: diagnostics with their lines.
    above: String,
    /// The same for programs.
    findings: Option<Value>,
    /// Whoever read our output has gone (`| head`): not worth a word.
    silent: bool,
}

impl Failure {
    /// `message` is one sentence without its full stop.
    pub fn new(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), help: None, above: String::new(), findings: None, silent: false }
    }

    /// What to do about it.
    pub fn help(self, help: impl Into<String>) -> Failure {
        Failure { help: Some(help.into()), ..self }
    }

    pub fn above(self, above: String) -> Failure {
        Failure { above, ..self }
    }

    /// What [`Failure::above`] says, for programs.
    pub fn findings(self, findings: Value) -> Failure {
        Failure { findings: Some(findings), ..self }
    }

    /// Whoever read has left, and wants nothing more.
    pub fn is_silent(&self) -> bool {
        self.silent
    }

    /// Tells it, unless nobody reads any more.
    pub fn report(self) -> ExitCode {
        if self.silent {
            return ExitCode::SUCCESS;
        }
        self.tell();
        ExitCode::FAILURE
    }

    /// To standard error, in the form that the command line asks for.
    pub fn tell(&self) {
        if output::is_json_asked_for() {
            output::note(self.json());
        } else {
            output::note(self.text(output::color_of_stderr()).trim_end());
        }
    }

    /// One line, so that it can be told from what else stands on standard error.
    fn json(&self) -> Value {
        let mut object = json!({ "error": self.message, "help": self.help });
        if let (Some(findings), Value::Object(members)) = (&self.findings, &mut object) {
            members.insert("findings".to_owned(), findings.clone());
        }
        object
    }

    pub fn text(&self, color: bool) -> String {
        let (red, bold, blue, plain) =
            if color { ("\x1b[1;31m", "\x1b[1m", "\x1b[34m", "\x1b[0m") } else { ("", "", "", "") };
        let mut text = format!("{}{red}error{plain}: {bold}{}{plain}\n", self.above, self.message);
        if let Some(help) = &self.help {
            text.push_str(&format!("  {blue}={plain} help: {help}\n"));
        }
        text
    }
}

/// Every error of the rooms below says what is wrong in its own words; causes that it does not repeat follow.
impl<E: std::error::Error + 'static> From<E> for Failure {
    fn from(error: E) -> Failure {
        let gone = (&error as &(dyn std::error::Error + 'static))
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            cause = error.source();
        }
        Failure { silent: gone, ..Failure::new(message) }
    }
}
