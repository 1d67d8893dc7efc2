//! Paths and queries in one canonical form (RFC 3986 §6.2.2): what is judged, and the spelling that is delivered.
//!
//! Both are read once, where a request arrives. Reading a delivered spelling again gives what was judged, so no
//! system behind the bridge sees another path or another member than its controls saw. What systems are known to
//! read in two ways is refused.

mod escape;
mod lookalike;
mod number;
mod path;
mod query;
#[cfg(test)]
mod tests;

pub use escape::form_text;
pub use lookalike::{Lookalike, Read};
pub use path::{CanonicalPath, is_plain_segment, spelled};
pub use query::Query;

/// Why a path or a query has no single reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ambiguous {
    /// For the caller: what it is that systems read differently.
    pub why: &'static str,
    /// Of a query: the member, where it is one of them.
    pub member: Option<AtMember>,
}

/// Which member of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AtMember {
    /// Counted from 1.
    pub number: usize,
    /// Decoded; empty where it cannot be read.
    pub name: Box<str>,
}

impl Ambiguous {
    const fn new(why: &'static str) -> Ambiguous {
        Ambiguous { why, member: None }
    }
}
