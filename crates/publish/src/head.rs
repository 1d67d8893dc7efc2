//! The signed head of the log, which everything published follows.

use crate::status::Board;
use ironbridge_audit::{Checkpoint, Log, LogFile};
use ironbridge_seal::note::{self, NoteVerifier};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How often the log is looked at. A checkpoint is signed once a second at most.
const INTERVAL: Duration = Duration::from_millis(500);

/// A checkpoint that a key of the log signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub checkpoint: Checkpoint,
    /// The signed note, byte for byte.
    pub note: Arc<str>,
}

impl Head {
    /// Reads a checkpoint's note, which one of these keys must have signed.
    pub fn parse(bytes: Vec<u8>, keys: &[NoteVerifier]) -> Result<Head, String> {
        let note = String::from_utf8(bytes).map_err(|_| "the checkpoint is not text".to_owned())?;
        let (text, _) = note::verify(&note, keys).map_err(|error| error.to_string())?;
        let checkpoint = Checkpoint::parse(text).ok_or("the note is not a checkpoint")?;
        Ok(Head { checkpoint, note: note.into() })
    }

    pub fn size(&self) -> u64 {
        self.checkpoint.size
    }
}

/// Tells of every new head, and keeps the board up with the log's size.
pub(crate) async fn follow(
    log: Log,
    keys: Vec<NoteVerifier>,
    board: Arc<Board>,
    heads: watch::Sender<Option<Head>>,
) {
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        interval.tick().await;
        let (log, keys) = (log.clone(), keys.clone());
        let read = tokio::task::spawn_blocking(move || read(&log, &keys)).await;
        match read.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(head) => {
                failing = false;
                board.grown(head.size());
                heads.send_if_modified(|known| {
                    let new = known.as_ref() != Some(&head);
                    *known = Some(head);
                    new
                });
            }
            Err(reason) => {
                if !std::mem::replace(&mut failing, true) {
                    tracing::error!(%reason, "the log's checkpoint cannot be read; nothing is published until it can");
                }
            }
        }
    }
}

fn read(log: &Log, keys: &[NoteVerifier]) -> Result<Head, String> {
    let bytes = log.read(LogFile::Checkpoint).map_err(|fault| fault.to_string())?;
    Head::parse(bytes.ok_or("the checkpoint is missing")?, keys)
}
