//! What controls hold of bodies.

use crate::Side;

/// What of the bodies must be held whole. A control's [`reads`](crate::Control::reads) is the one answer to whether it looks at a body:
/// how large bodies may be, and whether they must be JSON, follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reads {
    /// Of the request, when judging.
    pub request: Reading,
    /// Of the reply: when judging (reply controls) or when settling (request controls).
    pub reply: Reading,
}

/// How a body is read. The later includes the earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reading {
    /// Not at all: it streams past.
    Nothing,
    /// Whole, whatever it is.
    Bytes,
    /// Whole, as JSON; anything else is refused.
    Json,
}

impl Reads {
    /// Bodies stream past untouched.
    pub const NOTHING: Reads = Reads { request: Reading::Nothing, reply: Reading::Nothing };

    /// What is read where both read.
    pub fn and(self, other: Reads) -> Reads {
        Reads { request: self.request.max(other.request), reply: self.reply.max(other.reply) }
    }

    /// How the body of one side is read.
    pub const fn on(self, side: Side) -> Reading {
        match side {
            Side::Request => self.request,
            Side::Reply => self.reply,
        }
    }
}

impl Reading {
    /// Whether the body is held whole.
    pub fn is_whole(self) -> bool {
        self != Reading::Nothing
    }
}

impl Side {
    /// What a control reads that so reads the body of this side, and nothing of the other.
    pub const fn reads(self, reading: Reading) -> Reads {
        match self {
            Side::Request => Reads { request: reading, ..Reads::NOTHING },
            Side::Reply => Reads { reply: reading, ..Reads::NOTHING },
        }
    }
}
