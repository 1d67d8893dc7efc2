use super::{DataDir, block_on, open, tell_altered};
use crate::failure::{Failure, Outcome};
use crate::inspect;
use crate::nearest::suggestion;
use crate::output::{self, FormatArg};
use crate::times;
use ironbridge_core::SecretName;
use ironbridge_secrets::MAX_VALUE;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use zeroize::Zeroizing;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Set a secret: from a prompt, a file or standard input, never from an argument
    Set(Set),
    /// List the secrets' names; values are never printed
    List(List),
    /// Remove a secret with all its versions
    Remove(Remove),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
One newline at the end of the value is left out. A running bridge uses the new value within a
second. With a client secret of a target it asks the token endpoint for another token at the next
request; if that is refused, its log says so, and the token of before serves until it expires.
A JSON object keeps several values together; the manifest names one as secret://sealed/NAME#MEMBER.

Examples:
  ironbridge secret set erp-password
  ironbridge secret set erp-key --file erp.key
  pass show erp | ironbridge secret set erp-password")]
pub struct Set {
    /// The NAME of secret://sealed/NAME
    name: String,
    /// Read the value from this file
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    #[command(flatten)]
    data_dir: DataDir,
    #[command(flatten)]
    format: FormatArg,
}

#[derive(Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    data_dir: DataDir,
    #[command(flatten)]
    format: FormatArg,
}

#[derive(Debug, clap::Args)]
pub struct Remove {
    /// The NAME of secret://sealed/NAME
    name: String,
    /// Remove it also if the manifest names it
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    data_dir: DataDir,
    #[command(flatten)]
    format: FormatArg,
}

pub fn run(manifest: &Path, command: Command) -> Outcome {
    match command {
        Command::Set(args) => set(manifest, &args),
        Command::List(args) => list(manifest, &args),
        Command::Remove(args) => remove(manifest, &args),
    }
}

fn set(manifest: &Path, args: &Set) -> Outcome {
    let name = plain(&args.name);
    SecretName::new(SecretName::SEALED, name)?;
    let data_dir = args.data_dir.path(manifest)?;
    // Where it cannot be opened, nobody is asked; and it goes on without this command until there is a value.
    drop(open(&data_dir)?);
    let value = match &args.file {
        Some(path) => read_file(path)?,
        None if io::stdin().is_terminal() => prompt(name)?,
        None => read(io::stdin().lock())?,
    };
    let home = open(&data_dir)?;
    let (version, faults) = block_on(async {
        let secrets = home.secrets();
        let version = secrets.keeper(SecretName::SEALED)?.set(name, without_newline(&value)).await?;
        // What the manifest is, is not said of another bridge's store.
        let is_ours = !args.data_dir.is_named();
        let faults = match is_ours {
            true => inspect::faults_of_secret(manifest, name, &secrets).await,
            false => Vec::new(),
        };
        Ok((version, faults))
    })?;
    for fault in faults {
        output::note(format_args!("It cannot be used where it is named: {fault}. Set it anew."));
    }
    if args.format.is_json() {
        output::json(&json!({ "name": name, "version": version }))?;
    } else {
        output::data(format_args!("secret://sealed/{name} is set (version {version})"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn list(manifest: &Path, args: &List) -> Outcome {
    let home = args.data_dir.home(manifest)?;
    let (secrets, altered) = block_on(async {
        let secrets = home.secrets();
        Ok((secrets.keeper(SecretName::SEALED)?.list().await?, home.store.altered().await?))
    })?;
    tell_altered(&altered);
    if args.format.is_json() {
        let secrets = secrets.iter().map(|secret| {
            json!({ "name": secret.name, "version": secret.version, "set": times::show(secret.created) })
        });
        output::json(&secrets.collect::<Value>())?;
    } else if secrets.is_empty() {
        output::note("No secrets yet; `ironbridge secret set NAME` sets one.");
    } else {
        let rows = secrets
            .into_iter()
            .map(|secret| [secret.name, secret.version.to_string(), times::show(secret.created)]);
        output::data(output::table(["NAME", "VERSION", "SET"], rows))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn remove(manifest: &Path, args: &Remove) -> Outcome {
    let name = plain(&args.name);
    let secrets = args.data_dir.home(manifest)?.secrets();
    let store = secrets.keeper(SecretName::SEALED)?;
    let uses = if args.data_dir.is_named() { Vec::new() } else { inspect::uses_of_secret(manifest, name)? };
    if !uses.is_empty() && !args.yes {
        let message = format!("the manifest names the secret `{name}`: {}", uses.join(", "));
        return Err(Failure::new(message).help(
            "what needs it would fail at once, and the bridge would not start again. Remove the reference first, or \
             remove the secret all the same: --yes",
        ));
    }
    block_on(async {
        if store.remove(name).await? {
            return Ok(());
        }
        let known = store.list().await?;
        let failure = Failure::new(format!("there is no secret `{name}`"));
        Err(match suggestion(name, known.iter().map(|secret| secret.name.as_str())) {
            Some(help) => failure.help(help),
            None => failure,
        })
    })?;
    if args.format.is_json() {
        output::json(&json!({ "name": name, "removed": true }))?;
    } else {
        output::data(format_args!("secret://sealed/{name} is removed"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// People copy the reference out of the manifest.
fn plain(name: &str) -> &str {
    name.strip_prefix("secret://sealed/").unwrap_or(name)
}

fn prompt(name: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let value = rpassword::prompt_password(format!("Value of {name} (it is not shown): "))?;
    Ok(Zeroizing::new(value.into_bytes()))
}

fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let failed = |error| Failure::new(format!("cannot read {}: {error}", path.display()));
    read(File::open(path).map_err(failed)?)
}

/// Up to one byte more than a secret may have, so that a longer one is noticed.
fn read(from: impl Read) -> Result<Zeroizing<Vec<u8>>, Failure> {
    const MOST: usize = MAX_VALUE + 3;
    // Reserved from the start: a buffer that grows leaves copies behind.
    let mut value = Zeroizing::new(Vec::with_capacity(MOST + 1));
    from.take(u64::try_from(MOST).unwrap_or(u64::MAX)).read_to_end(&mut value)?;
    Ok(value)
}

/// Editors and `echo` end a line; what was meant ends before.
fn without_newline(value: &[u8]) -> &[u8] {
    let line = value.strip_suffix(b"\n").unwrap_or(value);
    if line.len() < value.len() { line.strip_suffix(b"\r").unwrap_or(line) } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_newline_is_left_out() {
        for (given, kept) in
            [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), ("a\r", "a\r"), ("\n", "")]
        {
            assert_eq!(without_newline(given.as_bytes()), kept.as_bytes(), "{given:?}");
        }
    }
}
