use crate::failure::Outcome;
use clap_complete::Shell;
use std::io;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  ironbridge completions bash > ~/.local/share/bash-completion/completions/ironbridge"
)]
pub struct Args {
    shell: Shell,
}

/// `command` is the whole command line.
pub fn run(args: &Args, mut command: clap::Command) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "ironbridge", &mut script);
    io::Write::write_all(&mut io::stdout(), &script)?;
    Ok(ExitCode::SUCCESS)
}
