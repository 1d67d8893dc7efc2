//! How long is measured, and how often.

use clap::Args;

#[derive(Args)]
pub struct Windows {
    /// Length of one window
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub seconds: u64,
    /// Windows for each contestant, interleaved
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
}
