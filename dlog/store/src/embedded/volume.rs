//! The files of the journal: their names, the header of a volume and the header of a batch.
//!
//! A volume begins with a header in its first 4096 bytes, which is synced before the file gets its
//! final name:
//!
//! | at | size | what |
//! |---|---|---|
//! | 0 | 8 | `dlogvol\n` |
//! | 8 | 4 | format version |
//! | 12 | 4 | sector size: batches start at its multiples |
//! | 16 | 8 | the volume's number; the first is 1 |
//! | 24 | 8 | nonce, different for each volume: blocks of other files never pass for batches |
//! | 32 | 8 | end of the previous volume: what lies behind it was not acknowledged |
//! | 40 | 8 | time of creation, milliseconds since 1970 |
//! | 48 | 16 | the store's identity |
//! | 64 | 8 | size that was reserved for the file; 0: none |
//! | 72 | 4 | CRC-32C of the above |
//!
//! In versions 1 and 2 the checksum is at 48.
//!
//! Batches follow. Each is written at once and synced before the next one is begun:
//!
//! | at | size | what |
//! |---|---|---|
//! | 0 | 4 | `dlgB` |
//! | 4 | 4 | CRC-32C of the rest of the header |
//! | 8 | 8 | the volume's nonce |
//! | 16 | 8 | sequence number in the volume, from 1 |
//! | 24 | 4 | length of header and frames, without the padding to the next sector |
//! | 28 | 4 | number of frames |
//! | 32 | 4 | CRC-32C of the frames' checksums: frames of an earlier, torn batch never pass |
//! | 36 | 4 | zero |
//!
//! The last volume of a store whose disk is full is cut behind its last batch, to make room for the
//! next one. A [`cut_mark`] of 512 bytes then follows the batch, so that the cut is not taken for
//! damage:
//!
//! | at | size | what |
//! |---|---|---|
//! | 0 | 4 | `dlgC` |
//! | 4 | 4 | CRC-32C of the next two |
//! | 8 | 8 | the volume's nonce |
//! | 16 | 8 | its own offset |

use std::io;
use std::path::{Path, PathBuf};

use super::closed::CLOSED_FILE;
use super::disk::{DiskFile, read_exact, store_error};
use super::frame::{u32_at, u64_at};
use super::identity::IDENTITY_FILE;
use super::lock::LOCK_FILE;
use super::reserve::RESERVE_FILE;
use crate::{StoreError, StoreId};

/// Version of the format that this program writes, and the newest one that it reads. Version 2 has
/// copies of entries in volumes, and the bytes of extents in indexes; version 3 has the store's
/// identity and the reserved size in volumes.
pub(super) const FORMAT_VERSION: u32 = 3;
/// Size of a volume's header, and offset of its first batch. 4096 is a multiple of every valid
/// sector size.
pub(super) const VOLUME_HEADER: u64 = 4096;
/// Size of a batch's header.
pub(super) const BATCH_HEADER: usize = 40;

const VOLUME_MAGIC: &[u8; 8] = b"dlogvol\n";
const BATCH_MAGIC: &[u8; 4] = b"dlgB";
const CUT_MAGIC: &[u8; 4] = b"dlgC";
/// Offset of the store's identity in a volume's header.
pub(super) const ID_OFFSET: u64 = 48;
/// Bytes of a volume's header before its checksum.
const CHECKED: usize = 72;
/// The same in versions 1 and 2.
const CHECKED_BEFORE_3: usize = 48;
/// Size of the mark behind the last batch of a volume that was cut.
pub(super) const CUT_MARK: usize = 512;

/// The kinds of numbered files in a store's folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum FileKind {
    /// A part of the journal.
    Volume,
    /// Locations of a sealed volume's entries.
    Index,
    /// The metadata as of the beginning of the volume with the same number.
    Snapshot,
    /// A second copy of the metadata, for the case that the first is damaged.
    SnapshotCopy,
}

