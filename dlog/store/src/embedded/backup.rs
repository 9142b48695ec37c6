//! Backup of a store, which may be open: copies its files to another folder.
//!
//! A sealed volume never changes, so a later backup to the same folder copies what is new. What is
//! in the backup is the store as it was when its files were listed, or a little later: all volumes
//! of that moment, the newest one up to its last complete batch, and the snapshot of that moment.
//! If one of them is removed meanwhile, because compaction has moved its entries, the files are
//! listed again.
//!
//! The snapshot is copied after the volumes, and files that are not needed any more are removed at
//! the end: a backup that is interrupted leaves the previous one, or the new one.

use std::io;
use std::path::{Path, PathBuf};

use super::closed;
use super::disk::{Access, Disk, DiskFile, read_exact, store_error, unfinished};
use super::identity::{self, IdentityFile};
use super::lock;
use super::recovery::{self, Files, end_by_successor};
use super::scan::{VolumeEnd, scan};
use super::volume::{
    CUT_MARK, FileKind, VOLUME_HEADER, VolumeHeader, cut_mark, file_path, is_unfinished,
    parse_file_name,
};
use crate::{StoreError, StoreId};

/// Number of times that the files are listed again.
const MAX_ATTEMPTS: u32 = 20;
/// Bytes that are copied at once.
const AT_ONCE: usize = 1 << 20;

/// Result of a backup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackupReport {
    /// Identity of the store, if its files have one.
    pub id: Option<StoreId>,
    /// Number of streams.
    pub streams: u64,
    /// Number of volumes.
    pub volumes: u64,
    /// Number of volumes that an earlier backup had copied.
    pub kept_volumes: u64,
    /// Bytes that were copied.
    pub copied_bytes: u64,
}

/// Copies the store in `folder`, which may be open, to the folder `to`, which has an earlier backup
/// of it or is created. Calls `progress` with the bytes copied so far. Blocks the thread.
///
/// The backup is a store: open it where it is, or copy it back.
///
/// # Errors
///
/// [`StoreError::InUse`] if `to` is in use; [`StoreError::Refused`] if it has another store, or
/// `folder` has none; [`StoreError::Corrupt`] if the store is damaged; the disk's errors.
pub fn backup(
    disk: &dyn Disk,
    folder: &Path,
    to: &Path,
    unix_ms: u64,
    progress: &mut dyn FnMut(u64),
) -> Result<BackupReport, StoreError> {
    let refused = |path: &Path, detail: String| StoreError::Refused {
        address: path.display().to_string(),
        detail,
    };
    let listed = Files::list(disk, folder)?;
    let Some(&newest) = listed.volumes.last() else {
        return Err(refused(folder, "it has no store".to_owned()));
    };
    let header = recovery::read_file(disk, folder, FileKind::Volume, newest, VolumeHeader::read)?;
    disk.create_folder(to)
        .map_err(|error| store_error(to, &error))?;
    let _lock = lock::acquire(disk, to, unix_ms)?;
    if let (IdentityFile::Names(there), Some(id)) = (identity::read(disk, to)?, header.id)
        && there != id
    {
        let detail = format!("it has the store {there}, not {id}");
        return Err(refused(to, detail));
    }
    // Somebody may have opened the backup.
    closed::remove(disk, to);
    let mut copy = Backup {
        disk,
        folder,
        to,
        report: BackupReport {
            id: header.id,
            ..BackupReport::default()
        },
        progress,
    };
    for attempt in 1.. {
        match copy.copy_files() {
            Err(CopyError::Changed(_)) if attempt < MAX_ATTEMPTS => {}
            Err(CopyError::Changed(error) | CopyError::Store(error)) => return Err(error),
            Ok(()) => break,
        }
    }
    let copied = recovery::read(disk, to)?;
    copy.report.streams = copied.state.stream_count();
    Ok(copy.report)
}

/// Error of copying a file.
enum CopyError {
    /// The store removed a file or wrote to it meanwhile: another attempt may succeed.
    Changed(StoreError),
    Store(StoreError),
}

impl From<StoreError> for CopyError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

struct Backup<'a> {
    disk: &'a dyn Disk,
    folder: &'a Path,
    to: &'a Path,
    report: BackupReport,
    progress: &'a mut dyn FnMut(u64),
}

