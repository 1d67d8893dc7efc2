//! `ironbridge`: the command line. The only room that reads the environment, and the only one that prints.

mod actor;
mod cli;
mod command;
mod demo;
mod failure;
mod inspect;
mod nearest;
mod output;
mod times;

use clap::Parser;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ironbridge_net::tls::install_provider();
    cli::Cli::parse().run().unwrap_or_else(failure::Failure::report)
}
