//! `ironbridge`: the command line. The only room that reads the environment, and the only one that prints.

mod actor;
mod cli;
mod command;
mod demo;
mod failure;
mod inspect;
mod log;
mod nearest;
mod output;
mod times;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::path::Path;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ironbridge_net::tls::install_provider();
    match cli::Cli::parse_strictly(std::env::args_os()) {
        Ok(cli) => cli.run().unwrap_or_else(failure::Failure::report),
        Err(error) => usage(&error),
    }
}

/// As clap says it, except that a surplus argument is not repeated: people write secrets there.
fn usage(error: &clap::Error) -> ExitCode {
    let surplus = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(text)) if !text.starts_with('-') => Some(text),
        _ => None,
    };
    let Some(surplus) = surplus.filter(|_| error.kind() == ErrorKind::UnknownArgument) else {
        if error.use_stderr() && output::is_json_asked_for() {
            let text = error.to_string();
            let said = text.strip_prefix("error: ").unwrap_or(&text);
            let (message, usage) = said.split_once("\n\n").unwrap_or((said, ""));
            failure::Failure::new(message.trim()).help(usage.trim()).tell();
            return ExitCode::from(2);
        }
        error.exit();
    };
    too_many(surplus).tell();
    if !output::is_json_asked_for()
        && let Some(ContextValue::StyledStr(usage)) = error.get(ContextKind::Usage)
    {
        output::note(format_args!("\n{usage}"));
    }
    ExitCode::from(2)
}

fn too_many(surplus: &str) -> failure::Failure {
    if Path::new(surplus).is_dir() {
        let message = format!("there is an argument too many: the directory {surplus}");
        return failure::Failure::new(message)
            .help("where the manifest is stands behind -C: ironbridge -C DIR …");
    }
    failure::Failure::new("there is an argument too many; it is not repeated here, as it may be a secret").help(
        "a secret is read from a prompt, from --file PATH or from standard input, never from an argument. If it was \
         one: it stands in the shell's history now, and others could see it in the list of processes. Remove it \
         there (`history -d -1` in bash), and replace it where it came from",
    )
}
