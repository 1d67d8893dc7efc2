//! Whose tokens are accepted, as the manifest declares it. It must not know how a token is verified.

use crate::api_key::KeyRing;
use crate::issuer_keys::IssuerKeys;
use ironbridge_core::CredentialKind;
use ironbridge_seal::jose::Algorithm;
use std::sync::Arc;

/// An issuer whose access tokens are accepted.
#[derive(Clone)]
pub struct Issuer {
    /// Its name in the manifest.
    pub name: Box<str>,
    /// Its identifier, which `iss` must equal character by character.
    pub url: Box<str>,
    /// `aud` must hold one of these.
    pub audiences: Vec<Box<str>>,
    /// All others are refused, whatever its keys allow.
    pub algorithms: Vec<Algorithm>,
    /// Which `typ` its tokens may have.
    pub types: TypePolicy,
    /// The claim that names the client: `client_id`, or what older issuers call it (`azp`, `appid`, `sub`).
    pub client_id_claim: Box<str>,
    /// What they are signed with.
    pub keys: Arc<IssuerKeys>,
    /// [`CredentialKind::Token`], or [`CredentialKind::OauthClient`] for the built-in token endpoint.
    pub kind: CredentialKind,
    /// Of the built-in token endpoint: the client secrets. A token that names one ends when that is revoked; those of
    /// before tokens named it do not.
    pub secrets: Option<Arc<KeyRing>>,
}

/// Which `typ` an access token may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TypePolicy {
    /// `at+jwt` only (RFC 9068 §4).
    AccessToken,
    /// Also `JWT` and none, for issuers that set no other: their ID tokens are then told apart by audience alone.
    DangerUntyped,
}

impl Issuer {
    /// An issuer with the strict defaults: every asymmetric algorithm, `at+jwt` only, `client_id`.
    pub fn new<A: Into<Box<str>>>(
        name: &str,
        url: &str,
        audiences: impl IntoIterator<Item = A>,
        keys: Arc<IssuerKeys>,
    ) -> Issuer {
        Issuer {
            name: name.into(),
            url: url.into(),
            audiences: audiences.into_iter().map(Into::into).collect(),
            algorithms: Algorithm::ASYMMETRIC.to_vec(),
            types: TypePolicy::AccessToken,
            client_id_claim: "client_id".into(),
            keys,
            kind: CredentialKind::Token,
            secrets: None,
        }
    }
}
