//! Why a schema does not compile, and the bounds that it says.

/// Why a schema does not compile. The operator's fault, told when the manifest is loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    #[error("the schema is larger than {MAX_VALUES} values or nested deeper than {MAX_DEPTH} levels")]
    TooLarge,
    #[error("$schema is {0}; only JSON Schema 2020-12 is read ({DIALECT})")]
    Dialect(String),
    #[error("{0}; references stay inside the document, nothing is fetched: put it under $defs")]
    Reference(String),
    #[error("at {pointer}: {reason}")]
    Invalid { pointer: String, reason: String },
}

/// The dialect's identifier (JSON Schema 2020-12 Core §8.1.1).
pub(super) const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Values (members and elements, at any depth) in one schema. Ours; published schemas of whole industries stay
/// below 20,000.
pub(super) const MAX_VALUES: usize = 50_000;
pub(super) const MAX_DEPTH: usize = 64;
