//! Which account a verified credential belongs to: the part of the manifest that verifiers need, compiled.

use ahash::AHashMap;
use ironbridge_core::{Account, PermissionTable};
use rustls_pki_types::CertificateDer;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What one account of the manifest may prove itself with. A kind that is absent is refused even when such a
/// credential was once issued.
#[derive(Debug, Clone)]
pub struct Registration {
    /// Its name, and what it may.
    pub account: Arc<Account>,
    /// Names of the permissions its roles add up to: the scopes it may ask the built-in token endpoint for.
    pub scopes: Vec<Arc<str>>,
    /// Whether it may show API keys of this bridge.
    pub api_key: bool,
    /// Lifetime of access tokens from the built-in token endpoint, where the account may use it.
    pub oauth_client: Option<Duration>,
    /// Whose tokens it may show, each as issuer and client.
    pub tokens: Vec<TokenSubject>,
    /// Which client certificates are its own.
    pub certificates: Vec<CertificateRule>,
}

impl Registration {
    /// An account that may prove itself with nothing yet.
    pub fn new(account: Arc<Account>) -> Registration {
        Registration {
            account,
            scopes: Vec::new(),
            api_key: false,
            oauth_client: None,
            tokens: Vec::new(),
            certificates: Vec::new(),
        }
    }
}

/// A client of an external issuer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSubject {
    /// The issuer's name in the manifest.
    pub issuer: Box<str>,
    /// The client, as the issuer calls it.
    pub client_id: Box<str>,
}

/// Which client certificates belong to an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRule {
    /// Which certificates of that CA.
    pub matches: CertificateMatch,
    /// The CAs of which one must have issued it (through intermediates or directly), where the account names some.
    pub cas: Option<Arc<[CertificateDer<'static>]>>,
}

/// What a certificate must have to be the account's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateMatch {
    /// A subject alternative name, written as [`certificate_name`] reads it.
    Name(Box<str>),
    /// Hex SHA-256 of the certificate's DER.
    Thumbprint(Box<str>),
}

/// Writes a subject alternative name the way [`ironbridge_core::CertificateFacts::names`] holds it: `uri:…`,
/// `dns:…`, `email:…` or `ip:…`. Without such a prefix the kind follows from the form. DNS names and the domain
/// of an email address are compared without regard to case (RFC 5280 §7.2, §7.5), URIs exactly.
pub fn certificate_name(text: &str) -> Box<str> {
    let (kind, value) = match text.split_once(':') {
        Some((kind @ ("uri" | "dns" | "email" | "ip"), value)) => (kind, value),
        _ if text.contains("://") || text.starts_with("urn:") => ("uri", text),
        _ if text.parse::<IpAddr>().is_ok() => ("ip", text),
        _ if text.contains('@') => ("email", text),
        _ => ("dns", text),
    };
    let value = match kind {
        "dns" => value.to_ascii_lowercase(),
        "ip" => value.parse::<IpAddr>().map_or_else(|_| value.to_owned(), |address| address.to_string()),
        "email" => match value.rsplit_once('@') {
            Some((local, domain)) => format!("{local}@{}", domain.to_ascii_lowercase()),
            None => value.to_owned(),
        },
        _ => value.to_owned(),
    };
    format!("{kind}:{value}").into_boxed_str()
}

