use std::io;
use std::path::PathBuf;
use std::sync::MutexGuard;

use super::SimDisk;
use super::state::DiskState;
use distributedlog_store::embedded::{Access, DiskFile};

/// An open file of the process with this generation.
pub(super) struct SimFile {
    pub(super) disk: SimDisk,
    pub(super) file: u64,
    pub(super) generation: u64,
    pub(super) access: Access,
}

impl SimFile {
    fn state(&self) -> io::Result<MutexGuard<'_, DiskState>> {
        let state = self.disk.state();
        state.check_running()?;
        if state.generation != self.generation {
            return Err(io::Error::other(
                "the process that opened the file has ended",
            ));
        }
        Ok(state)
    }

    fn writable_state(&self) -> io::Result<MutexGuard<'_, DiskState>> {
        if self.access == Access::Read {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        self.state()
    }
}

impl DiskFile for SimFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.state()?.size(self.file) as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        Ok(self.state()?.read(self.file, buffer, offset))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.writable_state()?.write(self.file, bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.writable_state()?.sync(self.file)
    }

    fn allocate(&self, size: u64) -> io::Result<()> {
        self.writable_state()?.resize(self.file, size, true)
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.writable_state()?.resize(self.file, size, false)
    }
}

/// A lock of the process with this generation.
pub(super) struct SimLock {
    pub(super) disk: SimDisk,
    pub(super) path: PathBuf,
    pub(super) generation: u64,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.generation == self.generation {
            state.locks.remove(&self.path);
        }
    }
}
