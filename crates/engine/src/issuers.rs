//! External issuers of tokens, and what is known of their keys.

use crate::carried::Carried;
use crate::material;
use crate::transport::{Basis, BuildError};
use ironbridge_identity::issuer_keys::{IssuerKeys, KeySource};
use ironbridge_identity::token::{Issuer, TokenVerifier, TypePolicy};
use ironbridge_manifest as manifest;
use ironbridge_seal::jose;
use std::sync::Arc;
use tokio::task::AbortHandle;

/// The declared issuers of one load of the manifest. Their keys are carried to the next where nothing about them changed.
#[derive(Default)]
pub struct Issuers {
    known: Carried<Arc<Followed>>,
}

/// An issuer's keys, which are fetched and kept fresh until nobody follows them any more.
struct Followed {
    keys: Arc<IssuerKeys>,
    task: AbortHandle,
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Verified tokens remembered across all issuers; see `reference/performance` in the docs.
const REMEMBERED_TOKENS: usize = 100_000;

impl Issuers {
    /// Those of the next load, and what verifies their tokens and the bridge's own.
    pub fn next(&self, from: &Basis<'_>) -> Result<(Issuers, TokenVerifier), BuildError> {
        let mut next = Issuers::default();
        let mut issuers = vec![from.services.token_endpoint.issuer()];
        for (name, declared) in &from.plan.manifest.bridge.issuers {
            let keys = self.keys(from, name, declared, &mut next)?;
            let audiences = declared.audience.iter().map(String::as_str);
            let mut issuer = Issuer::new(name, &declared.issuer.text, audiences, keys);
            issuer.algorithms = declared.algorithms.iter().copied().map(algorithm).collect();
            issuer.client_id_claim = declared.client_id_claim.as_str().into();
            let danger = ["bridge", "issuers", &**name, "danger_accept_untyped_tokens"];
            if declared.danger_accept_untyped_tokens.is_some() && from.plan.lapsed(&danger).is_none() {
                issuer.types = TypePolicy::DangerUntyped;
            }
            issuers.push(issuer);
        }
        let verifier = TokenVerifier::new(issuers, REMEMBERED_TOKENS)
            .map_err(|error| BuildError::declared("bridge.issuers", error))?;
        Ok((next, verifier))
    }

    fn keys(
        &self,
        from: &Basis<'_>,
        name: &str,
        issuer: &manifest::Issuer,
        next: &mut Issuers,
    ) -> Result<Arc<IssuerKeys>, BuildError> {
        let key = format!("{name} {issuer:?} {}", material::digest(issuer.ca.as_deref())?);
        let followed = match self.known.get(&key) {
            Some(known) => known,
            None => {
                let source = match &issuer.jwks_url {
                    Some(url) => KeySource::Jwks(url.text.to_string()),
                    None => KeySource::Discovery,
                };
                let (fetch, clock) = (material::fetch(issuer.ca.as_deref())?, &from.services.clock);
                let keys = IssuerKeys::remote(&issuer.issuer.text, source, fetch, Arc::clone(clock));
                let task = tokio::spawn(Arc::clone(&keys).keep_fresh()).abort_handle();
                Arc::new(Followed { keys, task })
            }
        };
        let keys = Arc::clone(&followed.keys);
        next.known.insert(key, followed);
        Ok(keys)
    }
}

fn algorithm(declared: manifest::Algorithm) -> jose::Algorithm {
    match declared {
        manifest::Algorithm::Es256 => jose::Algorithm::ES256,
        manifest::Algorithm::Es384 => jose::Algorithm::ES384,
        manifest::Algorithm::Ps256 => jose::Algorithm::PS256,
        manifest::Algorithm::Ps384 => jose::Algorithm::PS384,
        manifest::Algorithm::Ps512 => jose::Algorithm::PS512,
        manifest::Algorithm::Rs256 => jose::Algorithm::RS256,
        manifest::Algorithm::Ed25519 => jose::Algorithm::Ed25519,
    }
}
