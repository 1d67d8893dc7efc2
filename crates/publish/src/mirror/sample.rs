//! Looks, now and then, at a file that was copied long ago: a copy that was damaged since, or changed by another hand,
//! must not pass for whole until somebody needs it.

use super::{Copier, copy_file, in_log};
use crate::trouble::Trouble;
use ironbridge_audit::LogFile;
use ironbridge_core::Entropy;
use std::sync::Arc;

/// One file is looked at in so many rounds: every ten seconds in a directory, every hundred in a bucket.
const ROUNDS: u32 = 10;

impl Copier {
    /// A missing file is copied again. One that differs is left, because nobody here knows which of the two was
    /// changed, and named in every round until it is gone or right.
    pub(super) async fn sample(&mut self) -> Result<(), Trouble> {
        self.rounds = (self.rounds + 1) % ROUNDS;
        let file = match self.differs {
            Some(file) => file,
            None if self.rounds > 0 => return Ok(()),
            None => match any_full(self.seen, &*self.around.entropy) {
                Some(file) => file,
                None => return Ok(()),
            },
        };
        // What retention dropped here may well be in the copy.
        let Some(ours) = self.around.blocking(move |around| around.log.read(file)).await? else {
            self.differs = None;
            return Ok(());
        };
        match self.medium.get(in_log(file)).await? {
            Some(theirs) if theirs == ours => {}
            Some(_) => {
                self.differs = Some(file);
                return Err(Trouble::finding(
                    in_log(file),
                    format_args!(
                        "{} in the mirror is not what was copied there: it or this log was changed. Verify both, keep \
                     them as evidence, then remove the mirror's file to have it copied again",
                        in_log(file)
                    ),
                ));
            }
            None => {
                tracing::warn!(path = in_log(file), "a file was missing in the mirror; it is copied again");
                copy_file(Arc::clone(&self.medium), self.around.clone(), file).await?;
                self.medium.settle().await?;
            }
        }
        if self.differs.take().is_some() {
            self.report.reached(self.seen);
        }
        Ok(())
    }
}

/// Any full bundle or tile of a tree of this size; every bundle is as likely, as are the tiles above it.
fn any_full(size: u64, entropy: &dyn Entropy) -> Option<LogFile> {
    let mut random = [0; 9];
    entropy.fill(&mut random);
    let [kind, index @ ..] = random;
    let index = u64::from_be_bytes(index).checked_rem(size / 256)?;
    let above = LogFile::Tile { level: 1, index: index / 256, width: 256 };
    Some(match kind % 3 {
        0 => LogFile::Entries { index, width: 256 },
        1 if (index / 256 + 1) * 65_536 <= size => above,
        _ => LogFile::Tile { level: 0, index, width: 256 },
    })
}
