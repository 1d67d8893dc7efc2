use crate::{OwnerKey, Permission, PermissionSet, Timestamp};
use ipnet::IpNet;
use std::net::IpAddr;
use std::sync::Arc;

/// A service account: the identity under which a system calls. It has roles, never permissions of its own;
/// `permissions` is what its roles add up to.
#[derive(Debug, Clone)]
pub struct Account {
    pub name: Arc<str>,
    /// The system that calls under this identity.
    pub system: Arc<str>,
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CredentialKind {
    ApiKey,
    /// A JWT access token of an external issuer.
    Token,
    /// A JWT access token of the built-in token endpoint.
    OauthClient,
    Certificate,
}

impl CredentialKind {
    pub const ALL: [CredentialKind; 4] = [
        CredentialKind::ApiKey,
        CredentialKind::Token,
        CredentialKind::OauthClient,
        CredentialKind::Certificate,
    ];

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
    pub kind: CredentialKind,
    pub id: Arc<str>,
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
    pub fn verified(
        account: Arc<Account>,
        credential: Arc<Credential>,
        limited_to: Option<Arc<PermissionSet>>,
    ) -> Principal {
        Principal { account, credential, limited_to }
    }

    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

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
