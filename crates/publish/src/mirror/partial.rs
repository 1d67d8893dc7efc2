//! The partial tiles that a copy holds. Those of every checkpoint it ever showed stay until the full tile is there
//! (c2sp.org/tlog-tiles), and a while longer: who reads the copy from far away may have fetched its checkpoint just
//! before.

use ironbridge_audit::LogFile;
use std::collections::{HashSet, VecDeque};
use std::time::Duration;

/// How long partial tiles stay beside the full one.
const GRACE: Duration = Duration::from_secs(120);

/// Removed with one round at most: a copy must not fall behind because of what it no longer needs.
const AT_ONCE: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Partial {
    /// At most 255 of each level, as the full tile is still to come.
    there: HashSet<LogFile>,
    leaving: VecDeque<(Duration, LogFile)>,
}

impl Partial {
    /// The copy was found with a checkpoint of this size. An earlier process may have put any smaller width.
    pub fn found(&mut self, size: u64) {
        self.there.extend(
            LogFile::partial(size).flat_map(|file| (1..=width(file)).map(move |width| of(file, width))),
        );
    }

    /// The copy shows a checkpoint of this size.
    pub fn shown(&mut self, size: u64, now: Duration) {
        let current: Vec<LogFile> = LogFile::partial(size).collect();
        let outgrown = |file: &LogFile| !current.iter().any(|one| of(*one, 0) == of(*file, 0));
        self.leaving.extend(self.there.extract_if(outgrown).map(|file| (now, file)));
        self.there.extend(current);
    }

    /// Those that may go now.
    pub fn due(&mut self, now: Duration) -> Vec<LogFile> {
        let over = |(since, _): &&(Duration, LogFile)| now.saturating_sub(*since) >= GRACE;
        let count = self.leaving.iter().take_while(over).take(AT_ONCE).count();
        self.leaving.drain(..count).map(|(_, file)| file).collect()
    }
}

fn width(file: LogFile) -> u64 {
    match file {
        LogFile::Tile { width, .. } | LogFile::Entries { width, .. } => width,
        LogFile::Checkpoint | LogFile::Key | LogFile::Witnessed | LogFile::Kept => 0,
    }
}

/// The same tile, so wide.
fn of(file: LogFile, width: u64) -> LogFile {
    match file {
        LogFile::Tile { level, index, .. } => LogFile::Tile { level, index, width },
        LogFile::Entries { index, .. } => LogFile::Entries { index, width },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(partial: &mut Partial, now: Duration) -> Vec<String> {
        let mut paths: Vec<String> = partial.due(now).into_iter().map(LogFile::path).collect();
        paths.sort();
        paths
    }

    #[test]
    fn partial_tiles_go_a_while_after_the_full_one_came() {
        let mut partial = Partial::default();
        let second = Duration::from_secs;
        for (size, at) in [(3, 0), (200, 1), (255, 2)] {
            partial.shown(size, second(at));
        }
        assert!(partial.due(second(10_000)).is_empty());
        // The tile of level 1 begins with the first full one of level 0, and stays.
        partial.shown(256, second(1_000));
        partial.shown(300, second(1_001));
        assert!(partial.due(second(1_119)).is_empty());
        let expected = [
            "tile/0/000.p/200",
            "tile/0/000.p/255",
            "tile/0/000.p/3",
            "tile/entries/000.p/200",
            "tile/entries/000.p/255",
            "tile/entries/000.p/3",
        ];
        assert_eq!(paths(&mut partial, second(1_120)), expected);
        assert!(partial.due(second(10_000)).is_empty());
    }

    #[test]
    fn what_an_earlier_process_put_goes_too() {
        let mut partial = Partial::default();
        partial.found(300);
        partial.shown(520, Duration::ZERO);
        let rounds: Vec<usize> = (0..3).map(|_| partial.due(GRACE).len()).collect();
        // 44 entries, 44 leaves.
        assert_eq!(rounds, [AT_ONCE, 88 - AT_ONCE, 0]);
    }
}
