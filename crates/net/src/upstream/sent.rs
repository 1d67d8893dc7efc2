//! What is kept of a request's body until its answer begins, so that it can be sent again where the target did not take
//! it up.

use bytes::Bytes;
use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

/// Of one body; a longer one is sent once. What HAProxy keeps for the same unless it is told otherwise (tune.bufsize).
const MOST: usize = 16 * 1024;

/// Of all bodies on one core. Beyond it they are sent once.
const ROOM: usize = 4 * 1024 * 1024;

/// What a piece takes beside its bytes.
const PIECE: usize = 64;

/// What one core keeps.
#[derive(Debug, Default)]
pub struct Room(Cell<usize>);

impl Room {
    fn take(&self, bytes: usize) -> bool {
        let taken = self.0.get() + bytes;
        let fits = taken <= ROOM;
        if fits {
            self.0.set(taken);
        }
        fits
    }

    fn give_back(&self, bytes: usize) {
        self.0.set(self.0.get().saturating_sub(bytes));
    }
}

/// The pieces of a body that went out, as long as all of them are here.
#[derive(Default)]
pub(super) struct Sent {
    /// None where nothing is kept, or not any more.
    room: Option<Rc<Room>>,
    pieces: Vec<Bytes>,
    held: usize,
}

impl Sent {
    pub fn within(room: &Rc<Room>) -> Sent {
        Sent { room: Some(Rc::clone(room)), pieces: Vec::new(), held: 0 }
    }

    pub fn keep(&mut self, piece: &Bytes) {
        let Some(room) = &self.room else { return };
        let more = piece.len() + PIECE;
        if self.held + more > MOST || !room.take(more) {
            return self.forget();
        }
        self.held += more;
        // A copy: the piece may be a few bytes of a large buffer.
        self.pieces.push(Bytes::copy_from_slice(piece));
    }

    pub fn forget(&mut self) {
        self.pieces = Vec::new();
        if let Some(room) = self.room.take() {
            room.give_back(std::mem::take(&mut self.held));
        }
    }

    /// None where some of it is not here any more.
    pub fn pieces(&self) -> Option<VecDeque<Bytes>> {
        self.room.is_some().then(|| self.pieces.iter().cloned().collect())
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.forget();
    }
}
