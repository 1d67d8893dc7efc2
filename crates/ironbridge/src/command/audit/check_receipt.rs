use super::file;
use super::text;
use super::verify::parse_keys;
use crate::failure::{Failure, Outcome};
use crate::output::{self, FormatArg};
use crate::times;
use ironbridge_audit::receipt::{Checked, MAX_BYTES};
use ironbridge_audit::{Receipt, ReceiptFault};
use ironbridge_core::Timestamp;
use ironbridge_seal::note::Signature;
use serde_json::{Value, json};
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Nothing but the receipt and the keys is needed, and nothing is asked over the network.

Example:
  ironbridge audit check-receipt order-17.tlog-proof --key \"$(cat acme-bridge.key)\"")]
pub struct Args {
    /// The receipt that `ironbridge audit prove` made
    receipt: PathBuf,
    /// The log's key; may be given more than once
    #[arg(long, value_name = "KEY", required = true)]
    key: Vec<String>,
    /// The key of a witness; may be given more than once
    #[arg(long, value_name = "KEY")]
    witness_key: Vec<String>,
    /// How many of these witnesses must have cosigned [default: one, if any is given]
    #[arg(long, value_name = "N", requires = "witness_key")]
    quorum: Option<usize>,
    #[command(flatten)]
    format: FormatArg,
}

pub fn run(args: &Args) -> Outcome {
    let keys = parse_keys("--key", &args.key)?;
    let witnesses = parse_keys("--witness-key", &args.witness_key)?;
    let quorum = args.quorum.unwrap_or_else(|| witnesses.len().min(1));
    let text = file::read(&args.receipt, MAX_BYTES)?;
    let checked = Receipt::parse(&text).and_then(|receipt| receipt.check(&keys, &witnesses, quorum));
    match checked {
        Ok(checked) if args.format.is_json() => output::json(&as_json(&checked)?)?,
        Ok(checked) => print(&checked)?,
        Err(fault) if args.format.is_json() => {
            output::json(&json!({ "genuine": false, "fault": fault.to_string() }))?;
            return Ok(ExitCode::FAILURE);
        }
        Err(fault) => return Err(refused(&fault)),
    }
    Ok(ExitCode::SUCCESS)
}

fn print(checked: &Checked) -> io::Result<()> {
    let Checked { origin, index, size, .. } = checked;
    output::data(format_args!(
        "The receipt is genuine: this is record {index} of the log {origin}, which signed it among {size}."
    ))?;
    let mut page = text::page(&checked.entry);
    for detail in &checked.details {
        page.push_str(&text::row(detail.kind.name(), &detail.value));
    }
    for witness in &checked.cosignatures {
        page.push_str(&text::row("witness", &format!("{}, {}", witness.name, seen(witness))));
    }
    output::data(page.trim_end())
}

fn as_json(checked: &Checked) -> Result<Value, Failure> {
    let details = checked.details.iter();
    let details = details.map(|detail| json!({ "kind": detail.kind.name(), "value": detail.value }));
    let witnesses = checked.cosignatures.iter();
    let witnesses = witnesses.map(|witness| json!({ "name": witness.name, "time": seen(witness) }));
    Ok(json!({
        "genuine": true, "origin": checked.origin, "index": checked.index, "size": checked.size,
        "id": checked.entry.id, "record": serde_json::from_str::<Value>(&checked.record)?,
        "details": details.collect::<Value>(), "witnesses": witnesses.collect::<Value>(),
    }))
}

fn seen(witness: &Signature) -> String {
    times::show_or_dash(witness.time.map(Timestamp::from_seconds))
}

fn refused(fault: &ReceiptFault) -> Failure {
    let failure = Failure::new(format!("the receipt proves nothing: {fault}"));
    failure.help(match fault {
        ReceiptFault::Malformed(_) => "give the whole file that `ironbridge audit prove` wrote",
        ReceiptFault::Signature(_) => "are these the keys of the log it is from, as kept from before?",
        ReceiptFault::Quorum { .. } => "ask for a receipt that was made after the witnesses cosigned",
        ReceiptFault::Inclusion { .. }
        | ReceiptFault::Record(_)
        | ReceiptFault::Commitments
        | ReceiptFault::Detail(_) => {
            "somebody changed it, or it was put together from others: ask for a fresh one"
        }
    })
}
