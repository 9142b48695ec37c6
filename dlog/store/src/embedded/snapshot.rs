//! The file of the metadata as of the beginning of a volume. Opening the store then reads only the
//! journal from that volume on.
//!
//! `dlogmeta`, u32 format version, u32 CRC-32C of the rest, then the [`Snapshot`] in postcard's
//! encoding, and the retention of namespace and streams, which snapshots of older stores lack.

use std::path::Path;

use super::disk::{Disk, DiskFile, read_all, replace_file, store_error};
use super::frame::u32_at;
use super::state::Snapshot;
use super::volume::{FORMAT_VERSION, check_version, corrupt};
use crate::StoreError;

const MAGIC: &[u8; 8] = b"dlogmeta";
const HEADER: usize = 16;

pub(super) fn write(disk: &dyn Disk, path: &Path, snapshot: &Snapshot) -> Result<(), StoreError> {
    let write = "a snapshot has nothing that postcard cannot write";
    let mut body = postcard::to_stdvec(snapshot).expect(write);
    body.extend(postcard::to_stdvec(&snapshot.retention).expect(write));
    let mut out = Vec::with_capacity(HEADER + body.len());
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    out.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
    out.extend_from_slice(&body);
    #[cfg(seeded_bugs)]
    if crate::seeded_bugs::is_on(crate::seeded_bugs::Bug::SnapshotNameNotSynced) {
        let beside = super::disk::unfinished(path);
        let written = disk.create(&beside).and_then(|file| {
            file.write_at(&out, 0)?;
            file.sync_data()?;
            disk.rename(&beside, path)
        });
        return written.map_err(|error| store_error(path, &error));
    }
    replace_file(disk, path, &out).map_err(|error| store_error(path, &error))
}

pub(super) fn read(file: &dyn DiskFile, path: &Path, base: u64) -> Result<Snapshot, StoreError> {
    let bytes = read_all(file).map_err(|error| store_error(path, &error))?;
    check_version(&bytes, MAGIC, path)?;
    if bytes.len() < HEADER || crc32c::crc32c(&bytes[HEADER..]) != u32_at(&bytes, 12) {
        return Err(corrupt(path, 12, "the checksum of the metadata is wrong"));
    }
    let unreadable = |error: postcard::Error| {
        let why = format!("the metadata cannot be read: {error}");
        corrupt(path, HEADER as u64, &why)
    };
    let (mut snapshot, rest) =
        postcard::take_from_bytes::<Snapshot>(&bytes[HEADER..]).map_err(unreadable)?;
    if !rest.is_empty() {
        snapshot.retention = postcard::from_bytes(rest).map_err(unreadable)?;
    }
    if snapshot.base == base {
        Ok(snapshot)
    } else {
        Err(corrupt(
            path,
            HEADER as u64,
            "the metadata is another volume's",
        ))
    }
}
