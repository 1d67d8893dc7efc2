//! Who calls: service accounts, the credentials that prove them, and the proof that one did. How a credential is
//! verified is for `identity` to know; which accounts there are, for the manifest.

use crate::{OwnerKey, Permission, PermissionSet, Timestamp};
use ipnet::IpNet;
use std::net::IpAddr;
use std::sync::Arc;

/// A service account: the identity under which a system calls. It has roles, never permissions of its own;
/// `permissions` is what its roles add up to.
#[derive(Debug, Clone)]
pub struct Account {
    /// As the manifest names it.
    pub name: Arc<str>,
    /// The system that calls under this identity.
    pub system: Arc<str>,
    /// What its roles add up to.
    pub permissions: PermissionSet,
    /// Networks it may call from; empty means any.
    pub addresses: Vec<IpNet>,
    /// Under which the trail seals where it called from; `None` seals it as that of an unknown caller.
    pub owner: Option<Arc<OwnerKey>>,
}

impl Account {
    /// Whether one of its networks holds the address. Where it has networks, an address that nobody knows is in none.
    pub fn may_call_from(&self, address: Option<IpAddr>) -> bool {
        let holds = |address: IpAddr| {
            let address = address.to_canonical();
            self.addresses.iter().any(|network| network.contains(&address))
        };
        self.addresses.is_empty() || address.is_some_and(holds)
    }
}

/// How an identity can be proven. An integration says which kinds it accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CredentialKind {
    /// A key that this bridge issued.
    ApiKey,
    /// A JWT access token of an external issuer.
    Token,
    /// A JWT access token of the built-in token endpoint.
    OauthClient,
    /// A client certificate of the connection.
    Certificate,
}

impl CredentialKind {
    /// Every kind there is.
    pub const ALL: [CredentialKind; 4] = [
        CredentialKind::ApiKey,
        CredentialKind::Token,
        CredentialKind::OauthClient,
        CredentialKind::Certificate,
    ];

    /// As manifests and records write it.
    pub const fn name(self) -> &'static str {
        match self {
            CredentialKind::ApiKey => "api_key",
            CredentialKind::Token => "token",
            CredentialKind::OauthClient => "oauth_client",
            CredentialKind::Certificate => "certificate",
        }
    }
}

/// Which credential proved the identity; its id is safe to record (a key id, a token id, a thumbprint).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// How it proved the identity.
    pub kind: CredentialKind,
    /// A key's or token's id, a certificate's thumbprint: never the credential itself.
    pub id: Arc<str>,
    /// Until when it is good; `None` where it says nothing.
    pub expires: Option<Timestamp>,
}

/// A verified caller. Only `identity`'s verifiers call [`Principal::verified`]; an architecture test holds
/// every other room to that.
#[derive(Debug, Clone)]
pub struct Principal {
    account: Arc<Account>,
    credential: Arc<Credential>,
    /// What the credential itself limits the account to (an OAuth scope); `None` means no further limit.
    limited_to: Option<Arc<PermissionSet>>,
}

impl Principal {
    /// A caller whose credential was verified just now. `limited_to` is what the credential itself allows at most.
    pub fn verified(
        account: Arc<Account>,
        credential: Arc<Credential>,
        limited_to: Option<Arc<PermissionSet>>,
    ) -> Principal {
        Principal { account, credential, limited_to }
    }

    /// Under which identity it calls.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// What proved it.
    pub fn credential(&self) -> &Arc<Credential> {
        &self.credential
    }

    /// Whether the account's roles hold the permission.
    pub fn account_holds(&self, permission: Permission) -> bool {
        self.account.permissions.contains(permission)
    }

    /// Whether the credential's scope leaves the permission in.
    pub fn credential_allows(&self, permission: Permission) -> bool {
        self.limited_to.as_ref().is_none_or(|set| set.contains(permission))
    }
}
