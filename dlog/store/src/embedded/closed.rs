//! The mark of a store that was closed in order: the file that states where its journal ends.
//!
//! `dlogshut`, u32 format version, the [`ClosedMark`] in postcard's encoding, then the u32 CRC-32C
//! of all that. It is written after the last sync, and removed when the next process has begun a
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
const HEADER: usize = 12;
const CRC: usize = 4;

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
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    out.extend(postcard::to_stdvec(mark).expect("numbers alone"));
    out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
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
    let checked = bytes
        .len()
        .checked_sub(CRC)
        .filter(|end| *end >= HEADER && crc32c::crc32c(&bytes[..*end]) == u32_at(&bytes, *end));
    let mut mark = None;
    if let Some(end) = checked {
        check_version(&bytes, MAGIC, &path)?;
        mark = postcard::from_bytes(&bytes[HEADER..end]).ok();
    }
    if mark.is_none() {
        tracing::warn!("{} is damaged, and is ignored", path.display());
    }
    Ok(mark)
}

/// Checks that the journal ends where the store was closed. A mark before the last volume is an old
/// one.
///
/// # Errors
///
/// [`StoreError::Corrupt`] if the journal lacks something.
pub(super) fn check(
    folder: &Path,
    mark: &ClosedMark,
    tail: Option<&TailBatch>,
) -> Result<(), StoreError> {
    let (number, nonce, end) = tail.map_or((0, 0, 0), |tail| {
        (tail.newest.number, tail.newest.nonce, tail.end)
    });
    check_end(
        folder,
        mark,
        &ClosedMark {
            volume: number,
            nonce,
            end,
        },
    )
}

/// Checks that the journal's end, as it is found, is the one of the mark.
///
/// # Errors
///
/// As [`check`].
pub(super) fn check_end(
    folder: &Path,
    mark: &ClosedMark,
    found: &ClosedMark,
) -> Result<(), StoreError> {
    let path = file_path(folder, FileKind::Volume, mark.volume);
    if found.volume > mark.volume {
        return Ok(());
    }
    if found.volume < mark.volume {
        return Err(StoreError::Corrupt {
            path: path.display().to_string(),
            detail: "the file is missing: it was the last volume when the store was closed"
                .to_owned(),
        });
    }
    if found.nonce != mark.nonce {
        let why = "the volume is another one than the last when the store was closed";
        return Err(corrupt(&path, 0, why));
    }
    if found.end != mark.end {
        let why = format!(
            "no further batch can be read, and the store was closed with its end at offset {}",
            mark.end
        );
        return Err(corrupt(&path, found.end, &why));
    }
    Ok(())
}
