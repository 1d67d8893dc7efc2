//! Partial forms of tiles that have become full.
//!
//! Those of every checkpoint that was ever shown stay until the full tile is there (c2sp.org/tlog-tiles), and a
//! while longer: a reader far away may have fetched its checkpoint just before. That is at most 255 files a level.

use crate::disk::Disk;
use crate::tiles::{self, Kind, Tile, WIDTH, nodes_at};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long after the full tile's checkpoint its partial forms may still be fetched.
const GRACE: Duration = Duration::from_secs(120);

/// Directories held back at most. One of a level is made with each checkpoint, so it takes ten checkpoints a second
/// to get there; the oldest go earlier then.
const MOST: usize = 4096;

/// Numbered tiles in one directory.
const GROUP: u64 = 1000;

/// The directories, below the log, that are to go, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Outgrown(VecDeque<(Duration, PathBuf)>);

impl Outgrown {
    /// What an earlier process left, beside a tree of this size. From the right edge back, as long as there is
    /// something: only a killed bridge leaves any, and only the newest.
    pub fn left(disk: &dyn Disk, log: &Path, size: u64, now: Duration) -> Outgrown {
        let mut outgrown = Outgrown::default();
        let levels = (0..8).take_while(|level| nodes_at(*level, size) > 0);
        for kind in levels.map(Kind::Hashes).chain([Kind::Entries]) {
            let level = if let Kind::Hashes(level) = kind { level } else { 0 };
            let partial = nodes_at(level, size) / WIDTH;
            for group in (0..=partial / GROUP).rev() {
                let above = directory(kind, group * GROUP);
                let names =
                    above.parent().and_then(|above| disk.list(&log.join(above)).ok()).unwrap_or_default();
                let number =
                    |name: &str| name.strip_suffix(".p").and_then(|number| number.parse::<u64>().ok());
                let found = names.iter().filter_map(|name| number(name)).filter(|number| *number < GROUP);
                let before = outgrown.0.len();
                for index in found.map(|number| group * GROUP + number).filter(|index| *index < partial) {
                    outgrown.0.push_back((now, directory(kind, index)));
                }
                if outgrown.0.len() == before && group < partial / GROUP {
                    break;
                }
            }
        }
        outgrown
    }

    /// These tiles were written: where they are full, their partial forms will go.
    pub fn add(&mut self, written: &[Tile], now: Duration) {
        let full = written.iter().filter(|tile| tile.width == WIDTH);
        self.0.extend(full.map(|tile| (now, directory(tile.kind, tile.index))));
    }

    /// Removes what has been kept long enough, and tells what is gone. What cannot be removed does no harm.
    pub fn remove(&mut self, disk: &dyn Disk, log: &Path, now: Duration) -> Vec<PathBuf> {
        let over = |(since, _): &(Duration, PathBuf)| now.saturating_sub(*since) >= GRACE;
        let due = self.0.iter().take_while(|one| over(one)).count().max(self.0.len().saturating_sub(MOST));
        self.take(due, disk, log)
    }

    /// Nobody serves the log any more.
    pub fn remove_all(&mut self, disk: &dyn Disk, log: &Path) {
        self.take(self.0.len(), disk, log);
    }

    fn take(&mut self, count: usize, disk: &dyn Disk, log: &Path) -> Vec<PathBuf> {
        let due = self.0.drain(..count).map(|(_, directory)| log.join(directory));
        due.inspect(|directory| drop(disk.remove_dir_all(directory))).collect()
    }
}

/// Where a tile's partial forms lie.
fn directory(kind: Kind, index: u64) -> PathBuf {
    let mut path = tiles::path(kind, index, 1);
    path.pop();
    path
}
