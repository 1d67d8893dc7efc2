//! What a control is: its place in the order, what it reads, what it decides. Knows no control there is.

use crate::{Answered, BoxFuture, Denial, Ending, Exchange, Phase, Reads, Row};
use bytes::Bytes;

/// One security measure, applied to an exchange in a fixed phase.
pub trait Control: Send + Sync {
    /// Where it stands in the order of all controls.
    fn row(&self) -> &'static Row;

    /// Whether it is asked again about what lasts, a stream or a WebSocket. Only who counts nothing can be.
    fn is_asked_again(&self) -> bool {
        matches!(self.row().phase, Phase::Authenticate | Phase::Authorise)
    }

    /// What of the body this control must see. Bodies that no control reads stream past untouched.
    fn reads(&self) -> Reads {
        Reads::NOTHING
    }

    /// The part of judging that reads bodies and waits for nothing. All controls of a phase do it before the first of
    /// them [judges](Control::judge); for large bodies on a thread of its own.
    fn inspect(&self, _exchange: &mut Exchange) -> Result<(), Box<Denial>> {
        Ok(())
    }

    /// The decision. Whoever waits answers [`Judgement::Later`].
    fn judge<'a>(&'a self, _exchange: &'a mut Exchange) -> Judgement<'a> {
        Judgement::PASS
    }

    /// Commits or releases what [`Control::judge`] reserved, once the ending is known; called for every ending,
    /// a caller that went away included, so it must not wait.
    fn settle(&self, _exchange: &Exchange, _ending: &Ending) {}
}

/// Most controls answer at once; only those that must wait pay for a future.
pub enum Judgement<'a> {
    /// Decided.
    Now(Verdict),
    /// Decided when this is done.
    Later(BoxFuture<'a, Verdict>),
}

impl Judgement<'_> {
    /// The exchange goes on.
    pub const PASS: Judgement<'static> = Judgement::Now(Ok(()));

    /// The exchange ends here.
    pub fn deny(denial: impl Into<Box<Denial>>) -> Judgement<'static> {
        Judgement::Now(Err(Stop::Deny(denial.into())))
    }
}

impl<E: Into<Stop>> From<Result<(), E>> for Judgement<'_> {
    fn from(verdict: Result<(), E>) -> Self {
        Judgement::Now(verdict.map_err(Into::into))
    }
}

/// Whether an exchange goes on.
pub type Verdict = Result<(), Stop>;

/// Why an exchange goes no further.
#[derive(Debug)]
pub enum Stop {
    /// It is refused.
    Deny(Box<Denial>),
    /// It was answered before: the stored answer is given again and nothing is delivered.
    Replay(Box<StoredAnswer>),
}

impl From<Box<Denial>> for Stop {
    fn from(denial: Box<Denial>) -> Stop {
        Stop::Deny(denial)
    }
}

impl From<Denial> for Stop {
    fn from(denial: Denial) -> Stop {
        Stop::Deny(Box::new(denial))
    }
}

/// The kept answer of an idempotent operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    /// What the target answered then.
    pub answered: Answered,
    /// The media type of its body.
    pub content_type: Option<Box<str>>,
    /// What else the answer said of what crossed, in the target's terms: names and values.
    pub fields: Vec<(Box<str>, Box<[u8]>)>,
    /// As the caller got it.
    pub body: Bytes,
    /// What judged the whole of it, as a digest, before anything was held back.
    pub schema: Option<[u8; 32]>,
    /// Where persons' ids were looked for in it, as a digest. `None` where an earlier version did not remember.
    pub subjects: Option<[u8; 32]>,
}
