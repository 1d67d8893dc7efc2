//! Bodies: streaming past, or held whole because a control reads them. It knows no encoding but JSON, and nobody's schema.

use crate::json::{JsonFault, Tape};
use crate::memory::{Charge, Full};
use bytes::Bytes;

/// A body on its way: streaming past unread, or held whole because a control reads it.
#[derive(Debug, Default)]
pub enum Payload {
    /// Nobody holds it.
    #[default]
    Streamed,
    /// All of it is here.
    Whole(Document),
}

impl Payload {
    /// The whole body, to be read as JSON or replaced, where it is held.
    pub fn document(&mut self) -> Option<&mut Document> {
        match self {
            Payload::Streamed => None,
            Payload::Whole(document) => Some(document),
        }
    }

    /// The whole body, where it is held.
    pub fn bytes(&self) -> Option<&Bytes> {
        match self {
            Payload::Streamed => None,
            Payload::Whole(document) => Some(&document.bytes),
        }
    }
}

/// A whole body, read at most once however many controls look at it.
#[derive(Debug, Default)]
pub struct Document {
    bytes: Bytes,
    /// What was read of it, until the last control has seen it.
    read: Option<Tape>,
    /// On whose account it is held; itself of nothing.
    account: Charge,
    changed: bool,
}

impl Document {
    /// A body that counts nowhere.
    pub fn new(bytes: Bytes) -> Document {
        Document { bytes, ..Document::default() }
    }

    /// A body that was read under a charge, which it keeps.
    pub fn held(bytes: Bytes, charge: Charge) -> Document {
        let account = charge.another();
        Document { bytes: charge.keep(bytes), account, ..Document::default() }
    }

    /// The body as it is now.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The body as JSON, under the strict rules of [`crate::json`].
    pub fn json(&mut self) -> Result<&Tape, JsonFault> {
        let read = match self.read.take() {
            Some(read) => read,
            None => Tape::read(self.bytes.clone(), self.account.another())?,
        };
        Ok(self.read.insert(read))
    }

    /// A charge on the account that the body is held on, of nothing yet.
    pub fn charge(&self) -> Charge {
        self.account.another()
    }

    /// Gives back what was read of it; whoever looks again has it read again.
    pub fn forget(&mut self) {
        self.read = None;
    }

    /// Puts what `make` makes of the bytes in their place. `make` may hold as much as they take.
    ///
    /// # Errors
    /// What `make` says, or that there is no room.
    pub fn replace<E: From<Full>>(
        &mut self,
        make: impl FnOnce(&Bytes) -> Result<Vec<u8>, E>,
    ) -> Result<(), E> {
        let mut charge = self.account.another();
        charge.grow_beside(self.bytes.len(), self.bytes.len())?;
        let mut made = make(&self.bytes)?;
        made.shrink_to_fit();
        *self = Document {
            bytes: charge.keep(made.into()),
            read: None,
            account: self.account.another(),
            changed: true,
        };
        Ok(())
    }

    /// Whether a control put another body in place.
    pub fn is_changed(&self) -> bool {
        self.changed
    }
}
