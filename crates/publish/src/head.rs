//! The signed head of the log, which everything published follows.

use crate::status::Board;
use ironbridge_audit::{Log, SignedCheckpoint};
use ironbridge_seal::note::NoteVerifier;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How often the log is looked at. A checkpoint is signed once a second at most.
const INTERVAL: Duration = Duration::from_millis(500);

/// Tells of every new head that one of the keys signed, and keeps the board up with the log's size.
pub(crate) async fn follow(
    log: Log,
    keys: Vec<NoteVerifier>,
    board: Arc<Board>,
    heads: watch::Sender<Option<SignedCheckpoint>>,
) {
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        interval.tick().await;
        let (log, keys) = (log.clone(), keys.clone());
        let read = tokio::task::spawn_blocking(move || log.signed_checkpoint(&keys)).await;
        let read =
            read.map_err(|error| error.to_string()).and_then(|read| read.map_err(|fault| fault.to_string()));
        match read {
            Ok(head) => {
                failing = false;
                board.grown(head.checkpoint.size);
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