/// Every account of one loaded manifest. Immutable; a reload makes a new one.
#[derive(Debug)]
pub struct Directory {
    accounts: AHashMap<Arc<str>, Arc<Registration>>,
    /// Issuer name, then client id.
    clients: AHashMap<Box<str>, AHashMap<Box<str>, Arc<Registration>>>,
    certificate_names: AHashMap<Box<str>, Vec<CertificateHolder>>,
    thumbprints: AHashMap<Box<str>, Vec<CertificateHolder>>,
    permissions: Arc<PermissionTable>,
    generation: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct CertificateHolder {
    pub account: Arc<Account>,
    pub cas: Option<Arc<[CertificateDer<'static>]>>,
}

/// Two accounts claim the same client of an issuer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("client `{client_id}` of issuer `{issuer}` is claimed by the accounts `{first}` and `{second}`")]
pub struct ClientClaimedTwice {
    /// The issuer of the tokens.
    pub issuer: Box<str>,
    /// The client that two accounts claim.
    pub client_id: Box<str>,
    /// One of them.
    pub first: Arc<str>,
    /// The other.
    pub second: Arc<str>,
}

impl Directory {
    /// `permissions` is the table that the accounts' permission sets were made with.
    pub fn new(
        registrations: impl IntoIterator<Item = Registration>,
        permissions: Arc<PermissionTable>,
    ) -> Result<Directory, ClientClaimedTwice> {
        // Remembered verifications must not outlive the directory they were made under; an address can be
        // reused, a number is not.
        static GENERATION: AtomicU64 = AtomicU64::new(1);
        let mut directory = Directory {
            accounts: AHashMap::new(),
            clients: AHashMap::new(),
            certificate_names: AHashMap::new(),
            thumbprints: AHashMap::new(),
            permissions,
            generation: GENERATION.fetch_add(1, Ordering::Relaxed),
        };
        for registration in registrations {
            directory.register(Arc::new(registration))?;
        }
        Ok(directory)
    }

    /// The account of this name.
    pub fn account(&self, name: &str) -> Option<&Arc<Registration>> {
        self.accounts.get(name)
    }

    /// Whose tokens those are that this issuer gave this client.
    pub fn client(&self, issuer: &str, client_id: &str) -> Option<&Arc<Registration>> {
        self.clients.get(issuer)?.get(client_id)
    }

    /// Every permission that there is.
    pub fn permissions(&self) -> &PermissionTable {
        &self.permissions
    }

    /// Differs between any two directories of this process.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn certificate_name(&self, name: &str) -> &[CertificateHolder] {
        self.certificate_names.get(name).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn thumbprint(&self, thumbprint: &str) -> &[CertificateHolder] {
        self.thumbprints.get(thumbprint).map_or(&[], Vec::as_slice)
    }

    fn register(&mut self, registration: Arc<Registration>) -> Result<(), ClientClaimedTwice> {
        for TokenSubject { issuer, client_id } in &registration.tokens {
            let clients = self.clients.entry(issuer.clone()).or_default();
            if let Some(other) = clients.insert(client_id.clone(), Arc::clone(&registration)) {
                return Err(ClientClaimedTwice {
                    issuer: issuer.clone(),
                    client_id: client_id.clone(),
                    first: Arc::clone(&other.account.name),
                    second: Arc::clone(&registration.account.name),
                });
            }
        }
        for rule in &registration.certificates {
            let (table, key) = match &rule.matches {
                CertificateMatch::Name(name) => (&mut self.certificate_names, certificate_name(name)),
                CertificateMatch::Thumbprint(thumbprint) => {
                    (&mut self.thumbprints, thumbprint.to_ascii_lowercase().into())
                }
            };
            table.entry(key).or_default().push(CertificateHolder {
                account: Arc::clone(&registration.account),
                cas: rule.cas.clone(),
            });
        }
        self.accounts.insert(Arc::clone(&registration.account.name), registration);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_in_one_way() {
        for (text, name) in [
            ("spiffe://acme.example/Order", "uri:spiffe://acme.example/Order"),
            ("urn:acme:erp", "uri:urn:acme:erp"),
            ("ERP.Acme.example", "dns:erp.acme.example"),
            ("dns:ERP.acme.example", "dns:erp.acme.example"),
            ("Ops@ACME.example", "email:Ops@acme.example"),
            ("10.0.0.1", "ip:10.0.0.1"),
            ("2001:DB8::1", "ip:2001:db8::1"),
        ] {
            assert_eq!(&*certificate_name(text), name);
        }
    }

    #[test]
    fn a_client_belongs_to_one_account() {
        let of = |name: &str| {
            let account = Account {
                name: name.into(),
                system: "s".into(),
                permissions: Default::default(),
                addresses: Vec::new(),
                owner: None,
            };
            let mut registration = Registration::new(Arc::new(account));
            registration.tokens.push(TokenSubject { issuer: "idp".into(), client_id: "c".into() });
            registration
        };
        let clash = Directory::new([of("a"), of("b")], Default::default()).unwrap_err();
        assert_eq!((&*clash.first, &*clash.second), ("a", "b"));
        let directory = Directory::new([of("a")], Default::default()).unwrap();
        assert_eq!(&*directory.client("idp", "c").unwrap().account.name, "a");
        assert!(directory.client("other", "c").is_none());
    }
}