/// Returns the path of a file. Numbers have 20 digits, so that names sort like numbers.
pub(super) fn file_path(folder: &Path, kind: FileKind, number: u64) -> PathBuf {
    let extension = match kind {
        FileKind::Volume => "volume",
        FileKind::Index => "index",
        FileKind::Snapshot => "metadata",
        FileKind::SnapshotCopy => "metadata-copy",
    };
    folder.join(format!("{number:020}.{extension}"))
}

/// Returns true for the name of a file of the store that was not completed.
pub(super) fn is_unfinished(name: &str) -> bool {
    name.ends_with("-unfinished") && is_store_file(name)
}

/// Returns true for the name of a file that a store has in its folder.
#[must_use]
pub fn is_store_file(name: &str) -> bool {
    let finished = name.strip_suffix("-unfinished").unwrap_or(name);
    parse_file_name(finished).is_some()
        || [LOCK_FILE, RESERVE_FILE, IDENTITY_FILE, CLOSED_FILE].contains(&finished)
}

/// Returns kind and number of the file with this name, or `None` if it is not one of the store's.
pub(super) fn parse_file_name(name: &str) -> Option<(FileKind, u64)> {
    let (number, extension) = name.split_once('.')?;
    if number.len() != 20 || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let kind = match extension {
        "volume" => FileKind::Volume,
        "index" => FileKind::Index,
        "metadata" => FileKind::Snapshot,
        "metadata-copy" => FileKind::SnapshotCopy,
        _ => return None,
    };
    Some((kind, number.parse().ok()?))
}

/// Header of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct VolumeHeader {
    pub(super) sector_bytes: u32,
    pub(super) number: u64,
    pub(super) nonce: u64,
    pub(super) previous_end: u64,
    pub(super) created_unix_ms: u64,
    /// Identity of the store; volumes of versions 1 and 2 have none.
    pub(super) id: Option<StoreId>,
    /// Size that was reserved for the file, or 0.
    pub(super) reserved_bytes: u64,
}

impl VolumeHeader {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(VOLUME_HEADER as usize);
        out.extend_from_slice(VOLUME_MAGIC);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&self.sector_bytes.to_le_bytes());
        for number in [
            self.number,
            self.nonce,
            self.previous_end,
            self.created_unix_ms,
        ] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.id.map_or([0; 16], StoreId::to_bytes));
        out.extend_from_slice(&self.reserved_bytes.to_le_bytes());
        out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
        out.resize(VOLUME_HEADER as usize, 0);
        out
    }

    pub(super) fn read(file: &dyn DiskFile, path: &Path, number: u64) -> Result<Self, StoreError> {
        let mut bytes = [0; CHECKED + 4];
        match read_exact(file, &mut bytes, 0) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(corrupt(path, 0, "the volume's header is truncated"));
            }
            Err(error) => return Err(store_error(path, &error)),
        }
        check_version(&bytes, VOLUME_MAGIC, path)?;
        let has_id = u32_at(&bytes, 8) >= 3;
        let checked = if has_id { CHECKED } else { CHECKED_BEFORE_3 };
        if crc32c::crc32c(&bytes[..checked]) != u32_at(&bytes, checked) {
            return Err(corrupt(
                path,
                0,
                "the checksum of the volume's header is wrong",
            ));
        }
        let header = Self {
            sector_bytes: u32_at(&bytes, 12),
            number: u64_at(&bytes, 16),
            nonce: u64_at(&bytes, 24),
            previous_end: u64_at(&bytes, 32),
            created_unix_ms: u64_at(&bytes, 40),
            id: has_id.then(|| id_at(&bytes, 48)),
            reserved_bytes: if has_id { u64_at(&bytes, 64) } else { 0 },
        };
        if header.number != number {
            return Err(corrupt(
                path,
                16,
                &format!(
                    "the volume's header has the number {}, its name {number}",
                    header.number
                ),
            ));
        }
        if !header.sector_bytes.is_power_of_two() || !(512..=4096).contains(&header.sector_bytes) {
            return Err(corrupt(
                path,
                12,
                "the sector size is not a power of two between 512 and 4096",
            ));
        }
        Ok(header)
    }
}

