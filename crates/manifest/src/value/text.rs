use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The name of something declared: lower-case letters, digits, `.`, `_` and `-`, at most 64 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// The name of a permission, which is also the OAuth scope of that name: letters, digits and `._:/-`, at most
/// 128 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PermissionName(Arc<str>);

impl Name {
    /// The shared text, for those who keep it.
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl PermissionName {
    /// The shared text, for those who keep it.
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl Deref for Name {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Deref for PermissionName {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PermissionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A file that a manifest names. Written relative to the file that names it; held joined with that file's
/// directory, so it can be opened as it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FilePath(PathBuf);

impl Deref for FilePath {
    type Target = Path;
    fn deref(&self) -> &Path {
        &self.0
    }
}

/// Names a secret: `secret://store/name`, or `secret://store/name#field` for one field of it. A manifest can
/// name a secret, never contain it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretRef {
    /// The secret store, declared in `bridge.secret_stores` or the embedded `sealed`.
    pub store: Name,
    pub name: Arc<str>,
    pub field: Option<Arc<str>>,
}

/// A calendar date, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    /// Days since 1970-01-01.
    pub days: i64,
}

/// A JSON Pointer (RFC 6901) in which the segment `*` stands for every member or element.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pointer {
    pub text: Arc<str>,
    /// Unescaped segments; `None` is `*`. Empty for the whole document.
    pub segments: Vec<Option<Arc<str>>>,
}

/// SHA-256 of a certificate's DER encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Thumbprint(pub [u8; 32]);

/// A directory that the bridge makes if it is not there. Written relative to the file that names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Directory(PathBuf);

impl Deref for Directory {
    type Target = Path;
    fn deref(&self) -> &Path {
        &self.0
    }
}

/// A subject alternative name of a certificate (RFC 5280 §4.2.1.6).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum San {
    /// `spiffe://acme.example/erp`, `urn:acme:erp`; compared character by character.
    Uri(Arc<str>),
    /// Lower case.
    Dns(Arc<str>),
    /// Compared character by character.
    Email(Arc<str>),
}
