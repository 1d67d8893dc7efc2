use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// Who must change something before the same exchange can succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    Caller,
    Target,
    Operator,
    Bridge,
}

impl Fault {
    pub const fn name(self) -> &'static str {
        match self {
            Fault::Caller => "caller",
            Fault::Target => "target",
            Fault::Operator => "operator",
            Fault::Bridge => "bridge",
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
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Code {
    /// Kebab-case, never changed once released.
    pub id: &'static str,
    /// The HTTP status it is told with (RFC 9110 §15); other transports translate it.
    pub status: u16,
    pub fault: Fault,
    /// Whether sending the same again later may succeed.
    pub retry: bool,
    pub reach: Reach,
    pub title: &'static str,
    /// Why it happens.
    pub meaning: &'static str,
    /// What the one at fault does about it. Callers read it where a denial has no detail of its own.
    pub mend: &'static str,
    /// What the operator may do about it besides, in the words of the manifest; may be empty. On the page alone.
    pub operator: &'static str,
}

/// What is wrong with one field: where (JSON Pointer, RFC 6901) and which rule, never the value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    pub pointer: String,
    pub rule: String,
}

/// A control's refusal. What the caller may read and what only the operator may read are different fields, so
/// internals cannot leak into an answer.
#[derive(Debug, Clone)]
pub struct Denial {
    pub code: &'static Code,
    /// For the caller: says more than the code's title without giving anything away.
    pub detail: Option<Cow<'static, str>>,
    /// For the operator's log only.
    pub internal: Option<String>,
    pub fields: Vec<FieldError>,
    /// For the record: which of the operator's own rules refused it, in the operator's words and never in the caller's.
    pub by: Option<Box<str>>,
    pub retry_after: Option<Duration>,
}

impl Denial {
    pub fn new(code: &'static Code) -> Denial {
        Denial { code, detail: None, internal: None, fields: Vec::new(), by: None, retry_after: None }
    }

    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Denial {
        self.detail = Some(detail.into());
        self
    }

    pub fn internal(mut self, internal: impl fmt::Display) -> Denial {
        self.internal = Some(internal.to_string());
        self
    }

    pub fn fields(mut self, fields: Vec<FieldError>) -> Denial {
        self.fields = fields;
        self
    }

    pub fn by(mut self, rule: impl fmt::Display) -> Denial {
        self.by = Some(rule.to_string().into());
        self
    }

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
