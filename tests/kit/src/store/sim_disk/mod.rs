//! A disk in memory that loses what was not synced, for tests and simulations.
//!
//! It behaves as badly as the guarantees of a file system allow. On a power loss
//! ([`SimDisk::power_cycle`]), each 512-byte sector that was written since the last sync of its
//! file is randomly in its old state, in its new one, or torn; a file whose length changed has the
//! old or the new one; each creation, rename and removal since the last sync of the folder happened
//! or not, independently of the others. A sync that fails loses a random part of what it should
//! have written, and the next sync of the same file succeeds without writing it. Randomness comes
//! from a seed: the same calls in the same order have the same outcome.
//!
//! Operations that change something are counted, so that a test can crash at each of them in turn:
//!
//! ```
//! use std::sync::Arc;
//! use distributedlog_store::embedded::{EmbeddedSettings, EmbeddedStore};
//! use distributedlog_testkit::store::SimDisk;
//!
//! let settings = || EmbeddedSettings {
//!     volume_bytes: 16 << 10,
//!     ..EmbeddedSettings::new("/store")
//! };
//! let disk = SimDisk::new(7);
//! disk.crash_at(3);
//! let opened = EmbeddedStore::open_stepped(settings(), Arc::new(disk.clone()), Arc::new(|| 0));
//! assert!(opened.is_err() && disk.has_crashed());
//! disk.power_cycle();
//! EmbeddedStore::open_stepped(settings(), Arc::new(disk), Arc::new(|| 0)).unwrap();
//! ```

mod file;
mod state;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::state::{DiskState, NameChange};
use distributedlog_store::embedded::{Access, Disk, DiskFile, LockAttempt};
use distributedlog_store::{Entropy, StoreId};

/// Size of a sector in bytes. A sector is written completely, not at all, or torn.
pub const SECTOR_BYTES: usize = 512;

/// A disk in memory. Clones share the same disk.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<DiskState>>);

