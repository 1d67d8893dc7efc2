//! Reading, proving and keeping the audit trail; one module per command.

pub mod accept_loss;
mod check_receipt;
pub mod detail;
mod disclosures;
mod export;
mod fault;
mod file;
mod filter;
mod key;
mod prove;
pub mod query;
mod reindex;
mod retention;
mod show;
mod status;
mod tail;
mod text;
pub mod trail;
mod verify;
mod witness;

use crate::failure::Outcome;
use std::path::Path;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Show the newest records, and with -f what comes after them
    Tail(tail::Args),
    /// Find records
    Query(query::Args),
    /// Show everything that is recorded of one exchange or action
    Show(show::Args),
    /// Verify the trail: every record, every hash, the signature
    Verify(verify::Args),
    /// Make a receipt that proves one record to anyone, offline
    Prove(prove::Args),
    /// Check a receipt, without a trail and without a manifest
    CheckReceipt(check_receipt::Args),
    /// Vouch for other bridges' logs: that they only grew since they were last seen
    #[command(subcommand)]
    Witness(witness::Command),
    /// Write records in the form that another tool reads
    Export(export::Args),
    /// Account for disclosures: who got whose data, when, what and why (45 CFR 164.528)
    Disclosures(disclosures::Args),
    /// Show how far the trail is written, signed, indexed, copied and cosigned
    Status(status::Args),
    /// Drop what is older than the manifest says it is kept
    Retention(retention::Args),
    /// Have a trail go on that is not as it was left, without what is missing
    AcceptLoss(accept_loss::Args),
    /// Build the index that makes queries fast again, such as for a copied trail
    Reindex(reindex::Args),
    /// Print the keys that verify this bridge's trail, to be kept elsewhere; list and rotate them
    Key(key::Args),
}

pub fn run(manifest: &Path, command: Command) -> Outcome {
    match command {
        Command::Tail(args) => tail::run(manifest, &args),
        Command::Query(args) => query::run(manifest, &args),
        Command::Show(args) => show::run(manifest, &args),
        Command::Verify(args) => verify::run(manifest, &args),
        Command::Prove(args) => prove::run(manifest, &args),
        Command::CheckReceipt(args) => check_receipt::run(&args),
        Command::Witness(command) => witness::run(manifest, &command),
        Command::Export(args) => export::run(manifest, &args),
        Command::Disclosures(args) => disclosures::run(manifest, &args),
        Command::Status(args) => status::run(manifest, &args),
        Command::Retention(args) => retention::run(manifest, &args),
        Command::AcceptLoss(args) => accept_loss::run(manifest, &args),
        Command::Reindex(args) => reindex::run(manifest, &args),
        Command::Key(args) => key::run(manifest, &args),
    }
}
