//! What the caller's side of a transport is built from.

use super::basis::{Basis, BuildError};
use super::egress::Egresses;
use crate::accounts;
use crate::issuers::Issuers;
use ironbridge_controls::authenticate::Authenticator;
use ironbridge_core::{OpenExchanges, Recorder};
use ironbridge_identity::accounts::Directory;
use ironbridge_net::cores;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

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

impl<'a> Preparing<'a> {
    /// Where exchanges live: connections are spread over the cores, and stay on theirs.
    pub fn cores(&self) -> &'a cores::Handle {
        self.cores
    }

    /// What takes the record of every exchange. It takes none while the audit trail or the store is not in order.
    pub fn recorder(&self) -> Arc<dyn Recorder> {
        self.services.recorder()
    }

    /// Where every exchange takes a place for as long as it is open.
    pub fn exchanges(&self) -> &'a Arc<OpenExchanges> {
        &self.services.exchanges
    }

    /// How long what is declared no more may take to end what is under way.
    pub fn drain(&self) -> Duration {
        self.manifest().bridge.timeouts.drain
    }
}

impl<'a> Deref for Preparing<'a> {
    type Target = Basis<'a>;

    fn deref(&self) -> &Basis<'a> {
        &self.basis
    }
}
