//! The operating system's files.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Access, Disk, DiskFile, DiskSpace, HeldLock, LockAttempt};

/// The operating system's files.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

/// At most this many bytes of a lock file are read; the text is only for messages.
const MAX_HOLDER_BYTES: u64 = 1024;

impl Disk for RealDisk {
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        let parent = folder
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        if let Some(parent) = parent {
            self.create_folder(parent)?;
        }
        match std::fs::create_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            created => created?,
        }
        // The folder's own name must be durable too.
        self.sync_folder(parent.unwrap_or_else(|| Path::new(".")))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for found in std::fs::read_dir(folder).map_err(unreadable)? {
            // A name that is not UTF-8 is not one of the store's.
            if let Ok(name) = found?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        Ok(Arc::new(RealFile(file)))
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let file = match access {
            Access::Read => File::open(path).map_err(unreadable)?,
            Access::Write => OpenOptions::new().read(true).write(true).open(path)?,
        };
        Ok(Arc::new(RealFile(file)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    fn space(&self, folder: &Path) -> io::Result<DiskSpace> {
        let found = rustix::fs::statvfs(folder)?;
        Ok(DiskSpace {
            free_bytes: found.f_bavail.saturating_mul(found.f_frsize),
            size_bytes: found.f_blocks.saturating_mul(found.f_frsize),
        })
    }

    fn lock(&self, path: &Path, holder: &str) -> io::Result<LockAttempt> {
        // Not truncated on opening: the holder's description is in it.
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return held_by(file),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // The text is only for messages: on a full disk the lock is held without it.
        file.set_len(0)?;
        match file.write_all(holder.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::StorageFull => return Err(error),
            Ok(()) | Err(_) => {}
        }
        held(file, path)
    }

    fn lock_for_reading(&self, path: &Path) -> io::Result<LockAttempt> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(LockAttempt::Held(Box::new(NoLock)));
            }
            Err(error) => return Err(unreadable(error)),
        };
        match file.try_lock_shared() {
            Ok(()) => held(file, path),
            Err(TryLockError::WouldBlock) => held_by(file),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

fn held(file: File, path: &Path) -> io::Result<LockAttempt> {
    let inode = inode(&file.metadata()?);
    Ok(LockAttempt::Held(Box::new(RealLock {
        _file: file,
        inode,
        path: path.to_owned(),
    })))
}

/// Gives the error of a file that may not be read another kind than that of one which may not be
/// written.
fn unreadable(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::PermissionDenied {
        io::Error::other("this user may not read it (permission denied)")
    } else {
        error
    }
}

/// Returns the text that the holder of a lock wrote into the file.
fn held_by(file: File) -> io::Result<LockAttempt> {
    let mut text = Vec::new();
    file.take(MAX_HOLDER_BYTES).read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    Ok(LockAttempt::HeldBy(text.trim().to_owned()))
}

/// Stands for the lock of a folder that no process can lock.
struct NoLock;

impl HeldLock for NoLock {
    fn is_held(&self) -> io::Result<bool> {
        Ok(true)
    }
}

/// A file that is locked while it is open.
struct RealLock {
    _file: File,
    inode: (u64, u64),
    path: PathBuf,
}

impl HeldLock for RealLock {
    fn is_held(&self) -> io::Result<bool> {
        match std::fs::metadata(&self.path) {
            Ok(named) => Ok(inode(&named) == self.inode),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Returns what tells a file from all others that exist: its device and its number there.
fn inode(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

struct RealFile(File);

impl DiskFile for RealFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self
                .0
                .read_at(&mut buffer[filled..], offset + filled as u64)
            {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn allocate(&self, size: u64) -> io::Result<()> {
        use rustix::fs::{FallocateFlags, fallocate};
        use rustix::io::Errno;
        match fallocate(&self.0, FallocateFlags::empty(), 0, size) {
            Ok(()) => Ok(()),
            // File systems that cannot reserve space (NFS, ZFS) return one of these.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                Err(io::ErrorKind::Unsupported.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.0.set_len(size)
    }
}
