//! Credentials that this bridge issued, by their hashes.

use crate::{Changes, StoreFuture};
use ironbridge_core::Timestamp;

/// Credentials that this bridge issued. Only their hashes are kept. Issuing and revoking leave their action in the
/// outbox.
pub trait Credentials: Changes {
    /// # Errors
    /// [`StoreError::Conflict`](crate::StoreError::Conflict) when the id is taken,
    /// [`StoreError::TooManyLive`](crate::StoreError::TooManyLive) when the account has `most_live` of the kind that
    /// neither are revoked nor have expired. With 10,000 credentials those that expired first are forgotten, and where
    /// none did it is [`StoreError::TooMany`](crate::StoreError::TooMany); so too while 10,000 actions wait for their
    /// record.
    fn insert(&self, credential: IssuedCredential, most_live: usize) -> StoreFuture<'_, ()>;

    /// Revokes; false when there is no such credential or it was revoked before (the first time stands).
    /// One that another hand changed or took away never counts again, should it be put back.
    fn revoke<'a>(&'a self, id: &'a str, at: Timestamp) -> StoreFuture<'a, bool>;

    /// Notes when credentials were last used; collect many and tell them at once. Times never go back, unknown
    /// ids are passed over.
    fn touch(&self, used: Vec<(String, Timestamp)>) -> StoreFuture<'_, ()>;

    /// All credentials, or those of one account, oldest first; expired and revoked ones too. Only what this bridge
    /// wrote: see [`Integrity::altered`](crate::Integrity::altered).
    fn issued<'a>(&'a self, account: Option<&'a str>) -> StoreFuture<'a, Vec<IssuedCredential>>;
}

/// One issued credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedCredential {
    /// Public; what commands and logs name it by.
    pub id: String,
    /// What it is.
    pub kind: IssuedKind,
    /// Whose it is, by name.
    pub account: String,
    /// SHA-256 of what is presented (or a certificate's thumbprint).
    pub hash: [u8; 32],
    /// When it was issued.
    pub created: Timestamp,
    /// From then on it opens nothing.
    pub expires: Timestamp,
    /// When it was taken back, if it was.
    pub revoked: Option<Timestamp>,
    /// When it last opened something, to half a minute or so.
    pub last_used: Option<Timestamp>,
}

/// What a bridge issues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IssuedKind {
    /// A key that a caller shows with each request.
    ApiKey,
    /// What an OAuth client buys tokens with.
    ClientSecret,
    /// Of the internal CA.
    Certificate,
}

impl IssuedKind {
    /// Each of them.
    pub const ALL: [IssuedKind; 3] = [IssuedKind::ApiKey, IssuedKind::ClientSecret, IssuedKind::Certificate];

    /// The stored and printed name.
    pub const fn name(self) -> &'static str {
        match self {
            IssuedKind::ApiKey => "api-key",
            IssuedKind::ClientSecret => "client-secret",
            IssuedKind::Certificate => "certificate",
        }
    }

    /// The kind that is stored and printed so.
    pub fn from_name(name: &str) -> Option<IssuedKind> {
        IssuedKind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}
