use std::io;
use std::path::PathBuf;
use std::sync::MutexGuard;

use super::SimDisk;
use super::state::DiskState;
use distributedlog_store::embedded::{Access, DiskFile, HeldLock};

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

/// A lock, with its number.
pub(super) struct SimLock {
    pub(super) disk: SimDisk,
    pub(super) path: PathBuf,
    pub(super) number: u64,
}

impl SimLock {
    fn is_in(&self, state: &DiskState) -> bool {
        let lock = state.locks.get(&self.path);
        lock.is_some_and(|(number, _)| *number == self.number)
    }
}

impl HeldLock for SimLock {
    fn is_held(&self) -> io::Result<bool> {
        let state = self.disk.state();
        state.check_running()?;
        Ok(self.is_in(&state))
    }
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if self.is_in(&state) {
            state.locks.remove(&self.path);
        }
    }
}

/// A held lock for reading.
pub(super) struct SimReaderLock {
    pub(super) disk: SimDisk,
    pub(super) number: u64,
}

impl HeldLock for SimReaderLock {
    fn is_held(&self) -> io::Result<bool> {
        let state = self.disk.state();
        state.check_running()?;
        Ok(state
            .readers
            .iter()
            .any(|(number, _)| *number == self.number))
    }
}

impl Drop for SimReaderLock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        state.readers.retain(|(number, _)| *number != self.number);
    }
}
