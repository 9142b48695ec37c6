//! The file with the store's identity.
//!
//! Each volume's header has the identity too. The file is written after the first volume was
//! created, so a folder with it and without volumes has lost them.

use std::io;
use std::path::Path;

use super::disk::{Access, Disk, read_all, replace_file, store_error};
use super::volume::corrupt;
use crate::{StoreError, StoreId};

pub(super) const IDENTITY_FILE: &str = "IDENTITY";
/// Beginning of the file; the identity and a newline follow.
const LABEL: &str = "distributedlog store ";

/// Contents of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IdentityFile {
    /// There is no such file.
    Missing,
    /// The file was changed: it names no identity.
    Damaged,
    /// The store's identity.
    Names(StoreId),
}

/// Reads the file.
///
/// # Errors
///
/// The disk's.
pub(super) fn read(disk: &dyn Disk, folder: &Path) -> Result<IdentityFile, StoreError> {
    let path = folder.join(IDENTITY_FILE);
    let bytes = match disk
        .open(&path, Access::Read)
        .and_then(|file| read_all(&*file))
    {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(IdentityFile::Missing),
        Err(error) => return Err(store_error(&path, &error)),
    };
    let text = core::str::from_utf8(&bytes).ok();
    let id = text
        .and_then(|text| text.strip_prefix(LABEL))
        .and_then(|text| text.trim_end().parse().ok());
    Ok(id.map_or(IdentityFile::Damaged, IdentityFile::Names))
}

/// Writes the file.
///
/// # Errors
///
/// The disk's.
pub(super) fn write(disk: &dyn Disk, folder: &Path, id: StoreId) -> Result<(), StoreError> {
    let path = folder.join(IDENTITY_FILE);
    let text = format!("{LABEL}{id}\n");
    replace_file(disk, &path, text.as_bytes()).map_err(|error| store_error(&path, &error))
}

/// Checks that a volume with the identity `found` belongs to the store `known`, and returns the
/// identity that is known then. Volumes of older versions have none.
///
/// # Errors
///
/// [`StoreError::Corrupt`] if the volume is another store's.
pub(super) fn compare(
    path: &Path,
    known: Option<StoreId>,
    found: Option<StoreId>,
) -> Result<Option<StoreId>, StoreError> {
    match (known, found) {
        (Some(known), Some(found)) if known != found => Err(corrupt(
            path,
            super::volume::ID_OFFSET,
            &format!("the volume is of the store {found}, and the folder of the store {known}"),
        )),
        _ => Ok(known.or(found)),
    }
}
