//! A disk in memory that forgets what was not synced: for tests and simulations.
//!
//! It is as unkind as the promises of a filesystem allow. When the power goes
//! ([`SimDisk::power_cycle`]), each 512-byte sector that was written since the last sync of its
//! file is by chance as it was before, as it was written, or torn; a file whose length changed has
//! the old or the new one; each creation, renaming and removal since the last sync of the folder
//! happened or not, independently of the others. A sync that fails loses by chance any of what it
//! should have written, and the next sync of the same file succeeds without writing it. Chance
//! comes from a seed: the same calls in the same order have the same outcome.
//!
//! Operations that change something are counted, so that a test can crash at each one of them in
//! turn:
//!
//! ```
//! use std::sync::Arc;
//! use distributedlog_store::embedded::{EmbeddedSettings, EmbeddedStore};
//! use distributedlog_testkit::store::SimDisk;
//!
//! let settings = || EmbeddedSettings { volume_bytes: 16 << 10, ..EmbeddedSettings::new("/store") };
//! let disk = SimDisk::new(7);
//! disk.crash_at(3);
//! let opened = EmbeddedStore::open_stepped(settings(), Arc::new(disk.clone()), Arc::new(|| 0));
//! assert!(opened.is_err() && disk.has_crashed());
//! disk.power_cycle();
//! EmbeddedStore::open_stepped(settings(), Arc::new(disk), Arc::new(|| 0)).unwrap();
//! ```

mod file;
mod world;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::world::{NameChange, World};
use distributedlog_store::embedded::{Access, Disk, DiskFile, LockAttempt};

/// A sector: what is written whole, or not, or torn.
pub const SECTOR_BYTES: usize = 512;

/// A disk in memory. Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<World>>);

impl SimDisk {
    /// An empty disk whose chances come from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(World::new(seed))))
    }

    /// Another disk with the same contents, durable or not, and chances of its own. Nobody has
    /// files open on it.
    #[must_use]
    pub fn fork(&self, seed: u64) -> Self {
        Self(Arc::new(Mutex::new(self.world().fork(seed))))
    }

    /// How many operations that change something were begun.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.world().operations
    }

    /// The operation with this number, counted from 1 at the disk's beginning, happens by half, and
    /// everything after it fails until [`power_cycle`](Self::power_cycle) or
    /// [`restart_process`](Self::restart_process).
    pub fn crash_at(&self, operation: u64) {
        self.world().crash_at = Some(operation);
    }

    /// Everything fails from now on until [`power_cycle`](Self::power_cycle) or
    /// [`restart_process`](Self::restart_process).
    pub fn crash(&self) {
        self.world().crashed = true;
    }

    /// Whether a crash happened that nothing was done about.
    #[must_use]
    pub fn has_crashed(&self) -> bool {
        self.world().crashed
    }

    /// The power goes and comes back: what was not synced is lost by chance. Files that were open
    /// and locks are gone.
    pub fn power_cycle(&self) {
        self.world().power_cycle();
    }

    /// The process that used the disk was killed, and another may begin: nothing is lost. Files
    /// that were open and locks are gone.
    pub fn restart_process(&self) {
        self.world().restart_process();
    }

    /// The files may have so many bytes together; writing more fails with
    /// [`io::ErrorKind::StorageFull`]. `None`: any number.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.world().capacity = bytes;
    }

    /// Whether everything that changes something fails with [`io::ErrorKind::ReadOnlyFilesystem`].
    pub fn set_read_only(&self, read_only: bool) {
        self.world().read_only = read_only;
    }

    /// The next `count` syncs of files fail as those of a broken disk do.
    pub fn fail_syncs(&self, count: u32) {
        self.world().failing_syncs = count;
    }

    /// The next `count` syncs of folders fail, and leave open which of the changes are durable.
    pub fn fail_folder_syncs(&self, count: u32) {
        self.world().failing_folder_syncs = count;
    }

    /// The next `count` writes fail as those of a broken disk do, having written a part.
    pub fn fail_writes(&self, count: u32) {
        self.world().failing_writes = count;
    }

    /// Damages one byte of a file behind everyone's back.
    ///
    /// # Panics
    /// When there is no such file or byte.
    pub fn damage(&self, path: impl AsRef<Path>, offset: u64) {
        self.world().damage(path.as_ref(), offset);
    }

    /// The sum of the files' sizes.
    #[must_use]
    pub fn bytes_used(&self) -> u64 {
        self.world().bytes_used()
    }

    /// How many bytes were read since the disk's beginning.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.world().bytes_read
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Disk for SimDisk {
    fn create_folder(&self, _folder: &Path) -> io::Result<()> {
        // Folders are there when a file is in them.
        self.world().check_on()
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let world = self.world();
        world.check_on()?;
        let inside = world
            .names
            .keys()
            .filter(|path| path.parent() == Some(folder));
        Ok(inside
            .filter_map(|path| path.file_name()?.to_str().map(str::to_owned))
            .collect())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut world = self.world();
        world.begin_change(|world| {
            let file = world.add_file();
            world.change_name(NameChange::Link {
                path: path.to_owned(),
                file,
            });
        })?;
        let file = world.names[path];
        Ok(Arc::new(file::SimFile {
            disk: self.clone(),
            file,
            generation: world.generation,
            access: Access::Write,
        }))
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let world = self.world();
        world.check_on()?;
        if world.read_only && access == Access::Write {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        let file = *world.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(file::SimFile {
            disk: self.clone(),
            file,
            generation: world.generation,
            access,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut world = self.world();
        let file = *world.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        world.begin_change(|world| {
            world.change_name(NameChange::Rename {
                from: from.to_owned(),
                to: to.to_owned(),
                file,
            })
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut world = self.world();
        world.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        world.begin_change(|world| {
            world.change_name(NameChange::Unlink {
                path: path.to_owned(),
            })
        })
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.world().sync_folder(folder)
    }

    fn lock(&self, path: &Path, holder: &str) -> io::Result<LockAttempt> {
        let mut world = self.world();
        world.check_on()?;
        if world.read_only {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        if let Some(holder) = world.locks.get(path) {
            return Ok(LockAttempt::HeldBy(holder.clone()));
        }
        world.locks.insert(path.to_owned(), holder.to_owned());
        Ok(LockAttempt::Held(Box::new(file::SimLock {
            disk: self.clone(),
            path: path.to_owned(),
            generation: world.generation,
        })))
    }
}
