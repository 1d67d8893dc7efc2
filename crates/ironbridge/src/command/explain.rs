mod page;

use crate::command::key::refuse_whole_key;
use crate::failure::{Failure, Outcome};
use crate::output::{self, FormatArg};
use ironbridge_core::nearest::closest;
use ironbridge_manifest::key_pages;
use page::Page;
use serde_json::{Value, json};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ironbridge explain                      list everything that can be explained
  ironbridge explain permission-missing   why a call was refused
  ironbridge explain IB101                what `ironbridge check` found
  ironbridge explain caller-gone          what a record of the audit trail says
  ironbridge explain query                what crosses beside bodies, and how to declare it
  ironbridge explain request.max_body     a key of the manifest")]
pub struct Args {
    /// A refusal's code, a finding's or control's id, a word or action that a record holds, a key of the manifest, or
    /// a topic
    #[arg(value_name = "WHAT")]
    wanted: Option<String>,
    #[command(flatten)]
    format: FormatArg,
}

pub fn run(args: &Args) -> Outcome {
    let pages = page::all();
    let Some(wanted) = &args.wanted else {
        if args.format.is_json() {
            output::json(&pages.iter().map(Page::to_json).collect())?;
        } else {
            list(&pages)?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    let found = find(pages, wanted)?;
    if args.format.is_json() {
        let mut shown: Vec<Value> = found.iter().map(Page::to_json).collect();
        let first = shown.remove(0);
        let shown = if shown.is_empty() { first } else { with_more(first, shown) };
        output::json(&shown)?;
    } else {
        let texts: Vec<String> = found.iter().map(Page::text).collect();
        output::data(texts.join("\n\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The page that is meant, and others of the same name.
fn with_more(mut first: Value, more: Vec<Value>) -> Value {
    if let Value::Object(members) = &mut first {
        members.insert("more".to_owned(), json!(more));
    }
    first
}

/// What goes by this name, at least one page: what has it as its own name, and then the manifest's keys.
fn find(pages: Vec<Page>, wanted: &str) -> Result<Vec<Page>, Failure> {
    refuse_whole_key(wanted)?;
    let wanted = wanted.trim_matches(['`', '"', '\'', ':']);
    let (mut found, others): (Vec<Page>, Vec<Page>) =
        pages.into_iter().partition(|page| page.is_called(wanted));
    let keys = key_pages();
    let (called, rest): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| key.is_called(wanted));
    found.extend(called.into_iter().map(Page::Key));
    if !found.is_empty() {
        return Ok(found);
    }
    // Somebody may have asked for several words: `explain "audit unavailable"`.
    let joined = wanted.replace([' ', '_'], "-");
    let known = others.iter().map(Page::id).chain(rest.iter().map(|key| &*key.key));
    let help = match closest(&joined, known.clone()).or_else(|| closest(wanted, known)) {
        Some(id) => format!("did you mean `{id}`?"),
        None => mentions(&others, wanted).unwrap_or_else(|| {
            "`ironbridge explain` lists what there is, besides the manifest's keys".into()
        }),
    };
    Err(Failure::new(format!("nothing is called `{wanted}`")).help(help))
}

/// The pages that speak of something, where a few do.
fn mentions(pages: &[Page], wanted: &str) -> Option<String> {
    /// More help nobody, and a word of fewer letters stands in half of the pages.
    const MOST: usize = 8;
    const LEAST: usize = 3;
    let wanted = wanted.to_lowercase();
    let speaks = |page: &&Page| page.text().to_lowercase().contains(&wanted);
    let ids: Vec<String> = pages.iter().filter(speaks).map(|page| format!("`{}`", page.id())).collect();
    let few = wanted.chars().count() >= LEAST && (1..=MOST).contains(&ids.len());
    few.then(|| format!("these pages speak of it: {}", ids.join(", ")))
}

fn list(pages: &[Page]) -> Result<(), Failure> {
    let rows = pages.iter().map(|page| [page.id().to_owned(), page.kind(), page.title()]);
    output::data(output::table(["WHAT", "KIND", "MEANING"], rows))?;
    output::data("\nEvery key of the manifest is explained too: `ironbridge explain request.max_body`.")?;
    Ok(())
}
