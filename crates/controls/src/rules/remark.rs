//! What there is to say about a rule, and why one does not compile.

use std::ops::Range;

/// What there is to say about a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// Whether the rule can be read at all.
    pub is_read: bool,
    /// The part of the rule's text that it is about, in bytes.
    pub at: Option<Range<usize>>,
    pub message: String,
    pub help: Option<String>,
}

/// Why a rule does not compile. The operator's fault, told when the manifest is loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    #[error("a rule may have at most {MAX_LENGTH} bytes; split it")]
    TooLong,
    #[error("the rule is nested too deeply; split it")]
    TooDeep,
    #[error("not a CEL expression: {0}")]
    Syntax(String, Option<(isize, isize)>),
    #[error("there is no variable `{0}`; rules see body, request, account, address and now")]
    UnknownVariable(String),
    #[error("{0}")]
    Mistaken(String),
    #[error("the number {0} has more digits than a double holds")]
    Inexact(String),
    #[error("there is no function `{0}` in rules")]
    UnknownFunction(String),
    #[error("the rule gives {0}, and a rule must be true or false")]
    NotTruth(&'static str),
    #[error("a loop inside a loop could take time without bound; check the inner list by JSON Schema")]
    NestedLoop,
    #[error("a rule may have at most {MAX_LOOPS} loops; split it")]
    TooManyLoops,
    #[error("a rule may have at most {MAX_SUMS} times `+`; split it")]
    TooManySums,
    #[error("`map` is not available in rules; use all, exists, exists_one or filter")]
    Map,
    #[error("`matches` needs a literal pattern and cannot stand in a loop; JSON Schema has `pattern`")]
    DynamicPattern,
    #[error("`matches` has an invalid pattern")]
    InvalidPattern,
    #[error("`matches` has a pattern that takes more than 1 MiB: make its repetitions smaller")]
    LargePattern,
    #[error("a loop cannot name its element `{0}`: that name is taken")]
    Shadowed(String),
    #[error("the names of a map that a rule makes must be written out, as in {{\"a\": 1}}")]
    ComputedName,
    #[error("message types are not available in rules")]
    Message,
    #[error("no thread could be started to parse the rule")]
    NoThread,
}

pub(super) const MAX_LENGTH: usize = 4096;
pub(super) const MAX_LOOPS: usize = 4;

/// How often a rule may join or add: each time copies a text anew, in every round of a loop.
pub(super) const MAX_SUMS: usize = 32;
