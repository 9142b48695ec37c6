//! The mark of a store that was closed in order: the file that states where its journal ends.
//!
//! `dlogshut`, u32 format version, u32 CRC-32C of the rest, then the [`ClosedMark`] in postcard's
//! encoding. It is written after the last sync, and removed when the next process has begun a
//! volume. Until then a journal that ends elsewhere has lost something, which the journal itself
//! does not show: a batch that cannot be read at the end of a store that was not closed is a torn
//! write.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::disk::{Access, Disk, read_all, replace_file, store_error};
use super::frame::u32_at;
use super::tail_batch::TailBatch;
use super::volume::{FORMAT_VERSION, FileKind, check_version, corrupt, file_path};
use crate::StoreError;

pub(super) const CLOSED_FILE: &str = "CLOSED";
const MAGIC: &[u8; 8] = b"dlogshut";
const HEADER: usize = 16;

/// End of the journal of a store that was closed in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ClosedMark {
    /// Number of the last volume.
    pub(super) volume: u64,
    /// Nonce of that volume.
    pub(super) nonce: u64,
    /// End of its last batch.
    pub(super) end: u64,
}

fn path(folder: &Path) -> PathBuf {
    folder.join(CLOSED_FILE)
}

/// Writes the mark.
///
/// # Errors
///
/// The disk's.
pub(super) fn write(disk: &dyn Disk, folder: &Path, mark: &ClosedMark) -> io::Result<()> {
    let body = postcard::to_stdvec(mark).expect("numbers alone");
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    out.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
    out.extend_from_slice(&body);
    replace_file(disk, &path(folder), &out)
}

/// Removes the mark, which a volume behind it has made useless. One that is left does no harm.
pub(super) fn remove(disk: &dyn Disk, folder: &Path) {
    match disk.remove(&path(folder)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::debug!("the mark of the last closing stays: {error}");
        }
        _ => {}
    }
}

/// Reads the mark. A damaged one counts as none: the store is opened as one that was not closed.
///
/// # Errors
///
/// [`StoreError::NewerVersion`], or the disk's error.
pub(super) fn read(disk: &dyn Disk, folder: &Path) -> Result<Option<ClosedMark>, StoreError> {
    let path = path(folder);
    let bytes = match disk
        .open(&path, Access::Read)
        .and_then(|file| read_all(&*file))
    {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(store_error(&path, &error)),
    };
    match check_version(&bytes, MAGIC, &path) {
        Err(StoreError::Corrupt { .. }) => {}
        checked => checked?,
    }
    let mark = (bytes.len() > HEADER && crc32c::crc32c(&bytes[HEADER..]) == u32_at(&bytes, 12))
        .then(|| postcard::from_bytes(&bytes[HEADER..]).ok())
        .flatten();
    if mark.is_none() {
        tracing::warn!("{} is damaged, and is ignored", path.display());
    }
    Ok(mark)
}

/// Checks that the journal ends where the store was closed.
///
/// # Errors
///
/// [`StoreError::Corrupt`] if it lacks something. A mark before the last volume is an old one.
pub(super) fn check(
    folder: &Path,
    mark: &ClosedMark,
    tail: Option<&TailBatch>,
) -> Result<(), StoreError> {
    let path = file_path(folder, FileKind::Volume, mark.volume);
    let last = tail.map_or(0, |tail| tail.newest.number);
    if last > mark.volume {
        return Ok(());
    }
    let Some(tail) = tail.filter(|tail| tail.newest.number == mark.volume) else {
        return Err(StoreError::Corrupt {
            path: path.display().to_string(),
            detail: "the file is missing: it was the last volume when the store was closed"
                .to_owned(),
        });
    };
    if tail.newest.nonce != mark.nonce {
        let why = "the volume is another one than the last when the store was closed";
        return Err(corrupt(&path, 0, why));
    }
    if tail.end != mark.end {
        let why = format!(
            "no further batch can be read, and the store was closed with its end at offset {}",
            mark.end
        );
        return Err(corrupt(&path, tail.end, &why));
    }
    Ok(())
}
