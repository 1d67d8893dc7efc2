use crate::cli::Outcome;
use crate::failure::Failure;
use crate::nearest::nearest;
use crate::output::{self, FormatArg};
use ironbridge_core::{Code, all_codes};
use ironbridge_manifest::{Finding, findings};
use serde_json::{Value, json};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ironbridge explain                      list everything that can be explained
  ironbridge explain permission-missing   why a call was refused
  ironbridge explain IB101                what `ironbridge check` found")]
pub struct Args {
    /// A refusal's code, as callers see it, or a finding's id, as `ironbridge check` shows it
    code: Option<String>,
    #[command(flatten)]
    format: FormatArg,
}

pub fn run(args: &Args) -> Outcome {
    let pages: Vec<Page> = all_codes()
        .iter()
        .map(|code| Page::Refusal(code))
        .chain(findings().iter().map(|finding| Page::Finding(finding)))
        .collect();
    let shown = match &args.code {
        None if args.format.is_json() => pages.iter().map(Page::to_json).collect(),
        None => return list(&pages),
        Some(wanted) => {
            let page = find(&pages, wanted)?;
            if !args.format.is_json() {
                output::data(page.text())?;
                return Ok(ExitCode::SUCCESS);
            }
            page.to_json()
        }
    };
    output::json(&shown)?;
    Ok(ExitCode::SUCCESS)
}

fn find<'p>(pages: &'p [Page], wanted: &str) -> Result<&'p Page, Failure> {
    pages.iter().find(|page| page.id().eq_ignore_ascii_case(wanted)).ok_or_else(|| {
        let help = match nearest(wanted, pages.iter().map(Page::id)) {
            Some(id) => format!("did you mean `{id}`?"),
            None => "`ironbridge explain` lists all codes and ids".to_owned(),
        };
        Failure::new(format!("nothing is called `{wanted}`")).help(help)
    })
}

fn list(pages: &[Page]) -> Outcome {
    let rows = pages.iter().map(|page| {
        let kind = match page {
            Page::Refusal(code) => code.status.to_string(),
            Page::Finding(finding) => finding.severity.name().to_owned(),
        };
        [page.id().to_owned(), kind, page.title().to_owned()]
    });
    output::data(output::table(["CODE", "KIND", "MEANING"], rows))?;
    Ok(ExitCode::SUCCESS)
}

enum Page {
    Refusal(&'static Code),
    Finding(&'static Finding),
}

impl Page {
    fn id(&self) -> &'static str {
        match self {
            Page::Refusal(code) => code.id,
            Page::Finding(finding) => finding.id,
        }
    }

    fn title(&self) -> &'static str {
        match self {
            Page::Refusal(code) => code.title,
            Page::Finding(finding) => finding.title,
        }
    }

    fn text(&self) -> String {
        match self {
            Page::Refusal(code) => {
                let again = if code.retry { "may succeed" } else { "will not help" };
                let fault = match code.fault {
                    ironbridge_core::Fault::Bridge => "the bridge itself".to_owned(),
                    fault => format!("the {}", fault.name()),
                };
                format!(
                    "{}: {}\n\nStatus {}. At fault is {fault}; sending the same again {again}.\n\n{}\n\n{}",
                    code.id,
                    code.title,
                    code.status,
                    wrapped(code.meaning),
                    wrapped(code.mend)
                )
            }
            Page::Finding(finding) => {
                let example =
                    finding.example.lines().fold(String::new(), |text, line| text + "\n    " + line);
                let example = if example.is_empty() { example } else { format!("\n{example}") };
                format!(
                    "{}: {} ({})\n\n{}\n\n{}{example}",
                    finding.id,
                    finding.title,
                    finding.severity.name(),
                    wrapped(finding.why),
                    wrapped(finding.mend)
                )
            }
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Page::Refusal(code) => json!({
                "kind": "refusal", "code": code.id, "title": code.title, "status": code.status,
                "fault": code.fault.name(), "retry": code.retry, "meaning": code.meaning, "mend": code.mend,
            }),
            Page::Finding(finding) => json!({
                "kind": "finding", "code": finding.id, "title": finding.title,
                "severity": finding.severity.name(), "why": finding.why, "mend": finding.mend,
                "example": finding.example,
            }),
        }
    }
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
