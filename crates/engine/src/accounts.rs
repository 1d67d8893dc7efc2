//! The directory of accounts, from what a manifest declares of them.

use crate::material::{self, MaterialError};
use crate::plan::Plan;
use crate::services::{ServiceError, Services};
use crate::transport::BuildError;
use ironbridge_core::{Account, PermissionSet};
use ironbridge_identity::accounts::{
    CertificateMatch, CertificateRule, Directory, Registration, TokenSubject, certificate_name,
};
use ironbridge_identity::token_endpoint::BUILT_IN;
use ironbridge_manifest as manifest;
use ironbridge_seal::hash;
use ironbridge_store::StoreError;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::path::Path;
use std::sync::Arc;

/// Who may prove to be whom, and what that allows.
pub async fn directory(plan: &Plan, services: &Services) -> Result<Directory, BuildError> {
    let (manifest, internal_ca) = (&plan.manifest, services.authority.root_der());
    let mut registrations = Vec::with_capacity(manifest.accounts.len());
    for (name, declared) in &manifest.accounts {
        let roles = declared.roles.iter().filter_map(|role| manifest.roles.get(role));
        let mut scopes: Vec<Arc<str>> =
            roles.flat_map(|role| role.permissions.iter().map(|permission| permission.shared())).collect();
        scopes.sort();
        scopes.dedup();
        let permissions: PermissionSet =
            scopes.iter().filter_map(|scope| plan.permissions.find(scope)).collect();
        let mut registration = Registration::new(Arc::new(Account {
            name: name.shared(),
            system: declared.system.shared(),
            permissions,
            addresses: declared.addresses.as_deref().unwrap_or_default().to_vec(),
            owner: Some(services.owners.account(name).await.map_err(owners)?),
        }));
        registration.scopes = scopes;
        registration.api_key = declared.credentials.api_key.is_some();
        registration.oauth_client =
            declared.credentials.oauth_client.as_ref().map(|client| client.token_lifetime);
        if declared.credentials.oauth_client.is_some() {
            registration.tokens.push(TokenSubject { issuer: BUILT_IN.into(), client_id: (**name).into() });
        }
        if let Some(token) = &declared.credentials.token {
            let subject =
                TokenSubject { issuer: (*token.issuer).into(), client_id: token.client_id.as_str().into() };
            registration.tokens.push(subject);
        }
        let lapsed = plan.lapsed(&["accounts", name, "credentials", "certificate"]);
        if let Some(certificate) = declared.credentials.certificate.as_ref().filter(|_| lapsed.is_none()) {
            registration.certificates.push(certificate_rule(certificate, internal_ca)?);
        }
        registrations.push(registration);
    }
    Directory::new(registrations, Arc::clone(&plan.permissions))
        .map_err(|error| BuildError::declared("accounts", error))
}

/// A name counts only under the CA that may give it: the account's own, else the internal one. Otherwise the CA of
/// one account could speak for another.
fn certificate_rule(
    declared: &manifest::CertificateMatch,
    internal_ca: &[u8],
) -> Result<CertificateRule, BuildError> {
    let own = declared.ca.as_deref().map(certificates).transpose()?;
    match (&declared.san, &declared.thumbprint) {
        (Some(san), None) => Ok(CertificateRule {
            matches: CertificateMatch::Name(certificate_name(san_text(san))),
            cas: Some(own.unwrap_or_else(|| [CertificateDer::from(internal_ca.to_vec())].into())),
        }),
        (None, Some(thumbprint)) => Ok(CertificateRule {
            matches: CertificateMatch::Thumbprint(hash::hex(&thumbprint.0).into()),
            cas: own,
        }),
        _ => Err(BuildError::Declared {
            place: "accounts".to_owned(),
            reason: "a certificate is known by exactly one of san and thumbprint".to_owned(),
        }),
    }
}

/// All of the file: while a CA is replaced, the old one and the new stand in it.
fn certificates(path: &Path) -> Result<Arc<[CertificateDer<'static>]>, MaterialError> {
    let pem = material::read(path)?;
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>();
    certificates
        .map_err(|error| MaterialError::Unreadable { path: path.to_path_buf(), reason: error.to_string() })
}

fn owners(error: StoreError) -> BuildError {
    BuildError::Service(ServiceError::Home(error.into()))
}

fn san_text(san: &manifest::San) -> &str {
    match san {
        manifest::San::Uri(text) | manifest::San::Dns(text) | manifest::San::Email(text) => text,
    }
}
