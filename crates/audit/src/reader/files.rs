//! The log's files by name: for copies of it, and for whoever reads it over HTTP (c2sp.org/tlog-tiles).

use super::log::Log;
use crate::fault::{Fault, FaultKind};
use crate::retained;
use crate::tiles::{self, Kind, WIDTH, load_covered, nodes_at};
use std::path::{Path, PathBuf};

/// One file of the log, below `log/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogFile {
    /// The signed head.
    Checkpoint,
    /// The verifier key, for convenience.
    Key,
    /// The newest head that witnesses cosigned.
    Witnessed,
    /// How much retention has left.
    Kept,
    /// `width` hashes of a level; 256 of them in a full tile.
    Tile {
        /// 0 holds the entries' hashes, each further one the roots of 256 of those below.
        level: u32,
        /// From 0, in the level.
        index: u64,
        /// From 1 to 256.
        width: u64,
    },
    /// `width` records; 256 of them in a full bundle.
    Entries {
        /// From 0.
        index: u64,
        /// From 1 to 256.
        width: u64,
    },
}

/// No path of the log is longer: seven groups of digits, a level and a width.
const LONGEST_PATH: usize = 64;

/// The highest level that a tree of 2^64 entries has.
const TOP_LEVEL: u32 = 7;

impl LogFile {
    /// The file of a path with `/`, such as `tile/0/x001/234.p/5`. `None` for anything but the one form the
    /// specification gives it.
    pub fn parse(path: &str) -> Option<LogFile> {
        let file = match path {
            _ if path.len() > LONGEST_PATH => return None,
            "checkpoint" => LogFile::Checkpoint,
            "key" => LogFile::Key,
            "witnessed" => LogFile::Witnessed,
            "kept" => LogFile::Kept,
            _ => LogFile::parse_tile(path.strip_prefix("tile/")?)?,
        };
        (file.path() == path).then_some(file)
    }

    fn parse_tile(path: &str) -> Option<LogFile> {
        let (kind, place) = path.split_once('/')?;
        let (number, width) = match place.rsplit_once(".p/") {
            None => (place, WIDTH),
            Some((number, width)) => (number, width.parse().ok().filter(|width| (1..WIDTH).contains(width))?),
        };
        let index = number.split('/').try_fold(0u64, |index, group| {
            let group: u64 = group.strip_prefix('x').unwrap_or(group).parse().ok()?;
            index.checked_mul(1000)?.checked_add(group)
        })?;
        match kind {
            "entries" => Some(LogFile::Entries { index, width }),
            level => {
                let level = level.parse().ok().filter(|level| *level <= TOP_LEVEL)?;
                Some(LogFile::Tile { level, index, width })
            }
        }
    }

    /// Its path with `/`.
    pub fn path(self) -> String {
        self.place().to_string_lossy().into_owned()
    }

    /// What a tree of `to` entries has full that one of `from` entries has not: tiles and bundles that never
    /// change once they are there.
    pub fn full(from: u64, to: u64) -> impl Iterator<Item = LogFile> + Send {
        let bundles = (from / WIDTH..to / WIDTH).map(|index| LogFile::Entries { index, width: WIDTH });
        let tiles = (0..=TOP_LEVEL).flat_map(move |level| {
            let count = |size| nodes_at(level, size) / WIDTH;
            (count(from)..count(to)).map(move |index| LogFile::Tile { level, index, width: WIDTH })
        });
        bundles.chain(tiles)
    }

    /// The partial bundle and tiles of a tree of this size.
    pub fn partial(size: u64) -> impl Iterator<Item = LogFile> + Send {
        let bundle = Some(LogFile::Entries { index: size / WIDTH, width: size % WIDTH });
        let tiles = (0..=TOP_LEVEL).map(move |level| {
            let nodes = nodes_at(level, size);
            LogFile::Tile { level, index: nodes / WIDTH, width: nodes % WIDTH }
        });
        let has_any = |file: &LogFile| {
            !matches!(file, LogFile::Entries { width: 0, .. } | LogFile::Tile { width: 0, .. })
        };
        bundle.into_iter().chain(tiles).filter(has_any)
    }

    fn place(self) -> PathBuf {
        match self {
            LogFile::Checkpoint => "checkpoint".into(),
            LogFile::Key => "key".into(),
            LogFile::Witnessed => "witnessed".into(),
            LogFile::Kept => retained::FILE.into(),
            LogFile::Tile { level, index, width } => tiles::path(Kind::Hashes(level), index, width),
            LogFile::Entries { index, width } => tiles::path(Kind::Entries, index, width),
        }
    }
}

impl Log {
    /// The audit directory.
    pub fn dir(&self) -> &Path {
        &self.places.base
    }

