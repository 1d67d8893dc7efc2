//! How a trail that does not verify is told.

use crate::failure::Failure;
use ironbridge_audit::{Fault, FaultKind};
use serde_json::json;

pub fn tampered(fault: &Fault) -> Failure {
    let failure = Failure::new(format!("the audit trail does not verify: {fault}"));
    failure.help(match fault.kind {
        FaultKind::Missing => {
            "bring the file back from a backup; if nobody removed it on purpose, ask who did"
        }
        FaultKind::Unreadable => {
            "check the file's permissions and the disk, or the connection; then try again"
        }
        FaultKind::Malformed => "the file is damaged or was cut; compare it with a backup",
        FaultKind::Altered => {
            "the trail is not what was signed: keep it as evidence, and compare it with a backup"
        }
        FaultKind::Signature => "this key did not sign this trail; is it the key of this bridge?",
        FaultKind::RolledBack | FaultKind::Forked => {
            "keep both checkpoints as evidence, and find out who could write the trail and use its key"
        }
    })
}

pub fn as_json(fault: &Fault) -> serde_json::Value {
    let kind = match fault.kind {
        FaultKind::Missing => "missing",
        FaultKind::Unreadable => "unreadable",
        FaultKind::Malformed => "malformed",
        FaultKind::Altered => "altered",
        FaultKind::Signature => "signature",
        FaultKind::RolledBack => "rolled-back",
        FaultKind::Forked => "forked",
    };
    json!({
        "kind": kind, "file": fault.file, "entry": fault.entry, "offset": fault.offset, "detail": fault.detail,
    })
}
