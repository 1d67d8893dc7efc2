//! The two sides of an exchange: a [`Source`] reads its request, a [`Delivery`] takes it to the target and brings a
//! [`Reply`]. Each transport brings its own, and the runner puts any of the one together with any of the other.
//!
//! Nothing here knows which transports there are. A source and a delivery of the same transport may know more of each
//! other than these words say: every one of them can be asked for its own type ([`Any`]).

use crate::memory::Charge;
use crate::{Answered, Cleared, Denial, LocalFuture, Soon};
use bytes::Bytes;
use std::any::Any;
use std::task::{Context, Poll};

/// The caller's side of one exchange: where its request is read.
pub trait Source: Any {
    /// Reads the whole request body, at most `limit` bytes. `charge` grows before bytes are held. A body that was read,
    /// or taken, is empty from then on.
    ///
    /// # Errors
    /// What the caller is refused with: a body that is too large, that breaks off, that comes too slowly.
    fn read_request<'a>(
        &'a mut self,
        limit: u64,
        charge: &'a mut Charge,
    ) -> LocalFuture<'a, Result<Bytes, Box<Denial>>>;

    /// The body as it arrives, for a delivery that passes it on unread. `None` where there is none, or not any more.
    fn take_body(&mut self) -> Option<Box<dyn Inflow>>;
}

/// The target's side: takes what was cleared, and brings the reply. Compiled with the manifest, shared by all cores.
pub trait Delivery: Any + Send + Sync {
    /// Delivers to the target and waits for the beginning of its reply, which is all that has a time limit here.
    ///
    /// The request body is in the cleared exchange where a control read it, and still with the source otherwise.
    ///
    /// # Errors
    /// Why there is no reply. [`crate::Code::reach`] says whether the target may have acted.
    fn deliver<'a>(
        &'a self,
        cleared: Cleared<'a>,
        source: &'a mut dyn Source,
    ) -> LocalFuture<'a, Result<Box<dyn Reply>, Box<Denial>>>;
}

/// A target's reply, its body not yet read.
pub trait Reply: Any {
    /// What is known of it before its body is read.
    fn facts(&self) -> ReplyFacts;

    /// Its media type, to be kept with an answer that may be given again.
    fn media_type(&self) -> Option<Box<str>> {
        None
    }

    /// Its other fields that cross, to be kept likewise. Still in the target's terms: what becomes of them is for the
    /// time when the answer is given again.
    fn fields(&self) -> Vec<(Box<str>, Box<[u8]>)> {
        Vec::new()
    }

    /// Reads the whole body, at most `limit` bytes. `charge` grows before bytes are held.
    ///
    /// # Errors
    /// Why nothing of it may cross.
    fn read<'a>(
        &'a mut self,
        limit: u64,
        charge: &'a mut Charge,
    ) -> LocalFuture<'a, Result<Bytes, Box<Denial>>>;

    /// A last look at what of it crosses, after every control: `body` is there where one held it.
    ///
    /// # Errors
    /// Why nothing of it may cross.
    fn last_look<'a>(&'a mut self, _body: Option<&'a Bytes>) -> Soon<'a, Result<(), Box<Denial>>> {
        Soon::Now(Ok(()))
    }

    /// Nobody wants what is left of it.
    fn discard(self: Box<Self>) {}

    /// The body as it arrives, for a source of another transport. `None` where there is none, or not any more.
    fn take_body(&mut self) -> Option<Box<dyn Inflow>>;
}

/// What is known of a reply before its body is read.
#[derive(Debug, Clone, Copy)]
pub struct ReplyFacts {
    /// What the target says with it.
    pub answered: Answered,
    /// How many bytes of it will pass to the caller, where that is known beforehand.
    pub length: Option<u64>,
    /// False for a switched protocol, whose bytes are not a reply body, so that no reply control reads them.
    pub has_body: bool,
}

/// A body as it comes, piece by piece, to whoever knows nothing of the transport that it comes over. Whoever gives it
/// bounds how long it may pause; whoever takes it bounds how much there may be.
pub trait Inflow {
    /// The next piece; `None` at the end. After an error there is nothing more.
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Box<Denial>>>>;

    /// How many bytes are still to come, where that is known.
    fn length(&self) -> Option<u64>;
}
