use std::io;
use std::path::PathBuf;
use std::sync::MutexGuard;

use super::SimDisk;
use super::world::World;
use distributedlog_store::embedded::{Access, DiskFile};

/// An open file of the process of one generation.
pub(super) struct SimFile {
    pub(super) disk: SimDisk,
    pub(super) file: u64,
    pub(super) generation: u64,
    pub(super) access: Access,
}

impl SimFile {
    fn world(&self) -> io::Result<MutexGuard<'_, World>> {
        let world = self.disk.world();
        world.check_on()?;
        if world.generation != self.generation {
            return Err(io::Error::other(
                "the process that opened the file has ended",
            ));
        }
        Ok(world)
    }

    fn world_to_write(&self) -> io::Result<MutexGuard<'_, World>> {
        if self.access == Access::Read {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        self.world()
    }
}

impl DiskFile for SimFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.world()?.size(self.file) as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        Ok(self.world()?.read(self.file, buffer, offset))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.world_to_write()?.write(self.file, bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.world_to_write()?.sync(self.file)
    }

    fn allocate(&self, size: u64) -> io::Result<()> {
        self.world_to_write()?.resize(self.file, size, true)
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.world_to_write()?.resize(self.file, size, false)
    }
}

/// A lock of the process of one generation.
pub(super) struct SimLock {
    pub(super) disk: SimDisk,
    pub(super) path: PathBuf,
    pub(super) generation: u64,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut world = self.disk.world();
        if world.generation == self.generation {
            world.locks.remove(&self.path);
        }
    }
}
