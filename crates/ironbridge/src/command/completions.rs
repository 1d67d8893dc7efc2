use crate::cli::{Cli, Outcome};
use clap::CommandFactory;
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

pub fn run(args: &Args) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "ironbridge", &mut script);
    io::Write::write_all(&mut io::stdout(), &script)?;
    Ok(ExitCode::SUCCESS)
}
