//! The contents of the disk, durable and not, and its faults.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};

use crate::Random;

use super::SECTOR_BYTES;

/// Number of the error of a process that has no file descriptor left, on all Unix systems.
const EMFILE: i32 = 24;

/// Everything on the disk, durable and not.
pub(super) struct DiskState {
    random: Random,
    pub(super) operations: u64,
    pub(super) crash_at: Option<u64>,
    pub(super) crashed: bool,
    /// Number of processes that have used the disk before. Files opened by an earlier one are
    /// invalid.
    pub(super) generation: u64,
    pub(super) capacity: Option<u64>,
    pub(super) read_only: bool,
    pub(super) out_of_descriptors: bool,
    pub(super) failing_syncs: u32,
    pub(super) failing_folder_syncs: u32,
    pub(super) failing_writes: u32,
    pub(super) bytes_read: u64,
    pub(super) names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    name_changes: Vec<NameChange>,
    files: HashMap<u64, FileState>,
    next_file: u64,
    /// Number and holder of each locked file.
    pub(super) locks: HashMap<PathBuf, (u64, String)>,
    /// Locks for reading, by their numbers.
    pub(super) readers: Vec<(u64, PathBuf)>,
    /// Number of the last lock; numbers are not used again.
    pub(super) next_lock: u64,
    /// Seed of the last store's identity.
    pub(super) next_store_id: u64,
}

/// A change of a folder that is not durable yet.
#[derive(Clone)]
pub(super) enum NameChange {
    Link {
        path: PathBuf,
        file: u64,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
        file: u64,
    },
    Unlink {
        path: PathBuf,
    },
}

#[derive(Clone, Default)]
struct FileState {
    current: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors that the next sync makes durable.
    dirty: BTreeSet<usize>,
}

