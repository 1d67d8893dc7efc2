use std::sync::Arc;

/// An `https` URL without user information, query or fragment (`http` only where a `danger` key says so).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Url {
    /// As written: issuers are compared with this, character by character (RFC 8414 §3.3).
    pub text: Arc<str>,
    /// Whether the scheme is `https`.
    pub secure: bool,
    /// Lower-case host name or address; an IPv6 address without its brackets.
    pub host: Arc<str>,
    pub port: u16,
    /// Path with its leading slash and without a trailing one; empty for the root.
    pub path: Arc<str>,
}

/// ISO 3166-1 alpha-2 code of a country.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country(pub [u8; 2]);

/// A fixed absolute path: no trailing slash, no empty or dot segment, no encoding. Empty for the root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(pub Arc<str>);

/// A path with parameters: `/orders/{id}/shipments`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Template {
    pub text: Arc<str>,
    pub segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    Literal(Arc<str>),
    /// Takes exactly one segment of any text; the name without its braces.
    Parameter(Arc<str>),
}

/// What an operation answers to: `GET /orders/{id}`, relative to its integration's path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route {
    /// GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS.
    pub method: Arc<str>,
    pub path: Template,
}

/// The name of an HTTP header field, lower case. Fields that HTTP itself uses are refused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldName(pub Arc<str>);
