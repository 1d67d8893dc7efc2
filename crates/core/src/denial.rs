//! What a refusal is made of: its code, whose fault it is, what kind of refusal, and what the target has of the request. It
//! knows no transport, so it holds no number by which one would tell it.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::time::Duration;

/// Who must change something before the same exchange can succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Whoever sent the request.
    Caller,
    /// The system that it goes to.
    Target,
    /// Whoever wrote the manifest and runs the bridge.
    Operator,
    /// The bridge itself, or the machine that it runs on.
    Bridge,
}

impl Fault {
    /// As the reference prints it.
    pub const fn name(self) -> &'static str {
        match self {
            Fault::Caller => "caller",
            Fault::Target => "target",
            Fault::Operator => "operator",
            Fault::Bridge => "bridge",
        }
    }
}

/// What kind of refusal it is: all that a transport needs to know to tell it in its own words, and all that a caller needs
/// who knows no code. Each transport maps every kind (docs/reference/kinds.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// What arrived is not whole, breaks its transport's rules, or could be read in two ways.
    Malformed,
    /// Who calls is not proven.
    Unproven,
    /// Who calls is known, or from where, and may not do this.
    Forbidden,
    /// Nothing of that name is declared here.
    Unknown,
    /// It does not fit what happened before under the same key.
    Conflict,
    /// It is well-formed, and not what is allowed to cross.
    Unfit,
    /// It is longer than what is taken.
    TooLarge,
    /// It comes too often.
    TooMany,
    /// It was let through, and came to nothing at the target or on the way back.
    Target,
    /// The bridge, or what it needs, cannot serve it now.
    Unavailable,
    /// The bridge failed, or whoever runs it has to mend something.
    Internal,
}

impl Kind {
    /// Every kind, in the order of the declaration.
    pub const ALL: [Kind; 11] = [
        Kind::Malformed,
        Kind::Unproven,
        Kind::Forbidden,
        Kind::Unknown,
        Kind::Conflict,
        Kind::Unfit,
        Kind::TooLarge,
        Kind::TooMany,
        Kind::Target,
        Kind::Unavailable,
        Kind::Internal,
    ];

    /// As pages and `ironbridge explain` call it.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Malformed => "malformed",
            Kind::Unproven => "unproven",
            Kind::Forbidden => "forbidden",
            Kind::Unknown => "unknown",
            Kind::Conflict => "conflict",
            Kind::Unfit => "unfit",
            Kind::TooLarge => "too large",
            Kind::TooMany => "too many",
            Kind::Target => "target",
            Kind::Unavailable => "unavailable",
            Kind::Internal => "internal",
        }
    }

    /// What it means, and what a caller of any transport does about it.
    pub const fn said(self) -> &'static str {
        match self {
            Kind::Malformed => {
                "What arrived is not whole, breaks the rules of its transport, or could be read in two ways. The \
                 caller's program, or what stands between, is mended."
            }
            Kind::Unproven => {
                "Who calls is not proven. The caller gets a credential that the integration accepts, or a fresh one, \
                 and sends the same again with it."
            }
            Kind::Forbidden => "Who calls, or from where, may not do this. Only the operator can allow it.",
            Kind::Unknown => {
                "Nothing of that name is declared here. The caller compares it with the integration's documentation."
            }
            Kind::Conflict => {
                "It does not fit what came before under the same key. The caller finds out what happened, or waits, \
                 before it goes on."
            }
            Kind::Unfit => {
                "It can be read, and is not what may cross. The caller corrects what it says and sends it anew."
            }
            Kind::TooLarge => "It is longer than what is taken here. The caller sends less at once.",
            Kind::TooMany => "It comes too often. The caller waits, and sends less often from then on.",
            Kind::Target => {
                "It was let through, and came to nothing at the target or on the way back. Whether the target acted \
                 says the page of the code; what may have acted is not sent again unasked."
            }
            Kind::Unavailable => {
                "The bridge, or what it needs, cannot serve it now. The caller waits and sends the same again, unless the \
                 page of the code says that this does not help."
            }
            Kind::Internal => {
                "The bridge failed, or whoever runs it has to mend something. The caller reports the correlation id."
            }
        }
    }
}

/// What a target has of a request that ended with a code, and with it what becomes of an idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reach {
    /// It is given before delivery only.
    Nothing,
    /// Delivery failed before the target took the request up, or the target says that it did not.
    Untaken,
    /// The target may have acted.
    Maybe,
    /// `Nothing` where it is a denial, `Maybe` where the exchange failed or was cut with it.
    Either,
    /// The target's own answer crosses in its place.
    Answered,
}

