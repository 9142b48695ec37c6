//! The index of a sealed volume: where its entries are, sorted by stream, log segment and entry.
//!
//! A header, one row of 40 bytes for each extent (consecutive entries of one log segment), the
//! checksum of both, then each extent's places: u32 offset and u32 length of each frame in the
//! volume. Opening a store reads the rows only; reading an entry reads its place. Places need no
//! checksum: the frame that they lead to has one and says which entry it is.
//!
//! | at | size | what |
//! |---|---|---|
//! | 0 | 8 | `dlogidx\n` |
//! | 8 | 4 | format version |
//! | 12 | 4 | number of extents |
//! | 16 | 8 | number of the volume |
//! | 24 | 8 | where the volume ends |
//! | 32 | 40 × extents | stream, log segment, first entry, number of entries, offset of the places in this file |
//! | | 4 | CRC-32C of the above |

use std::io;
use std::path::Path;

use super::disk::{Disk, DiskFile, read_exact, replace_file, store_error};
use super::frame::{u32_at, u64_at};
use super::state::IndexedExtent;
use super::stream::{Extent, Place, Places};
use super::volume::{FORMAT_VERSION, check_version, corrupt};
use crate::StoreError;

const MAGIC: &[u8; 8] = b"dlogidx\n";
const HEADER: usize = 32;
const ROW: usize = 40;
const PLACE: usize = 8;

/// Writes the index of `volume` and returns where each extent's places are in it: stream, log
/// segment, offset.
pub(super) fn write(
    disk: &dyn Disk,
    path: &Path,
    volume: u64,
    end: u64,
    extents: &[IndexedExtent],
) -> Result<Vec<(u64, u64, u64)>, StoreError> {
    let count =
        u32::try_from(extents.len()).expect("a volume below 4 GiB has fewer extents than 2^32");
    let mut out = Vec::new();
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&volume.to_le_bytes());
    out.extend_from_slice(&end.to_le_bytes());
    let mut at = (HEADER + ROW * extents.len() + 4) as u64;
    let mut found = Vec::with_capacity(extents.len());
    for extent in extents {
        let entries = extent.places.len() as u64;
        for number in [extent.stream, extent.lssn, extent.first_entry, entries, at] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        found.push((extent.stream, extent.lssn, at));
        at += entries * PLACE as u64;
    }
    out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
    for place in extents.iter().flat_map(|extent| &extent.places) {
        out.extend_from_slice(&place.offset.to_le_bytes());
        out.extend_from_slice(&place.length.to_le_bytes());
    }
    replace_file(disk, path, &out).map_err(|error| store_error(path, &error))?;
    Ok(found)
}

/// Reads the rows of an index: the extents with their streams.
pub(super) fn read(
    file: &dyn DiskFile,
    path: &Path,
    volume: u64,
) -> Result<Vec<(u64, Extent)>, StoreError> {
    let read = |length: usize| -> Result<Vec<u8>, StoreError> {
        let mut bytes = vec![0; length];
        read_exact(file, &mut bytes, 0).map_err(|error| read_error(path, 0, &error))?;
        Ok(bytes)
    };
    let header = read(HEADER)?;
    check_version(&header, MAGIC, path)?;
    let length = HEADER + ROW * u32_at(&header, 12) as usize;
    let size = file.size().map_err(|error| store_error(path, &error))?;
    if length as u64 + 4 > size {
        return Err(corrupt(
            path,
            12,
            "the index has more extents than it has room for",
        ));
    }
    let bytes = read(length + 4)?;
    if crc32c::crc32c(&bytes[..length]) != u32_at(&bytes, length) {
        return Err(corrupt(
            path,
            length as u64,
            "the checksum of the index is wrong",
        ));
    }
    if u64_at(&bytes, 16) != volume {
        return Err(corrupt(path, 16, "the index is another volume's"));
    }
    let rows = bytes[HEADER..length].chunks_exact(ROW).map(|row| {
        let (lssn, first_entry, entries) = (u64_at(row, 8), u64_at(row, 16), u64_at(row, 24));
        (
            u64_at(row, 0),
            Extent {
                volume,
                lssn,
                first_entry,
                entries,
                places: Places::Index(u64_at(row, 32)),
            },
        )
    });
    Ok(rows.collect())
}

/// Reads the places of `count` entries, beginning with the one that is `skip` entries into an
/// extent whose places are at `at`.
pub(super) fn read_places(
    file: &dyn DiskFile,
    path: &Path,
    at: u64,
    skip: u64,
    count: usize,
) -> Result<Vec<Place>, StoreError> {
    let mut bytes = vec![0; count * PLACE];
    let from = at + skip * PLACE as u64;
    read_exact(file, &mut bytes, from).map_err(|error| read_error(path, from, &error))?;
    Ok(bytes
        .chunks_exact(PLACE)
        .map(|place| Place {
            offset: u32_at(place, 0),
            length: u32_at(place, 4),
        })
        .collect())
}

fn read_error(path: &Path, offset: u64, error: &io::Error) -> StoreError {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        corrupt(path, offset, "the index is cut short")
    } else {
        store_error(path, error)
    }
}