impl DiskState {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            operations: 0,
            crash_at: None,
            crashed: false,
            generation: 0,
            capacity: None,
            read_only: false,
            out_of_descriptors: false,
            failing_syncs: 0,
            failing_folder_syncs: 0,
            failing_writes: 0,
            bytes_read: 0,
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            name_changes: Vec::new(),
            files: HashMap::new(),
            next_file: 1,
            locks: HashMap::new(),
            readers: Vec::new(),
            next_lock: 0,
            next_store_id: 0,
        }
    }

    pub(super) fn fork(&self, seed: u64) -> Self {
        Self {
            operations: self.operations,
            crashed: self.crashed,
            generation: self.generation,
            capacity: self.capacity,
            read_only: self.read_only,
            out_of_descriptors: self.out_of_descriptors,
            names: self.names.clone(),
            durable_names: self.durable_names.clone(),
            name_changes: self.name_changes.clone(),
            files: self.files.clone(),
            next_file: self.next_file,
            ..Self::new(seed)
        }
    }

    pub(super) fn check_running(&self) -> io::Result<()> {
        if self.crashed {
            Err(io::Error::other("the machine has crashed"))
        } else {
            Ok(())
        }
    }

    /// Counts an operation that changes something. Returns true if it is the one at which the
    /// machine crashes.
    pub(super) fn count_operation(&mut self) -> io::Result<bool> {
        self.check_running()?;
        if self.read_only {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        self.operations += 1;
        self.crashed = self.crash_at == Some(self.operations);
        Ok(self.crashed)
    }

    /// Refuses to open another file if the process has no descriptor left.
    pub(super) fn check_descriptors(&self) -> io::Result<()> {
        if self.out_of_descriptors {
            return Err(io::Error::from_raw_os_error(EMFILE));
        }
        Ok(())
    }

    /// Makes a change, or randomly not if the machine crashes at it.
    pub(super) fn begin_change(&mut self, change: impl FnOnce(&mut Self)) -> io::Result<()> {
        let crashes = self.count_operation()?;
        if !crashes || self.random.one_in(2) {
            change(self);
        }
        self.check_running()
    }

    pub(super) fn add_file(&mut self) -> u64 {
        let file = self.next_file;
        self.next_file += 1;
        self.files.insert(file, FileState::default());
        file
    }

    pub(super) fn change_name(&mut self, change: NameChange) {
        apply(&mut self.names, &change);
        self.name_changes.push(change);
    }

    pub(super) fn sync_folder(&mut self, folder: &Path) -> io::Result<()> {
        if self.count_operation()? {
            // The power loss decides what is lost.
            return self.check_running();
        }
        if self.failing_folder_syncs > 0 {
            self.failing_folder_syncs -= 1;
            return Err(io::Error::other("input/output error (simulated)"));
        }
        let (durable, pending) = self
            .name_changes
            .drain(..)
            .partition(|change| folder_of(change) == Some(folder));
        self.name_changes = pending;
        let durable: Vec<_> = durable;
        for change in &durable {
            apply(&mut self.durable_names, change);
        }
        Ok(())
    }

    pub(super) fn restart_process(&mut self) {
        self.generation += 1;
        self.crashed = false;
        self.crash_at = None;
        self.locks.clear();
        self.readers.clear();
    }

    pub(super) fn power_cycle(&mut self) {
        self.restart_process();
        for change in core::mem::take(&mut self.name_changes) {
            if self.random.one_in(2) {
                apply(&mut self.durable_names, &change);
            }
        }
        self.names = self.durable_names.clone();
        let linked: BTreeSet<u64> = self.names.values().copied().collect();
        self.files.retain(|file, _| linked.contains(file));
        // In the order of their numbers, so that the random numbers do not depend on the hash map's
        // order.
        for file in linked {
            self.files
                .get_mut(&file)
                .expect("names lead to files")
                .lose_power(&mut self.random);
        }
    }

    pub(super) fn size(&self, file: u64) -> usize {
        self.files[&file].current.len()
    }

    pub(super) fn read(&mut self, file: u64, buffer: &mut [u8], offset: u64) -> usize {
        let bytes = &self.files[&file].current;
        let from = usize::try_from(offset).map_or(bytes.len(), |offset| offset.min(bytes.len()));
        let length = buffer.len().min(bytes.len() - from);
        buffer[..length].copy_from_slice(&bytes[from..from + length]);
        self.bytes_read += length as u64;
        length
    }

    pub(super) fn write(&mut self, file: u64, bytes: &[u8], offset: u64) -> io::Result<()> {
        let crashes = self.count_operation()?;
        let offset = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let size_limit = self
            .size_limit(file, offset + bytes.len())
            .saturating_sub(offset)
            .min(bytes.len());
        let broken = self.failing_writes > 0;
        self.failing_writes = self.failing_writes.saturating_sub(1);
        let written = if crashes || broken {
            self.random.index(size_limit + 1)
        } else {
            size_limit
        };
        self.files
            .get_mut(&file)
            .expect("open files exist")
            .write(&bytes[..written], offset);
        self.check_running()?;
        if broken {
            return Err(io::Error::other("input/output error (simulated)"));
        }
        if size_limit < bytes.len() {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            Ok(())
        }
    }

    pub(super) fn sync(&mut self, file: u64) -> io::Result<()> {
        let crashes = self.count_operation()?;
        let fails = self.failing_syncs > 0;
        self.failing_syncs = self.failing_syncs.saturating_sub(1);
        let target = self.files.get_mut(&file).expect("open files exist");
        if crashes {
            // A power loss decides what is lost; a killed process loses nothing.
            return self.check_running();
        }
        if fails {
            target.fail_sync(&mut self.random);
            return Err(io::Error::other("input/output error (simulated)"));
        }
        target.sync();
        Ok(())
    }

    pub(super) fn resize(&mut self, file: u64, size: u64, only_grow: bool) -> io::Result<()> {
        let crashes = self.count_operation()?;
        let size = usize::try_from(size).map_err(|_| io::ErrorKind::FileTooLarge)?;
        if self.size_limit(file, size) < size {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if !crashes || self.random.one_in(2) {
            let target = self.files.get_mut(&file).expect("open files exist");
            if !only_grow || size > target.current.len() {
                target.resize(size);
            }
        }
        self.check_running()
    }

    /// Returns the size that a file may grow to, up to `size`.
    fn size_limit(&self, file: u64, size: usize) -> usize {
        let Some(capacity) = self.capacity else {
            return size;
        };
        let now = self.size(file);
        let left =
            usize::try_from(capacity.saturating_sub(self.bytes_used())).unwrap_or(usize::MAX);
        size.min(now.saturating_add(left)).max(size.min(now))
    }

    pub(super) fn bytes_used(&self) -> u64 {
        self.names
            .values()
            .map(|file| self.size(*file) as u64)
            .sum()
    }

    pub(super) fn damage(&mut self, path: &Path, offset: u64) {
        let file = self
            .files
            .get_mut(&self.names[path])
            .expect("names lead to files");
        let offset = usize::try_from(offset).expect("a byte of the file");
        file.current[offset] ^= 0x20;
        file.durable[offset] ^= 0x20;
    }
}

fn folder_of(change: &NameChange) -> Option<&Path> {
    match change {
        NameChange::Link { path, .. }
        | NameChange::Unlink { path }
        | NameChange::Rename { to: path, .. } => path.parent(),
    }
}

fn apply(names: &mut BTreeMap<PathBuf, u64>, change: &NameChange) {
    match change {
        NameChange::Link { path, file } => {
            names.insert(path.clone(), *file);
        }
        NameChange::Rename { from, to, file } => {
            names.remove(from);
            names.insert(to.clone(), *file);
        }
        NameChange::Unlink { path } => {
            names.remove(path);
        }
    }
}

impl FileState {
    fn write(&mut self, bytes: &[u8], offset: usize) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len();
        if end > self.current.len() {
            self.current.resize(end, 0);
        }
        self.current[offset..end].copy_from_slice(bytes);
        self.dirty
            .extend(offset / SECTOR_BYTES..=(end - 1) / SECTOR_BYTES);
    }

    fn resize(&mut self, size: usize) {
        self.current.resize(size, 0);
        // A part of the last sector may have been cut.
        self.dirty.insert(size / SECTOR_BYTES);
    }

    fn sync(&mut self) {
        self.durable.resize(self.current.len(), 0);
        for sector in core::mem::take(&mut self.dirty) {
            self.keep(sector);
        }
    }

    /// Makes a random part durable; the system regards all of it as durable.
    fn fail_sync(&mut self, random: &mut Random) {
        self.durable.resize(self.current.len(), 0);
        for sector in core::mem::take(&mut self.dirty) {
            if random.one_in(2) {
                self.keep(sector);
            }
        }
    }

    fn lose_power(&mut self, random: &mut Random) {
        if random.one_in(2) {
            self.durable.resize(self.current.len(), 0);
        }
        for sector in core::mem::take(&mut self.dirty) {
            match random.index(8) {
                0 => self.tear(sector, random),
                1..4 => self.keep(sector),
                _ => {}
            }
        }
        self.current = self.durable.clone();
    }

    fn range(&self, sector: usize) -> core::ops::Range<usize> {
        let limit = self.current.len().min(self.durable.len());
        (sector * SECTOR_BYTES).min(limit)..((sector + 1) * SECTOR_BYTES).min(limit)
    }

    fn keep(&mut self, sector: usize) {
        let range = self.range(sector);
        self.durable[range.clone()].copy_from_slice(&self.current[range]);
    }

    /// Tears a sector: a part of it is new, or all of it is random bytes.
    fn tear(&mut self, sector: usize, random: &mut Random) {
        let range = self.range(sector);
        if random.one_in(2) {
            for byte in &mut self.durable[range] {
                *byte = random.bits().to_le_bytes()[0];
            }
        } else {
            let end = range.start + random.index(range.len() + 1);
            self.durable[range.start..end].copy_from_slice(&self.current[range.start..end]);
        }
    }
}