impl Reach {
    /// As the reference prints it.
    pub const fn name(self) -> &'static str {
        match self {
            Reach::Nothing => "nothing",
            Reach::Untaken => "untaken",
            Reach::Maybe => "maybe",
            Reach::Either => "either",
            Reach::Answered => "answered",
        }
    }

    /// The same for whoever looks the code up.
    pub const fn said(self) -> &'static str {
        match self {
            Reach::Nothing => "Nothing reached the target, and no Idempotency-Key was used up.",
            Reach::Untaken => "The target did not take the request up, and no Idempotency-Key was used up.",
            Reach::Maybe => "The target may have acted, so an Idempotency-Key is used up.",
            Reach::Either => {
                "Where the record's outcome is denied, nothing reached the target, and no Idempotency-Key was used \
                 up; otherwise the target may have acted."
            }
            Reach::Answered => {
                "The target has answered, and so is a request with the same Idempotency-Key from then on; with 408, \
                 425 and 429 it says that it did not take the request up, and no Idempotency-Key was used up."
            }
        }
    }

    /// Whether an exchange that failed with it, once delivery had begun, is surely one on which the target did not act.
    /// What is given before delivery only is no such word.
    pub const fn is_untouched(self) -> bool {
        matches!(self, Reach::Untaken)
    }
}

/// A stable, documented reason for a refusal. The catalogue is in [`crate::code`]; `ironbridge explain` and the
/// generated reference print the page.
#[derive(Debug)]
pub struct Code {
    /// Kebab-case, never changed once released.
    pub id: &'static str,
    /// What a transport tells its callers by.
    pub kind: Kind,
    /// Who must change something.
    pub fault: Fault,
    /// Whether sending the same again later may succeed.
    pub retry: bool,
    /// What the target has of it then.
    pub reach: Reach,
    /// A few words for whoever reads it first.
    pub title: &'static str,
    /// Why it happens.
    pub meaning: &'static str,
    /// What the one at fault does about it. Callers read it where a denial has no detail of its own.
    pub mend: &'static str,
    /// What the operator may do about it besides, in the words of the manifest; may be empty. On the page alone.
    pub operator: &'static str,
}

/// A code is the one that the catalogue has under its id: this is how codes are compared, and nothing looks at how an id is
/// spelt.
impl PartialEq for Code {
    fn eq(&self, other: &Code) -> bool {
        self.id == other.id
    }
}

impl Eq for Code {}

impl Hash for Code {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

/// What is wrong with one field: where (JSON Pointer, RFC 6901) and which rule, never the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Where: a JSON Pointer into the body.
    pub pointer: String,
    /// What it does not hold to. Never the value.
    pub rule: String,
}

/// A control's refusal. What the caller may read and what only the operator may read are different fields, so
/// internals cannot leak into an answer.
#[derive(Debug, Clone)]
pub struct Denial {
    /// Why.
    pub code: &'static Code,
    /// For the caller: says more than the code's title without giving anything away.
    pub detail: Option<Cow<'static, str>>,
    /// For the operator's log only.
    pub internal: Option<String>,
    /// For the caller: which fields of the body, where it is about them.
    pub fields: Vec<FieldError>,
    /// For the record: which of the operator's own rules refused it, in the operator's words and never in the caller's.
    pub by: Option<Box<str>>,
    /// How long to wait before it makes sense to try again.
    pub retry_after: Option<Duration>,
}

impl Denial {
    /// A refusal that says nothing but its code.
    pub fn new(code: &'static Code) -> Denial {
        Denial { code, detail: None, internal: None, fields: Vec::new(), by: None, retry_after: None }
    }

    /// Adds what the caller reads.
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Denial {
        self.detail = Some(detail.into());
        self
    }

    /// Adds what only the operator's log says.
    pub fn internal(mut self, internal: impl fmt::Display) -> Denial {
        self.internal = Some(internal.to_string());
        self
    }

    /// Adds the fields that it is about.
    pub fn fields(mut self, fields: Vec<FieldError>) -> Denial {
        self.fields = fields;
        self
    }

    /// Adds which of the operator's rules refused it, for the record.
    pub fn by(mut self, rule: impl fmt::Display) -> Denial {
        self.by = Some(rule.to_string().into());
        self
    }

    /// Adds how long to wait.
    pub fn retry_after(mut self, wait: Duration) -> Denial {
        self.retry_after = Some(wait);
        self
    }
}

impl From<&'static Code> for Denial {
    fn from(code: &'static Code) -> Denial {
        Denial::new(code)
    }
}

impl From<&'static Code> for Box<Denial> {
    fn from(code: &'static Code) -> Box<Denial> {
        Box::new(Denial::new(code))
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code.id)?;
        if let Some(detail) = &self.detail {
            write!(f, ": {detail}")?;
        }
        if let Some(internal) = &self.internal {
            write!(f, " ({internal})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Denial {}
