//! A disk in memory that forgets what was not synced, and fails when told to.

use ironbridge_audit::disk::{self, Disk, DiskFile};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

/// What a power cut leaves of bytes that were written but not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsynced {
    Lost,
    Kept,
    /// The first half is there.
    Half,
    /// All are there in length, but every other sector reads as zeros.
    Holes,
}

#[derive(Default)]
pub struct MemoryDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Default, Clone)]
struct State {
    files: Vec<File>,
    /// Names as a running system sees them, and as a power cut would leave them.
    names: BTreeMap<PathBuf, Node>,
    synced_names: BTreeMap<PathBuf, Node>,
    operations: u64,
    /// From this operation on nothing works any more: the machine is dead.
    dies_at: Option<u64>,
    /// Writing fails, after half of it was written.
    full: bool,
    /// So many syncs fail from now on.
    failing_syncs: u32,
    /// How long a sync takes.
    sync_takes: Duration,
    /// Syncs neither succeed nor fail.
    hanging: bool,
    locked: BTreeSet<PathBuf>,
}

#[derive(Clone, Default)]
struct File {
    bytes: Vec<u8>,
    synced: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Node {
    Directory,
    File(usize),
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl MemoryDisk {
    pub fn new() -> Arc<MemoryDisk> {
        let disk = MemoryDisk::default();
        disk.lock().names.insert("/data".into(), Node::Directory);
        disk.lock().synced_names.insert("/data".into(), Node::Directory);
        Arc::new(disk)
    }

    pub fn dies_at(&self, operation: Option<u64>) {
        self.lock().dies_at = operation;
    }

    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    pub fn set_hanging(&self, hanging: bool) {
        self.lock().hanging = hanging;
    }

    pub fn set_full(&self, full: bool) {
        self.lock().full = full;
    }

    pub fn fail_syncs(&self, count: u32) {
        self.lock().failing_syncs = count;
    }

    pub fn set_sync_takes(&self, time: Duration) {
        self.lock().sync_takes = time;
    }

    pub fn failing(&self) -> bool {
        self.lock().failing_syncs > 0
    }

    /// The disk after a power cut.
    pub fn after_power_cut(&self, unsynced: Unsynced) -> Arc<MemoryDisk> {
        let mut state = self.lock().clone();
        let names = std::mem::take(&mut state.synced_names);
        let survives = |path: &Path| {
            path.ancestors().skip(1).all(|above| above.parent().is_none() || names.contains_key(above))
        };
        state.names = names
            .iter()
            .filter(|(path, _)| survives(path))
            .map(|(path, node)| (path.clone(), *node))
            .collect();
        state.synced_names = state.names.clone();
        for file in &mut state.files {
            file.bytes = file.after_power_cut(unsynced);
            file.synced = file.bytes.clone();
        }
        (state.dies_at, state.operations, state.full, state.failing_syncs) = (None, 0, false, 0);
        state.locked.clear();
        Arc::new(MemoryDisk { state: Arc::new(Mutex::new(state)) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn changing(&self) -> io::Result<MutexGuard<'_, State>> {
        changing(&self.state)
    }
}

fn changing(state: &Mutex<State>) -> io::Result<MutexGuard<'_, State>> {
    let mut state = state.lock().unwrap();
    state.operations += 1;
    match state.dies_at {
        Some(at) if state.operations > at => Err(io::Error::other("the machine is dead")),
        _ => Ok(state),
    }
}

fn take_time(state: &Mutex<State>) {
    let time = state.lock().unwrap().sync_takes;
    if !time.is_zero() {
        std::thread::sleep(time);
    }
    while state.lock().unwrap().hanging {
        std::thread::sleep(Duration::from_millis(1));
    }
}

impl File {
    fn after_power_cut(&self, unsynced: Unsynced) -> Vec<u8> {
        let kept = self.synced.len();
        let Some(tail) = self.bytes.get(kept..) else { return self.synced.clone() };
        // What was overwritten in place: whole sectors are there or are not.
        let there = |sector: usize| match unsynced {
            Unsynced::Lost => false,
            Unsynced::Kept => true,
            Unsynced::Half => sector < kept.div_ceil(512) / 2,
            Unsynced::Holes => sector.is_multiple_of(2),
        };
        let overwritten = self.synced.iter().zip(&self.bytes).enumerate();
        let begin: Vec<u8> =
            overwritten.map(|(n, (old, new))| if there(n / 512) { *new } else { *old }).collect();
        let tail = match unsynced {
            Unsynced::Lost => Vec::new(),
            Unsynced::Kept => tail.to_vec(),
            Unsynced::Half => tail[..tail.len() / 2].to_vec(),
            Unsynced::Holes => {
                let hole =
                    |(n, byte): (usize, &u8)| if ((kept + n) / 512).is_multiple_of(2) { *byte } else { 0 };
                tail.iter().enumerate().map(hole).collect()
            }
        };
        [begin, tail].concat()
    }
}

struct OpenFile {
    state: Arc<Mutex<State>>,
    file: usize,
}

impl DiskFile for OpenFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let died = changing(&self.state).err();
        let mut state = self.state.lock().unwrap();
        let fails = died.is_some() || state.full;
        let dead = state.dies_at.is_some_and(|at| state.operations > at + 1);
        let written = match (dead, fails) {
            (true, _) => 0,
            (false, true) => bytes.len() / 2,
            (false, false) => bytes.len(),
        };
        let file = self.file;
        state.files[file].bytes.extend_from_slice(&bytes[..written]);
        match (died, fails) {
            (Some(error), _) => Err(error),
            (None, true) => Err(io::ErrorKind::StorageFull.into()),
            (None, false) => Ok(()),
        }
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = changing(&self.state)?;
        if state.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let from = offset as usize;
        state.files[self.file].bytes[from..from + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        take_time(&self.state);
        let mut state = changing(&self.state)?;
        if state.failing_syncs > 0 {
            state.failing_syncs -= 1;
            return Err(io::Error::other("input/output error"));
        }
        let file = &mut state.files[self.file];
        file.synced = file.bytes.clone();
        Ok(())
    }
}

struct Lock {
    state: Arc<Mutex<State>>,
    path: PathBuf,
}

impl disk::Lock for Lock {
    fn holds(&self) -> io::Result<bool> {
        Ok(true)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.state.lock().unwrap().locked.remove(&self.path);
    }
}

impl Disk for MemoryDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut state = self.changing()?;
        for above in path.ancestors().filter(|above| above.parent().is_some()) {
            state.names.entry(above.to_path_buf()).or_insert(Node::Directory);
        }
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.changing()?;
        let directory = path.parent().unwrap();
        if state.names.get(directory) != Some(&Node::Directory) {
            return Err(missing());
        }
        let file = state.files.len();
        state.files.push(File::default());
        state.names.insert(path.to_path_buf(), Node::File(file));
        Ok(Box::new(OpenFile { state: Arc::clone(&self.state), file }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.changing()?;
        if !state.names.contains_key(to.parent().unwrap()) {
            return Err(missing());
        }
        let node = state.names.remove(from).ok_or_else(missing)?;
        state.names.insert(to.to_path_buf(), node);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.changing()?.names.remove(path).map(|_| ()).ok_or_else(missing)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.changing()?.names.retain(|name, _| !name.starts_with(path));
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.changing()?;
        if path.parent().is_some() && !state.names.contains_key(path) {
            return Err(missing());
        }
        let State { names, synced_names, .. } = &mut *state;
        let within = |name: &Path| name.parent() == Some(path);
        synced_names.retain(|name, _| !within(name) || names.contains_key(name));
        synced_names
            .extend(names.iter().filter(|(name, _)| within(name)).map(|(name, node)| (name.clone(), *node)));
        Ok(())
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        take_time(&self.state);
        let mut state = self.changing()?;
        if state.failing_syncs > 0 {
            state.failing_syncs -= 1;
            return Err(io::Error::other("input/output error"));
        }
        let Some(Node::File(file)) = state.names.get(path).copied() else { return Err(missing()) };
        state.files[file].synced = state.files[file].bytes.clone();
        Ok(())
    }

    fn sync_all(&self, _: &Path) -> io::Result<()> {
        take_time(&self.state);
        let mut state = self.changing()?;
        if state.failing_syncs > 0 {
            state.failing_syncs -= 1;
            return Err(io::Error::other("input/output error"));
        }
        state.synced_names = state.names.clone();
        for file in &mut state.files {
            file.synced = file.bytes.clone();
        }
        Ok(())
    }

    fn read_at(&self, path: &Path, offset: u64, limit: usize) -> io::Result<Vec<u8>> {
        let state = self.lock();
        let Some(Node::File(file)) = state.names.get(path) else { return Err(missing()) };
        let bytes = &state.files[*file].bytes;
        let from = (offset as usize).min(bytes.len());
        Ok(bytes[from..from.saturating_add(limit).min(bytes.len())].to_vec())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let state = self.lock();
        let within = state.names.keys().filter(|name| name.parent() == Some(path));
        Ok(within.map(|name| name.file_name().unwrap().to_string_lossy().into_owned()).collect())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn disk::Lock>>> {
        if !self.lock().locked.insert(path.to_path_buf()) {
            return Ok(None);
        }
        Ok(Some(Box::new(Lock { state: Arc::clone(&self.state), path: path.to_path_buf() })))
    }
}
