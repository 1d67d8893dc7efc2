use crate::failure::Outcome;
use crate::inspect::{observe, plural, summary};
use crate::output::{self, FormatArg};
use ironbridge_manifest::{Diagnostics, Manifest, Severity};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes:
  0  no errors; warnings and notes may be shown
  1  the manifest has errors and would not run, or something in it has run out
  2  the command line was wrong

Examples:
  ironbridge check
  ironbridge check deploy/production --format json")]
pub struct Args {
    /// Directory of the manifest, instead of -C
    #[arg(conflicts_with = "manifest")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    format: FormatArg,
}

pub fn run(manifest: &Path, args: &Args) -> Outcome {
    let inspected = observe(args.dir.as_deref().unwrap_or(manifest));
    let (good, found) = match &inspected {
        Ok((manifest, found)) => (Some(manifest), found),
        Err(found) => (None, found),
    };
    if args.format.is_json() {
        output::json(&report(good.is_some(), found))?;
    } else {
        let verdict = good.map_or_else(
            || match found.are_in_the_way() {
                true => format!("The manifest would not run: {}.", summary(found)),
                false => format!("What has run out is refused, and all else would run: {}.", summary(found)),
            },
            |manifest| format!("{}: {}.", praise(manifest), summary(found)),
        );
        output::data(format_args!("{}{verdict}", found.render_text(output::color_of_stdout())))?;
    }
    Ok(if good.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn praise(manifest: &Manifest) -> String {
    let operations =
        manifest.integrations.values().map(|integration| integration.flow.operations().len()).sum();
    format!(
        "The manifest of {} is good ({}, {}, {})",
        manifest.bridge.name,
        plural(manifest.integrations.len(), "integration"),
        plural(operations, "operation"),
        plural(manifest.accounts.len(), "account"),
    )
}

fn report(ok: bool, found: &Diagnostics) -> Value {
    json!({
        "ok": ok,
        "errors": found.count(Severity::Error),
        "warnings": found.count(Severity::Warning),
        "notes": found.count(Severity::Note),
        "omitted": found.omitted(),
        "findings": found.to_json(),
    })
}
