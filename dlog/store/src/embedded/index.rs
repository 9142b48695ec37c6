//! The index of a sealed volume: the locations of its entries, sorted by stream, log segment and
//! entry.
//!
//! A header, one row of 48 bytes for each extent (consecutive entries of one log segment), the
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
//! | 32 | 48 × extents | one row for each extent |
//! | | 4 | CRC-32C of the above |
//!
//! A row has six u64: stream, log segment, first entry, number of entries, the offset of the
//! extent's locations in this file, and the bytes of its frames. Version 1 has no bytes: they are
//! computed from the locations.

use std::io;
use std::path::Path;

use super::disk::{Disk, DiskFile, read_exact, replace_file, store_error};
use super::extent::{Extent, FrameLocation, FrameLocations, LOCATION_BYTES};
use super::frame::{u32_at, u64_at};
use super::state::IndexedExtent;
use super::volume::{FORMAT_VERSION, check_version, corrupt};
use crate::StoreError;

const MAGIC: &[u8; 8] = b"dlogidx\n";
const HEADER: usize = 32;
const ROW: usize = 48;
const ROW_V1: usize = 40;
const LOCATION: usize = LOCATION_BYTES as usize;

/// A row: an extent, and where its locations are.
#[derive(Clone, Copy, Debug)]
pub(super) struct IndexRow {
    pub(super) stream: u64,
    pub(super) lssn: u64,
    pub(super) first_entry: u64,
    pub(super) entries: u64,
    /// Offset of the locations in the index.
    pub(super) at: u64,
    /// Bytes of the entries' frames.
    pub(super) bytes: u64,
}

impl IndexRow {
    /// Returns true if the entry is one of the row's.
    pub(super) fn contains(&self, entry: u64) -> bool {
        (self.first_entry..self.first_entry + self.entries).contains(&entry)
    }

    /// Returns the offset of an entry's location in the index.
    pub(super) fn at(&self, entry: u64) -> u64 {
        self.at + (entry - self.first_entry) * LOCATION_BYTES
    }

    /// Returns the extent of `volume` that the row describes.
    pub(super) fn extent(&self, volume: u64) -> Extent {
        Extent {
            volume,
            lssn: self.lssn,
            first_entry: self.first_entry,
            entries: self.entries,
            bytes: self.bytes,
            locations: FrameLocations::Index(self.at),
        }
    }
}

/// The rows of an index.
pub(super) struct Index {
    pub(super) rows: Vec<IndexRow>,
    /// Size of the volume and of the index.
    pub(super) disk_bytes: u64,
}

/// Writes the index of `volume`. Returns its rows.
pub(super) fn write(
    disk: &dyn Disk,
    path: &Path,
    volume: u64,
    end: u64,
    extents: &[IndexedExtent],
) -> Result<Index, StoreError> {
    let count =
        u32::try_from(extents.len()).expect("a volume below 4 GiB has fewer extents than 2^32");
    let mut out = Vec::new();
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    out.extend_from_slice(&count.to_le_bytes());
    out.extend_from_slice(&volume.to_le_bytes());
    out.extend_from_slice(&end.to_le_bytes());
    let mut at = (HEADER + ROW * extents.len() + 4) as u64;
    let mut rows = Vec::with_capacity(extents.len());
    for extent in extents {
        let (locations, entries) = (&extent.locations, extent.locations.len() as u64);
        let row = IndexRow {
            stream: extent.stream,
            lssn: extent.lssn,
            first_entry: extent.first_entry,
            entries,
            at,
            bytes: locations
                .iter()
                .map(|location| u64::from(location.length))
                .sum(),
        };
        let numbers = [
            row.stream,
            row.lssn,
            row.first_entry,
            entries,
            at,
            row.bytes,
        ];
        for number in numbers {
            out.extend_from_slice(&number.to_le_bytes());
        }
        rows.push(row);
        at += entries * LOCATION_BYTES;
    }
    out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
    for location in extents.iter().flat_map(|extent| &extent.locations) {
        out.extend_from_slice(&location.offset.to_le_bytes());
        out.extend_from_slice(&location.length.to_le_bytes());
    }
    replace_file(disk, path, &out).map_err(|error| store_error(path, &error))?;
    let disk_bytes = end + out.len() as u64;
    Ok(Index { rows, disk_bytes })
}

/// Reads the rows of an index.
pub(super) fn read(file: &dyn DiskFile, path: &Path, volume: u64) -> Result<Index, StoreError> {
    let read = |length: usize| -> Result<Vec<u8>, StoreError> {
        let mut bytes = vec![0; length];
        read_exact(file, &mut bytes, 0).map_err(|error| read_error(path, 0, &error))?;
        Ok(bytes)
    };
    let header = read(HEADER)?;
    check_version(&header, MAGIC, path)?;
    let row_bytes = if u32_at(&header, 8) == 1 { ROW_V1 } else { ROW };
    let length = HEADER + row_bytes * u32_at(&header, 12) as usize;
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
    let mut rows = Vec::new();
    for row in bytes[HEADER..length].chunks_exact(row_bytes) {
        let at = u64_at(row, 32);
        let entries = u64_at(row, 24);
        let bytes = if row_bytes == ROW_V1 {
            frame_bytes(file, path, at, entries)?
        } else {
            u64_at(row, 40)
        };
        rows.push(IndexRow {
            stream: u64_at(row, 0),
            lssn: u64_at(row, 8),
            first_entry: u64_at(row, 16),
            entries,
            at,
            bytes,
        });
    }
    Ok(Index {
        rows,
        disk_bytes: u64_at(&bytes, 24) + size,
    })
}

/// Returns the bytes of the frames of `entries` entries whose locations begin at offset `at`.
pub(super) fn frame_bytes(
    file: &dyn DiskFile,
    path: &Path,
    at: u64,
    entries: u64,
) -> Result<u64, StoreError> {
    const AT_ONCE: u64 = 8192;
    let mut bytes = 0;
    let mut skip = 0;
    while skip < entries {
        let count = (entries - skip).min(AT_ONCE);
        let here = usize::try_from(count).expect("at most 8192");
        let locations = read_locations(file, path, at, skip, here)?;
        bytes += locations
            .iter()
            .map(|location| u64::from(location.length))
            .sum::<u64>();
        skip += count;
    }
    Ok(bytes)
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
    let from = at + skip * LOCATION_BYTES;
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