    /// A file's bytes; `None` if it is not there, or no checkpoint covers it yet. Tiles are whole: one that is
    /// damaged is a fault. A partial tile is there for every width that the checkpoint covers, also after it has
    /// given way to the full one.
    pub fn read(&self, file: LogFile) -> Result<Option<Vec<u8>>, Fault> {
        let bytes = match file {
            LogFile::Tile { level, index, width } => self.tile(Kind::Hashes(level), index, width),
            LogFile::Entries { index, width } => self.tile(Kind::Entries, index, width),
            other => crate::disk::read(&*self.disk, &self.places.log.join(other.place()))
                .map_err(|error| Fault::reading(Path::new("log").join(other.place()), &error)),
        };
        match bytes {
            Err(fault) if fault.kind == FaultKind::Missing => Ok(None),
            bytes => bytes.map(Some),
        }
    }

    fn tile(&self, kind: Kind, index: u64, width: u64) -> Result<Vec<u8>, Fault> {
        let size = self.unverified_checkpoint()?.size;
        load_covered(&*self.disk, &self.places.log, kind, index, width, size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn only_the_one_form_of_a_path_is_read() {
        let tile = |level, index, width| Some(LogFile::Tile { level, index, width });
        assert_eq!(LogFile::parse("checkpoint"), Some(LogFile::Checkpoint));
        assert_eq!(LogFile::parse("tile/0/000"), tile(0, 0, 256));
        assert_eq!(LogFile::parse("tile/1/x001/234.p/5"), tile(1, 1234, 5));
        assert_eq!(
            LogFile::parse("tile/entries/x001/x234/067"),
            Some(LogFile::Entries { index: 1_234_067, width: 256 })
        );
        for path in [
            "",
            "/checkpoint",
            "checkpoint/",
            "../checkpoint",
            "lock",
            "tile",
            "tile/0",
            "tile/0/",
            "tile/0/0",
            "tile/0/0000",
            "tile/0/x000",
            "tile/0/x000/001",
            "tile/0/001/001",
            "tile/00/001",
            "tile/+1/001",
            "tile/8/001",
            "tile/0/001.p",
            "tile/0/001.p/0",
            "tile/0/001.p/256",
            "tile/0/001.p/05",
            "tile/0/001.p/5/",
            "tile/0/../../key",
            "tile/entries/..",
            "tile/0/x018/x446/x744/x073/x709/x551/616",
            "tile/0/\u{661}\u{662}\u{663}",
        ] {
            assert_eq!(LogFile::parse(path), None, "{path:?}");
        }
    }

    #[test]
    fn a_tree_grows_by_the_files_it_has_more() {
        let paths = |files: Vec<LogFile>| files.into_iter().map(LogFile::path).collect::<Vec<_>>();
        assert_eq!(
            paths(LogFile::full(256, 65_536 + 300).skip(255).collect()),
            [
                &["tile/entries/256"][..],
                &(1..=256)
                    .map(|n| format!("tile/0/{n:03}"))
                    .collect::<Vec<_>>()
                    .iter()
                    .map(|path| &**path)
                    .collect::<Vec<_>>(),
                &["tile/1/000"],
            ]
            .concat()
        );
        assert_eq!(
            paths(LogFile::partial(65_536 + 300).collect()),
            ["tile/entries/257.p/44", "tile/0/257.p/44", "tile/1/001.p/1", "tile/2/000.p/1"]
        );
        assert_eq!(LogFile::full(0, 255).count() + LogFile::partial(0).count(), 0);
    }

    proptest! {
        #[test]
        fn paths_read_back(level in 0..=TOP_LEVEL, index: u64, width in 1..=WIDTH) {
            for file in [LogFile::Tile { level, index, width }, LogFile::Entries { index, width }] {
                prop_assert_eq!(LogFile::parse(&file.path()), Some(file));
            }
        }

        #[test]
        fn hostile_paths_do_no_harm(path in "(tile|entries|[0-9x./p+-]|\\PC){0,12}") {
            let _ = LogFile::parse(&path);
        }

        #[test]
        fn steps_add_up(sizes in proptest::collection::vec(0u64..200_000, 3)) {
            let mut sizes = sizes;
            sizes.sort_unstable();
            let [a, b, c] = sizes[..] else { unreachable!() };
            let whole: HashSet<LogFile> = LogFile::full(a, c).collect();
            let steps: Vec<LogFile> = LogFile::full(a, b).chain(LogFile::full(b, c)).collect();
            prop_assert_eq!(steps.len(), whole.len());
            prop_assert_eq!(steps.into_iter().collect::<HashSet<_>>(), whole);
        }
    }
}