fn id_at(bytes: &[u8], at: usize) -> StoreId {
    let mut id = [0; 16];
    id.copy_from_slice(&bytes[at..at + 16]);
    StoreId::from_bytes(id)
}

/// Returns the mark of a volume with this nonce that is cut behind its last batch, which ends at
/// `end`.
pub(super) fn cut_mark(nonce: u64, end: u64) -> [u8; CUT_MARK] {
    let mut out = [0; CUT_MARK];
    out[..4].copy_from_slice(CUT_MAGIC);
    out[8..16].copy_from_slice(&nonce.to_le_bytes());
    out[16..24].copy_from_slice(&end.to_le_bytes());
    let crc = crc32c::crc32c(&out[8..24]);
    out[4..8].copy_from_slice(&crc.to_le_bytes());
    out
}

/// Checks that the journal's last volume, of `size` bytes, has the size that was reserved for it,
/// or was cut by this program.
///
/// # Errors
///
/// [`StoreError::Corrupt`] if something was cut off, or the disk's error.
pub(super) fn check_size(
    file: &dyn DiskFile,
    path: &Path,
    header: &VolumeHeader,
) -> Result<(), StoreError> {
    let size = file.size().map_err(|error| store_error(path, &error))?;
    if size >= header.reserved_bytes {
        return Ok(());
    }
    if let Some(end) = size.checked_sub(CUT_MARK as u64) {
        let mut found = [0; CUT_MARK];
        read_exact(file, &mut found, end).map_err(|error| store_error(path, &error))?;
        if found == cut_mark(header.nonce, end) {
            return Ok(());
        }
    }
    let reserved = header.reserved_bytes;
    Err(corrupt(
        path,
        size,
        &format!("the volume is truncated: it had {reserved} bytes"),
    ))
}

/// Checks the eight magic bytes and the format version at the beginning of a file.
pub(super) fn check_version(bytes: &[u8], magic: &[u8; 8], path: &Path) -> Result<(), StoreError> {
    if bytes.len() < 12 || bytes[..8] != magic[..] {
        return Err(corrupt(
            path,
            0,
            "the file does not begin with the store's magic bytes",
        ));
    }
    let found = u32_at(bytes, 8);
    if found > FORMAT_VERSION {
        return Err(StoreError::NewerVersion {
            path: path.display().to_string(),
            found,
            supported: FORMAT_VERSION,
        });
    }
    Ok(())
}

/// Returns the error for a file that differs from what was written.
pub(super) fn corrupt(path: &Path, offset: u64, what: &str) -> StoreError {
    StoreError::Corrupt {
        path: path.display().to_string(),
        detail: format!("at offset {offset}: {what}"),
    }
}

/// Header of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BatchHeader {
    pub(super) nonce: u64,
    pub(super) sequence: u64,
    pub(super) length: u32,
    pub(super) frames: u32,
    pub(super) frames_crc: u32,
}

impl BatchHeader {
    pub(super) fn encode(&self) -> [u8; BATCH_HEADER] {
        let mut out = [0; BATCH_HEADER];
        out[..4].copy_from_slice(BATCH_MAGIC);
        out[8..16].copy_from_slice(&self.nonce.to_le_bytes());
        out[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        out[24..28].copy_from_slice(&self.length.to_le_bytes());
        out[28..32].copy_from_slice(&self.frames.to_le_bytes());
        out[32..36].copy_from_slice(&self.frames_crc.to_le_bytes());
        let crc = crc32c::crc32c(&out[8..]);
        out[4..8].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// Decodes the batch header at the beginning of `bytes`, or returns `None`.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..BATCH_HEADER)?;
        if bytes[..4] != BATCH_MAGIC[..] || crc32c::crc32c(&bytes[8..]) != u32_at(bytes, 4) {
            return None;
        }
        Some(Self {
            nonce: u64_at(bytes, 8),
            sequence: u64_at(bytes, 16),
            length: u32_at(bytes, 24),
            frames: u32_at(bytes, 28),
            frames_crc: u32_at(bytes, 32),
        })
    }
}
