//! The checked manifest. Every value here has been parsed and every name in it resolves.

mod audit;
mod bridge;
mod flow;
mod http;
mod integration;
mod party;

pub use audit::*;
pub use bridge::*;
pub use flow::*;
pub use http::*;
pub use integration::*;
pub use party::*;

use crate::{Date, Name, section};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Things by their declared names.
pub type Map<T> = BTreeMap<Name, T>;

/// A whole manifest directory.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// The bridge itself.
    pub bridge: Bridge,
    /// What data comes from and goes to.
    pub systems: Map<System>,
    /// Named sets of permissions.
    pub roles: Map<Role>,
    /// The identities under which systems call.
    pub accounts: Map<Account>,
    /// The declared data flows.
    pub integrations: Map<Integration>,
    /// Everything that was read or named (manifest files, schemas, certificates), for watching.
    pub files: Vec<PathBuf>,
    /// The text of the manifest files, in the order they were read.
    pub sources: Arc<[(PathBuf, String)]>,
}

section! {
    /// Why a weaker-than-default choice is accepted, and until when. It always gives a warning; from the day it
    /// expires, an error, and from the next start or reload on what needs it is refused: see
    /// [IB201](findings.md#ib201-a-danger-has-expired).
    pub struct Danger {
        /// Why there is no better way at present.
        reason: String,
        /// The first day on which it is no longer accepted, at most 366 days ahead: `2027-03-31`.
        expires: Date,
    }
}

impl Danger {
    /// From its day on it is not accepted any more.
    pub fn has_expired(&self, today: Date) -> bool {
        self.expires.days <= today.days
    }
}

impl Manifest {
    /// The credentials that an integration accepts: those it lists, else all that its source's accounts have.
    pub fn accepted(&self, integration: &Integration) -> Vec<CredentialKind> {
        if let Some(listed) = integration.flow.accept() {
            return listed.to_vec();
        }
        let source = self.accounts.values().filter(|account| account.system == integration.source);
        let mut kinds: Vec<CredentialKind> = source.flat_map(|account| account.credentials.kinds()).collect();
        kinds.sort();
        kinds.dedup();
        kinds
    }
}