impl SimDisk {
    /// Creates an empty disk whose randomness comes from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(DiskState::new(seed))))
    }

    /// Creates another disk with the same contents, durable or not, and its own randomness. No
    /// files are open on it.
    #[must_use]
    pub fn fork(&self, seed: u64) -> Self {
        Self(Arc::new(Mutex::new(self.state().fork(seed))))
    }

    /// Returns the number of operations begun that change something.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// Crashes at the operation with this number, counted from 1 at the disk's creation: a random
    /// part of it happens, and everything after it fails until [`power_cycle`](Self::power_cycle)
    /// or [`restart_process`](Self::restart_process).
    pub fn crash_at(&self, operation: u64) {
        self.state().crash_at = Some(operation);
    }

    /// Crashes now: everything fails until [`power_cycle`](Self::power_cycle) or
    /// [`restart_process`](Self::restart_process).
    pub fn crash(&self) {
        self.state().crashed = true;
    }

    /// Returns true after a crash, until [`power_cycle`](Self::power_cycle) or
    /// [`restart_process`](Self::restart_process).
    #[must_use]
    pub fn has_crashed(&self) -> bool {
        self.state().crashed
    }

    /// Simulates a power loss: a random part of what was not synced is lost. Open files and locks
    /// become invalid.
    pub fn power_cycle(&self) {
        self.state().power_cycle();
    }

    /// Simulates killing the process that uses the disk: nothing is lost. Open files and locks
    /// become invalid.
    pub fn restart_process(&self) {
        self.state().restart_process();
    }

    /// Sets the capacity of the disk in bytes; writing more fails with
    /// [`io::ErrorKind::StorageFull`]. `None`: unlimited.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// Makes all changes fail with [`io::ErrorKind::ReadOnlyFilesystem`], or succeed again.
    pub fn set_read_only(&self, read_only: bool) {
        self.state().read_only = read_only;
    }

    /// Makes all files that are opened or created fail like those of a process that has no file
    /// descriptor left, or succeed again.
    pub fn set_out_of_descriptors(&self, out_of_descriptors: bool) {
        self.state().out_of_descriptors = out_of_descriptors;
    }

    /// Makes the next `count` syncs of files fail like those of a broken disk.
    pub fn fail_syncs(&self, count: u32) {
        self.state().failing_syncs = count;
    }

    /// Makes the next `count` syncs of folders fail; any of the changes may be durable.
    pub fn fail_folder_syncs(&self, count: u32) {
        self.state().failing_folder_syncs = count;
    }

    /// Makes the next `count` writes fail like those of a broken disk, after writing a part.
    pub fn fail_writes(&self, count: u32) {
        self.state().failing_writes = count;
    }

    /// Removes a lock's file, as a person does who takes it for a left-over: the next process can
    /// lock it again.
    pub fn remove_lock(&self, path: impl AsRef<Path>) {
        self.state().locks.remove(path.as_ref());
    }

    /// Damages one byte of a file.
    ///
    /// # Panics
    /// If there is no such file or byte.
    pub fn damage(&self, path: impl AsRef<Path>, offset: u64) {
        self.state().damage(path.as_ref(), offset);
    }

    /// Returns the sum of the files' sizes in bytes.
    #[must_use]
    pub fn bytes_used(&self) -> u64 {
        self.state().bytes_used()
    }

    /// Returns the number of bytes read since the disk's creation.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.state().bytes_read
    }

    fn state(&self) -> MutexGuard<'_, DiskState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for SimDisk {
    fn create_folder(&self, _folder: &Path) -> io::Result<()> {
        // Folders exist if a file is in them.
        self.state().check_running()
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        state.check_running()?;
        let inside = state
            .names
            .keys()
            .filter(|path| path.parent() == Some(folder));
        Ok(inside
            .filter_map(|path| path.file_name()?.to_str().map(str::to_owned))
            .collect())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        state.check_descriptors()?;
        state.begin_change(|state| {
            let file = state.add_file();
            state.change_name(NameChange::Link {
                path: path.to_owned(),
                file,
            });
        })?;
        let file = state.names[path];
        Ok(Arc::new(file::SimFile {
            disk: self.clone(),
            file,
            generation: state.generation,
            access: Access::Write,
        }))
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.state();
        state.check_running()?;
        state.check_descriptors()?;
        if state.read_only && access == Access::Write {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        let file = *state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(file::SimFile {
            disk: self.clone(),
            file,
            generation: state.generation,
            access,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        let file = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        state.begin_change(|state| {
            state.change_name(NameChange::Rename {
                from: from.to_owned(),
                to: to.to_owned(),
                file,
            })
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        state.begin_change(|state| {
            state.change_name(NameChange::Unlink {
                path: path.to_owned(),
            })
        })
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.state().sync_folder(folder)
    }

    fn draw_store_id(&self) -> StoreId {
        let mut state = self.state();
        state.next_store_id += 1;
        StoreId::draw(&Entropy::seeded(state.next_store_id))
    }

    fn lock(&self, path: &Path, holder: &str) -> io::Result<LockAttempt> {
        let mut state = self.state();
        state.check_running()?;
        if state.read_only {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        if let Some((_, holder)) = state.locks.get(path) {
            return Ok(LockAttempt::HeldBy(holder.clone()));
        }
        if state.readers.iter().any(|(_, locked)| locked == path) {
            return Ok(LockAttempt::HeldBy(String::new()));
        }
        state.next_lock += 1;
        let number = state.next_lock;
        let lock = (number, holder.to_owned());
        state.locks.insert(path.to_owned(), lock);
        Ok(LockAttempt::Held(Box::new(file::SimLock {
            disk: self.clone(),
            path: path.to_owned(),
            number,
        })))
    }

    fn lock_for_reading(&self, path: &Path) -> io::Result<LockAttempt> {
        let mut state = self.state();
        state.check_running()?;
        if let Some((_, holder)) = state.locks.get(path) {
            return Ok(LockAttempt::HeldBy(holder.clone()));
        }
        state.next_lock += 1;
        let number = state.next_lock;
        state.readers.push((number, path.to_owned()));
        Ok(LockAttempt::Held(Box::new(file::SimReaderLock {
            disk: self.clone(),
            number,
        })))
    }
}
