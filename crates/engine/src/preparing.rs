//! What the next snapshot of the bridge is built from, whatever the transport.

use crate::accounts;
use crate::material::MaterialError;
use crate::plan::Plan;
use crate::services::{Carried, ServiceError, Services};
use ironbridge_controls::authenticate::Authenticator;
use ironbridge_identity::accounts::Directory;
use ironbridge_identity::token::{Issuer, TokenVerifier, TypePolicy};
use ironbridge_manifest as manifest;
use ironbridge_seal::jose;
use std::sync::Arc;

/// Why what a manifest declares cannot be wired together.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error(transparent)]
    Service(#[from] ServiceError),
    #[error(transparent)]
    Material(#[from] MaterialError),
    #[error("{place}: {reason}")]
    Declared { place: String, reason: String },
}

impl BuildError {
    pub fn declared(place: impl Into<String>, reason: impl ToString) -> BuildError {
        BuildError::Declared { place: place.into(), reason: reason.to_string() }
    }
}

/// What one snapshot is built from. Nothing of the running bridge is changed by it.
pub struct Preparing<'a> {
    pub plan: &'a Plan,
    pub services: &'a Services,
    pub generation: u64,
    /// Who may prove to be whom.
    pub directory: Arc<Directory>,
    /// How it is proven.
    pub authenticator: Arc<Authenticator>,
}

/// Verified tokens remembered across all issuers; see `reference/performance` in the docs.
const REMEMBERED_TOKENS: usize = 100_000;

impl<'a> Preparing<'a> {
    pub async fn new(
        plan: &'a Plan,
        services: &'a Services,
        generation: u64,
        next: &mut Carried,
    ) -> Result<Preparing<'a>, BuildError> {
        let directory = Arc::new(accounts::directory(plan, services).await?);
        let authenticator = Authenticator {
            keys: Arc::clone(&services.api_keys),
            tokens: Arc::new(verifier(plan, services, next)?),
            certificates: Arc::clone(&services.certificates),
        };
        Ok(Preparing { plan, services, generation, directory, authenticator: Arc::new(authenticator) })
    }
}

/// Of the bridge's own tokens, and those of every declared issuer.
fn verifier(plan: &Plan, services: &Services, next: &mut Carried) -> Result<TokenVerifier, BuildError> {
    let mut issuers = vec![services.token_endpoint.issuer()];
    for (name, declared) in &plan.manifest.bridge.issuers {
        let keys = services.issuer_keys(name, declared, next)?;
        let audiences = declared.audience.iter().map(String::as_str);
        let mut issuer = Issuer::new(name, &declared.issuer.text, audiences, keys);
        issuer.algorithms = declared.algorithms.iter().copied().map(algorithm).collect();
        issuer.client_id_claim = declared.client_id_claim.as_str().into();
        let danger = ["bridge", "issuers", &**name, "danger_accept_untyped_tokens"];
        if declared.danger_accept_untyped_tokens.is_some() && plan.lapsed(&danger).is_none() {
            issuer.types = TypePolicy::DangerUntyped;
        }
        issuers.push(issuer);
    }
    TokenVerifier::new(issuers, REMEMBERED_TOKENS)
        .map_err(|error| BuildError::declared("bridge.issuers", error))
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
