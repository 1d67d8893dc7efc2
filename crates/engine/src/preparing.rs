//! What the next snapshot of the bridge is built from, whatever the transport.

use crate::accounts;
use crate::issuers::Issuers;
use crate::material::MaterialError;
use crate::plan::Plan;
use crate::services::{ServiceError, Services};
use crate::transport::Egresses;
use ironbridge_controls::authenticate::Authenticator;
use ironbridge_identity::accounts::Directory;
use ironbridge_net::cores;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::Arc;

/// Why what a manifest declares cannot be put into force.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error(transparent)]
    Service(#[from] ServiceError),
    #[error(transparent)]
    Material(#[from] MaterialError),
    /// `key` leads to where the address stands in the manifest.
    #[error("{who} cannot listen on {address}: {reason}")]
    Bind { who: String, key: String, address: SocketAddr, reason: std::io::Error },
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

/// What the caller's side of a transport is built from: besides the [`Basis`], who may call and what leads to the
/// targets.
pub struct Preparing<'a> {
    basis: Basis<'a>,
    /// Who may prove to be whom.
    pub(crate) directory: Arc<Directory>,
    /// How it is proven.
    pub(crate) authenticator: Arc<Authenticator>,
    /// The target's sides of this snapshot.
    pub(crate) egresses: &'a Egresses,
    /// Where exchanges live.
    pub(crate) cores: &'a cores::Handle,
}

impl<'a> Preparing<'a> {
    /// With the issuers of this snapshot, which are carried to the next.
    pub(crate) async fn new(
        basis: Basis<'a>,
        issuers: &Issuers,
        egresses: &'a Egresses,
        cores: &'a cores::Handle,
    ) -> Result<(Preparing<'a>, Issuers), BuildError> {
        let Basis { plan, services, .. } = basis;
        let directory = Arc::new(accounts::directory(plan, services).await?);
        let (issuers, verifier) = issuers.next(&basis)?;
        let authenticator = Arc::new(Authenticator {
            keys: Arc::clone(&services.api_keys),
            tokens: Arc::new(verifier),
            certificates: Arc::clone(&services.certificates),
        });
        Ok((Preparing { basis, directory, authenticator, egresses, cores }, issuers))
    }
}

impl<'a> Deref for Preparing<'a> {
    type Target = Basis<'a>;

    fn deref(&self) -> &Basis<'a> {
        &self.basis
    }
}
