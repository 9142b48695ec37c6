use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::StoreError;

/// The file operations that the store needs, and nothing else of the outside world.
///
/// [`RealDisk`](super::RealDisk) is the operating system's;
/// [`SimDisk`](crate::sim_disk::SimDisk) keeps its files in memory and can lose power.
/// Nothing is durable before the sync that covers it: contents before [`DiskFile::sync_data`],
/// names before [`sync_folder`](Self::sync_folder).
pub trait Disk: Send + Sync + 'static {
    /// Creates the folder and those above it, unless they exist.
    fn create_folder(&self, folder: &Path) -> io::Result<()>;

    /// The names of the files in a folder, in any order.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;

    /// Creates an empty file, in place of the one of this name if there is one, for reading and
    /// writing.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file that exists.
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>>;

    /// Gives a file another name, in place of the file that had it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. Who has it open can go on reading it.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes creations, renames and removals in the folder durable.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// Tries to take the lock that a file stands for, and writes `holder` into the file. The lock
    /// ends with the value that is returned, or with the process.
    fn lock(&self, path: &Path, holder: &str) -> io::Result<LockAttempt>;
}

/// An open file. Methods take `&self`: threads share it.
pub trait DiskFile: Send + Sync {
    /// The file's length in bytes.
    fn size(&self) -> io::Result<u64>;

    /// Fills `buffer` from `offset` on. Returns how many bytes there were: fewer than asked for
    /// only at the file's end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`. After an error any part of them may be in the file.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes durable what was written, allocated and cut. After an error nothing is known of what
    /// was not synced before, and a later success says nothing about it either.
    fn sync_data(&self) -> io::Result<()>;

    /// Reserves space so that the file has `size` bytes, the new ones zero.
    /// [`io::ErrorKind::Unsupported`] where that cannot be done.
    fn allocate(&self, size: u64) -> io::Result<()>;

    /// Cuts the file, or lengthens it with zeros.
    fn set_size(&self, size: u64) -> io::Result<()>;
}

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading.
    Read,
    /// Reading and writing.
    Write,
}

/// What came of [`Disk::lock`].
pub enum LockAttempt {
    /// The caller has it until it drops this.
    Held(Box<dyn Send + Sync>),
    /// Someone else has it, and wrote this into the file.
    HeldBy(String),
}

/// The store's error for a failed disk operation: `path` is the file or folder it was about.
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

/// Reads exactly `buffer.len()` bytes.
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

/// The name that a file has until it is finished.
pub(super) fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-unfinished");
    name.into()
}

/// Puts a small file in place whole or not at all: written beside it, synced, renamed, the folder
/// synced.
pub(super) fn replace_file(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = unfinished(path);
    let file = disk.create(&beside)?;
    let written = file
        .write_at(bytes, 0)
        .and_then(|()| file.sync_data())
        .and_then(|()| disk.rename(&beside, path));
    if let Err(error) = written {
        // Half a file is of no use to anyone; the next opening removes it when this fails too.
        let _ = disk.remove(&beside);
        return Err(error);
    }
    path.parent()
        .map_or(Ok(()), |folder| disk.sync_folder(folder))
}