impl Backup<'_> {
    fn copy_files(&mut self) -> Result<(), CopyError> {
        let files = Files::list(self.disk, self.folder)?;
        let base = files.snapshots.last().copied();
        (self.report.volumes, self.report.kept_volumes) = (files.volumes.len() as u64, 0);
        for &number in &files.volumes {
            if Some(&number) == files.volumes.last() {
                self.copy_newest(number)?;
            } else {
                self.copy_sealed(number, &files)?;
            }
        }
        let is_old = |number: u64| base.is_some_and(|base| number < base);
        for &number in files.indexes.iter().filter(|number| is_old(**number)) {
            self.copy_small(FileKind::Index, number)?;
        }
        if let Some(base) = base {
            self.copy_small(FileKind::Snapshot, base)?;
            match self.copy_small(FileKind::SnapshotCopy, base) {
                // An earlier version wrote one copy.
                Ok(()) | Err(CopyError::Changed(_)) => {}
                Err(error) => return Err(error),
            }
        }
        if let Some(id) = self.report.id {
            identity::write(self.disk, self.to, id)?;
        }
        self.remove_others(&files)?;
        Ok(())
    }

    fn sync_folder(&self) -> Result<(), StoreError> {
        let synced = self.disk.sync_folder(self.to);
        synced.map_err(|error| store_error(self.to, &error))
    }

    /// Copies a volume that never changes, unless it is there.
    fn copy_sealed(&mut self, number: u64, files: &Files) -> Result<(), CopyError> {
        let path = file_path(self.folder, FileKind::Volume, number);
        let file = self.open(&path)?;
        let mut size = file.size().map_err(|error| store_error(&path, &error))?;
        if files.volumes.binary_search(&(number + 1)).is_ok() {
            match end_by_successor(self.disk, self.folder, number) {
                Ok(VolumeEnd::Known(end)) => size = size.min(end),
                Ok(VolumeEnd::Tail) => {}
                Err(error) => return Err(CopyError::Changed(error)),
            }
        }
        let target = file_path(self.to, FileKind::Volume, number);
        if self.has_copy(&*file, &target, size + CUT_MARK as u64) {
            self.report.kept_volumes += 1;
            return Ok(());
        }
        // Until the next one is there, this is the backup's last volume.
        let header = VolumeHeader::read(&*file, &path, number)?;
        let mark = cut_mark(header.nonce, size);
        self.copy(&*file, &path, &target, size, &mark)
    }

    /// Returns true if the backup has this volume with this size.
    fn has_copy(&self, file: &dyn DiskFile, target: &Path, size: u64) -> bool {
        let header = |file: &dyn DiskFile| {
            let mut bytes = vec![0; VOLUME_HEADER as usize];
            read_exact(file, &mut bytes, 0).ok().map(|()| bytes)
        };
        let Ok(there) = self.disk.open(target, Access::Read) else {
            return false;
        };
        let is_same_size = there.size().is_ok_and(|there| there == size);
        is_same_size && header(&*there).is_some_and(|there| header(file) == Some(there))
    }

    /// Copies the volume that is written up to its last complete batch.
    fn copy_newest(&mut self, number: u64) -> Result<(), CopyError> {
        let path = file_path(self.folder, FileKind::Volume, number);
        let file = self.open(&path)?;
        let header = VolumeHeader::read(&*file, &path, number)?;
        // A batch that is written while it is read looks damaged. The next look finds it whole.
        let end = scan(&*file, &path, &header, VolumeEnd::Tail, &mut |_| Ok(()));
        let end = match end {
            Err(error @ StoreError::Corrupt { .. }) => return Err(CopyError::Changed(error)),
            end => end?,
        };
        let target = file_path(self.to, FileKind::Volume, number);
        let mark = cut_mark(header.nonce, end);
        self.copy(&*file, &path, &target, end, &mark)
    }

    fn copy_small(&mut self, kind: FileKind, number: u64) -> Result<(), CopyError> {
        let path = file_path(self.folder, kind, number);
        let file = self.open(&path)?;
        let size = file.size().map_err(|error| store_error(&path, &error))?;
        self.copy(&*file, &path, &file_path(self.to, kind, number), size, &[])
    }

    fn open(&self, path: &Path) -> Result<std::sync::Arc<dyn DiskFile>, CopyError> {
        let opened = self.disk.open(path, Access::Read);
        opened.map_err(|error| {
            let is_gone = error.kind() == io::ErrorKind::NotFound;
            let error = store_error(path, &error);
            if is_gone {
                CopyError::Changed(error)
            } else {
                CopyError::Store(error)
            }
        })
    }

    /// Copies `size` bytes of a file and puts `tail` behind them. The file gets its name when it is
    /// complete.
    fn copy(
        &mut self,
        file: &dyn DiskFile,
        path: &Path,
        target: &Path,
        size: u64,
        tail: &[u8],
    ) -> Result<(), CopyError> {
        let beside = unfinished(target);
        let failed = |path: &Path, error: &io::Error| CopyError::Store(store_error(path, error));
        let created = self.disk.create(&beside);
        let to = created.map_err(|error| failed(&beside, &error))?;
        let mut buffer = vec![0; AT_ONCE];
        let mut at = 0;
        while at < size {
            let count = usize::try_from(size - at).unwrap_or(AT_ONCE).min(AT_ONCE);
            let part = &mut buffer[..count];
            read_exact(file, part, at).map_err(|error| failed(path, &error))?;
            to.write_at(part, at)
                .map_err(|error| failed(&beside, &error))?;
            at += count as u64;
            self.report.copied_bytes += count as u64;
            (self.progress)(self.report.copied_bytes);
        }
        let written = if tail.is_empty() {
            Ok(())
        } else {
            to.write_at(tail, size)
        };
        let named = written
            .and_then(|()| to.sync_data())
            .and_then(|()| self.disk.rename(&beside, target));
        named.map_err(|error| failed(target, &error))?;
        #[cfg(seeded_bugs)]
        if crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::BackupNamesInAnyOrder) {
            return Ok(());
        }
        // Names become durable in their order: a later volume must not be there without this one.
        Ok(self.sync_folder()?)
    }

    /// Removes files of the backup that the store does not have any more.
    fn remove_others(&self, files: &Files) -> Result<(), StoreError> {
        let names = self.disk.list(self.to);
        let names = names.map_err(|error| store_error(self.to, &error))?;
        let is_needed = |name: &str| match parse_file_name(name) {
            Some((FileKind::Volume, number)) => files.volumes.binary_search(&number).is_ok(),
            Some((FileKind::Index, number)) => {
                files.volumes.binary_search(&number).is_ok()
                    && files.indexes.binary_search(&number).is_ok()
            }
            Some((FileKind::Snapshot | FileKind::SnapshotCopy, number)) => {
                files.snapshots.last() == Some(&number)
            }
            None => !is_unfinished(name),
        };
        let others: Vec<PathBuf> = names
            .iter()
            .filter(|name| !is_needed(name))
            .map(|name| self.to.join(name))
            .collect();
        for path in others {
            let removed = self.disk.remove(&path);
            removed.map_err(|error| store_error(&path, &error))?;
        }
        self.sync_folder()
    }
}
