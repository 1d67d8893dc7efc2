use super::detail::Keyring;
use super::file;
use super::show::Id;
use super::trail::{KeysArg, Trail};
use crate::failure::{Failure, Outcome};
use crate::output::{self, FormatArg};
use ironbridge_audit::receipt::Disclosed;
use ironbridge_audit::{Fault, FaultKind, Log, Receipt, Stored};
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The receipt holds the record, its proof and the signed checkpoint, with the cosignatures of
witnesses where there are any. Whoever has it and the log's key needs nothing else.

Examples:
  ironbridge audit prove 019aa7c0-3f1e-7c52-9d51-2f0d8f9f6a11 -o order-17.tlog-proof
  ironbridge audit check-receipt order-17.tlog-proof --key \"$(cat acme-bridge.key)\"")]
pub struct Args {
    /// An exchange's or action's id, or a record's index
    id: Id,
    /// Write to this file, readable by you alone, instead of to standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Also disclose the personal detail of these kinds
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = ["address", "subject", "actor", "mark"])]
    disclose: Vec<String>,
    #[command(flatten)]
    keys: KeysArg,
    #[command(flatten)]
    trail: Trail,
    #[command(flatten)]
    format: FormatArg,
}

pub fn run(manifest: &Path, args: &Args) -> Outcome {
    let source = args.trail.open(manifest)?;
    let record = only(args.id.find(&source.log)?)?;
    let disclosure = match args.disclose.is_empty() {
        true => Disclosed::default(),
        false => disclosure(&record, &args.disclose, &mut source.required_keyring(&args.keys)?)?,
    };
    let receipt = make(&source.log, &record, disclosure)?.to_string();
    match &args.output {
        None if args.format.is_json() => output::json(&json!({ "index": record.index, "receipt": receipt }))?,
        None => output::data(receipt.trim_end())?,
        Some(path) => {
            let mut file = file::create(path)?;
            file.write_all(receipt.as_bytes())?;
            file.sync_all()?;
            if args.format.is_json() {
                output::json(&json!({ "index": record.index, "file": path.display().to_string() }))?;
            } else {
                output::note(format_args!("The receipt of record {} is in {}", record.index, path.display()));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// All commitments, and the pieces of these kinds: what is not disclosed stays a hash of an unknown salt.
fn disclosure(record: &Stored, kinds: &[String], keyring: &mut Keyring) -> Result<Disclosed, Failure> {
    let opened = keyring.whole_details(record)?.into_iter().enumerate();
    let opened = opened.filter_map(|(place, detail)| Some((place, detail?)));
    let opened: Vec<_> =
        opened.filter(|(_, detail)| kinds.iter().any(|kind| kind == detail.kind.name())).collect();
    if opened.is_empty() {
        let kinds = kinds.join(" or ");
        return Err(Failure::new(format!("record {} has no {kinds} that can be opened", record.index))
            .help("`ironbridge audit show` tells what it has, and what was erased"));
    }
    let commitments = record.details.iter().map(|sealed| sealed.commitment).collect();
    Ok(Disclosed { commitments, opened })
}

/// An exchange whose answer broke off, or did not say its length, may have two records, and a receipt proves one.
fn only(records: Vec<Stored>) -> Result<Stored, Failure> {
    let indexes: Vec<String> = records.iter().map(|record| record.index.to_string()).collect();
    match <[Stored; 1]>::try_from(records) {
        Ok([record]) => Ok(record),
        Err(_) => Err(Failure::new(format!("there are several records of it: {}", indexes.join(", ")))
            .help("prove one by its index")),
    }
}

fn make(log: &Log, record: &Stored, disclosure: Disclosed) -> Result<Receipt, Failure> {
    if record.index >= log.checkpoint(None)?.size {
        let message = format!("record {} is not under a signed checkpoint yet", record.index);
        return Err(Failure::new(message).help("a running bridge signs within a second; try again"));
    }
    Receipt::make(log, record.index, &[], disclosure).map_err(|fault| refused(&fault))
}

fn refused(fault: &Fault) -> Failure {
    let failure = Failure::new(format!("there is no proof: {fault}"));
    match fault.kind {
        FaultKind::Unreadable => failure,
        _ => failure.help("find out what is wrong with the trail: ironbridge audit verify"),
    }
}
