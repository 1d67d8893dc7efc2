use crate::actor;
use crate::command::audit::fault::tampered;
use crate::command::audit::file;
use crate::command::audit::trail::Trail;
use crate::command::audit::verify::parse_keys;
use crate::command::block_on;
use crate::failure::{Failure, Outcome};
use crate::output::{self, FormatArg};
use ironbridge_audit::disk::RealDisk;
use ironbridge_audit::witness::{CosignOutcome, CosignRequest, FileState, Finding, Witness};
use ironbridge_audit::{Checkpoint, Log};
use ironbridge_core::{Clock, SystemClock};
use ironbridge_engine::Home;
use ironbridge_seal::note::NoteVerifier;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The first time there is nothing to compare with; from then on a log that was set back, or that has
another past than it was seen with, is refused and named. What was read is the tree; the records are
read by `ironbridge audit verify`.

Examples:
  ironbridge audit witness check --state ~/witness --name auditor.example \\
    --trail https://bridge.example/log --key \"$(cat acme-bridge.key)\" -o acme-bridge.cosigned
  ironbridge audit witness check --state ~/witness --name auditor.example \\
    --trail /mnt/worm/audit --key \"$(cat acme-bridge.key)\"")]
pub struct Args {
    /// Where this witness keeps its keys, and what it has seen; made if it is not there
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// The witness's name: a URL without scheme that is yours. Its keys are named NAME/witness
    #[arg(long, value_name = "NAME")]
    name: String,
    /// The log's key, as kept from before; may be given more than once
    #[arg(long, value_name = "KEY", required = true)]
    key: Vec<String>,
    /// Write the cosigned checkpoint to this file, over an earlier one, instead of to standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    trail: Trail,
    #[command(flatten)]
    format: FormatArg,
}

pub fn run(manifest: &Path, args: &Args) -> Outcome {
    let keys = parse_keys("--key", &args.key)?;
    let log = args.trail.open(manifest)?.log;
    let origin = log.signed_checkpoint(&keys).map_err(|fault| tampered(&fault))?.checkpoint.origin;
    let witness = open(args, origin, &keys)?;
    let witness_keys: Vec<String> = witness.verifier_keys().collect();
    let (seen, note) = match ask(&witness, &log, &keys, &parse_keys("the witness's own", &witness_keys)?)? {
        Ok(cosigned) => cosigned,
        Err(finding) => return report(&finding, args.format),
    };
    if let Some(path) = &args.output {
        file::replace(path, &note)?;
    }
    if args.format.is_json() {
        output::json(&json!({
            "cosigned": true, "origin": seen.origin, "records": seen.size, "note": note, "keys": witness_keys,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.output.is_none() {
        output::data(note.trim_end())?;
    }
    output::note(format_args!(
        "{} only grew since it was last seen: {} records. This witness is known by:\n{}",
        seen.origin,
        seen.size,
        witness_keys.join("\n")
    ));
    Ok(ExitCode::SUCCESS)
}

fn open(args: &Args, origin: String, keys: &[NoteVerifier]) -> Result<Witness, Failure> {
    let home = Home::open(&args.state, actor::of_command())?;
    let signers = block_on(async { Ok(home.witness_signers(&args.name).await?) })?;
    let state = FileState::open(Arc::new(RealDisk), &home.dir().join("witness"))?;
    Ok(Witness::new([(origin, keys.to_vec())], signers, Box::new(state))?)
}

type Cosigned = (Checkpoint, String);

/// Asks from nothing, and then again from where the witness says that it is.
fn ask(
    witness: &Witness,
    log: &Log,
    keys: &[NoteVerifier],
    witness_keys: &[NoteVerifier],
) -> Result<Result<Cosigned, Finding>, Failure> {
    let mut old = 0;
    for _ in 0..2 {
        let request = log.cosign_request(keys, old).map_err(|fault| tampered(&fault))?;
        match answer(witness, &request, witness_keys) {
            CosignOutcome::Cosigned { note, .. } => return Ok(Ok((request.checkpoint().clone(), note))),
            CosignOutcome::At(seen) => old = seen,
            CosignOutcome::Finding(finding) => return Ok(Err(finding)),
            CosignOutcome::Refused { reason, .. } => {
                return Err(Failure::new(format!("the checkpoint is not cosigned: {reason}")));
            }
        }
    }
    Err(Failure::new("another process uses this witness at the same time").help("try again"))
}

fn answer(witness: &Witness, request: &CosignRequest, witness_keys: &[NoteVerifier]) -> CosignOutcome {
    let answer = witness.add_checkpoint(request.body().as_bytes(), SystemClock::default().now());
    match answer.finding {
        Some(finding) => CosignOutcome::Finding(*finding),
        None => request.judge(answer.status, answer.body.as_bytes(), witness_keys),
    }
}

fn report(finding: &Finding, format: FormatArg) -> Outcome {
    if format.is_json() {
        output::json(&json!({
            "cosigned": false, "origin": finding.origin, "finding": finding.to_string(),
            "evidence": finding.evidence,
        }))?;
        return Ok(ExitCode::FAILURE);
    }
    for note in &finding.evidence {
        output::data(note)?;
    }
    Err(Failure::new(finding.to_string()).help(
        "keep what was printed, and the copy of the log, as evidence: its key signed what cannot both be true",
    ))
}
