//! What everything of one snapshot of the bridge is built from.

use crate::material::MaterialError;
use crate::plan::{Plan, Planned};
use crate::services::{ServiceError, Services};
use ironbridge_core::{Clock, Entropy};
use ironbridge_manifest::Manifest;
use std::net::SocketAddr;
use std::sync::Arc;

impl<'a> Basis<'a> {
    /// What is declared.
    pub fn manifest(&self) -> &'a Manifest {
        &self.plan.manifest
    }

    /// Every integration with what was compiled of it.
    pub fn integrations(&self) -> impl Iterator<Item = Planned<'a>> + use<'a> {
        self.plan.integrations()
    }

    /// What exchanges are dated and timed by.
    pub fn clock(&self) -> &'a Arc<dyn Clock> {
        &self.services.clock
    }

    /// What ids are made with.
    pub fn entropy(&self) -> &'a Arc<dyn Entropy> {
        &self.services.entropy
    }
}

/// Why what a manifest declares cannot be put into force.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "fields that their variant explains")]
pub enum BuildError {
    /// What lasts cannot be opened for it.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// A file or secret that is named cannot be used.
    #[error(transparent)]
    Material(#[from] MaterialError),
    /// `who` listens, such as `listener api`; `key` leads to where the address stands in the manifest.
    #[error("{who} cannot listen on {address}: {reason}")]
    Bind { who: String, key: String, address: SocketAddr, reason: std::io::Error },
    /// What stands in this place of the manifest cannot be built, for this reason.
    #[error("{place}: {reason}")]
    Declared { place: String, reason: String },
}

impl BuildError {
    /// What stands in this place of the manifest cannot be built, for this reason.
    pub fn declared(place: impl Into<String>, reason: impl ToString) -> BuildError {
        BuildError::Declared { place: place.into(), reason: reason.to_string() }
    }
}

/// What everything of one snapshot is built from: the compiled manifest, and what outlives a reload.
#[derive(Clone, Copy)]
pub struct Basis<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) services: &'a Services,
    pub(crate) generation: u64,
}
