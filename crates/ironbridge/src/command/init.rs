use crate::failure::{Failure, Outcome};
use crate::output::{self, FormatArg};
use serde_json::json;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Nothing that exists is overwritten.

Examples:
  ironbridge init bridge
  ironbridge init --name acme-bridge")]
pub struct Args {
    /// Directory to write to, made if it is not there; instead of -C
    #[arg(conflicts_with = "manifest")]
    dir: Option<PathBuf>,
    /// Name of the bridge, and origin of its audit trail [default: the directory's name]
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    format: FormatArg,
}

pub fn run(manifest: &Path, args: &Args) -> Outcome {
    let dir = args.dir.as_deref().unwrap_or(manifest);
    let name = name(args.name.as_deref(), dir)?;
    let files = ironbridge_manifest::init_files(&name);
    if let Some((taken, _)) = files.iter().find(|(path, _)| dir.join(path).exists()) {
        let message = format!("{} exists already, and nothing is overwritten", dir.join(taken).display());
        return Err(Failure::new(message).help("give another directory: ironbridge init DIR"));
    }
    for (path, text) in &files {
        write_new(&dir.join(path), text)?;
        if args.format.is_json() {
            continue;
        }
        output::data(format_args!("wrote {}", dir.join(path).display()))?;
    }
    if args.format.is_json() {
        let wrote: Vec<_> = files.iter().map(|(path, _)| dir.join(path).display().to_string()).collect();
        output::json(&json!({ "name": name, "wrote": wrote }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let enter = if dir == Path::new(".") { String::new() } else { format!("\n  cd {}", dir.display()) };
    output::data(format_args!(
        "\nNext:{enter}
  edit parties.yaml            who calls, and the address of the API that is called
  ironbridge check             is the manifest good?
  ironbridge key issue shop    the caller's key, shown once
  ironbridge run"
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// The name that is asked for, or the directory's.
pub fn name(asked: Option<&str>, dir: &Path) -> Result<String, Failure> {
    match asked {
        Some(name) if is_name(name) => Ok(name.to_owned()),
        Some(name) => Err(Failure::new(format!("`{name}` cannot be a bridge's name"))
            .help("use up to 64 lower-case letters, digits, `.`, `_` and `-`, a letter or digit first")),
        None => Ok(name_of(dir)),
    }
}

pub fn write_new(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error| Failure::new(format!("cannot write {}: {error}", path.display()));
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}

/// The directory's own name as far as a bridge's name may hold it.
fn name_of(dir: &Path) -> String {
    let whole = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let name = whole.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let fitting: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' }).collect();
    let fitting: String = fitting.trim_start_matches(['.', '_', '-']).chars().take(64).collect();
    if is_name(&fitting) { fitting } else { "bridge".to_owned() }
}

fn is_name(name: &str) -> bool {
    let rest = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    (1..=64).contains(&name.len())
        && name.bytes().all(rest)
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_directories() {
        for (dir, name) in [
            ("/srv/Acme Bridge", "acme-bridge"),
            ("/", "bridge"),
            ("/x/.hidden", "hidden"),
            ("/x/\u{fc}", "bridge"),
        ] {
            assert_eq!(name_of(Path::new(dir)), name);
        }
    }
}
