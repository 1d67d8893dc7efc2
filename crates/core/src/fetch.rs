//! What the bridge itself asks of servers, such as an issuer's keys. The connector that does it is passed in, and
//! decides which addresses may be asked.

use crate::{BoxFuture, Sensitive};
use std::fmt;
use std::time::Duration;

/// A request the bridge makes on its own behalf: keys of an issuer, a token for a target, a piece of the audit trail.
#[derive(Debug)]
pub struct FetchRequest {
    /// What to do there.
    pub method: FetchMethod,
    /// Absolute `https` URL without credentials or fragment.
    pub url: String,
    /// Extra header fields. Values may be secret; they are never printed.
    pub headers: Vec<(&'static str, Sensitive)>,
    /// The reply's largest acceptable body, in bytes.
    pub max_reply: usize,
    /// For the whole fetch.
    pub timeout: Duration,
}

/// What the bridge itself asks of a server.
#[derive(Debug)]
pub enum FetchMethod {
    /// Reads what is there.
    Get,
    /// POST of `application/x-www-form-urlencoded` bytes.
    PostForm(Sensitive),
    /// POST of these bytes under this media type.
    Post(&'static str, Vec<u8>),
    /// PUT of these bytes under this media type.
    Put(&'static str, Vec<u8>),
    /// Takes it away.
    Delete,
}

/// What the server answered, its body whole.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The HTTP status.
    pub status: u16,
    /// Perhaps a token; so it is wiped.
    pub body: Sensitive,
    /// `max-age` of Cache-Control, in seconds.
    pub max_age: Option<u64>,
    /// Retry-After (RFC 9110 §10.2.3), in seconds.
    pub retry_after: Option<u64>,
}

/// Why a fetch failed, for the operator's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchError(pub String);

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FetchError {}

/// The guarded connector, as the rooms that need something fetched see it. Implemented by `net`: addresses are
/// checked after resolution, TLS is verified, redirects are not followed.
pub trait Fetch: Send + Sync {
    /// Asks, and reads the whole answer within the request's bounds.
    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<Fetched, FetchError>>;
}
