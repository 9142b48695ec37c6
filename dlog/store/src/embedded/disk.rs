//! The file operations that the store uses, and helpers on top of them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::{Entropy, StoreError, StoreId};

/// File operations of the store. They are all that the store needs from its environment besides a
/// clock.
///
/// [`RealDisk`](super::RealDisk) uses the operating system's files; the test kit's `SimDisk` keeps
/// its files in memory and can lose power.
///
/// An operation is durable only after the sync that covers it: contents after
/// [`DiskFile::sync_data`], names after [`sync_folder`](Self::sync_folder).
///
/// # Errors
///
/// Methods return the system's error. The store reports [`io::ErrorKind::StorageFull`],
/// `QuotaExceeded` and `FileTooLarge` as [`StoreError::DiskFull`], `ReadOnlyFilesystem` and
/// `PermissionDenied` as [`StoreError::ReadOnly`], and everything else as [`StoreError::Io`]. So a
/// file that may not be read needs another kind.
pub trait Disk: Send + Sync + 'static {
    /// Creates the folder and its missing parents. Does nothing if the folder exists.
    fn create_folder(&self, folder: &Path) -> io::Result<()>;

    /// Returns the names of the files in a folder, in any order.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;

    /// Creates an empty file for reading and writing. Replaces a file of the same name.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens an existing file.
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>>;

    /// Renames a file. Replaces a file that has the new name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. Open handles to it can still read it.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes creations, renames and removals in the folder durable.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// Tries to lock a file and, on success, writes `holder` into it. The lock is released when the
    /// returned value is dropped or the process ends. Does not wait.
    fn lock(&self, path: &Path, holder: &str) -> io::Result<LockAttempt>;

    /// Tries to lock a file against [`lock`](Self::lock), writing nothing: several processes can
    /// hold this lock. Without the file nothing is locked, because no process can write the folder.
    fn lock_for_reading(&self, path: &Path) -> io::Result<LockAttempt>;

    /// Returns the room of the file system that a folder is on.
    ///
    /// This default does not know it: [`io::ErrorKind::Unsupported`].
    fn space(&self, folder: &Path) -> io::Result<DiskSpace> {
        let _ = folder;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Draws the identity of a new store. This default draws it from the system's entropy.
    fn draw_store_id(&self) -> StoreId {
        StoreId::draw(&Entropy::default())
    }
}

/// Room of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSpace {
    /// Bytes that this process may still write.
    pub free_bytes: u64,
    /// Size in bytes.
    pub size_bytes: u64,
}

/// The lock of a folder.
pub trait HeldLock: Send + Sync {
    /// Returns true while the file that was locked has the name under which other processes look
    /// for it. If it was removed, replaced or moved, another process may hold the folder.
    fn is_held(&self) -> io::Result<bool>;
}

/// An open file. Methods take `&self` because threads share it.
pub trait DiskFile: Send + Sync {
    /// Returns the file's length in bytes.
    fn size(&self) -> io::Result<u64>;

    /// Reads into `buffer`, starting at `offset`. Returns the number of bytes read, which is less
    /// than the buffer's length only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`. After an error any part of them may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes writes, allocations and size changes durable. After an error the state of everything
    /// not synced before is unknown, and a later success does not change that.
    fn sync_data(&self) -> io::Result<()>;

    /// Reserves space so that the file has `size` bytes; new bytes are zero. Returns
    /// [`io::ErrorKind::Unsupported`] where the file system cannot reserve space.
    fn allocate(&self, size: u64) -> io::Result<()>;

    /// Truncates the file to `size` bytes, or extends it with zeros.
    fn set_size(&self, size: u64) -> io::Result<()>;
}

/// Access mode of an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read only.
    Read,
    /// Read and write.
    Write,
}

/// Result of [`Disk::lock`].
pub enum LockAttempt {
    /// The caller holds the lock until it drops this value.
    Held(Box<dyn HeldLock>),
    /// Another process holds the lock. Contains the text that it wrote into the file.
    HeldBy(String),
}

/// Converts the error of a disk operation on `path` into a store error.
pub(super) fn store_error(path: &Path, error: &io::Error) -> StoreError {
    use io::ErrorKind::{
        FileTooLarge, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull,
    };
    let path = path.display().to_string();
    let kind = error.kind();
    if matches!(kind, StorageFull | QuotaExceeded | FileTooLarge) {
        StoreError::DiskFull { path }
    } else if matches!(kind, ReadOnlyFilesystem | PermissionDenied) {
        StoreError::ReadOnly { path }
    } else {
        StoreError::Io {
            path,
            detail: error.to_string(),
        }
    }
}

/// Reads exactly `buffer.len()` bytes; a shorter file is an `UnexpectedEof` error.
pub(super) fn read_exact(file: &dyn DiskFile, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    let read = file.read_at(buffer, offset)?;
    if read == buffer.len() {
        Ok(())
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

/// Reads a whole file.
pub(super) fn read_all(file: &dyn DiskFile) -> io::Result<Vec<u8>> {
    let size = usize::try_from(file.size()?).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut bytes = vec![0; size];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Returns the name that a file has until it is complete.
pub(super) fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-unfinished");
    name.into()
}

/// Replaces a small file atomically: writes a temporary file, syncs it, renames it and syncs the
/// folder.
pub(super) fn replace_file(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = unfinished(path);
    let file = disk.create(&beside)?;
    let written = file
        .write_at(bytes, 0)
        .and_then(|()| file.sync_data())
        .and_then(|()| disk.rename(&beside, path));
    if let Err(error) = written {
        // A partial file is useless. If removing it fails too, the next open of the store removes
        // it.
        let _ = disk.remove(&beside);
        return Err(error);
    }
    path.parent()
        .map_or(Ok(()), |folder| disk.sync_folder(folder))
}
