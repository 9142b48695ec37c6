//! The index of a sealed volume: the locations of its entries, sorted by stream, log segment and
//! entry.
//!
//! A header, one row of 40 bytes for each extent (consecutive entries of one log segment), the
//! checksum of both, then each extent's locations: u32 offset and u32 length of each frame in the
//! volume. Opening a store reads only the rows; reading an entry reads its location. Locations need
//! no checksum: the frame at a location has one, and names its entry.
//!
//! | offset | size | content |
//! |---|---|---|
//! | 0 | 8 | `dlogidx\n` |
//! | 8 | 4 | format version |
//! | 12 | 4 | number of extents |
//! | 16 | 8 | number of the volume |
//! | 24 | 8 | end of the volume |
//! | 32 | 40 × extents | one row for each extent |
//! | | 4 | CRC-32C of the above |
//!
//! A row has five u64: stream, log segment, first entry, number of entries, and the offset of the
//! extent's locations in this file.

use std::io;
use std::path::Path;

use super::disk::{Disk, DiskFile, read_exact, replace_file, store_error};
use super::frame::{u32_at, u64_at};
use super::state::IndexedExtent;
use super::stream::{Extent, FrameLocation, FrameLocations};
use super::volume::{FORMAT_VERSION, check_version, corrupt};
use crate::StoreError;

const MAGIC: &[u8; 8] = b"dlogidx\n";
const HEADER: usize = 32;
const ROW: usize = 40;
const LOCATION: usize = 8;

/// Writes the index of `volume`. Returns stream, log segment and the offset of the locations in the
/// index for each extent.
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
        let entries = extent.locations.len() as u64;
        for number in [extent.stream, extent.lssn, extent.first_entry, entries, at] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        found.push((extent.stream, extent.lssn, at));
        at += entries * LOCATION as u64;
    }
    out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
    for location in extents.iter().flat_map(|extent| &extent.locations) {
        out.extend_from_slice(&location.offset.to_le_bytes());
        out.extend_from_slice(&location.length.to_le_bytes());
    }
    replace_file(disk, path, &out).map_err(|error| store_error(path, &error))?;
    Ok(found)
}

/// Reads the rows of an index. Returns the extents with their streams.
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
            "the index is smaller than its number of extents requires",
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
                locations: FrameLocations::Index(u64_at(row, 32)),
            },
        )
    });
    Ok(rows.collect())
}

/// Reads the locations of `count` entries, skipping the first `skip` entries of the extent whose
/// locations begin at `at`.
pub(super) fn read_locations(
    file: &dyn DiskFile,
    path: &Path,
    at: u64,
    skip: u64,
    count: usize,
) -> Result<Vec<FrameLocation>, StoreError> {
    let mut bytes = vec![0; count * LOCATION];
    let from = at + skip * LOCATION as u64;
    read_exact(file, &mut bytes, from).map_err(|error| read_error(path, from, &error))?;
    Ok(bytes
        .chunks_exact(LOCATION)
        .map(|location| FrameLocation {
            offset: u32_at(location, 0),
            length: u32_at(location, 4),
        })
        .collect())
}

fn read_error(path: &Path, offset: u64, error: &io::Error) -> StoreError {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        corrupt(path, offset, "the index is truncated")
    } else {
        store_error(path, error)
    }
}
